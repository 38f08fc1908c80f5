// Package memory is an [incident.Store] that keeps everything in the process's
// memory: for tests, for demonstrations, and for hosts whose incidents need not
// outlive them.
package memory

import (
	"cmp"
	"context"
	"errors"
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

// txn is a transaction that holds the lock.
type txn struct {
	undo   []func()
	ended  atomic.Bool
	broken error // of a part that did not return, which dooms the whole
}

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

// InTx implements [incident.Store].
func (s *Store) InTx(ctx context.Context, fn func(tx incident.Store) error) (err error) {
	if err := s.acquire(ctx, writer); err != nil {
		return err
	}
	defer s.release(writer)
	if s.tx != nil {
		return s.nested(fn)
	}
	tx := &Store{data: s.data, tx: &txn{}}
	committed := false
	defer func() {
		tx.tx.ended.Store(true)
		if !committed {
			tx.rollBackTo(0)
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := cmp.Or(tx.tx.broken, ctx.Err()); err != nil {
		return err
	}
	committed = true
	return nil
}

// errBrokenOff is the failure of a transaction of which a part panicked or ended its
// goroutine.
var errBrokenOff = fmt.Errorf("memory: %w: a part of the transaction panicked or ended its goroutine", incident.ErrUnavailable)

// nested runs fn as a part of the transaction, and undoes that part alone when fn fails.
// One that does not return dooms the whole.
func (s *Store) nested(fn func(tx incident.Store) error) error {
	start, returned, done := len(s.tx.undo), false, false
	defer func() {
		if !done {
			s.rollBackTo(start)
		}
		if !returned {
			s.tx.broken = errBrokenOff
		}
	}()
	err := fn(s)
	returned, done = true, err == nil
	return err
}

func (s *Store) rollBackTo(start int) {
	for i := len(s.tx.undo) - 1; i >= start; i-- {
		s.tx.undo[i]()
	}
	s.tx.undo = s.tx.undo[:start]
}

// undo registers how to take a write back. Outside a transaction nothing has to
// be: a method checks everything before it writes anything.
func (s *Store) undo(fn func()) {
	if s.tx != nil {
		s.tx.undo = append(s.tx.undo, fn)
	}
}

// inTx reports whether writes must register their undoing; asking first saves
// making the closure.
func (s *Store) inTx() bool { return s.tx != nil }

var errOtherIncident = errors.New("the notification UUID belongs to another incident")
