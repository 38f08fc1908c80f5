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

// floor is the highest version of a key that was acknowledged to a writer or
// returned to a reader: what no later read may be below.
type floor struct{ version atomic.Int64 }

func (f *floor) raise(version int64) {
	for {
		v := f.version.Load()
		if v >= version || f.version.CompareAndSwap(v, version) {
			return
		}
	}
}

// read makes a read, and checks it against what was known before it.
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

// checkFreshness has writers and readers at a few incidents, and lets no read be
// stale. The incidents are never closed, so that they stay in their slots.
func checkFreshness(s labSetup) error {
	const incidents = 3
	l, err := newLab(s)
	if err != nil {
		return err
	}
	if err := openRegisters(l, incidents); err != nil {
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
	return errors.Join(err, audit(context.Background(), l.manager, l.store, registerOrg))
}

// version reads an incident's version in any of the ways that there are.
func (l *lab) version(rng *rand.Rand, key incident.Key, slot incident.Slot) (int64, error) {
	ctx := context.Background()
	switch rng.IntN(5) {
	case 0:
		d, err := l.manager.Details(ctx, key, "")
		return d.Version, err
	case 1, 2:
		inc, _, err := l.manager.Active(ctx, slot)
		return inc.Version, err
	}
	inc, err := l.manager.Get(ctx, key)
	return inc.Version, err
}

// checkProgress has many writers at one incident. All must succeed, in a time
// that tells waiting from starving.
func checkProgress(s labSetup) error {
	s.clients, s.calls = 16, s.calls/8
	l, err := newLab(s)
	if err != nil {
		return err
	}
	if err := openRegisters(l, 1); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
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
	return errors.Join(err, audit(ctx, l.manager, l.store, registerOrg))
}
