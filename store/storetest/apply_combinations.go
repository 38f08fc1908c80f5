package storetest

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// parts is a set of optional parts of a change.
type parts int

func (p parts) has(n int) bool { return p>>n&1 == 1 }

// A creation is written whole, with any combination of an alert rule, labels and a response, triggers,
// a DetectionUUID, a third activity, a subscription and an expected slot.
func applyWritesEachCombinationOfACreation(t *trial, s incident.Store) {
	for p := range parts(1 << 7) {
		inc := draft(acme)
		project := incident.ProjectID(fmt.Sprint("project ", p))
		if inc.Projects = []incident.ProjectID{project}; p.has(0) {
			inc = ruled(acme, project)
		}
		if p.has(1) {
			inc.Labels, inc.Annotations = map[string]string{"parts": fmt.Sprint(p)}, map[string]string{"team": "shop"}
			inc.Response = acknowledged(ada, bob, minute(9))
		}
		if p.has(2) {
			inc.DetectionUUID = uuid.New()
		}
		c := creation(inc)
		if p.has(3) {
			c = creation(inc, firing(critical), firing(warning))
		}
		if p.has(4) {
			a := activity(c.Key, incident.ActivityTypeStatusChange)
			a.TriggerID, a.Value = critical, incident.StatusOpen
			c.Activities = append(c.Activities, a)
		}
		if p.has(5) {
			c.Subscriptions = []incident.Subscription{{Incident: c.Key, UserID: ada, DateAdded: t0}}
		}
		if p.has(6) && p.has(0) {
			c = expecting(c, slotOf(acme, project), 0)
		}
		wantWritten(t, s, fmt.Sprint("a creation with the parts ", int(p)), incident.State{}, c)
	}
}

// A change is written whole, with any combination of labels, a response and a start, other projects,
// triggers, an activity, a subscription and the end of the incident.
func applyWritesEachCombinationOfAChange(t *trial, s incident.Store) {
	for p := range parts(1 << 7) {
		first, second := incident.ProjectID(fmt.Sprint("project ", p)), incident.ProjectID(fmt.Sprint("other of ", p))
		inc := ruled(acme, first)
		inc.Labels = map[string]string{"parts": fmt.Sprint(p), "team": fmt.Sprint(p)}
		before := mustCreate(t, s, inc, firing(critical))
		after := incident.State{Incident: before.Incident.Clone(), Triggers: before.Triggers}
		after.Incident.Title = fmt.Sprint("changed by ", p)
		if p.has(0) {
			after.Incident.Labels = map[string]string{"team": fmt.Sprint(p, " and more"), "env": fmt.Sprint(p)}
		}
		if p.has(1) {
			after.Incident.Response, after.Incident.DateStarted = acknowledged(ada, bob, minute(9)), minute(int(p))
		}
		if p.has(2) {
			after.Incident.Projects = []incident.ProjectID{second}
		}
		if p.has(3) {
			after.Triggers = []incident.Trigger{firing(warning)}
		}
		if p.has(6) {
			after.Incident.Status, after.Incident.DateClosed = incident.StatusClosed, new(minute(1000))
		}
		c := update(before, after)
		if p.has(4) {
			c.Activities = []incident.Activity{activity(c.Key, incident.ActivityTypeEdited)}
			c.Activities[0].Field = fmt.Sprint("parts ", p)
		}
		if p.has(5) {
			c.Subscriptions = []incident.Subscription{{Incident: c.Key, UserID: eve, DateAdded: t0}}
		}
		if len(c.Claim) > 0 && p.has(1) {
			c = expecting(c, c.Claim[0], 0)
		}
		wantWritten(t, s, fmt.Sprint("a change with the parts ", int(p)), before, c)
	}
}

// wantWritten applies a change, and checks that all of its parts are stored.
func wantWritten(t *trial, s incident.Store, name string, before incident.State, c incident.Change) {
	t.Helper()
	applied := mustApply(t, s, c)
	want := incident.State{Incident: c.Incident.Clone()}
	want.Incident.Identifier = applied.Incident.Identifier
	key := want.Incident.Key()
	want.Triggers = mergeTriggers(before.Triggers, cloneChange(c).Triggers)
	for i := range want.Triggers {
		want.Triggers[i].Incident = key
	}
	wantEqual(t, "the incident that Apply returned for "+name, applied.Incident, want.Incident)
	wantEqual(t, "the state after "+name, mustLoad(t, s, key), want)
	if n := len(c.Activities); n > 0 {
		q := incident.ActivityQuery{After: applied.Sequence - 1, Limit: everything}
		wantEqual(t, "the activities of "+name, mustActivities(t, s, key, q), numbered(c, key, applied.Sequence))
	}
	subs := cloneChange(c).Subscriptions
	for i := range subs {
		subs[i].Incident = key
	}
	wantEqual(t, "the subscribers after "+name, mustSubscribers(t, s, key), subs)
	for _, slot := range c.Claim {
		wantHeld(t, s, slot, 1, want)
	}
	for _, slot := range c.Release {
		wantFree(t, s, slot, 2, &want)
	}
	if len(want.Incident.Labels) > 0 {
		wantListedOnce(t, s, want.Incident)
	}
	for _, label := range c.RemoveLabels {
		q := incident.IncidentQuery{OrganizationID: acme, Labels: []incident.Label{label}, Limit: everything}
		wantEqual(t, "the incidents with a label that is removed by "+name, mustIncidents(t, s, q), []incident.Incident(nil))
	}
	q := incident.IncidentQuery{OrganizationID: acme, Projects: want.Incident.Projects, Limit: everything}
	wantEqual(t, "the incidents of the project after "+name, mustIncidents(t, s, q), []incident.Incident{want.Incident})
}
