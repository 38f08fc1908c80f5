package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// texts are titles and comments that a storage may misread.
func texts() []string {
	return []string{
		`it's "quoted" and ` + "`quoted`",
		`100% of a_b\c \\ \n \x00 %s %d`,
		"two\nlines,\ta tab and \n",
		"🔥 👩‍👩‍👧‍👦 🇺🇳",
		"caf\u00e9 is not cafe\u0301, nor \u212B \u00C5",
		"שלום \u202Eعالم\u202C",
		" blanks around \u00a0\u3000",
		"'; DROP TABLE incident; -- /* */ # ",
		"$1 ?1 ? :name @p ${x} {{.}} <b>&amp;</b>",
		"NULL", "null", "0", "-1", "true", "1e3", "0x1F", "{}", "[1]",
		"\ufeffbom \ufffd \U0010fffd",
	}
}

// Every field of a state is returned as it was written.
func roundTripKeepsEveryField(t *trial, s incident.Store) {
	for i, text := range texts() {
		inc := incident.Incident{
			OrganizationID: acme,
			Title:          text,
			Type:           incident.TypeAlertTriggered,
			Status:         incident.StatusClosed,
			StatusMethod:   incident.StatusMethodRuleUpdated,
			AlertRuleID:    incident.AlertRuleID("rule of " + fmt.Sprint(i)),
			QueryID:        incident.QueryID("query of " + fmt.Sprint(i)),
			DetectionUUID:  uuid.New(),
			Projects:       []incident.ProjectID{api, db},
			DateStarted:    at(1 * time.Microsecond),
			DateDetected:   at(20 * time.Microsecond),
			DateAdded:      at(300 * time.Microsecond),
			DateClosed:     new(at(4000 * time.Microsecond)),
		}
		trigger := incident.Trigger{
			TriggerID:    "of every field",
			Status:       incident.TriggerStatusResolved,
			Severity:     incident.StatusWarning,
			DateAdded:    at(7 * time.Microsecond),
			DateModified: at(80 * time.Microsecond),
		}
		got := mustCreate(t, s, inc, trigger)
		inc.Identifier, inc.Version = int64(i+1), 1
		trigger.Incident = inc.Key()
		want := incident.State{Incident: inc, Triggers: []incident.Trigger{trigger}}
		wantEqual(t, "the state", got, want)
	}
}

// A change replaces every field of the row, with the version.
func roundTripKeepsEveryFieldOfAChange(t *trial, s incident.Store) {
	before := mustCreate(t, s, ruled(acme, api))
	after := before
	after.Incident.Title = "Другое"
	after.Incident.Type = incident.TypeDetected
	after.Incident.Status = incident.StatusClosed
	after.Incident.StatusMethod = incident.StatusMethodRuleUpdated
	after.Incident.AlertRuleID, after.Incident.QueryID = "", ""
	after.Incident.Projects = []incident.ProjectID{web}
	after.Incident.DateStarted = at(time.Microsecond)
	after.Incident.DateDetected = at(20 * time.Microsecond)
	after.Incident.DateAdded = at(300 * time.Microsecond)
	after.Incident.DateClosed = new(at(4000 * time.Microsecond))
	c := update(before, after)
	wantEqual(t, "the row", mustChange(t, s, c).Incident, *c.Incident)
}

func roundTripKeepsActivities(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	for i, text := range texts() {
		want := incident.Activity{
			Incident:         key,
			Type:             incident.ActivityTypeStatusChange,
			UserID:           bob,
			Value:            incident.StatusCritical,
			PreviousValue:    incident.StatusWarning,
			Comment:          text,
			NotificationUUID: uuid.New(),
			DateAdded:        at(time.Duration(i) * time.Microsecond),
		}
		applied := mustApply(t, s, incident.Change{Key: key, Activities: []incident.Activity{want}})
		want.Sequence = int64(i + 3)
		wantEqual(t, "the sequence", applied.Sequence, want.Sequence)
		wantEqual(t, "the stored activity", mustActivity(t, s, key, want.Sequence), want)

		want.Comment += text
		want.DateEdited, want.DateDeleted = new(at(9*time.Microsecond)), new(at(10*time.Microsecond))
		want.Revision = 1
		mustRevise(t, s, want)
		wantEqual(t, "the revised activity", mustActivity(t, s, key, want.Sequence), want)
	}
}

// Times from 1970 to 9999 are kept to the microsecond.
func roundTripKeepsTimes(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	for _, when := range []time.Time{
		time.Date(1970, time.January, 1, 0, 0, 0, 0, time.UTC),
		time.Date(1970, time.January, 1, 0, 0, 0, 1000, time.UTC),
		time.Date(2000, time.February, 29, 12, 0, 0, 999999000, time.UTC),
		time.Date(2024, time.March, 31, 1, 30, 0, 123457000, time.UTC),
		time.Date(2038, time.January, 19, 3, 14, 8, 1000, time.UTC),
		time.Date(2262, time.April, 11, 23, 47, 16, 854776000, time.UTC),
		time.Date(9999, time.December, 31, 23, 59, 59, 999999000, time.UTC),
	} {
		inc := draft(acme)
		inc.Status = incident.StatusClosed
		inc.DateStarted, inc.DateDetected, inc.DateAdded, inc.DateClosed = when, when, when, new(when)
		trigger := firing(critical)
		trigger.DateAdded, trigger.DateModified = when, when
		st := mustCreate(t, s, inc, trigger)
		inc.Identifier, inc.Version = st.Incident.Identifier, 1
		trigger.Incident = inc.Key()
		want := incident.State{Incident: inc, Triggers: []incident.Trigger{trigger}}
		wantEqual(t, "the state", st, want)
		q := incident.IncidentQuery{OrganizationID: acme, Start: when, End: when, Limit: everything}
		wantFound(t, s, q, st.Incident)

		user := incident.UserID(when.Format(time.RFC3339Nano))
		sub := incident.Subscription{Incident: key, UserID: user, DateAdded: when}
		wantEqual(t, "the subscription", mustSubscribe(t, s, sub), sub)
		seen := incident.Seen{Incident: key, UserID: user, LastSeen: when}
		wantEqual(t, "the view", mustMarkSeen(t, s, seen), seen)
	}
}

// wantFound checks that a query returns an incident.
func wantFound(t *trial, s incident.Store, q incident.IncidentQuery, want incident.Incident) {
	t.Helper()
	got := mustIncidents(t, s, q)
	if !slices.ContainsFunc(got, func(inc incident.Incident) bool { return equal(inc, want) }) {
		t.Errorf("Incidents(%s) = %s, want %s among them", show(q), show(got), show(want))
	}
}

// The longest title, comment and identifiers are kept, and the largest numbers of
// projects and subscriptions.
func roundTripKeepsTheLongest(t *trial, s incident.Store) {
	longest := strings.Repeat("🔥", 63) + "abc" // 255 bytes
	inc := draft(incident.OrganizationID(longest))
	inc.Title = strings.Repeat("🔥", 1000)
	inc.AlertRuleID, inc.QueryID = incident.AlertRuleID(longest), incident.QueryID(longest)
	inc.Projects = []incident.ProjectID{incident.ProjectID(longest)}
	for i := range incident.MaxProjects - 1 {
		inc.Projects = append(inc.Projects, incident.ProjectID(longest[:252]+fmt.Sprintf("%03d", i)))
	}
	slices.Sort(inc.Projects)
	trigger := firing(incident.TriggerID(longest))
	st := mustCreate(t, s, inc, trigger)
	inc.Identifier, inc.Version = 1, 1
	trigger.Incident = inc.Key()
	wantEqual(t, "the state", st, incident.State{Incident: inc, Triggers: []incident.Trigger{trigger}})
	for _, slot := range slotsOf(inc) {
		wantSlot(t, s, slot, 1, &st)
	}

	c := comment(inc.Key(), strings.Repeat("🔥", 16384)) // 65,536 bytes
	c.Subscriptions = nil
	for i := range 1000 {
		user := incident.UserID(longest[:248] + fmt.Sprintf("%07d", i)) // cut between characters
		c.Subscriptions = append(c.Subscriptions, incident.Subscription{Incident: inc.Key(), UserID: user, DateAdded: t0})
	}
	want := c.Activities[0]
	want.Sequence = 3
	mustApply(t, s, c)
	wantEqual(t, "the comment", mustActivity(t, s, inc.Key(), 3), want)
	wantEqual(t, "the subscribers", mustSubscribers(t, s, inc.Key()), c.Subscriptions)
}

// MaxTriggers triggers can be written and changed in a single call.
func roundTripKeepsTheMostTriggers(t *trial, s incident.Store) {
	var triggers []incident.Trigger
	for i := range incident.MaxTriggers {
		triggers = append(triggers, firing(incident.TriggerID(fmt.Sprintf("trigger %03d", i))))
		triggers[i].Incident = incident.Key{OrganizationID: acme, Identifier: 1}
	}
	st := mustCreate(t, s, ruled(acme, api), triggers...)
	wantEqual(t, "the triggers", st.Triggers, triggers)
	after := st
	after.Triggers = slices.Clone(triggers)
	for i := range after.Triggers {
		after.Triggers[i].Status = incident.TriggerStatusResolved
	}
	st = mustChange(t, s, update(st, after))
	wantEqual(t, "the triggers after all were resolved", st.Triggers, after.Triggers)
}
