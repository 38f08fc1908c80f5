package storetest

import (
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// mustRichWorld is a world in which every read returns all that it can point
// to: closing, editing and deletion dates too.
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

// mustFreeze returns the records in memory that no store can share.
func mustFreeze(t *trial, s incident.Store) string {
	t.Helper()
	return show(mustSnapshot(t, s, acme))
}

// What a read returned belongs to the caller, who may write in it.
func memoryOfReadsIsTheCallers(t *trial, s incident.Store) {
	w := mustRichWorld(t, s)
	before := mustFreeze(t, s)
	for _, op := range reads() {
		scribble(mustCall(t, s, op, w))
		wantEqual(t, "after what "+op.name+" returned was overwritten, the records", mustFreeze(t, s), before)
	}
	closed := incident.Key{OrganizationID: acme, Identifier: 1}
	scribble(mustLoad(t, s, closed))
	scribble(mustLoadDetails(t, s, closed, ada))
	wantEqual(t, "after a closed incident was overwritten, the records", mustFreeze(t, s), before)
}

// So is what a write returned, replayed or not.
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
		wantEqual(t, "after Applied was overwritten, the records", mustFreeze(t, s), before)
		scribble(mustApply(t, s, c))
		wantEqual(t, "after a replayed Applied was overwritten, the records", mustFreeze(t, s), before)
	}
	a := deleted(edited(mustActivity(t, s, st.Incident.Key(), 4), ""))
	a.Revision = 1
	mustRevise(t, s, a)
	before := mustFreeze(t, s)
	scribble(mustApply(t, s, said))
	wantEqual(t, "after a replayed comment was overwritten, the records", mustFreeze(t, s), before)
}

// What a call was given is the caller's again when it has returned.
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
	wantEqual(t, "after the caller's activity was overwritten, the records", mustFreeze(t, s), before)
}

// wantOwnMemory applies c and compares what is stored with what it would be
// if the caller had never touched its memory again.
func wantOwnMemory(t *trial, s incident.Store, c incident.Change) {
	t.Helper()
	kept := cloneChange(c)
	applied := mustApply(t, s, c)
	scribble(c)
	key := applied.Incident.Key()
	kept.Incident.Identifier = key.Identifier
	st := mustLoad(t, s, key)
	wantEqual(t, "after the caller's change was overwritten, the incident", st.Incident, *kept.Incident)
	wantEqual(t, "the incident that Apply returned", applied.Incident, *kept.Incident)
	for _, trigger := range kept.Triggers {
		trigger.Incident = key
		if !contains(st.Triggers, trigger) {
			t.Errorf("after the caller's change was overwritten, the triggers are %s, without %s", show(st.Triggers), show(trigger))
		}
	}
	stored := mustActivities(t, s, key, incident.ActivityQuery{Limit: everything})
	for i, a := range kept.Activities {
		a.Incident, a.Sequence = key, applied.Sequence+int64(i)
		if !contains(stored, a) {
			t.Errorf("after the caller's change was overwritten, the activities are %s, without %s", show(stored), show(a))
		}
	}
	wantOwnNames(t, s, key, kept)
}

// wantOwnNames checks what is looked up by the names in a change.
func wantOwnNames(t *trial, s incident.Store, key incident.Key, kept incident.Change) {
	t.Helper()
	for _, sub := range kept.Subscriptions {
		sub.Incident = key
		if got := mustSubscribers(t, s, key); !contains(got, sub) {
			t.Errorf("after the caller's change was overwritten, the subscribers are %s, without %s", show(got), show(sub))
		}
	}
	for _, slot := range kept.Claim {
		if got := mustLoadSlot(t, s, slot); got.State == nil || got.State.Incident.Identifier != key.Identifier {
			t.Errorf("after the caller's change was overwritten, slot %+v holds %s", slot, show(got))
		}
	}
	for _, slot := range kept.Release {
		if got := mustLoadSlot(t, s, slot); got.State != nil {
			t.Errorf("after the caller's change was overwritten, slot %+v holds %s", slot, show(got))
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

// A query is not written in, although a store may want it in another order.
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
