package memory

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"

	"github.com/incidentkit/incident"
)

// txn is a transaction that holds the lock.
type txn struct {
	undo   []func()
	ended  atomic.Bool
	broken error // of a part that did not return, which dooms the whole
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
