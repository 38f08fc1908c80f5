package storetest

import (
	"context"
	"iter"
	"sync"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// newAbreast returns a store in which transactions of different organizations overtake
// each other, as in a database. Each organization has a memory store of its own. Only
// the methods that the feed's cases call are complete.
func newAbreast() incident.Store {
	var mu sync.Mutex // guards stores
	stores := map[incident.OrganizationID]incident.Store{}
	return routed(func(org incident.OrganizationID) (incident.Store, error) {
		mu.Lock()
		defer mu.Unlock()
		if stores[org] == nil {
			stores[org] = memory.New()
		}
		return stores[org], nil
	})
}

// route returns the store of an organization.
type route func(org incident.OrganizationID) (incident.Store, error)

func routed(to route) incident.Store {
	return &broken{
		Store: memory.New(),
		load: func(ctx context.Context, key incident.Key) (incident.State, error) {
			s, err := to(key.OrganizationID)
			if err != nil {
				return incident.State{}, err
			}
			return s.Load(ctx, key)
		},
		loadSlot: func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
			s, err := to(slot.OrganizationID)
			if err != nil {
				return incident.SlotState{}, err
			}
			return s.LoadSlot(ctx, slot)
		},
		apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			s, err := to(c.Key.OrganizationID)
			if err != nil {
				return incident.Applied{}, err
			}
			return s.Apply(ctx, c)
		},
		activities: func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
			s, err := to(key.OrganizationID)
			if err != nil {
				return incident.ActivityLog{}, err
			}
			return s.Activities(ctx, key, q)
		},
		activity: func(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
			s, err := to(key.OrganizationID)
			if err != nil {
				return incident.Activity{}, err
			}
			return s.Activity(ctx, key, sequence)
		},
		revise: func(ctx context.Context, a incident.Activity) error {
			s, err := to(a.Incident.OrganizationID)
			if err != nil {
				return err
			}
			return s.ReviseActivity(ctx, a)
		},
		inTx: func(ctx context.Context, fn func(tx incident.Store) error) error { return routedInTx(ctx, to, fn) },
	}
}

// routedInTx runs fn in one transaction for each organization that fn uses. The
// transaction of an organization begins at its first use, and is atomic on its own.
func routedInTx(ctx context.Context, to route, fn func(tx incident.Store) error) error {
	parts := map[incident.OrganizationID]*part{}
	defer func() {
		for _, p := range parts {
			p.undo()
		}
	}()
	err := fn(routed(func(org incident.OrganizationID) (incident.Store, error) {
		if parts[org] == nil {
			s, err := to(org)
			if err != nil {
				return nil, err
			}
			parts[org] = beginPart(ctx, s)
		}
		return parts[org].tx, parts[org].err
	}))
	if err == nil {
		err = ctx.Err()
	}
	for _, p := range parts {
		if err != nil {
			return err
		}
		err = p.commit()
	}
	return err
}

// part is a transaction whose fn has not returned yet.
type part struct {
	tx   incident.Store
	err  error // of InTx, when it has ended
	next func() (incident.Store, bool)
	undo func() // does nothing after the commit
}

func beginPart(ctx context.Context, s incident.Store) *part {
	p := &part{}
	p.next, p.undo = iter.Pull(func(yield func(incident.Store) bool) {
		p.err = s.InTx(ctx, func(tx incident.Store) error {
			if !yield(tx) {
				return errUndo
			}
			return nil
		})
	})
	p.tx, _ = p.next()
	return p
}

func (p *part) commit() error {
	p.next()
	return p.err
}
