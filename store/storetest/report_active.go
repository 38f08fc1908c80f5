package storetest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// wantActive checks the incidents that were active at the end of ten minutes.
func wantActive(t *trial, s incident.Store, end time.Time, want map[incident.Status]int) {
	t.Helper()
	q := incident.ReportQuery{OrganizationID: acme, Bounds: []time.Time{end.Add(-10 * time.Minute), end}}
	wantEqual(t, "the active incidents at "+end.Format(time.RFC3339Nano), mustReport(t, s, q).Active, counted(want))
}

// An incident is active at the last bound if it started before, and is not closed or was closed at
// the bound or later. It may have started before the first bound.
func reportCountsActive(t *trial, s incident.ReportStore) {
	const micro = time.Microsecond
	for _, started := range []time.Time{minute(-1000), minute(25), minute(30).Add(-micro), minute(30), minute(31)} {
		mustCreate(t, s, startedAt(started))
	}
	for _, dates := range [][2]time.Time{
		{minute(-500), minute(30).Add(-micro)},
		{minute(-500), minute(30)},
		{minute(5), minute(30).Add(micro)},
		{minute(29), minute(500)},
		{minute(30), minute(31)},
		{minute(1), minute(2)},
	} {
		st := mustCreate(t, s, startedAt(dates[0]))
		mustTurn(t, s, st, incident.StatusClosed, dates[1])
	}
	wantActive(t, s, minute(30), map[incident.Status]int{incident.StatusOpen: 6})
	wantActive(t, s, minute(30).Add(micro), map[incident.Status]int{incident.StatusOpen: 7})
	wantActive(t, s, minute(600), map[incident.Status]int{incident.StatusOpen: 5})
	wantActive(t, s, minute(-900), map[incident.Status]int{incident.StatusOpen: 1})
	wantActive(t, s, minute(-1000), nil)
}

// The status is that before the first change at the bound or later, in order of sequence. An
// incident that was reopened later was closed at the bound.
func reportCountsActiveByTheStatusThen(t *trial, s incident.ReportStore) {
	const open, closed, warning, critical = incident.StatusOpen, incident.StatusClosed, incident.StatusWarning, incident.StatusCritical
	type turn struct {
		to   incident.Status
		date time.Time
	}
	for i, turns := range [][]turn{
		{{warning, minute(10)}, {critical, minute(20)}, {closed, minute(30)}},
		{{critical, minute(20).Add(time.Microsecond)}, {open, minute(25)}},
		{{critical, minute(40)}, {warning, minute(5)}}, // the dates are not in order
		{{closed, minute(10)}, {warning, minute(30)}},  // reopened
		{{critical, minute(20)}, {closed, minute(25)}, {open, minute(26)}},
	} {
		st := mustCreate(t, s, startedAt(minute(-i-1)))
		for _, change := range turns {
			st = mustTurn(t, s, st, change.to, change.date)
		}
	}
	for _, c := range []struct {
		end  time.Time
		want map[incident.Status]int
	}{
		{minute(0), map[incident.Status]int{open: 5}},
		{minute(10), map[incident.Status]int{open: 5}},
		{minute(10).Add(time.Microsecond), map[incident.Status]int{open: 3, warning: 1}},
		{minute(20), map[incident.Status]int{open: 3, warning: 1}},
		{minute(20).Add(time.Microsecond), map[incident.Status]int{open: 2, critical: 2}},
		{minute(25), map[incident.Status]int{open: 1, critical: 3}},
		{minute(26), map[incident.Status]int{open: 2, critical: 1}},
		{minute(30), map[incident.Status]int{open: 3, critical: 1}},
		{minute(30).Add(time.Microsecond), map[incident.Status]int{open: 3, warning: 1}},
		{minute(100), map[incident.Status]int{open: 2, warning: 2}},
	} {
		wantActive(t, s, c.end, c.want)
	}
}

// The numbers are of a single moment: an incident that moves between open and closed is counted
// once.
func reportIsOneRead(t *trial, s incident.ReportStore) {
	const incidents, atLeast, atMost, enough = 4, 20, 2000, 50
	states := make([]incident.State, incidents)
	for i := range states {
		states[i] = mustCreate(t, s, draft(acme))
	}
	// Those that are closed were closed an hour after t0, within the report.
	q := incident.ReportQuery{OrganizationID: acme, Bounds: []time.Time{at(-time.Hour), at(time.Minute), at(2 * time.Hour)}}
	var moves atomic.Int64
	var counting atomic.Bool
	counting.Store(true)
	t.together(2, func(i int) {
		if i == 0 {
			if err := keepMoving(t.Context(), s, states, &counting, &moves); err != nil {
				t.Error(err)
			}
			return
		}
		defer counting.Store(false)
		for n := 0; n < atLeast || n < atMost && moves.Load() < enough; n++ {
			got := mustReport(t, s, q)
			active := 0
			for _, count := range got.Active {
				active += count
			}
			if got.Total.Opened != incidents || active+got.Total.Closed.Count != incidents || got.Periods[1].Closed != got.Total.Closed {
				t.Errorf("Report() of incidents that change has %s, want %d incidents", show(got), incidents)
			}
		}
	})
}

// A report in a transaction sees the writes of the transaction, and reports outside see them after
// the commit only.
func reportSeesItsTransaction(t *trial, s incident.ReportStore) {
	q := reportOf(-10, 0, 120)
	first := mustCreate(t, s, draft(acme))
	before := openings(0, 1)
	before.Active = map[incident.Status]int{incident.StatusOpen: 1}
	after := openings(0, 2)
	after.Active = map[incident.Status]int{incident.StatusWarning: 1}
	after.Total.Closed, after.Total.Acknowledged = same(1, time.Hour), same(1, time.Minute)
	after.Periods[1] = after.Total

	write := func(tx incident.Store) {
		wantNumbers(t, tx, q, before)
		mustTurn(t, tx, first, incident.StatusClosed, at(time.Hour))
		second := mustCreate(t, tx, draft(acme))
		mustTurn(t, tx, second, incident.StatusWarning, at(time.Minute))
		mustAdd(t, tx, second.Incident.Key(), incident.ActivityTypeAcknowledged, at(time.Minute), at(time.Hour))
		wantNumbers(t, tx, q, after)
	}
	err := s.InTx(t.Context(), func(tx incident.Store) error {
		write(tx)
		return errUndo
	})
	wantError(t, "InTx()", err, errUndo)
	wantNumbers(t, s, q, before)
	mustInTx(t, s, func(tx incident.Store) error {
		write(tx)
		return tx.InTx(t.Context(), func(part incident.Store) error {
			wantNumbers(t, part, q, after)
			return nil
		})
	})
	wantNumbers(t, s, q, after)
}

// The numbers are those of present data: a closing that was undone, an earlier start and an earlier
// label do not count.
func reportFollowsChanges(t *trial, s incident.ReportStore) {
	labels := map[string]string{"team": "shop"}
	inc := labelled(acme, labels)
	inc.DateStarted = minute(1)
	st := mustCreate(t, s, inc)
	mustAdd(t, s, st.Incident.Key(), incident.ActivityTypeAcknowledged, minute(3))
	st = mustTurn(t, s, mustLoad(t, s, st.Incident.Key()), incident.StatusClosed, minute(5))
	q := reportOf(0, 10, 20)
	q.Labels, q.Projects = []incident.Label{{Name: "team", Value: "shop"}}, []incident.ProjectID{api}
	want := openings(1, 0)
	want.Total.Acknowledged, want.Total.Closed = same(1, 2*time.Minute), same(1, 4*time.Minute)
	want.Periods[0] = want.Total
	wantNumbers(t, s, q, want)

	moved := st
	moved.Incident.DateStarted = minute(-1)
	st = mustChange(t, s, update(st, moved))
	want = openings(0, 0)
	want.Total.Acknowledged, want.Total.Closed = same(1, 4*time.Minute), same(1, 6*time.Minute)
	want.Periods[0] = want.Total
	wantNumbers(t, s, q, want)

	st = mustTurn(t, s, st, incident.StatusOpen, minute(12))
	want = openings(0, 0)
	want.Total.Acknowledged = same(1, 4*time.Minute)
	want.Periods[0] = want.Total
	want.Active = map[incident.Status]int{incident.StatusOpen: 1}
	wantNumbers(t, s, q, want)

	st = mustTurn(t, s, st, incident.StatusClosed, minute(15))
	want.Total.Closed, want.Periods[1].Closed, want.Active = same(1, 16*time.Minute), same(1, 16*time.Minute), nil
	wantNumbers(t, s, q, want)

	for name, c := range map[string]incident.Change{
		"label": relabelling(st, map[string]string{"team": "data"}), "project": reprojecting(st, db),
	} {
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			mustApply(t, tx, c)
			if got := mustReport(t, tx, q); got.Total != (incident.PeriodNumbers{}) {
				t.Errorf("the report of a former %s has %s, want nothing", name, show(got))
			}
			return errUndo
		})
		wantError(t, fmt.Sprintf("InTx() with another %s", name), err, errUndo)
	}
	wantNumbers(t, s, q, want)
}

// A deleted incident counts nowhere, whether it was purged or deleted with its organization.
func reportOmitsTheDeleted(t *trial, s incident.ReportStore) {
	both, ok := s.(interface {
		incident.ReportStore
		incident.RetentionStore
	})
	if !ok {
		return
	}
	q := reportOf(0, 10, 120)
	for _, started := range []int{1, 2, 3, 4} {
		st := mustCreate(t, s, startedAt(minute(started)))
		mustAdd(t, s, st.Incident.Key(), incident.ActivityTypeAcknowledged, minute(started+10))
		if started%2 == 0 {
			mustTurn(t, s, st, incident.StatusClosed, minute(60))
		}
	}
	want := openings(2, 0)
	want.Total.Acknowledged = same(2, 10*time.Minute)
	want.Periods[1].Acknowledged = want.Total.Acknowledged
	want.Active = map[incident.Status]int{incident.StatusOpen: 2}
	mustReport(t, s, q)
	mustPurgeAll(t, both, anyDue(acme))
	wantNumbers(t, s, q, want)
	mustInTx(t, s, func(tx incident.Store) error {
		wantNumbers(t, tx, q, want)
		return nil
	})
	mustDeleteOrganization(t, both, acme, everything)
	wantNumbers(t, s, q, openings(0, 0))
}
