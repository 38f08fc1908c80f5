package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/incidentkit/incident"
)

func contextFaults() []fault {
	cases := []string{"Context/CancelledBefore", "Context/ExpiredBefore"}
	return []fault{
		{"ReadsIgnoreTheContext", readsIgnoreTheContext, cases},
		{"WritesIgnoreTheContext", writesIgnoreTheContext, append([]string{"Context/BeforeOtherErrors"}, cases...)},
		{"InTxIgnoresTheContext", inTxIgnoresTheContext, append([]string{"InTx/UndoesWhenTheContextEnds"}, cases...)},
		{"TxIgnoresTheContext", txIgnoresTheContext, []string{"Context/CancelledWithinTx"}},
		{"UndoneSilently", undoneSilently, []string{"Context/EndsDuringAWrite"}},
		{"ContextErrorIsLost", contextErrorIsLost, append([]string{"Context/BeforeOtherErrors"}, cases...)},
	}
}

func readsIgnoreTheContext(s incident.Store) incident.Store {
	return &broken{Store: s, subscribers: func(ctx context.Context, key incident.Key) ([]incident.Subscription, error) {
		return s.Subscribers(context.WithoutCancel(ctx), key)
	}}
}

func writesIgnoreTheContext(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		return s.Apply(context.WithoutCancel(ctx), c)
	})
}

func inTxIgnoresTheContext(s incident.Store) incident.Store {
	return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		return s.InTx(context.WithoutCancel(ctx), fn)
	}}
}

func txIgnoresTheContext(s incident.Store) incident.Store {
	return withTx(s, func(tx incident.Store) incident.Store { return writesIgnoreTheContext(tx) })
}

// undoneSilently returns nil for a write that was undone because the context ended.
func undoneSilently(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (applied incident.Applied, err error) {
		if err := ctx.Err(); err != nil {
			return applied, err
		}
		_ = s.InTx(context.WithoutCancel(ctx), func(tx incident.Store) error {
			applied, err = tx.Apply(context.WithoutCancel(ctx), c)
			return cmp.Or(err, ctx.Err())
		})
		return applied, err
	})
}

// contextErrorIsLost returns the driver's error instead.
func contextErrorIsLost(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if ctx.Err() != nil {
			err = incident.ErrUnavailable
		}
		return applied, err
	})
}

// withTx replaces the store that InTx passes to fn.
func withTx(s incident.Store, replace func(tx incident.Store) incident.Store) incident.Store {
	return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		return s.InTx(ctx, func(tx incident.Store) error { return fn(replace(tx)) })
	}}
}

func txFaults() []fault {
	undoing := []string{"InTx/UndoesOnError", "InTx/UndoesOnPanic", "InTx/UndoesWhenTheContextEnds"}
	list := []fault{
		{"NoTransaction", noTransaction, append([]string{
			"InTx/IsInvisibleBeforeTheCommit", "InTx/AppearsAtOnce", "InTx/Nests", "InTx/ChecksWhatApplyChecks",
			"InTx/KeepsLoadedStates",
		}, undoing...)},
		{"ErrorsCommit", errorsCommit, []string{"InTx/UndoesOnError", "InTx/Nests", "Apply/FailuresUseNoSequence"}},
		{"PanicsCommit", panicsCommit, []string{"InTx/UndoesOnPanic"}},
		{"PanicsAreSwallowed", panicsAreSwallowed, []string{"InTx/UndoesOnPanic"}},
		{"PanicsAreReplaced", panicsAreReplaced, []string{"InTx/UndoesOnPanic"}},
		{"ErrorsAreWrapped", errorsAreWrapped, []string{"InTx/UndoesOnError"}},
		{"DirtyRead", dirtyRead, []string{"InTx/IsInvisibleBeforeTheCommit"}},
		{"TxReadsFromOutside", txReadsFromOutside, []string{"InTx/Commits", "InTx/UndoesOnError"}},
		{"TxNeverEnds", txNeverEnds, []string{"InTx/Ends"}},
		{"TxDoesNotNest", txDoesNotNest, []string{"InTx/Nests"}},
		{"PartsAreForgiven", partsAreForgiven, []string{"InTx/IsDoomedByItsParts"}},
		{"PartsAreUndoneAlone", partsAreUndoneAlone, []string{"InTx/IsDoomedByItsParts"}},
		{"TxForgetsVersions", txForgetsVersions, []string{"InTx/ChecksWhatApplyChecks", "InTx/LosesNoUpdate"}},
		{"ReadOnlyTxFails", readOnlyTxFails, []string{"InTx/MayWriteNothing"}},
		{"CommitIsForgotten", commitIsForgotten, []string{"InTx/Commits"}},
		{"WritesAfterGivingUp", writesAfterGivingUp, []string{"InTx/OutlastsWritersWhoGiveUp"}},
		{"DetailsOfTheLastViewer", detailsOfTheLastViewer, []string{"Store/IsSafeForConcurrentUse"}},
	}
	for _, op := range writes() {
		list = append(list, fault{"NotUndone:" + op.name, notUndone(op), undoing})
	}
	return list
}

func noTransaction(s incident.Store) incident.Store {
	b := &broken{Store: s}
	b.inTx = func(_ context.Context, fn func(tx incident.Store) error) error { return fn(b) }
	return b
}

func errorsCommit(s incident.Store) incident.Store {
	return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		var failure error
		err := s.InTx(ctx, func(tx incident.Store) error {
			failure = fn(tx)
			return nil
		})
		return errors.Join(failure, err)
	}}
}

func panicsCommit(s incident.Store) incident.Store {
	return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		var value any
		err := s.InTx(ctx, func(tx incident.Store) (err error) {
			value = panicOf(func() { err = fn(tx) })
			return err
		})
		if value != nil {
			panic(value)
		}
		return err
	}}
}

func panicsAreSwallowed(s incident.Store) incident.Store {
	return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) (err error) {
		if value := panicOf(func() { err = s.InTx(ctx, fn) }); value != nil {
			err = fmt.Errorf("panic: %v", value)
		}
		return err
	}}
}

func panicsAreReplaced(s incident.Store) incident.Store {
	return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) (err error) {
		if value := panicOf(func() { err = s.InTx(ctx, fn) }); value != nil {
			panic(fmt.Sprint("in a transaction: ", value))
		}
		return err
	}}
}

func errorsAreWrapped(s incident.Store) incident.Store {
	return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		if err := s.InTx(ctx, fn); err != nil {
			return fmt.Errorf("in a transaction: %w", err)
		}
		return nil
	}}
}

// dirtyRead reads from the transaction in progress.
func dirtyRead(s incident.Store) incident.Store {
	var current atomic.Pointer[incident.Store]
	return &broken{
		Store: s,
		inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
			return s.InTx(ctx, func(tx incident.Store) error {
				current.Store(&tx)
				defer current.Store(nil)
				return fn(tx)
			})
		},
		load: func(ctx context.Context, key incident.Key) (incident.State, error) {
			if tx := current.Load(); tx != nil {
				return (*tx).Load(ctx, key)
			}
			return s.Load(ctx, key)
		},
	}
}

// txReadsFromOutside reads subscribers as they were before the transaction.
func txReadsFromOutside(s incident.Store) incident.Store {
	return withTx(s, func(tx incident.Store) incident.Store {
		before, err := tx.Subscribers(context.Background(), incident.Key{OrganizationID: acme, Identifier: 1})
		return &broken{
			Store: tx,
			subscribers: func(context.Context, incident.Key) ([]incident.Subscription, error) {
				return slices.Clone(before), err
			},
			loadDetails: func(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
				d, err := tx.LoadDetails(ctx, key, user)
				d.IsSubscribed = true
				return d, err
			},
		}
	})
}

// txNeverEnds works outside the transaction after its end.
func txNeverEnds(s incident.Store) incident.Store {
	return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		var late *broken
		defer func() {
			if late != nil {
				late.Store = s
			}
		}()
		return s.InTx(ctx, func(tx incident.Store) error {
			late = &broken{Store: tx}
			return fn(late)
		})
	}}
}

func txDoesNotNest(s incident.Store) incident.Store {
	return withTx(s, func(tx incident.Store) incident.Store {
		return &broken{Store: tx, inTx: func(context.Context, func(incident.Store) error) error {
			return errors.New("there is a transaction already")
		}}
	})
}

// partsAreForgiven commits the writes of a nested transaction, however it ended.
func partsAreForgiven(s incident.Store) incident.Store {
	return withTx(s, func(tx incident.Store) incident.Store {
		b := &broken{Store: tx}
		b.inTx = func(_ context.Context, fn func(incident.Store) error) error { return fn(b) }
		return b
	})
}

// partsAreUndoneAlone commits the outer transaction after a nested one has panicked.
func partsAreUndoneAlone(s incident.Store) incident.Store {
	return withTx(s, func(tx incident.Store) incident.Store {
		return &broken{Store: tx, inTx: func(ctx context.Context, fn func(incident.Store) error) (err error) {
			var value any
			err = tx.InTx(ctx, func(inner incident.Store) error {
				failure := errUndo
				value = panicOf(func() { failure = fn(inner) })
				return failure
			})
			if value != nil {
				panic(value)
			}
			return err
		}}
	})
}

// txForgetsVersions checks no version in a transaction, and reads the state from before
// the transaction.
func txForgetsVersions(s incident.Store) incident.Store {
	var versions registry[incident.Key, incident.State]
	return withTx(s, func(tx incident.Store) incident.Store {
		unchecked := versionNotChecked(tx)
		return &broken{Store: tx, apply: unchecked.Apply, load: func(ctx context.Context, key incident.Key) (incident.State, error) {
			st, err := tx.Load(ctx, key)
			if err != nil || st.Incident.Version%2 == 0 {
				return st, err
			}
			return once(&versions, key, st), nil
		}}
	})
}

func readOnlyTxFails(s incident.Store) incident.Store {
	return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		wrote := false
		err := withTx(s, func(tx incident.Store) incident.Store {
			return applying(tx, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
				wrote = true
				return tx.Apply(ctx, c)
			})
		}).InTx(ctx, fn)
		if err == nil && !wrote {
			err = incident.ErrUnavailable
		}
		return err
	}}
}

func commitIsForgotten(s incident.Store) incident.Store {
	return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		var end error
		err := s.InTx(ctx, func(tx incident.Store) error {
			end = fn(tx)
			return errUndo
		})
		if !errors.Is(err, errUndo) {
			return err
		}
		return end
	}}
}

// writesAfterGivingUp lets a write continue after the context ends.
func writesAfterGivingUp(s incident.Store) incident.Store {
	type result struct {
		applied incident.Applied
		err     error
	}
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		done := make(chan result, 1)
		go func() {
			applied, err := s.Apply(context.WithoutCancel(ctx), c)
			done <- result{applied, err}
		}()
		select {
		case r := <-done:
			return r.applied, r.err
		case <-ctx.Done():
			return incident.Applied{}, ctx.Err()
		}
	})
}

// detailsOfTheLastViewer returns one of several views.
func detailsOfTheLastViewer(s incident.Store) incident.Store {
	return &broken{Store: s, loadDetails: func(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
		d, err := s.LoadDetails(ctx, key, user)
		if len(d.SeenBy) > 1 {
			d.SeenBy = d.SeenBy[:1]
		}
		return d, err
	}}
}

// notUndone repeats a write of each transaction that was undone.
func notUndone(op operation) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) (err error) {
			committed := false
			defer func() {
				if !committed {
					_ = repeat(s, op)
				}
			}()
			err = s.InTx(ctx, fn)
			committed = err == nil
			return err
		}}
	}
}

// repeat makes a call in acme's first incident.
func repeat(s incident.Store, op operation) error {
	ctx := context.Background()
	key := incident.Key{OrganizationID: acme, Identifier: 1}
	st, err1 := s.Load(ctx, key)
	a, err2 := s.Activity(ctx, key, 3)
	_, err3 := op.do(ctx, s, world{state: st, comment: a})
	return errors.Join(err1, err2, err3)
}
