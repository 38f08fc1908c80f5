package managertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// floor is the highest version of a key that was acknowledged to a writer or returned to
// a reader. No later read may return a lower version.
type floor struct{ version atomic.Int64 }

func (f *floor) raise(version int64) {
	for {
		v := f.version.Load()
		if v >= version || f.version.CompareAndSwap(v, version) {
			return
		}
	}
}

// read makes a read, and compares its version with the floor before the read.
func (f *floor) read(read func() (version int64, err error)) error {
	lowest := f.version.Load()
	version, err := read()
	if err != nil {
		return err
	}
	if version < lowest {
		return fmt.Errorf("read version %d after version %d was known", version, lowest)
	}
	f.raise(version)
	return nil
}

// checkFreshness has writers and readers share a few incidents, and fails on a stale
// read. The incidents are never closed, so they stay in their slots.
func checkFreshness(s labSetup) error {
	const incidents = 3
	l, err := newRegisters(s, incidents)
	if err != nil {
		return err
	}
	var versions [incidents]floor
	_, err = l.run(func(c *client) error {
		i := c.rng.IntN(incidents)
		key, slot := registerKey(int64(i)+1), registerSlot(int64(i)+1)
		if c.id%2 == 0 {
			to := []incident.Status{incident.StatusOpen, incident.StatusWarning, incident.StatusCritical}[c.rng.IntN(3)]
			r, err := l.manager.UpdateStatus(context.Background(), key, incident.StatusUpdate{Status: to})
			versions[i].raise(r.Version)
			return err
		}
		for range 4 {
			err := versions[i].read(func() (int64, error) { return l.version(c.rng, key, slot) })
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		return nil
	})
	return errors.Join(err, Audit(context.Background(), l.manager, l.store, registerOrg))
}

// checkBirths has readers poll incidents that are being created. After a creation was
// seen or acknowledged, every read must find the incident.
func checkBirths(s labSetup) error {
	l, err := newLab(s)
	if err != nil {
		return err
	}
	versions := make([]floor, s.calls+2)
	var created atomic.Int64
	_, err = l.run(func(c *client) error {
		next := created.Load() + 1
		key, slot := registerKey(next), registerSlot(next)
		if c.id == 0 {
			r, err := l.manager.Fire(context.Background(), incident.Firing{
				Slot: slot, TriggerID: "t", Severity: incident.StatusWarning, Title: "birth",
			})
			versions[next].raise(r.Version)
			created.Add(1)
			return err
		}
		for range 4 {
			err := versions[next].read(func() (int64, error) { return l.version(c.rng, key, slot) })
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		return nil
	})
	return errors.Join(err, Audit(context.Background(), l.manager, l.store, registerOrg))
}

// version reads the incident's version in a random way. It returns 0 if there is no
// incident.
func (l *lab) version(rng *rand.Rand, key incident.Key, slot incident.Slot) (int64, error) {
	ctx := context.Background()
	var inc incident.Incident
	var err error
	switch rng.IntN(5) {
	case 0:
		var d incident.Details
		d, err = l.manager.Details(ctx, key, "")
		inc = d.Incident
	case 1, 2:
		inc, _, err = l.manager.Active(ctx, slot)
		return inc.Version, err
	default:
		inc, err = l.manager.Get(ctx, key)
	}
	if errors.Is(err, incident.ErrNotFound) {
		return 0, nil
	}
	return inc.Version, err
}

// checkProgress has many writers change the same incident. All must succeed within a time
// that a starving writer would exceed.
func checkProgress(s labSetup) error {
	s.clients, s.calls = 16, s.calls/8
	l, err := newRegisters(s, 1)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var mu sync.Mutex // guards changes
	changes := int64(0)
	_, err = l.run(func(c *client) error {
		to := []incident.Status{incident.StatusOpen, incident.StatusCritical}[c.rng.IntN(2)]
		r, err := l.manager.UpdateStatus(ctx, registerKey(1), incident.StatusUpdate{Status: to})
		mu.Lock()
		defer mu.Unlock()
		if r.Changed {
			changes++
		}
		return err
	})
	if err != nil {
		return err
	}
	inc, err := l.manager.Get(ctx, registerKey(1))
	if err == nil && inc.Version != registerOpened.Version+changes {
		err = fmt.Errorf("version %d after %d changes", inc.Version, changes)
	}
	return errors.Join(err, Audit(ctx, l.manager, l.store, registerOrg))
}
