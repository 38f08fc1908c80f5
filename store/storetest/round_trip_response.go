package storetest

import (
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// responses returns responses with each field set and not set.
func responses() []*incident.Response {
	last := time.Date(9999, time.December, 31, 23, 59, 59, 999999000, time.UTC)
	early := time.Date(1970, time.January, 1, 0, 0, 0, 1000, time.UTC)
	return []*incident.Response{
		{Assignee: ada},
		{AcknowledgedBy: bob, DateAcknowledged: new(at(7 * time.Microsecond)), AcknowledgedStatus: incident.StatusOpen},
		nil,
		{DateAcknowledged: new(early), AcknowledgedUntil: new(last), AcknowledgedStatus: incident.StatusWarning}, // by a program
		{Assignee: eve, DateAcknowledged: new(last), AcknowledgedStatus: incident.StatusCritical},
		{Assignee: bob, AcknowledgedBy: ada, DateAcknowledged: new(t0), AcknowledgedUntil: new(t0), AcknowledgedStatus: incident.StatusClosed},
	}
}

// Every field of a response is returned as it was written, and nil as nil.
func roundTripKeepsResponses(t *trial, s incident.Store) {
	for _, r := range responses() {
		inc := ruled(acme, api)
		inc.Response = r
		if r == nil || r.Assignee != ada {
			inc.DetectionUUID = uuid.New()
		}
		st := mustWrite(t, s, creation(inc, firing(critical)))
		st = mustWrite(t, s, transition(st, incident.StatusClosed))
		wantEqual(t, "the response of a closed incident", st.Incident.Response, r)
	}
	for _, name := range names() {
		inc := draft(acme)
		inc.Response = acknowledged(incident.UserID(name), incident.UserID(name + "!")[:min(len(name), 254)], minute(9))
		mustWrite(t, s, creation(inc))
	}
}

// A change replaces the whole response. Nil removes it.
func roundTripKeepsResponsesOfAChange(t *trial, s incident.Store) {
	st := mustCreate(t, s, ruled(acme, api), firing(critical))
	for _, from := range responses() {
		for _, to := range responses() {
			st = mustChange(t, s, responding(st, from))
			st = mustWrite(t, s, responding(st, to))
		}
	}
	st = mustChange(t, s, responding(st, responses()[5]))
	mustComment(t, s, st.Incident.Key(), "text")
	wantRead(t, s, st)
	mustWrite(t, s, retitling(st, "Newer"))
}

// The mark of a duplicate is kept, replaced and removed.
func roundTripKeepsDuplicates(t *trial, s incident.Store) {
	inc := ruled(acme, api)
	inc.DuplicateOf = 7
	st := mustWrite(t, s, creation(inc))
	other := draft(acme)
	other.DuplicateOf, other.DetectionUUID = 1, uuid.New()
	mustWrite(t, s, creation(other))
	for _, original := range []int64{0, 1, math.MaxInt64, 1 << 32, 0} {
		after := st
		after.Incident.DuplicateOf = original
		st = mustWrite(t, s, update(st, after))
	}
}

// operationActivities returns activities of all types from Acknowledged on. The first have a
// single field each.
func operationActivities(key incident.Key) []incident.Activity {
	all := []incident.Activity{
		{TriggerID: critical},
		{Field: "labels.team"},
		{Old: "before"},
		{New: "after"},
		{TriggerID: warning, Field: "title", Old: "before", New: "after", Value: incident.StatusCritical, PreviousValue: incident.StatusWarning},
		{TriggerID: incident.TriggerID(names()[len(names())-1]), Field: "annotations." + dense("name", incident.MaxIDSize)},
		{Field: "annotations.a", Old: dense("old", incident.MaxAnnotationsSize), New: dense("new", incident.MaxAnnotationsSize)},
	}
	for i, text := range texts() {
		name := names()[i]
		all = append(all, incident.Activity{
			TriggerID: incident.TriggerID(name),
			Field:     "labels." + name,
			Old:       text,
			New:       name + text,
			Comment:   text + name,
		})
	}
	for i := range all {
		all[i].Incident, all[i].NotificationUUID = key, uuid.New()
		all[i].Type = incident.ActivityTypeAcknowledged + incident.ActivityType(i%9)
		all[i].DateAdded = at(time.Duration(i) * time.Microsecond)
		if i%2 == 0 {
			all[i].UserID = bob
		}
	}
	return all
}

// The activities of all types keep their trigger and the changed field with its texts, as they
// are stored, listed, replayed and revised.
func roundTripKeepsActivitiesOfOperations(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	all := operationActivities(key)
	together := incident.Change{Key: key, Activities: all[len(all)/2:]}
	var want []incident.Activity
	for _, a := range all[:len(all)/2] {
		c := incident.Change{Key: key, Activities: []incident.Activity{a}}
		a.Sequence = mustApply(t, s, c).Sequence
		wantEqual(t, "the stored activity", mustActivity(t, s, key, a.Sequence), a)
		wantReplayed(t, mustApply(t, s, c), a)
		want = append(want, a)
	}
	want = append(want, numbered(together, key, mustApply(t, s, together).Sequence)...)
	q := incident.ActivityQuery{After: 2, Limit: everything}
	wantEqual(t, "the listed activities", mustActivities(t, s, key, q), want)
	for i := range want {
		want[i] = edited(want[i], "edited")
		mustRevise(t, s, want[i])
	}
	wantEqual(t, "the revised activities", mustActivities(t, s, key, q), want)
	c := incident.Change{Key: key, Activities: all[:1]}
	wantReplayed(t, mustApply(t, s, c), want[0])
}
