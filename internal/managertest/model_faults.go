package managertest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/incidentkit/incident"
)

// fault is an injected failure of a store call.
type fault string

const (
	faultNone fault = ""
	// faultCanceled cancels the caller's context before the caller's call.
	faultCanceled fault = "canceled from the start"
	// faultRefused fails the call; nothing is written.
	faultRefused fault = "refused"
	// faultLost writes nothing and reports an unknown outcome.
	faultLost fault = "lost"
	// faultUnanswered writes and reports an unknown outcome.
	faultUnanswered fault = "unanswered"
	// faultCanceledBefore cancels the caller's context before the store call.
	faultCanceledBefore fault = "canceled before"
	// faultCanceledAfter cancels the caller's context right after the store call.
	faultCanceledAfter fault = "canceled after"
)

// faults are all faults except faultNone.
var faults = []fault{
	faultRefused, faultLost, faultUnanswered, faultCanceledBefore, faultCanceledAfter, faultCanceled,
}

// errReadFailed and errWriteFailed are matched by injected errors, beside their category.
var (
	errReadFailed  = errors.New("injected fault of a read")
	errWriteFailed = errors.New("injected fault of a write")

	errReadRefused  = fmt.Errorf("%w: %w", incident.ErrUnavailable, errReadFailed)
	errWriteRefused = fmt.Errorf("%w: %w", incident.ErrUnavailable, errWriteFailed)
	errWriteUnknown = fmt.Errorf("%w: %w", incident.ErrUnknownOutcome, errWriteFailed)
)

// faultPlan is the fault of a store call, and the number of that call, counted from 0.
type faultPlan struct {
	mu     sync.Mutex // guards the fields below; loads may run in their own goroutines
	calls  int
	at     int
	fault  fault
	cancel context.CancelFunc
}

// arm makes the store call number at fail, counted from 0 from now on.
func (p *faultPlan) arm(at int, f fault, cancel context.CancelFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.at, p.fault, p.cancel = 0, at, f, cancel
}

func (p *faultPlan) disarm() { p.arm(0, faultNone, func() {}) }

// next counts a call and returns its fault.
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

// around implements [hook]. A read has no unknown outcome: it just fails.
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

// canceled returns a canceled context. It is for loads shared by several callers, whose
// context does not end with the caller's.
func canceled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// inTx implements [hook]. A transaction counts as two calls: its begin, where it may be
// refused, and its commit.
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
