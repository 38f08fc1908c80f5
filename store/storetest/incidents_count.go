package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/incidentkit/incident"
)

// mustCount returns the counts above 0.
func mustCount(t *trial, s incident.Store, q incident.IncidentQuery) map[incident.Status]int {
	t.Helper()
	counts, err := s.CountIncidents(t.Context(), q)
	if err != nil {
		t.Fatalf("CountIncidents(%s) = %v, want no error", show(q), err)
	}
	return counted(counts)
}

// counted removes the statuses without a match, which may be missing.
func counted(counts map[incident.Status]int) map[incident.Status]int {
	some := maps.Clone(counts)
	if some == nil {
		some = map[incident.Status]int{}
	}
	maps.DeleteFunc(some, func(_ incident.Status, n int) bool { return n == 0 })
	return some
}

// wantCounted checks the counts of a query that has all conditions.
func wantCounted(t *trial, s incident.Store, conditions ...condition) {
	t.Helper()
	q := incident.IncidentQuery{OrganizationID: acme, Limit: everything}
	ids, name := upTo(len(exhibits)), ""
	for _, c := range conditions {
		c.set(&q)
		ids = slices.DeleteFunc(ids, func(id int64) bool { return !slices.Contains(c.want, id) })
		name += " " + c.name
	}
	want := map[incident.Status]int{}
	for _, id := range ids {
		want[exhibits[id-1].status]++
	}
	wantEqual(t, "the counts for"+name, mustCount(t, s, q), want)
}

func allConditions() [][]condition {
	return [][]condition{
		labelConditions(), assigneeConditions(), acknowledgedConditions(), projectConditions(), accessConditions(),
		statusConditions(), ruleConditions(), titleConditions(), windowConditions(),
	}
}

// The incidents that meet a condition, or conditions of two kinds, are counted by status. A query
// without conditions counts all.
func countMeetsConditions(t *trial, s incident.Store) {
	mustExhibit(t, s)
	wantCounted(t, s)
	for i, kind := range allConditions() {
		for _, c := range kind {
			wantCounted(t, s, c)
		}
		for _, other := range allConditions()[i+1:] {
			for _, c := range kind[:2] {
				wantCounted(t, s, c, other[0])
				wantCounted(t, s, c, other[1])
			}
		}
	}
}

// The incidents that meet the conditions on labels, acknowledgement, projects, access, status and
// window together are counted.
func countMeetsAllConditions(t *trial, s incident.Store) {
	mustExhibit(t, s)
	wantCombined(t, s, wantCounted, labelConditions(), acknowledgedConditions(), projectConditions(), accessConditions(),
		statusConditions(), windowConditions())
}

// Limit bounds the count of each status, not the total. An incident that matches in several ways
// counts once.
func countIsLimitedByStatus(t *trial, s incident.Store) {
	stock := map[incident.Status]int{
		incident.StatusOpen: 7, incident.StatusWarning: 2, incident.StatusCritical: 5, incident.StatusClosed: 3,
	}
	for status, n := range stock {
		for range n {
			inc := draft(acme)
			inc.Projects = []incident.ProjectID{api, db}
			inc.Labels = map[string]string{"team": "shop", "env": "prod"}
			if inc.Status = status; status == incident.StatusClosed {
				inc.DateClosed = new(minute(1))
			}
			mustApply(t, s, creation(inc))
		}
	}
	for _, limit := range []int{1, 2, 3, 4, 6, 7, 8, 17, 18, incident.MaxPageSize + 1, incident.MaxCount + 1} {
		want := map[incident.Status]int{}
		for status, n := range stock {
			want[status] = min(n, limit)
		}
		for _, q := range []incident.IncidentQuery{
			{},
			{Projects: []incident.ProjectID{api, db}},
			{Access: &incident.ProjectAccess{Projects: []incident.ProjectID{api, db, web}}},
			{Labels: []incident.Label{{Name: "env", Value: "prod"}, {Name: "team", Value: "shop"}}},
			{Title: "checkout", Projects: []incident.ProjectID{api, db}},
		} {
			q.OrganizationID, q.Limit = acme, limit
			wantEqual(t, fmt.Sprintf("the counts for %s", show(q)), mustCount(t, s, q), want)
		}
	}
}

// The position and the direction of a page do not matter.
func countIgnoresThePage(t *trial, s incident.Store) {
	mustExhibit(t, s)
	for _, conditions := range allConditions() {
		q := incident.IncidentQuery{OrganizationID: acme, Limit: everything}
		conditions[0].set(&q)
		want := mustCount(t, s, q)
		for _, q.After = range []*incident.Position{nil, {DateStarted: minute(10), Identifier: 3}, {DateStarted: minute(-1)}} {
			for _, q.Reverse = range []bool{false, true} {
				wantEqual(t, fmt.Sprintf("the counts for %s", show(q)), mustCount(t, s, q), want)
			}
		}
	}
}

// No match is no count and no error, in an unknown organization too.
func countMayBeNone(t *trial, s incident.Store) {
	mustCreate(t, s, draft(acme))
	for _, q := range []incident.IncidentQuery{
		{OrganizationID: "nobody"},
		{OrganizationID: "nobody", Labels: []incident.Label{{Name: "team", Value: "shop"}}},
		{OrganizationID: acme, AlertRuleID: "none"},
		{OrganizationID: acme, Labels: []incident.Label{{Name: "team", Value: "shop"}}},
		{OrganizationID: acme, Projects: []incident.ProjectID{"none"}},
	} {
		q.Limit = everything
		if got := mustCount(t, s, q); len(got) != 0 {
			t.Errorf("CountIncidents(%s) = %v, want none", show(q), got)
		}
	}
}

// An incident counts under its current status only. A transaction sees its own writes, and leaves
// no count if it is undone.
func countFollowsChanges(t *trial, s incident.Store) {
	first, second := mustCreate(t, s, ruled(acme, api)), mustCreate(t, s, ruled(acme, db))
	q := incident.IncidentQuery{OrganizationID: acme, Limit: everything}
	one := func(a, b incident.Status) map[incident.Status]int {
		if a == b {
			return map[incident.Status]int{a: 2}
		}
		return map[incident.Status]int{a: 1, b: 1}
	}
	for _, status := range []incident.Status{incident.StatusCritical, incident.StatusClosed, incident.StatusOpen, incident.StatusWarning} {
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			mustApply(t, tx, transition(first, status))
			wantEqual(t, "the counts in a transaction", mustCount(t, tx, q), one(status, second.Incident.Status))
			mustApply(t, tx, creation(ruled(acme, web)))
			return errUndo
		})
		wantError(t, "InTx()", err, errUndo)
		wantEqual(t, "the counts after an undone transaction", mustCount(t, s, q), one(first.Incident.Status, second.Incident.Status))
		first = mustChange(t, s, transition(first, status))
		wantEqual(t, "the counts after a change", mustCount(t, s, q), one(status, second.Incident.Status))
	}
}

// The counts are of a single moment: an incident whose status changes counts once.
func countIsOneRead(t *trial, s incident.Store) {
	const incidents, atLeast, atMost, enough = 4, 20, 2000, 50
	states := make([]incident.State, incidents)
	for i := range states {
		states[i] = mustCreate(t, s, draft(acme))
	}
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
		q := incident.IncidentQuery{OrganizationID: acme, Limit: everything}
		for n := 0; n < atLeast || n < atMost && moves.Load() < enough; n++ {
			total := 0
			for _, count := range mustCount(t, s, q) {
				total += count
			}
			if total != incidents {
				t.Errorf("CountIncidents() of incidents that change counts %d, want %d", total, incidents)
			}
		}
	})
}

// keepMoving changes the status of each incident in turn, and counts the changes.
func keepMoving(ctx context.Context, s incident.Store, states []incident.State, counting *atomic.Bool, moves *atomic.Int64) error {
	for counting.Load() {
		i, to := int(moves.Add(1))%len(states), incident.StatusClosed
		if !states[i].Incident.Status.Active() {
			to = incident.StatusOpen
		}
		applied, err := s.Apply(ctx, transition(states[i], to))
		if err != nil {
			return fmt.Errorf("Apply() while others count = %w, want no error", err)
		}
		states[i].Incident = applied.Incident
	}
	return nil
}
