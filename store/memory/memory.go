// Package memory implements [incident.Store] in the memory of the process: for tests, for
// demonstrations, and for hosts that may lose their incidents at a restart.
//
// [New] returns an empty store, and [incident.New] makes a Manager of it:
//
//	incidents, err := incident.New(memory.New(), nil)
//
// Transactions are atomic and can be rolled back, notifications are queued, retried and
// parked, and incidents can be deleted, as in a database: the store passes the suites Run,
// RunOutbox and RunRetention of package storetest. Lists and other long reads run in parallel;
// writes are serialized.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"

	"github.com/tidwall/btree"

	"github.com/incidentkit/incident"
)

// Store is an [incident.Store] in memory. It is safe for concurrent use: long reads run
// in parallel, writes are serialized. A transaction blocks all other calls until it ends; a
// blocked call returns when its context is done.
type Store struct {
	*data
	tx *txn // nil outside a transaction
}

var _ incident.LocalStore = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{data: &data{
		organizations: map[incident.OrganizationID]*organization{},
		names:         newTree(cmp.Less[incident.OrganizationID]),
		outbox:        newOutbox(),
		leases:        map[string]lease{},
	}}
}

// Shared implements [incident.Store]. No other process sees the data.
func (s *Store) Shared() bool { return false }

// Local implements [incident.LocalStore].
func (s *Store) Local() bool { return true }

// data is the state that a Store shares with its transactions.
type data struct {
	lock          lock // guards the fields below, except queued
	organizations map[incident.OrganizationID]*organization
	names         *btree.BTreeG[incident.OrganizationID] // of the organizations with incidents
	outbox        outbox
	leases        map[string]lease // by task

	queued atomic.Bool // set once a change has been queued
}

// acquire locks the data for a call. A transaction holds the lock already; within it,
// acquire only reports whether the transaction and ctx are still usable.
func (s *Store) acquire(ctx context.Context, a access) error {
	if s.tx == nil {
		return s.lock.acquire(ctx, a)
	}
	if s.tx.ended.Load() {
		return fmt.Errorf("memory: %w: the transaction has ended", incident.ErrInvalid)
	}
	return ctx.Err()
}

func (s *Store) release(a access) {
	if s.tx == nil {
		s.lock.release(a)
	}
}
