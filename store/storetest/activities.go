package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// sequencesOf returns the sequences of the activities, in the given order.
func sequencesOf(activities []incident.Activity) []int64 {
	seqs := make([]int64, len(activities))
	for i, a := range activities {
		seqs[i] = a.Sequence
	}
	return seqs
}

// upTo returns 1 to n.
func upTo(n int) []int64 {
	seqs := make([]int64, n)
	for i := range seqs {
		seqs[i] = int64(i + 1)
	}
	return seqs
}

// Each incident counts its activities from 1. The activities of a change are numbered in
// the order of the change.
func applySequencesAreGapless(t *trial, s incident.Store) {
	first := mustCreate(t, s, draft(acme)).Incident.Key()
	second := mustCreate(t, s, draft(acme)).Incident.Key()
	foreign := mustCreate(t, s, draft(umbrella)).Incident.Key()
	for want := int64(3); want <= 5; want++ {
		for _, key := range []incident.Key{first, second, foreign} {
			if got := mustComment(t, s, key, "text").Sequence; got != want {
				t.Fatalf("activity %d of %s has sequence %d", want, key, got)
			}
		}
	}
	c := comment(first, "sixth")
	c.Activities = append(c.Activities, comment(first, "seventh").Activities...)
	c.Activities = append(c.Activities, comment(first, "eighth").Activities...)
	mustApply(t, s, c)
	all := mustActivities(t, s, first, incident.ActivityQuery{Limit: everything})
	wantEqual(t, "the sequences", sequencesOf(all), upTo(8))
	for i, want := range []string{"sixth", "seventh", "eighth"} {
		if got := all[5+i].Comment; got != want {
			t.Errorf("activity %d has the text %q, want %q", 6+i, got, want)
		}
	}
}

// A change that fails uses no sequence.
func applyFailuresUseNoSequence(t *trial, s incident.Store) {
	first := mustCreate(t, s, ruled(acme, api))
	mustCreate(t, s, ruled(acme, db))
	second := mustChange(t, s, retitling(first, "Newer"))
	_, err := s.Apply(t.Context(), transition(first, incident.StatusWarning))
	wantError(t, "Apply() on an old version", err, incident.ErrVersionConflict)
	taken := reprojecting(second, db)
	taken.Activities = comment(taken.Key, "This must not be written").Activities
	if _, err = s.Apply(t.Context(), taken); err == nil {
		t.Error("Apply() of a taken slot = nil, want a *ConflictError")
	}
	err = s.InTx(t.Context(), func(tx incident.Store) error {
		mustApply(t, tx, comment(first.Incident.Key(), "text"))
		return errUndo
	})
	wantError(t, "InTx()", err, errUndo)
	if got := mustComment(t, s, first.Incident.Key(), "text").Sequence; got != 3 {
		t.Errorf("after changes that failed the next sequence is %d, want 3", got)
	}
}

func applySequencesAreGaplessUnderConcurrency(t *trial, s incident.Store) {
	const writers, each = 8, 6
	keys := []incident.Key{mustCreate(t, s, draft(acme)).Incident.Key(), mustCreate(t, s, draft(acme)).Incident.Key()}
	t.together(writers, func(i int) {
		for range each {
			c := comment(keys[i%2], "text")
			if i == 0 {
				_ = s.InTx(t.Context(), func(tx incident.Store) error {
					_, err := tx.Apply(t.Context(), c)
					return errors.Join(err, errUndo)
				})
			}
			if _, err := s.Apply(t.Context(), c); err != nil {
				t.Errorf("Apply() of a comment = %v, want no error", err)
			}
		}
	})
	for _, key := range keys {
		all := mustActivities(t, s, key, incident.ActivityQuery{Limit: everything})
		wantEqual(t, "the sequences of "+key.String(), sequencesOf(all), upTo(2+writers/2*each))
	}
}

// mustHistory creates an incident with n activities, whose dates decrease.
func mustHistory(t *trial, s incident.Store, n int) incident.Key {
	t.Helper()
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	for i := 2; i < n; i++ {
		c := comment(key, fmt.Sprint("comment ", i+1))
		c.Activities[0].DateAdded = at(-time.Duration(i/2) * time.Hour)
		mustApply(t, s, c)
	}
	return key
}

// Activities are ordered by sequence. Dates do not matter.
func activitiesAreOrderedBySequence(t *trial, s incident.Store) {
	const n = 9
	key := mustHistory(t, s, n)
	all := mustActivities(t, s, key, incident.ActivityQuery{Limit: everything})
	wantEqual(t, "the ascending sequences", sequencesOf(all), upTo(n))
	wantDescending := upTo(n)
	slices.Reverse(wantDescending)
	all = mustActivities(t, s, key, incident.ActivityQuery{Descending: true, Limit: everything})
	wantEqual(t, "the descending sequences", sequencesOf(all), wantDescending)
}

// Activities returns the version of the incident at the moment of the read. Comments do
// not change the version.
func activitiesReturnTheVersion(t *trial, s incident.Store) {
	st := mustCreate(t, s, draft(acme))
	key := st.Incident.Key()
	for _, status := range []incident.Status{incident.StatusWarning, incident.StatusCritical, incident.StatusClosed} {
		st = mustChange(t, s, transition(st, status))
		mustComment(t, s, key, "text")
		for _, q := range []incident.ActivityQuery{{Limit: 1}, {Limit: 1, Descending: true}, {Limit: 1, After: 100}} {
			log, err := s.Activities(t.Context(), key, q)
			if err != nil {
				t.Fatalf("Activities(%s, %+v) = %v, want no error", key, q, err)
			}
			wantEqual(t, "the version", log.Version, st.Incident.Version)
		}
	}
}

// A page starts after the sequence After, in the direction of the query, and has at most
// Limit activities.
func activitiesArePagedBySequence(t *trial, s incident.Store) {
	key := mustHistory(t, s, 9)
	tests := []struct {
		query incident.ActivityQuery
		want  []int64
	}{
		{incident.ActivityQuery{Limit: 1}, []int64{1}},
		{incident.ActivityQuery{Limit: 9}, upTo(9)},
		{incident.ActivityQuery{After: 1, Limit: 3}, []int64{2, 3, 4}},
		{incident.ActivityQuery{After: 7, Limit: 3}, []int64{8, 9}},
		{incident.ActivityQuery{After: 9, Limit: 3}, nil},
		{incident.ActivityQuery{After: 99, Limit: 3}, nil},
		{incident.ActivityQuery{Descending: true, Limit: 1}, []int64{9}},
		{incident.ActivityQuery{Descending: true, After: 9, Limit: 3}, []int64{8, 7, 6}},
		{incident.ActivityQuery{Descending: true, After: 3, Limit: 3}, []int64{2, 1}},
		{incident.ActivityQuery{Descending: true, After: 1, Limit: 3}, nil},
		{incident.ActivityQuery{Descending: true, After: 99, Limit: 2}, []int64{9, 8}},
	}
	for _, tt := range tests {
		got := sequencesOf(mustActivities(t, s, key, tt.query))
		wantEqual(t, fmt.Sprintf("the sequences for %+v", tt.query), got, tt.want)
	}
}

// Activity and Activities return the same.
func activityIsThatOfTheList(t *trial, s incident.Store) {
	key := mustHistory(t, s, 5)
	other := mustHistory(t, s, 3)
	for _, key := range []incident.Key{key, other} {
		for _, want := range mustActivities(t, s, key, incident.ActivityQuery{Limit: everything}) {
			wantEqual(t, "the activity", mustActivity(t, s, key, want.Sequence), want)
		}
	}
}

// unknownSequences returns sequences that an incident with 3 activities does not have.
// Another incident of the organization has 5.
func unknownSequences() []int64 { return []int64{4, 5, 6, 99, 0, -1} }

func activityReturnsErrNotFoundForTheSequence(t *trial, s incident.Store) {
	mustHistory(t, s, 5)
	key := mustHistory(t, s, 3)
	for _, seq := range unknownSequences() {
		_, err := s.Activity(t.Context(), key, seq)
		wantError(t, fmt.Sprintf("Activity(%s, %d)", key, seq), err, incident.ErrNotFound)
	}
}

func reviseReturnsErrNotFoundForTheSequence(t *trial, s incident.Store) {
	mustHistory(t, s, 5)
	key := mustHistory(t, s, 3)
	a := edited(mustActivity(t, s, key, 3), "edited")
	wantUnchanged(t, s, acme, func() {
		for _, a.Sequence = range unknownSequences() {
			err := s.ReviseActivity(t.Context(), a)
			wantError(t, fmt.Sprintf("ReviseActivity(%s, %d)", key, a.Sequence), err, incident.ErrNotFound)
		}
	})
}

// An edit or a deletion shows in all reads of activities. It does not change the
// incident's version.
func reviseStoresTheRevision(t *trial, s incident.Store) {
	st := mustCreate(t, s, draft(acme))
	key := st.Incident.Key()
	a := mustComment(t, s, key, "first")
	other := mustComment(t, s, key, "other")
	for _, next := range []func(incident.Activity) incident.Activity{
		func(a incident.Activity) incident.Activity { return edited(a, "second") },
		func(a incident.Activity) incident.Activity { return edited(a, "") },
		deleted,
	} {
		a = next(a)
		mustRevise(t, s, a)
		wantEqual(t, "the revised activity", mustActivity(t, s, key, a.Sequence), a)
		list := mustActivities(t, s, key, incident.ActivityQuery{After: 2, Limit: everything})
		wantEqual(t, "the activities from the comment on", list, []incident.Activity{a, other})
	}
	wantEqual(t, "the state", mustLoad(t, s, key), st)
}

// ReviseActivity writes only the text, its dates and the revision.
func reviseLeavesTheRest(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	want := edited(mustComment(t, s, key, "first"), "second")
	forged := want
	forged.Type = incident.ActivityTypeStatusChange
	forged.UserID = eve
	forged.Value, forged.PreviousValue = incident.StatusCritical, incident.StatusOpen
	forged.NotificationUUID[0]++
	forged.DateAdded = t0
	mustRevise(t, s, forged)
	wantEqual(t, "the revised activity", mustActivity(t, s, key, want.Sequence), want)
}

// The new revision must be the next after the stored revision.
func reviseChecksTheRevision(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	a := mustComment(t, s, key, "first")
	mustRevise(t, s, edited(a, "second"))
	wantUnchanged(t, s, acme, func() {
		for _, revision := range []int64{-1, 0, 1, 3, 4} {
			late := edited(a, "late")
			late.Revision = revision
			err := s.ReviseActivity(t.Context(), late)
			wantError(t, fmt.Sprintf("ReviseActivity() to revision %d after 1", revision), err, incident.ErrVersionConflict)
		}
	})
}

func reviseLetsOneOfARevisionWin(t *trial, s incident.Store) {
	const writers, rounds = 8, 4
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	a := mustComment(t, s, key, "first")
	for range rounds {
		var won atomic.Int32
		t.together(writers, func(i int) {
			err := s.ReviseActivity(t.Context(), edited(a, fmt.Sprint("writer ", i)))
			if err == nil {
				won.Add(1)
			} else {
				wantError(t, "ReviseActivity() of a loser", err, incident.ErrVersionConflict)
			}
		})
		before := a.Revision
		a = mustActivity(t, s, key, a.Sequence)
		if won.Load() != 1 || a.Revision != before+1 {
			t.Fatalf("%d of %d edits of revision %d were applied, and the revision is %d, want 1 and %d",
				won.Load(), writers, before, a.Revision, before+1)
		}
	}
}
