package storetest

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// A context that is done before the call ends it with its error, and nothing
// is done.
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

// A done context ends the calls of a transaction in the same way.
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

// A call in vain needs a context as well: it comes first.
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

// A write whose context ends meanwhile says nil only for what is written, and anything
// but ErrUnknownOutcome only for what is not.
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
				t.Errorf("%s whose context ends when it is looked at for the %d. time = %v; it was written: %v%s",
					op.name, looks, err, written, before.lacking())
			}
		}
	}
}

// endingContext ends when its error is asked for the n-th time.
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
