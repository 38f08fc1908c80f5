package memory

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"

	"github.com/incidentkit/incident"
)

// txn is a transaction in progress. It holds the lock for writing.
type txn struct {
	undo   []func() // of its writes, oldest first
	ended  atomic.Bool
	broken error // set when a nested transaction panicked; dooms the outer transaction
}

// InTx implements [incident.Store].
func (s *Store) InTx(ctx context.Context, fn func(tx incident.Store) error) (err error) {
	if err := s.acquire(ctx, own); err != nil {
		return err
	}
	defer s.release(own)
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

// errBrokenOff is returned by a transaction after a nested transaction panicked or exited
// its goroutine.
var errBrokenOff = fmt.Errorf("memory: %w: a nested transaction panicked or exited its goroutine", incident.ErrUnavailable)

// nested runs fn as part of the transaction. If fn returns an error, only the writes of
// fn are undone. If fn panics or exits its goroutine, the whole transaction is doomed.
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

// rollBackTo undoes the writes from index start on, latest first.
func (s *Store) rollBackTo(start int) {
	for i := len(s.tx.undo) - 1; i >= start; i-- {
		s.tx.undo[i]()
	}
	s.tx.undo = s.tx.undo[:start]
}

// undo registers the reverse of a write. Outside a transaction there is nothing to
// register: a method validates everything before it writes anything.
func (s *Store) undo(fn func()) {
	if s.tx != nil {
		s.tx.undo = append(s.tx.undo, fn)
	}
}

// inTx reports whether writes must register an undo. Callers ask first, so that no
// closure is allocated outside a transaction.
func (s *Store) inTx() bool { return s.tx != nil }
