package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/incidentkit/incident"
)

// If fn returns an error, InTx undoes each kind of write, alone and after all others,
// and returns the error itself.
func inTxUndoesOnError(t *trial, s incident.Store) {
	wantUndone(t, s, func(write func(ctx context.Context, tx incident.Store)) {
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			write(t.Context(), tx)
			return errUndo
		})
		if err != errUndo { // as it is, not wrapped
			t.Errorf("InTx() = %v, want fn's own error %v", err, errUndo)
		}
	})
}

// If fn panics, InTx undoes each kind of write and lets the panic continue.
func inTxUndoesOnPanic(t *trial, s incident.Store) {
	wantUndone(t, s, func(write func(ctx context.Context, tx incident.Store)) {
		got := panicOf(func() {
			err := s.InTx(t.Context(), func(tx incident.Store) error {
				write(t.Context(), tx)
				panic(errUndo)
			})
			t.Errorf("InTx() of a panicking fn = %v, want a panic", err)
		})
		if got != errUndo {
			t.Errorf("InTx() panics with %v, want fn's panic %v", got, errUndo)
		}
	})
}

func panicOf(fn func()) (value any) {
	defer func() { value = recover() }()
	fn()
	return nil
}

// If the context ends before the commit, InTx undoes each kind of write even if fn
// returns nil.
func inTxUndoesWhenTheContextEnds(t *trial, s incident.Store) {
	wantUndone(t, s, func(write func(ctx context.Context, tx incident.Store)) {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.InTx(ctx, func(tx incident.Store) error {
			write(ctx, tx)
			cancel()
			return nil
		})
		wantError(t, "InTx() whose context ended", err, context.Canceled)
	})
}

// wantUndone has attempt write in a transaction that is undone: each kind of write
// alone, and then all together. It checks that the transaction sees its writes, and that
// no record and no number of them remains.
func wantUndone(t *trial, s incident.Store, attempt func(write func(ctx context.Context, tx incident.Store))) {
	t.Helper()
	w := mustWorld(t, s, acme)
	before := mustSnapshot(t, s, acme)
	for _, ops := range append(singly(writes()), writes()) {
		attempt(func(ctx context.Context, tx incident.Store) {
			for _, op := range ops {
				then := mustSnapshot(t, tx, acme)
				if _, err := op.do(ctx, tx, w); err != nil {
					t.Errorf("%s in a transaction = %v, want no error", op.name, err)
				}
				if equal(mustSnapshot(t, tx, acme), then) {
					t.Errorf("the transaction does not see its %s%s", op.name, then.lacking())
				}
			}
		})
		wantEqual(t, fmt.Sprintf("the records, after %d writes from %q on were undone", len(ops), ops[0].name), mustSnapshot(t, s, acme), before)
	}
	if got := mustCreate(t, s, ruled(acme, web)).Incident.Identifier; got != 2 {
		t.Errorf("after creations were undone the next identifier is %d, want 2", got)
	}
	if got := mustComment(t, s, w.key(), "text").Sequence; got != 4 {
		t.Errorf("after comments were undone the next sequence is %d, want 4", got)
	}
	wantSlotVersions(t, s, map[incident.ProjectID]int64{api: 1, db: 1, web: 1})
}

func wantSlotVersions(t *trial, s incident.Store, want map[incident.ProjectID]int64) {
	t.Helper()
	for p, version := range want {
		if got := mustLoadSlot(t, s, slotOf(acme, p)).Version; got != version {
			t.Errorf("the slot of %q has version %d, want %d", p, got, version)
		}
	}
}

func singly[T any](all []T) [][]T {
	var single [][]T
	for _, v := range all {
		single = append(single, []T{v})
	}
	return single
}

// After the commit all reads return what the transaction read last.
func inTxCommits(t *trial, s incident.Store) {
	w := mustWorld(t, s, acme)
	var inside snapshot
	mustInTx(t, s, func(tx incident.Store) error {
		for _, op := range writes() {
			mustCall(t, tx, op, w)
		}
		inside = mustSnapshot(t, tx, acme)
		return nil
	})
	wantEqual(t, "after the commit, the records", mustSnapshot(t, s, acme), inside)
	if len(inside.Incidents) != 2 {
		t.Errorf("there are %d incidents, want 2", len(inside.Incidents))
	}
}

// Within a transaction the same rules apply.
func inTxChecksWhatApplyChecks(t *trial, s incident.Store) {
	w := mustWorld(t, s, acme)
	try := func(fn func(tx incident.Store) error) error { return s.InTx(t.Context(), fn) }
	wantUnchanged(t, s, acme, func() {
		err := try(func(tx incident.Store) error {
			mustCall(t, tx, operation{"Apply", applyChange}, w)
			_, err := applyChange(t.Context(), tx, w)
			return err
		})
		wantError(t, "a second change of a version in InTx", err, incident.ErrVersionConflict)
		err = try(func(tx incident.Store) error {
			mustCall(t, tx, operation{"Apply", applyNew}, w)
			_, err := applyNew(t.Context(), tx, w)
			return err
		})
		wantHolder(t, "a second claim of a slot in InTx", err, incident.Key{OrganizationID: acme, Identifier: 2})
		err = try(func(tx incident.Store) error {
			mustCall(t, tx, operation{"ReviseActivity", reviseActivity}, w)
			_, err := reviseActivity(t.Context(), tx, w)
			return err
		})
		wantError(t, "a second revision in InTx", err, incident.ErrVersionConflict)
		err = try(func(tx incident.Store) error {
			mustCall(t, tx, operation{"Subscribe", subscribe}, w)
			_, err := tx.Load(t.Context(), incident.Key{OrganizationID: acme, Identifier: 2})
			return err
		})
		wantError(t, "Load of an unknown incident in InTx", err, incident.ErrNotFound)
	})
}

// A nested transaction is a part of the outer transaction.
func inTxNests(t *trial, s incident.Store) {
	w := mustWorld(t, s, acme)
	nested := func(end error) func(tx incident.Store) error {
		return func(tx incident.Store) error {
			mustCall(t, tx, operation{"Subscribe", subscribe}, w)
			err := tx.InTx(t.Context(), func(inner incident.Store) error {
				if got := mustSubscribers(t, inner, w.key()); len(got) != 2 {
					t.Errorf("Subscribers() in the nested transaction = %s, want the subscription of the outer transaction too", show(got))
				}
				mustCall(t, inner, operation{"Apply", applyNew}, w)
				return nil
			})
			if err != nil {
				return err
			}
			mustLoad(t, tx, incident.Key{OrganizationID: acme, Identifier: 2})
			return end
		}
	}
	wantUnchanged(t, s, acme, func() {
		wantError(t, "InTx()", s.InTx(t.Context(), nested(errUndo)), errUndo)
	})
	wantUnchanged(t, s, acme, func() {
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			mustCall(t, tx, operation{"Subscribe", subscribe}, w)
			err := tx.InTx(t.Context(), func(inner incident.Store) error {
				mustCall(t, inner, operation{"Apply", applyNew}, w)
				return errUndo
			})
			if err != errUndo { // as it is, not wrapped
				t.Errorf("the inner InTx() = %v, want fn's own error %v", err, errUndo)
			}
			return err
		})
		wantError(t, "InTx()", err, errUndo)
	})
	mustInTx(t, s, nested(nil))
	mustLoad(t, s, incident.Key{OrganizationID: acme, Identifier: 2})
}

// A nested transaction that panics or exits its goroutine dooms the outer transaction,
// even if the outer fn returns nil.
func inTxIsDoomedByItsParts(t *trial, s incident.Store) {
	w := mustWorld(t, s, acme)
	part := func(tx incident.Store, end func() error) error {
		return tx.InTx(t.Context(), func(inner incident.Store) error {
			mustCall(t, inner, operation{"Apply", applyNew}, w)
			return end()
		})
	}
	for name, run := range map[string]func(tx incident.Store){
		"panics": func(tx incident.Store) { _ = panicOf(func() { _ = part(tx, func() error { panic(errUndo) }) }) },
		"ends its goroutine": func(tx incident.Store) {
			<-t.start(func() { _ = part(tx, func() error { runtime.Goexit(); return nil }) })
		},
		"has a nested transaction that panics": func(tx incident.Store) {
			_ = tx.InTx(t.Context(), func(inner incident.Store) error {
				_ = panicOf(func() { _ = part(inner, func() error { panic(errUndo) }) })
				return nil
			})
		},
	} {
		wantUnchanged(t, s, acme, func() {
			err := s.InTx(t.Context(), func(tx incident.Store) error {
				mustCall(t, tx, operation{"Subscribe", subscribe}, w)
				run(tx)
				return nil
			})
			if err == nil {
				t.Errorf("InTx() with a nested transaction that %s = nil, want an error", name)
			}
		})
	}
}

// A transaction that has ended returns errors and does nothing.
func inTxEnds(t *trial, s incident.Store) {
	w := mustWorld(t, s, acme)
	for _, end := range []error{nil, errUndo} {
		var ended incident.Store
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			ended = tx
			_, err := tx.Load(t.Context(), w.key())
			return errors.Join(err, end)
		})
		if !errors.Is(err, end) {
			t.Fatalf("InTx() = %v, want %v", err, end)
		}
		wantUnchanged(t, s, acme, func() {
			for _, op := range operations() {
				if _, err := op.do(t.Context(), ended, w); err == nil {
					t.Errorf("%s of a transaction that has ended = nil, want an error", op.name)
				}
			}
			err := ended.InTx(t.Context(), func(incident.Store) error {
				t.Error("InTx of a transaction that has ended calls fn")
				return nil
			})
			if err == nil {
				t.Error("InTx of a transaction that has ended = nil, want an error")
			}
		})
	}
}

// A transaction may be empty or only read.
func inTxMayWriteNothing(t *trial, s incident.Store) {
	w := mustWorld(t, s, acme)
	wantUnchanged(t, s, acme, func() {
		mustInTx(t, s, func(incident.Store) error { return nil })
		mustInTx(t, s, func(tx incident.Store) error {
			for _, op := range reads() {
				mustCall(t, tx, op, w)
			}
			return nil
		})
	})
}
