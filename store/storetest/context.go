package storetest

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// If the context is done before the call, the call returns the context's error and does
// nothing.
func contextCancelledBefore(t *trial, s incident.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantContextError(ctx, t, s, context.Canceled)
}

func contextExpiredBefore(t *trial, s incident.Store) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	wantContextError(ctx, t, s, context.DeadlineExceeded)
}

func wantContextError(ctx context.Context, t *trial, s incident.Store, want error) {
	t.Helper()
	w := mustWorld(t, s, acme)
	for _, op := range operations() {
		wantUnchanged(t, s, acme, func() {
			_, err := op.do(ctx, s, w)
			wantError(t, op.name+" in a context that is done", err, want)
		})
	}
	wantUnchanged(t, s, acme, func() {
		err := s.InTx(ctx, func(incident.Store) error {
			t.Error("InTx in a context that is done calls fn")
			return nil
		})
		wantError(t, "InTx in a context that is done", err, want)
	})
}

// The same is true for the calls of a transaction.
func contextCancelledWithinTx(t *trial, s incident.Store) {
	w := mustWorld(t, s, acme)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	wantUnchanged(t, s, acme, func() {
		for _, op := range operations() {
			err := s.InTx(t.Context(), func(tx incident.Store) error {
				_, err := op.do(done, tx, w)
				return err
			})
			wantError(t, op.name+" of a transaction in a context that is done", err, context.Canceled)
		}
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			return tx.InTx(done, func(incident.Store) error { return nil })
		})
		wantError(t, "InTx of a transaction in a context that is done", err, context.Canceled)
	})
}

// A done context takes precedence over other errors.
func contextBeforeOtherErrors(t *trial, s incident.Store) {
	w := mustWorld(t, s, acme)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	unknown := w.moved(incident.Key{OrganizationID: "nobody", Identifier: 9})
	for _, op := range operations() {
		_, err := op.do(done, s, unknown)
		wantError(t, op.name+" of an unknown incident in a context that is done", err, context.Canceled)
	}
}

// If the context ends during a write, the write returns nil only if it is written, and
// any error except ErrUnknownOutcome only if it is not.
func contextEndsDuringAWrite(t *trial, s incident.Store) {
	for i, op := range writes() {
		for looks := int64(2); looks <= 4; looks++ {
			org := incident.OrganizationID("ends-" + strconv.Itoa(i) + "-" + strconv.FormatInt(looks, 10))
			w := mustWorld(t, s, org)
			before := mustSnapshot(t, s, org)
			ctx := newEndingContext(t.Context(), looks)
			_, err := op.do(ctx, s, w)
			if ctx.Err(); errors.Is(err, incident.ErrUnknownOutcome) {
				continue
			}
			if written := !equal(mustSnapshot(t, s, org), before); written != (err == nil) {
				t.Errorf("%s whose context ends at the %d. call of Err = %v; written: %v%s",
					op.name, looks, err, written, before.lacking())
			}
		}
	}
}

// endingContext ends when Err is called for the n-th time.
type endingContext struct {
	context.Context
	cancel context.CancelFunc
	left   atomic.Int64
}

func newEndingContext(parent context.Context, n int64) *endingContext {
	c := &endingContext{}
	c.Context, c.cancel = context.WithCancel(parent)
	c.left.Store(n)
	return c
}

// Err implements [context.Context].
func (c *endingContext) Err() error {
	if c.left.Add(-1) <= 0 {
		c.cancel()
	}
	return c.Context.Err()
}
