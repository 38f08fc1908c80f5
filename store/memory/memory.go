// Package memory implements [incident.Store] in the memory of the process: for tests, for
// demonstrations, and for hosts that may lose their incidents at a restart.
//
// [New] returns an empty store, and [incident.New] makes a Manager of it:
//
//	incidents, err := incident.New(memory.New(), nil)
//
// Transactions are atomic and can be rolled back, and notifications are queued, retried
// and parked, as in a database: the store passes the suites Run and RunOutbox of package
// storetest. Reads run in parallel; writes are serialized.
package memory

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/incidentkit/incident"
)

// Store is an [incident.Store] in memory. It is safe for concurrent use: reads run in
// parallel, writes are serialized. A transaction blocks all other calls until it ends; a
// blocked call returns when its context is done.
type Store struct {
	*data
	tx *txn // nil outside a transaction
}

var _ incident.LocalStore = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{data: &data{
		lock:          semaphore.NewWeighted(writer),
		organizations: map[incident.OrganizationID]*organization{},
		outbox:        newOutbox(),
	}}
}

// Shared implements [incident.Store]. No other process sees the data.
func (s *Store) Shared() bool { return false }

// Local implements [incident.LocalStore].
func (s *Store) Local() bool { return true }

// data is the state that a Store shares with its transactions.
type data struct {
	// lock guards the other fields. A reader acquires one share, a writer all shares. It
	// is a semaphore, not an RWMutex, because Acquire returns when the context is done.
	lock          *semaphore.Weighted
	organizations map[incident.OrganizationID]*organization
	outbox        outbox

	queued atomic.Bool // set once a change has been queued
}

const (
	reader int64 = 1
	writer int64 = 1 << 40
)

// acquire locks the data with the given shares. A transaction holds the lock already;
// within it, acquire only reports whether the transaction and ctx are still usable.
func (s *Store) acquire(ctx context.Context, shares int64) error {
	if s.tx == nil {
		return s.lock.Acquire(ctx, shares)
	}
	if s.tx.ended.Load() {
		return fmt.Errorf("memory: %w: the transaction has ended", incident.ErrInvalid)
	}
	return ctx.Err()
}

func (s *Store) release(shares int64) {
	if s.tx == nil {
		s.lock.Release(shares)
	}
}
