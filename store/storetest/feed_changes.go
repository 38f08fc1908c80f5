package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/incidentkit/incident"
)

// The feed reports each change of an incident's version and each change of a slot, in
// all organizations.
func feedReportsEachChange(t *trial, s incident.FeedStore) {
	f := mustFollowFeed(t, s)
	for _, org := range []incident.OrganizationID{acme, umbrella} {
		st := mustCreate(t, s, ruled(org, api, db), firing(critical))
		f.mustCatchUp(t)
		f.wantReported(t, st.Incident.Key(), slotOf(org, api), slotOf(org, db))
		for _, change := range []func(incident.State) incident.Change{
			func(st incident.State) incident.Change { return retitling(st, "Newer") },
			func(st incident.State) incident.Change { return reprojecting(st, api, web) },
			func(st incident.State) incident.Change { return transition(st, incident.StatusClosed) },
			func(st incident.State) incident.Change { return transition(st, incident.StatusOpen) },
		} {
			st = mustChange(t, s, change(st))
			f.mustCatchUp(t)
			f.wantReported(t, st.Incident.Key(), slotOf(org, api), slotOf(org, db), slotOf(org, web))
		}
	}
}

// The feed reports an incident to which a comment was appended, alone or in a transaction, and
// an incident whose comment was revised. An undone comment is not reported.
func feedReportsComments(t *trial, s incident.FeedStore) {
	key := mustCreate(t, s, ruled(acme, api)).Incident.Key()
	other := mustCreate(t, s, draft(umbrella)).Incident.Key()
	var a incident.Activity
	writes := []struct {
		name  string
		write func() error
	}{
		{"a comment", func() error {
			a = mustComment(t, s, key, "Found it")
			return nil
		}},
		{"a revision", func() error {
			a = edited(a, "Found them")
			return s.ReviseActivity(t.Context(), a)
		}},
		{"a comment and a revision in a transaction", func() error {
			return s.InTx(t.Context(), func(tx incident.Store) error {
				added := mustComment(t, tx, key, "Fixed it")
				return tx.ReviseActivity(t.Context(), edited(added, "Fixed them"))
			})
		}},
		{"a revision in a transaction", func() error {
			a = edited(a, "Lost them")
			return s.InTx(t.Context(), func(tx incident.Store) error { return tx.ReviseActivity(t.Context(), a) })
		}},
	}
	for _, w := range writes {
		f := mustFollowFeed(t, s)
		if err := w.write(); err != nil {
			t.Fatalf("%s = %v, want no error", w.name, err)
		}
		f.mustCatchUp(t)
		if f.incidents[key] == 0 || f.incidents[other] != 0 {
			t.Errorf("after %s of %s the feed reports %v, want the incident and no other", w.name, key, f.incidents)
		}
		f.wantReported(t, key)
	}
	f := mustFollowFeed(t, s)
	err := s.InTx(t.Context(), func(tx incident.Store) error {
		mustComment(t, tx, key, "Undone")
		return errUndo
	})
	wantError(t, "InTx() that is undone", err, errUndo)
	f.mustCatchUp(t)
	if f.hasReports() {
		t.Errorf("after an undone comment the feed reports %v, want nothing", f.incidents)
	}
}

// A single call reports everything that was committed since the position, by any number
// of transactions.
func feedReportsManyAtOnce(t *trial, s incident.FeedStore) {
	f := mustFollowFeed(t, s)
	nth := func(i int) incident.Change { return creation(ruled(acme, nthProject(i))) }
	mustInTx(t, s, func(tx incident.Store) error {
		for i := range everything / 2 {
			if _, err := tx.Apply(t.Context(), nth(i)); err != nil {
				return err
			}
		}
		return nil
	})
	for i := everything / 2; i < everything; i++ {
		mustApply(t, s, nth(i))
	}
	f.mustCatchUp(t)
	if len(f.incidents) != everything || len(f.slots) != everything {
		t.Errorf("the feed reports %d incidents and %d slots, want %d of each", len(f.incidents), len(f.slots), everything)
	}
}

// Names are reported byte for byte. A slot without a query is reported.
func feedReportsNames(t *trial, s incident.FeedStore) {
	f := mustFollowFeed(t, s)
	var made []incident.Incident
	for _, name := range names() {
		inc := ruled(incident.OrganizationID(name), incident.ProjectID(name))
		inc.AlertRuleID, inc.QueryID = incident.AlertRuleID(name), incident.QueryID(name)
		made = append(made, mustApply(t, s, creation(inc)).Incident)
		inc.QueryID = ""
		made = append(made, mustApply(t, s, creation(inc)).Incident)
	}
	f.mustCatchUp(t)
	for _, inc := range made {
		f.wantReported(t, inc.Key(), slotsOf(inc)...)
	}
}

// A transaction is reported after its commit and not before, even if transactions that
// began later were reported earlier. The writes of a nested transaction belong to the
// outer transaction.
func feedReportsLateCommits(t *trial, s incident.FeedStore) {
	st := mustCreate(t, s, ruled(acme, api))
	f := mustFollowFeed(t, s)
	var opened incident.Key
	mustInTx(t, s, func(tx incident.Store) error {
		_, err := tx.Apply(t.Context(), retitling(st, "Late"))
		if err != nil {
			return err
		}
		err = tx.InTx(t.Context(), func(inner incident.Store) error {
			applied, err := inner.Apply(t.Context(), creation(ruled(acme, db)))
			opened = applied.Incident.Key()
			return err
		})
		for i := 0; i < 3 && err == nil; i++ {
			err = f.beOvertaken(t)
		}
		return err
	})
	f.mustCatchUp(t)
	f.wantReported(t, st.Incident.Key())
	f.wantReported(t, opened, slotOf(acme, db))
}

// No commit is missed, wherever it falls between the calls.
func feedReportsAllUnderConcurrency(t *trial, s incident.FeedStore) {
	f := mustFollowFeed(t, s)
	const writers, rounds = 8, 25
	done := t.start(func() {
		t.together(writers, func(w int) {
			for i := range rounds {
				if err := openInTx(t.Context(), s, ruled(nthOrganization(w), nthProject(i)), i%2 == 0); err != nil {
					t.Errorf("InTx() = %v, want no error", err)
				}
			}
		})
	})
	defer func() { <-done }()
	for going := true; going; {
		select {
		case <-done:
			going = false
		default:
		}
		f.mustCatchUp(t)
	}
	for w := range writers {
		for i := range rounds {
			key := incident.Key{OrganizationID: nthOrganization(w), Identifier: int64(i) + 1}
			f.wantReported(t, key, slotOf(key.OrganizationID, nthProject(i)))
		}
	}
}

func nthOrganization(i int) incident.OrganizationID {
	return incident.OrganizationID(fmt.Sprint("organization-", i))
}

func nthProject(i int) incident.ProjectID { return incident.ProjectID(fmt.Sprint("project-", i)) }

// openInTx creates an incident, and closes it if closing is set, in a transaction that
// lasts up to 3 ms.
func openInTx(ctx context.Context, s incident.Store, inc incident.Incident, closing bool) error {
	return s.InTx(ctx, func(tx incident.Store) error {
		applied, err := tx.Apply(ctx, creation(inc))
		if err != nil {
			return err
		}
		if closing {
			st, err := tx.Load(ctx, applied.Incident.Key())
			if err == nil {
				_, err = tx.Apply(ctx, transition(st, incident.StatusClosed))
			}
			if err != nil {
				return err
			}
		}
		time.Sleep(rand.N(3 * time.Millisecond))
		return nil
	})
}

// Neither an undone transaction nor an undone nested transaction is reported. The next
// commit is.
func feedOmitsUndoneChanges(t *trial, s incident.FeedStore) {
	st := mustCreate(t, s, ruled(acme, api))
	f := mustFollowFeed(t, s)
	undone := func(within incident.Store) {
		t.Helper()
		err := within.InTx(t.Context(), func(tx incident.Store) error {
			mustApply(t, tx, retitling(st, "Undone"))
			mustApply(t, tx, creation(ruled(acme, db, web)))
			_, err := tx.Apply(t.Context(), retitling(st, "Too late"))
			return err
		})
		wantError(t, "InTx() that changes a version twice", err, incident.ErrVersionConflict)
	}
	for range 3 {
		undone(s)
		f.mustCatchUp(t)
		f.wantCommitted(t)
		mustInTx(t, s, func(tx incident.Store) error {
			undone(tx)
			_, err := tx.Apply(t.Context(), retitling(st, "Newer"))
			return err
		})
		f.mustCatchUp(t)
		f.wantCommitted(t)
		st = mustLoad(t, s, st.Incident.Key())
		f.wantReported(t, st.Incident.Key())
	}
}
