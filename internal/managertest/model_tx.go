package managertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"pgregory.net/rapid"

	"github.com/incidentkit/incident"
)

// errAbandoned aborts a transaction on purpose.
var errAbandoned = errors.New("abandoned")

// ending is how the function passed to InTx ends if no call in it failed.
type ending string

const (
	endCommit ending = "commit"
	endAbort  ending = "abort"
	endPanic  ending = "panic"
)

// txAnswer holds the results of a transaction's calls. In an expected txAnswer, world is
// the model within the transaction, even if that was rolled back since.
type txAnswer struct {
	world  *world
	values []any
	errs   []error
}

// inTx makes several calls in a transaction. A failed write ends the function: with its
// error or, if swallow is set, with nil. InTx must fail either way.
func inTx(calls []call, end ending, swallow bool) call {
	tx := txCalls{calls: calls, end: end, swallow: swallow}
	c := call{name: "InTx", args: []any{end, calls}, do: tx.do, expect: tx.expect}
	for _, part := range calls {
		c.orgs = append(c.orgs, part.orgs...)
	}
	return c
}

type txCalls struct {
	calls   []call
	end     ending
	swallow bool
}

func (t txCalls) do(ctx context.Context, m incident.Manager) (answer any, err error) {
	var got txAnswer
	defer func() {
		answer = got
		if p := recover(); p == errAbandoned {
			err = errAbandoned
		} else if p != nil {
			panic(p)
		}
	}()
	var ended incident.Manager
	err = m.InTx(ctx, func(tx incident.Manager) error {
		ended, got = tx, txAnswer{} // InTx may run the function again
		for _, c := range t.calls {
			v, err := c.do(ctx, tx)
			got.values, got.errs = append(got.values, v), append(got.errs, err)
			switch {
			case err == nil, c.isRead && !isOutage(err):
			case t.swallow && isFatal(err):
				if _, err := tx.List(ctx, incident.IncidentFilter{OrganizationID: orgs[0]}); err == nil {
					return errors.New("a transaction went on after a failed write")
				}
				return nil // InTx must fail nonetheless
			default:
				return err
			}
		}
		switch t.end {
		case endAbort:
			return errAbandoned
		case endPanic:
			panic(errAbandoned)
		}
		return nil
	})
	if ended == nil || m == ended { // m is a transaction itself, and still open
		return got, err
	}
	return got, cmp.Or(useAfterEnd(ctx, ended), err)
}

// useAfterEnd returns an error if a transaction still answers after its end.
func useAfterEnd(ctx context.Context, tx incident.Manager) error {
	if _, err := tx.List(ctx, incident.IncidentFilter{OrganizationID: orgs[0]}); err == nil {
		return errors.New("a transaction was read after its end")
	}
	if _, err := tx.Subscribe(ctx, incident.Key{OrganizationID: orgs[0], Identifier: 1}, users[0]); err == nil {
		return errors.New("a transaction was written after its end")
	}
	return nil
}

func (t txCalls) expect(w *world) (any, error) {
	c := w.clone()
	want := txAnswer{world: c}
	for _, call := range t.calls {
		v, err := call.expect(c)
		want.values, want.errs = append(want.values, v), append(want.errs, err)
		if err != nil && !call.isRead {
			return want, err
		}
	}
	if t.end != endCommit {
		return want, errAbandoned
	}
	*w = *c
	return want, nil
}

// check compares the results in order. A fault may have ended the transaction early.
func (want txAnswer) check(got txAnswer) error {
	for i := range got.errs {
		if isOutage(got.errs[i]) {
			return nil
		}
		if err := checkError(want.errs[i], got.errs[i]); err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
		if got.errs[i] != nil {
			continue
		}
		if err := checkValue(want.world, want.values[i], got.values[i]); err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
	}
	return nil
}

// isFatal reports whether a write failed in the store. Such a failure ends a transaction.
func isFatal(err error) bool {
	var conflict *incident.ConflictError
	return errors.Is(err, errWriteFailed) || errors.As(err, &conflict)
}

// isOutage reports whether the error means that the call had no answer.
func isOutage(err error) bool {
	return errors.Is(err, incident.ErrUnavailable) || errors.Is(err, incident.ErrUnknownOutcome) ||
		errors.Is(err, context.Canceled)
}

// drawTx draws a transaction.
func (s source) drawTx() call {
	calls := make([]call, rapid.IntRange(1, 5).Draw(s.t, "calls"))
	for i := range calls {
		calls[i] = s.draw()
	}
	if s.oneIn(4, "nested") {
		calls = append(calls, inTx([]call{s.draw()}, endCommit, false))
	}
	return inTx(calls, pick(s, "end", []ending{endCommit, endCommit, endCommit, endAbort, endPanic}), s.oneIn(2, "swallow"))
}
