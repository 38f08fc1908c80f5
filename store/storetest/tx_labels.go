package storetest

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

// A transaction that changes labels, annotations, responses and starts finds its own writes in
// lists and counts. An undone transaction leaves none of them.
func inTxUndoesOperations(t *trial, s incident.Store) {
	first := mustCreate(t, s, operated(acme, api), firing(critical))
	second := mustCreate(t, s, draft(acme))
	before := mustListings(t, s, acme)
	write := func(tx incident.Store) {
		t.Helper()
		after := incident.State{Incident: first.Incident.Clone()}
		after.Incident.Labels = map[string]string{"team": "data", "tier": "1"}
		after.Incident.Annotations, after.Incident.Response = nil, nil
		after.Incident.DateStarted = minute(10)
		changed := mustChange(t, tx, update(first, after))
		wantListedOnce(t, tx, changed.Incident)
		again := mustChange(t, tx, relabelling(changed, map[string]string{"team": "shop"}))
		wantListedOnce(t, tx, again.Incident)
		other := second
		other.Incident.Labels, other.Incident.DuplicateOf = map[string]string{"tier": "2"}, 1
		other.Incident.Response = &incident.Response{Assignee: ada}
		wantListedOnce(t, tx, mustChange(t, tx, update(second, other)).Incident)
		created := operated(acme, web)
		created.Labels = map[string]string{"team": "new"}
		wantListedOnce(t, tx, mustCreate(t, tx, created).Incident)
		if equal(mustListings(t, tx, acme), before) {
			t.Error("the transaction does not see its writes")
		}
	}
	undone := func(how string, run func()) {
		t.Helper()
		run()
		wantEqual(t, "the lists, after a transaction that "+how, mustListings(t, s, acme), before)
		wantEqual(t, "the state, after a transaction that "+how, mustLoad(t, s, first.Incident.Key()), first)
		wantEqual(t, "the other state, after a transaction that "+how, mustLoad(t, s, second.Incident.Key()), second)
	}
	undone("fails", func() {
		err := s.InTx(t.Context(), func(tx incident.Store) error { write(tx); return errUndo })
		wantError(t, "InTx()", err, errUndo)
	})
	undone("panics", func() {
		_ = panicOf(func() {
			_ = s.InTx(t.Context(), func(tx incident.Store) error { write(tx); panic(errUndo) })
		})
	})
	undone("outlasts its context", func() {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.InTx(ctx, func(tx incident.Store) error { write(tx); cancel(); return nil })
		wantError(t, "InTx()", err, context.Canceled)
	})
	mustInTx(t, s, func(tx incident.Store) error { write(tx); return nil })
	if equal(mustListings(t, s, acme), before) {
		t.Error("after the commit the lists are those from before the transaction")
	}
}

// listings are lists and counts by labels and people.
type listings struct {
	Lists  [][]incident.Incident
	Counts []map[incident.Status]int
}

func mustListings(t *trial, s incident.Store, org incident.OrganizationID) listings {
	t.Helper()
	var all listings
	for _, q := range operationQueries(org) {
		all.Lists = append(all.Lists, mustIncidents(t, s, q))
		all.Counts = append(all.Counts, mustCount(t, s, q))
	}
	return all
}

// operationQueries returns queries for the labels and people of [operated] incidents.
func operationQueries(org incident.OrganizationID) []incident.IncidentQuery {
	queries := []incident.IncidentQuery{
		{},
		{Labels: []incident.Label{{Name: "team", Value: "shop"}}},
		{Labels: []incident.Label{{Name: "env", Value: "prod"}, {Name: "team", Value: "shop"}}},
		{Labels: []incident.Label{{Name: "team", Value: "data"}}},
		{Labels: []incident.Label{{Name: "team", Value: "new"}}},
		{Labels: []incident.Label{{Name: "tier", Value: "1"}}},
		{Labels: []incident.Label{{Name: "team", Value: "shop"}}, Projects: []incident.ProjectID{api, db}},
		{Assignee: ada},
		{Acknowledged: new(true), Now: at(time.Minute)},
		{Acknowledged: new(false), Now: at(time.Minute)},
	}
	for i := range queries {
		queries[i].OrganizationID, queries[i].Limit = org, everything
	}
	return queries
}

// Lists and counts by labels and people have no incidents of other organizations, whose incidents
// have the same labels and users. Changes of another organization's labels do not matter.
func isolationOfOperations(t *trial, s incident.Store) {
	st := mustCreate(t, s, operated(acme, api, db))
	alone := mustListings(t, s, acme)
	other := mustCreate(t, s, operated(umbrella, api, db))
	for _, labels := range []map[string]string{{"team": "data"}, operated(umbrella).Labels} {
		other = mustChange(t, s, relabelling(other, labels))
		wantListedOnce(t, s, other.Incident)
		wantListedOnce(t, s, st.Incident)
	}
	wantEqual(t, "the lists beside another organization", mustListings(t, s, acme), alone)
	wantListedOnce(t, s, st.Incident)
	wantListedOnce(t, s, other.Incident)
	others := mustListings(t, s, umbrella)
	st = mustChange(t, s, relabelling(st, map[string]string{"team": "data"}))
	st = mustChange(t, s, responding(st, nil))
	wantEqual(t, "the lists of the other organization", mustListings(t, s, umbrella), others)
	wantEqual(t, "the state of the other organization", mustLoad(t, s, other.Incident.Key()), other)
	wantListedOnce(t, s, st.Incident)
	wantListedOnce(t, s, other.Incident)
	for _, q := range operationQueries("nobody") {
		if got := mustIncidents(t, s, q); len(got) != 0 {
			t.Errorf("Incidents(%s) = %s, want none", show(q), show(got))
		}
	}
}
