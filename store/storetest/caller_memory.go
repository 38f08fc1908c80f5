package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// mustRichWorld returns a world whose reads have a value behind every pointer: dates of
// closing, editing and deletion too.
func mustRichWorld(t *trial, s incident.Store) world {
	t.Helper()
	closed := ruled(acme, api, web)
	closed.Status, closed.DateClosed = incident.StatusClosed, new(at(time.Hour))
	mustCreate(t, s, closed)
	w := mustWorld(t, s, acme)
	w.comment = deleted(w.comment)
	mustRevise(t, s, w.comment)
	return w
}

// mustFreeze returns the records as text, which shares no memory with the store.
func mustFreeze(t *trial, s incident.Store) string {
	t.Helper()
	return show(mustSnapshot(t, s, acme))
}

// The caller may overwrite the result of a read.
func memoryOfReadsIsTheCallers(t *trial, s incident.Store) {
	w := mustRichWorld(t, s)
	before := mustFreeze(t, s)
	for _, op := range reads() {
		scribble(mustCall(t, s, op, w))
		wantEqual(t, "the records, after the caller overwrote the result of "+op.name, mustFreeze(t, s), before)
	}
	closed := incident.Key{OrganizationID: acme, Identifier: 1}
	scribble(mustLoad(t, s, closed))
	scribble(mustLoadDetails(t, s, closed, ada))
	wantEqual(t, "the records, after the caller overwrote a closed incident", mustFreeze(t, s), before)
}

// The caller may overwrite the result of a write, replayed or not.
func memoryOfResultsIsTheCallers(t *trial, s incident.Store) {
	st := mustCreate(t, s, ruled(acme, api, db), firing(critical))
	said := comment(st.Incident.Key(), "text")
	closed := ruled(acme, api, web)
	closed.Status, closed.DateClosed = incident.StatusClosed, new(at(time.Hour))
	detected := creationWith(uuid.New(), closed)
	mustApply(t, s, detected)
	for _, c := range []incident.Change{
		withNewUUIDs(detected),
		creation(ruled(acme, web), firing(critical)),
		transition(st, incident.StatusClosed),
		said,
	} {
		first := mustApply(t, s, c)
		before := mustFreeze(t, s)
		scribble(first)
		wantEqual(t, "the records, after the caller overwrote Applied", mustFreeze(t, s), before)
		scribble(mustApply(t, s, c))
		wantEqual(t, "the records, after the caller overwrote a replayed Applied", mustFreeze(t, s), before)
	}
	a := deleted(edited(mustActivity(t, s, st.Incident.Key(), 4), ""))
	a.Revision = 1
	mustRevise(t, s, a)
	before := mustFreeze(t, s)
	scribble(mustApply(t, s, said))
	wantEqual(t, "the records, after the caller overwrote a replayed comment", mustFreeze(t, s), before)
}

// The caller may overwrite the arguments of a call after the call has returned.
func memoryOfArgumentsIsTheCallers(t *trial, s incident.Store) {
	closed := ruled(acme, api, web)
	closed.Status, closed.DateClosed = incident.StatusClosed, new(at(time.Hour))
	c := creation(closed, firing(warning), firing(critical))
	c.Subscriptions = []incident.Subscription{{Incident: c.Key, UserID: ada, DateAdded: t0}}
	wantOwnMemory(t, s, c)

	st := mustLoad(t, s, incident.Key{OrganizationID: acme, Identifier: 1})
	c = transition(st, incident.StatusOpen)
	c.Incident.Projects = []incident.ProjectID{db, web}
	c.Link, c.Unlink = []incident.ProjectID{db}, []incident.ProjectID{api}
	c.Claim = slotsOf(*c.Incident)
	c.Triggers = []incident.Trigger{firing("more")}
	c.Triggers[0].Incident = c.Key
	wantOwnMemory(t, s, c)
	wantOwnMemory(t, s, transition(mustLoad(t, s, c.Key), incident.StatusClosed))

	a := deleted(edited(mustComment(t, s, c.Key, "text"), ""))
	a.Revision = 1
	mustRevise(t, s, a)
	before := mustFreeze(t, s)
	scribble(a)
	wantEqual(t, "the records, after the caller overwrote its activity", mustFreeze(t, s), before)
}

// wantOwnMemory applies c, overwrites the caller's memory, and checks that the store has
// kept c as it was.
func wantOwnMemory(t *trial, s incident.Store, c incident.Change) {
	t.Helper()
	kept := cloneChange(c)
	applied := mustApply(t, s, c)
	scribble(c)
	key := applied.Incident.Key()
	kept.Incident.Identifier = key.Identifier
	st := mustLoad(t, s, key)
	wantEqual(t, "the incident, after the caller overwrote its change", st.Incident, *kept.Incident)
	wantEqual(t, "the incident that Apply returned", applied.Incident, *kept.Incident)
	for _, trigger := range kept.Triggers {
		trigger.Incident = key
		if !contains(st.Triggers, trigger) {
			t.Errorf("after the caller overwrote its change, the triggers are %s, want %s among them", show(st.Triggers), show(trigger))
		}
	}
	stored := mustActivities(t, s, key, incident.ActivityQuery{Limit: everything})
	for i, a := range kept.Activities {
		a.Incident, a.Sequence = key, applied.Sequence+int64(i)
		if !contains(stored, a) {
			t.Errorf("after the caller overwrote its change, the activities are %s, want %s among them", show(stored), show(a))
		}
	}
	wantOwnNames(t, s, key, kept)
}

// wantOwnNames checks the look-ups by names that the change contains.
func wantOwnNames(t *trial, s incident.Store, key incident.Key, kept incident.Change) {
	t.Helper()
	for _, sub := range kept.Subscriptions {
		sub.Incident = key
		if got := mustSubscribers(t, s, key); !contains(got, sub) {
			t.Errorf("after the caller overwrote its change, the subscribers are %s, want %s among them", show(got), show(sub))
		}
	}
	for _, slot := range kept.Claim {
		if got := mustLoadSlot(t, s, slot); got.State == nil || got.State.Incident.Identifier != key.Identifier {
			t.Errorf("after the caller overwrote its change, slot %+v holds %s", slot, show(got))
		}
	}
	for _, slot := range kept.Release {
		if got := mustLoadSlot(t, s, slot); got.State != nil {
			t.Errorf("after the caller overwrote its change, slot %+v holds %s", slot, show(got))
		}
	}
	for _, project := range kept.Incident.Projects {
		q := incident.IncidentQuery{OrganizationID: acme, Projects: []incident.ProjectID{project}, Limit: everything}
		wantFound(t, s, q, *kept.Incident)
	}
}

func contains[T any](all []T, want T) bool {
	for _, v := range all {
		if equal(v, want) {
			return true
		}
	}
	return false
}

// A store does not reorder the slices of a query.
func memoryOfQueriesIsLeftAlone(t *trial, s incident.Store) {
	mustWorld(t, s, acme)
	build := func() incident.IncidentQuery {
		return incident.IncidentQuery{
			OrganizationID: acme,
			Projects:       []incident.ProjectID{api, db, web},
			Access:         &incident.ProjectAccess{Projects: []incident.ProjectID{api, db, web}},
			Statuses:       []incident.Status{incident.StatusOpen, incident.StatusClosed, incident.StatusCritical},
			After:          &incident.Position{DateStarted: at(time.Hour), Identifier: 9},
			Limit:          1,
		}
	}
	q := build()
	mustIncidents(t, s, q)
	wantEqual(t, "the caller's query", q, build())
}
