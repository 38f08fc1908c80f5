package managertest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/incidentkit/incident"
)

// fault is what goes wrong at a call of the store.
type fault string

const (
	faultNone fault = ""
	// faultCanceled ends the caller's context before the caller's call.
	faultCanceled fault = "canceled from the start"
	// faultRefused fails the call, and nothing of it is written.
	faultRefused fault = "refused"
	// faultLost is a write that was not made, without the caller being told.
	faultLost fault = "lost"
	// faultUnanswered is a write that was made, without the caller being told.
	faultUnanswered fault = "unanswered"
	// faultCanceledBefore ends the caller's context before the call.
	faultCanceledBefore fault = "canceled before"
	// faultCanceledAfter ends the caller's context as soon as the call is made.
	faultCanceledAfter fault = "canceled after"
)

// faults are all of them but none.
var faults = []fault{
	faultRefused, faultLost, faultUnanswered, faultCanceledBefore, faultCanceledAfter, faultCanceled,
}

// errReadFailed and errWriteFailed are what injected errors match beside their
// category.
var (
	errReadFailed  = errors.New("injected fault of a read")
	errWriteFailed = errors.New("injected fault of a write")

	errReadRefused  = fmt.Errorf("%w: %w", incident.ErrUnavailable, errReadFailed)
	errWriteRefused = fmt.Errorf("%w: %w", incident.ErrUnavailable, errWriteFailed)
	errWriteUnknown = fmt.Errorf("%w: %w", incident.ErrUnknownOutcome, errWriteFailed)
)

// faultPlan says which call fails, counted from 0, and how.
type faultPlan struct {
	mu     sync.Mutex // guards what follows: loads may run in goroutines of their own
	calls  int
	at     int
	fault  fault
	cancel context.CancelFunc
}

// arm makes a call of the store fail, counted from now on.
func (p *faultPlan) arm(at int, f fault, cancel context.CancelFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.at, p.fault, p.cancel = 0, at, f, cancel
}

func (p *faultPlan) disarm() { p.arm(0, faultNone, func() {}) }

// next counts a call and returns what goes wrong with it.
func (p *faultPlan) next() (fault, context.CancelFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := faultNone
	if p.calls == p.at {
		f = p.fault
	}
	p.calls++
	return f, p.cancel
}

// around implements [hook]. The outcome of a read cannot be unknown: it fails.
func (p *faultPlan) around(ctx context.Context, isWrite bool, call func(context.Context) error) error {
	f, cancel := p.next()
	refused, unknown := errReadRefused, errReadRefused
	if isWrite {
		refused, unknown = errWriteRefused, errWriteUnknown
	}
	switch f {
	case faultRefused:
		return refused
	case faultLost:
		return unknown
	case faultUnanswered:
		if err := call(ctx); err != nil {
			return err
		}
		return unknown
	case faultCanceledBefore:
		cancel()
		return call(canceled(ctx))
	case faultCanceledAfter:
		defer cancel()
	}
	return call(ctx)
}

// canceled ends a context that does not follow the caller's, such as that of a
// load which several callers wait for.
func canceled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// inTx implements [hook]. A transaction counts as two calls: its beginning,
// which may be refused, and its commit.
func (p *faultPlan) inTx(ctx context.Context, s incident.Store, fn func(tx incident.Store) error) error {
	f, cancel := p.next()
	switch f {
	case faultRefused, faultLost, faultUnanswered:
		return errWriteRefused
	case faultCanceledBefore:
		cancel()
	}
	committing := faultNone
	err := s.InTx(ctx, func(tx incident.Store) error {
		if err := fn(tx); err != nil {
			return err
		}
		committing, cancel = p.next()
		switch committing {
		case faultRefused:
			return errWriteRefused
		case faultLost:
			return errWriteUnknown
		case faultCanceledBefore:
			cancel()
		}
		return nil
	})
	switch {
	case committing == faultCanceledAfter:
		cancel()
	case err == nil && committing == faultUnanswered:
		return errWriteUnknown
	}
	return err
}
