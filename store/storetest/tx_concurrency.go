package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/incidentkit/incident"
)

// promptly is the time that calls whose context has ended may take to return.
const promptly = 10 * time.Second

// During a transaction others read the earlier state, or wait until their context ends.
func inTxIsInvisibleBeforeTheCommit(t *trial, s incident.Store) {
	w := mustWorld(t, s, acme)
	before := make(map[string]any)
	for _, op := range reads() {
		before[op.name] = mustCall(t, s, op, w)
	}
	err := s.InTx(t.Context(), func(tx incident.Store) error {
		for _, op := range writes() {
			mustCall(t, tx, op, w)
		}
		for _, op := range reads() {
			if equal(mustCall(t, tx, op, w), before[op.name]) {
				t.Errorf("%s in the transaction does not show its writes", op.name)
			}
		}
		return lookFromOutside(t, s, w, before)
	})
	if err != nil {
		t.Errorf("InTx() = %v, want no error", err)
	}
	for _, op := range reads() {
		if equal(mustCall(t, s, op, w), before[op.name]) {
			t.Errorf("%s returns the same before the transaction and after its commit", op.name)
		}
	}
}

// lookFromOutside makes all reads during a transaction, each for 100 ms.
func lookFromOutside(t *trial, s incident.Store, w world, before map[string]any) error {
	all := reads()
	done := t.start(func() {
		t.together(len(all), func(i int) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			op := all[i]
			switch got, err := op.do(ctx, s, w); {
			case err == nil:
				wantEqual(t, op.name+" before the commit", got, before[op.name])
			case !errors.Is(err, incident.ErrUnavailable):
				wantError(t, op.name+" that waits for a transaction", err, context.DeadlineExceeded)
			}
		})
	})
	return waitFor(done, "reads still wait for the transaction 10s after their context ended")
}

func waitFor(done <-chan struct{}, failure string) error {
	select {
	case <-done:
		return nil
	case <-time.After(promptly):
		return errors.New(failure)
	}
}

// afterwards is the time in which a write of a caller that has left would happen.
const afterwards = 20 * time.Millisecond

// A writer that waits for a transaction until its context ends has written nothing, then
// and later, unless it returns ErrUnknownOutcome.
func inTxOutlastsWritersWhoGiveUp(t *trial, s incident.Store) {
	w := mustWorld(t, s, acme)
	changes := []incident.Change{creation(draft(acme)), comment(w.key(), "text"), retitling(w.state, "From outside")}
	changes[2].Activities = comment(w.key(), "text").Activities
	errs := make([]error, len(changes))
	mustInTx(t, s, func(tx incident.Store) error {
		mustCall(t, tx, operation{"Apply", applyChange}, w)
		mustCall(t, tx, operation{"Apply", applyNew}, w)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		done := t.start(func() {
			t.together(len(changes), func(i int) { _, errs[i] = s.Apply(ctx, changes[i]) })
		})
		return waitFor(done, "writes still wait for the transaction 10s after their context ended")
	})
	time.Sleep(afterwards) // a store need not be fair to writes that wait
	for i, c := range changes {
		if errs[i] != nil && !errors.Is(errs[i], incident.ErrUnavailable) {
			wantError(t, "Apply() that waits for a transaction", errs[i], context.DeadlineExceeded)
		}
		again, err := s.Apply(t.Context(), c)
		if err != nil && !errors.Is(err, incident.ErrVersionConflict) {
			t.Errorf("Apply() after the transaction = %v, want no error", err)
		}
		if again.Replayed != (errs[i] == nil) && !errors.Is(errs[i], incident.ErrUnknownOutcome) {
			t.Errorf("Apply() of a writer that gave up = %v, but its change was written: %v", errs[i], again.Replayed)
		}
	}
}

// Transactions that read and then write are serialized, or the later transaction
// returns a version conflict.
func inTxLosesNoUpdate(t *trial, s incident.Store) {
	const writers, each = 4, 5
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	t.together(writers, func(int) {
		for range each {
			if err := keepTryingInTx(t, s, key); err != nil {
				t.Error(err)
			}
		}
	})
	st := mustLoad(t, s, key)
	if want := int64(1 + writers*each); st.Incident.Version != want {
		t.Errorf("after %d transactions the version is %d, want %d", writers*each, st.Incident.Version, want)
	}
	all := mustActivities(t, s, key, incident.ActivityQuery{Limit: everything})
	wantEqual(t, "the sequences", sequencesOf(all), upTo(2+writers*each))
}

func keepTryingInTx(t *trial, s incident.Store, key incident.Key) error {
	const attempts = 1000
	for range attempts {
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			st, err := tx.Load(t.Context(), key)
			if err != nil {
				return err
			}
			runtime.Gosched() // for others to get in between
			c := retitling(st, fmt.Sprint("after version ", st.Incident.Version))
			c.Activities = comment(key, c.Incident.Title).Activities
			_, err = tx.Apply(t.Context(), c)
			return err
		})
		if !errors.Is(err, incident.ErrVersionConflict) {
			return err
		}
	}
	return errors.New("each of 1000 transactions returned ErrVersionConflict")
}

// The writes of a transaction become visible at the same moment.
func inTxAppearsAtOnce(t *trial, s incident.Store) {
	w := mustWorld(t, s, acme)
	stop := make(chan struct{})
	watching := t.start(func() {
		t.together(2, func(int) {
			if err := watchCounts(t.Context(), s, w, stop); err != nil {
				t.Error(err)
			}
		})
	})
	defer func() {
		close(stop)
		<-watching
	}()
	for range 30 {
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			for _, text := range []string{"one", "two"} {
				if _, err := tx.Apply(t.Context(), comment(w.key(), text)); err != nil {
					return err
				}
				time.Sleep(100 * time.Microsecond) // for the watchers to look
			}
			return nil
		})
		if err != nil {
			t.Errorf("InTx() = %v, want no error", err)
		}
	}
}

// watchCounts returns an error if it sees one of two comments.
func watchCounts(ctx context.Context, s incident.Store, w world, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		all, err := s.Activities(ctx, w.key(), incident.ActivityQuery{Limit: everything})
		if err != nil {
			return fmt.Errorf("Activities() = %w, want no error", err)
		}
		if len(all.Activities)%2 != 1 {
			return fmt.Errorf("there are %d activities: a part of a transaction is visible", len(all.Activities))
		}
	}
}
