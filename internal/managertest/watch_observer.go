package managertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// observer keeps the numbers of an organization's incidents by Watch.
type observer struct {
	m     incident.Manager
	org   incident.OrganizationID
	reads bool // it reads the reported incidents
	slow  bool

	busy chan struct{} // has a token while the observer works; a channel, for the bubbles of synctest

	called atomic.Bool // it waits for busy

	mu    sync.Mutex // guards the fields below
	calls int
	known map[incident.Key]incident.IncidentVersion
	err   error
}

func (o *observer) watch(ctx context.Context) {
	err := o.m.Watch(ctx, o.org, func(c incident.Changes) error {
		o.called.Store(true)
		o.busy <- struct{}{}
		o.called.Store(false)
		defer func() { <-o.busy }()
		if err := o.receive(ctx, c); err != nil {
			o.fail(ctx, err)
			return err
		}
		if o.slow {
			time.Sleep(rand.N(5 * time.Millisecond))
		}
		return nil
	})
	if err != nil {
		o.fail(ctx, fmt.Errorf("Watch() = %w", err))
	}
}

// fail notes the first error of the observer, unless the check is over.
func (o *observer) fail(ctx context.Context, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ctx.Err() == nil {
		o.err = cmp.Or(o.err, err)
	}
}

func (o *observer) receive(ctx context.Context, c incident.Changes) (err error) {
	known := map[incident.Key]incident.IncidentVersion{}
	if c.Resync {
		if len(c.Incidents) > 0 {
			return fmt.Errorf("a resync lists %d incidents, want none", len(c.Incidents))
		}
		if known, err = storedNumbers(ctx, o.m, o.org); err != nil {
			return err
		}
	}
	for i, v := range c.Incidents {
		switch {
		case v.Key.OrganizationID != o.org:
			return fmt.Errorf("an observer of %q received %s", o.org, v.Key)
		case i > 0 && v.Key.Identifier <= c.Incidents[i-1].Key.Identifier:
			return fmt.Errorf("%s is listed after %s", v.Key, c.Incidents[i-1].Key)
		}
		if o.reads && i < 10 {
			stored, err := numbersOf(ctx, o.m, v.Key)
			if err != nil {
				return fmt.Errorf("a read of %s after its report: %w", v.Key, err)
			}
			if stored.Version < v.Version || stored.Activities < v.Activities {
				return fmt.Errorf("received %+v, and then read %+v", v, stored)
			}
		}
		known[v.Key] = v
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls++
	if c.Resync {
		o.known = known
		return nil
	}
	for key, v := range known { // the read in a resync may have been ahead
		v.Version = max(v.Version, o.known[key].Version)
		v.Activities = max(v.Activities, o.known[key].Activities)
		o.known[key] = v
	}
	return nil
}

// storedNumbers reads the numbers of all incidents.
func storedNumbers(ctx context.Context, m incident.Manager, org incident.OrganizationID) (map[incident.Key]incident.IncidentVersion, error) {
	all := map[incident.Key]incident.IncidentVersion{}
	for id := int64(1); ; id++ {
		key := incident.Key{OrganizationID: org, Identifier: id}
		v, err := numbersOf(ctx, m, key)
		if errors.Is(err, incident.ErrNotFound) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all[key] = v
	}
}

// numbersOf reads the numbers of an incident. The activities are read first: in the test, each
// change of a version also appends an activity.
func numbersOf(ctx context.Context, m incident.Manager, key incident.Key) (v incident.IncidentVersion, err error) {
	page, err := m.Activities(ctx, key, incident.ActivityFilter{Descending: true, Limit: 1})
	if err != nil {
		return v, err
	}
	inc, err := m.Get(ctx, key)
	return incident.IncidentVersion{Key: key, Version: inc.Version, Activities: page.Activities[0].Sequence}, err
}

// observers are all observers of a check.
type observers struct{ list []*observer }

// quiet returns an error while the observers are called.
func (all *observers) quiet() error {
	before := all.calls(watched) + all.calls(watchedToo)
	time.Sleep(pauseUnreported)
	if all.calls(watched)+all.calls(watchedToo) != before {
		return errors.New("the observers still receive changes")
	}
	return nil
}

// failure returns the first error of an observer.
func (all *observers) failure() error {
	for _, o := range all.list {
		o.mu.Lock()
		err := o.err
		o.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// begun returns an error while an observer has not read everything yet.
func (all *observers) begun() error {
	if err := all.failure(); err != nil {
		return err
	}
	for _, o := range all.list {
		o.mu.Lock()
		known := o.known
		o.mu.Unlock()
		if known == nil {
			return errors.New("an observer received no resync at the beginning")
		}
	}
	return nil
}

// agree returns an error if an observer does not know the stored numbers.
func (all *observers) agree(ctx context.Context, m incident.Manager) error {
	if err := all.failure(); err != nil {
		return err
	}
	for _, org := range []incident.OrganizationID{watched, watchedToo} {
		stored, err := storedNumbers(ctx, m, org)
		if err != nil {
			return err
		}
		for i, o := range all.list {
			if o.org != org {
				continue
			}
			o.mu.Lock()
			for key, want := range stored {
				if got := o.known[key]; got != want {
					err = fmt.Errorf("observer %d knows %+v, want %+v", i, got, want)
				}
			}
			o.mu.Unlock()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// calls returns how often the observers of an organization received anything.
func (all *observers) calls(org incident.OrganizationID) (n int) {
	for _, each := range all.callsOfEach(org) {
		n += each
	}
	return n
}

func (all *observers) callsOfEach(org incident.OrganizationID) (each []int) {
	for _, o := range all.list {
		if o.org == org {
			o.mu.Lock()
			each = append(each, o.calls)
			o.mu.Unlock()
		}
	}
	return each
}

// receivedSince returns an error while an observer has received nothing since callsOfEach returned
// before.
func (all *observers) receivedSince(before []int) error {
	for i, n := range all.callsOfEach(watched) {
		if n == before[i] {
			return fmt.Errorf("observer %d of %q did not receive it", i, watched)
		}
	}
	return nil
}
