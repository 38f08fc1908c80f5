// Package memory is an [incident.Store] that keeps everything in the process's
// memory: for tests, for demonstrations, and for hosts whose incidents need not
// outlive them.
package memory

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/incidentkit/incident"
)

// Store is an [incident.Store] in memory. It is safe for use by many
// goroutines: reads run side by side, writes one at a time. A transaction makes
// everyone else wait for its end, or for the end of their contexts.
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

// Shared implements [incident.Store]: no other process sees the data.
func (s *Store) Shared() bool { return false }

// Local implements [incident.LocalStore].
func (s *Store) Local() bool { return true }

// data is what a store and its transactions share.
type data struct {
	// lock guards all that is below. A reader takes one share of it, a writer
	// all of them. It is a semaphore because waiting for it ends with a context.
	lock          *semaphore.Weighted
	organizations map[incident.OrganizationID]*organization
	outbox        outbox

	queued atomic.Bool // a change was queued
}

const (
	reader int64 = 1
	writer int64 = 1 << 40
)

// acquire waits for the lock and returns what gives it back.
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
