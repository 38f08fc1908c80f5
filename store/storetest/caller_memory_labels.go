package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// operated returns an incident with labels, annotations and a response.
func operated(org incident.OrganizationID, projects ...incident.ProjectID) incident.Incident {
	inc := ruled(org, projects...)
	inc.Labels = map[string]string{"team": "shop", "env": "prod"}
	inc.Annotations = map[string]string{"runbook": "of " + string(org)}
	inc.Response = acknowledged(ada, bob, at(time.Hour))
	return inc
}

func labelsOf(inc incident.Incident) []incident.Label { return changedLabels(inc.Labels, nil) }

// The caller may overwrite the labels, annotations and responses that reads and writes return, in
// a transaction too.
func memoryOfLabelsIsTheCallers(t *trial, s incident.Store) {
	c := creationWith(uuid.New(), operated(acme, api))
	want := operated(acme, api)
	want.DetectionUUID, want.Identifier, want.Version = c.Incident.DetectionUUID, 1, 1
	st := incident.State{Incident: want}
	check := func(s incident.Store, method string, result any) {
		t.Helper()
		scribble(result)
		wantEqual(t, "the state, after the caller overwrote the result of "+method, mustLoad(t, s, want.Key()), st)
		wantListedOnce(t, s, st.Incident)
	}
	check(s, "Apply", mustApply(t, s, c))
	for range 2 {
		check(s, "Apply of a known DetectionUUID", mustApply(t, s, withNewUUIDs(c)))
		check(s, "Apply of a known NotificationUUID", mustApply(t, s, c))
		check(s, "Load", mustLoad(t, s, want.Key()))
		check(s, "LoadSlot", mustLoadSlot(t, s, slotOf(acme, api)))
		check(s, "LoadDetails", mustLoadDetails(t, s, want.Key(), ada))
		check(s, "Incidents", mustIncidents(t, s, incident.IncidentQuery{OrganizationID: acme, Labels: labelsOf(want), Limit: everything}))
	}
	mustInTx(t, s, func(tx incident.Store) error {
		check(tx, "Load of a transaction", mustLoad(t, tx, want.Key()))
		c := retitling(st, "Newer")
		st.Incident.Title, st.Incident.Version = "Newer", 2
		check(tx, "Apply of a transaction", mustApply(t, tx, c))
		return nil
	})
	check(s, "Load", mustLoad(t, s, want.Key()))
}

// wantListedOnce checks that the list of each label of the incident, and of all, has the incident
// alone.
func wantListedOnce(t *trial, s incident.Store, inc incident.Incident) {
	t.Helper()
	all := labelsOf(inc)
	for _, labels := range append([][]incident.Label{all}, singly(all)...) {
		q := incident.IncidentQuery{OrganizationID: inc.OrganizationID, Labels: labels, Limit: everything}
		wantEqual(t, "the incidents of "+show(labels), mustIncidents(t, s, q), []incident.Incident{inc})
	}
}

// The caller may overwrite the labels, annotations and responses of a change, and the expected
// slot, after the call has returned.
func memoryOfWrittenLabelsIsTheCallers(t *trial, s incident.Store) {
	write := func(c incident.Change) incident.State {
		t.Helper()
		st := incident.State{Incident: c.Incident.Clone()}
		st.Incident.Identifier = mustApply(t, s, c).Incident.Identifier
		scribble(c)
		wantEqual(t, "the state, after the caller overwrote its change", mustLoad(t, s, st.Incident.Key()), st)
		wantListedOnce(t, s, st.Incident)
		return st
	}
	st := write(expecting(creation(operated(acme, api)), slotOf(acme, api), 0))
	after := incident.State{Incident: st.Incident.Clone()}
	after.Incident.Labels = map[string]string{"team": "data", "tier": "1"}
	after.Incident.Annotations = map[string]string{"runbook": "another"}
	after.Incident.Response = acknowledged(bob, ada, at(time.Minute))
	after.Incident.DateStarted = minute(10)
	st = write(update(st, after))
	for _, labels := range []map[string]string{{"team": "data"}, {"team": "shop", "tier": "1"}} {
		st = write(relabelling(st, labels))
	}
	mustInTx(t, s, func(tx incident.Store) error {
		c := relabelling(st, map[string]string{"env": "prod"})
		st.Incident.Labels, st.Incident.Version = map[string]string{"env": "prod"}, c.Incident.Version
		mustApply(t, tx, c)
		scribble(c)
		return nil
	})
	wantEqual(t, "the state, after the caller overwrote the change of a transaction", mustLoad(t, s, st.Incident.Key()), st)
	wantListedOnce(t, s, st.Incident)
}

// A store does not change the labels of a query or the value behind Acknowledged. The caller may
// overwrite the counts.
func memoryOfLabelQueriesIsLeftAlone(t *trial, s incident.Store) {
	mustApply(t, s, creation(operated(acme, api)))
	build := func() incident.IncidentQuery {
		return incident.IncidentQuery{
			OrganizationID: acme,
			Labels:         []incident.Label{{Name: "env", Value: "prod"}, {Name: "team", Value: "shop"}},
			Projects:       []incident.ProjectID{api, db},
			Acknowledged:   new(true),
			Now:            t0,
			After:          &incident.Position{DateStarted: at(time.Hour), Identifier: 9},
			Limit:          2,
		}
	}
	q := build()
	for range 2 {
		wantEqual(t, "the number of incidents", len(mustIncidents(t, s, q)), 1)
		wantEqual(t, "the caller's query of a list", q, build())
		counts, err := s.CountIncidents(t.Context(), q)
		wantEqual(t, "the error of CountIncidents", err, nil)
		wantEqual(t, "the counts", counted(counts), map[incident.Status]int{incident.StatusOpen: 1})
		wantEqual(t, "the caller's query of counts", q, build())
		scribble(counts)
	}
}
