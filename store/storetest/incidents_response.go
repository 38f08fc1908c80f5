package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// exhibitResponses are the responses of the exhibits.
var exhibitResponses = []*incident.Response{
	acknowledged(ada, bob, time.Time{}),
	acknowledged(ada, eve, time.Time{}),
	acknowledged("", bob, minute(25)),
	nil,
	acknowledged("Ada", "", minute(25).Add(time.Microsecond)),
	{Assignee: eve},
	acknowledged(ada, "", minute(40)),
	acknowledged("", ada, minute(24)),
}

// acknowledged returns a response with an acknowledgement. The zero until stands for no end.
func acknowledged(assignee, by incident.UserID, until time.Time) *incident.Response {
	r := &incident.Response{
		Assignee:           assignee,
		AcknowledgedBy:     by,
		DateAcknowledged:   new(minute(5)),
		AcknowledgedStatus: incident.StatusWarning,
	}
	if !until.IsZero() {
		r.AcknowledgedUntil = &until
	}
	return r
}

func assigneeConditions() []condition {
	by := func(want []int64, user incident.UserID) condition {
		return condition{fmt.Sprint("assignee ", user), func(q *incident.IncidentQuery) { q.Assignee = user }, want}
	}
	return []condition{
		by([]int64{1, 2, 7}, ada),
		by([]int64{5}, "Ada"),
		by([]int64{6}, eve),
		by(nil, bob), // acknowledged only
		by(nil, "ad"),
	}
}

// acknowledgedConditions are about the end of acknowledgements: an acknowledgement does not last
// at its end.
func acknowledgedConditions() []condition {
	by := func(want []int64, is bool, now time.Time) condition {
		set := func(q *incident.IncidentQuery) { q.Acknowledged, q.Now = &is, now }
		return condition{fmt.Sprintf("acknowledged %v at %v", is, now), set, want}
	}
	return []condition{
		by([]int64{1, 2, 5, 7}, true, minute(25)),
		by([]int64{3, 4, 6, 8}, false, minute(25)),
		by([]int64{1, 2, 3, 5, 7}, true, minute(25).Add(-time.Microsecond)),
		by([]int64{4, 6, 8}, false, minute(25).Add(-time.Microsecond)),
		by([]int64{1, 2, 7}, true, minute(25).Add(time.Microsecond)),
		by([]int64{1, 2, 3, 5, 7, 8}, true, minute(0)),
		by([]int64{1, 2}, true, minute(1<<20)),
		by([]int64{3, 4, 5, 6, 7, 8}, false, minute(1<<20)),
	}
}

// Conditions on people restrict the incidents that meet each other condition.
func incidentsOfPeopleMeetOtherConditions(t *trial, s incident.Store) {
	mustExhibit(t, s)
	others := slices.Concat(projectConditions()[:3], accessConditions()[:3], statusConditions()[:3], ruleConditions()[:2],
		titleConditions()[:2], windowConditions()[:3])
	for _, a := range slices.Concat(assigneeConditions()[:2], acknowledgedConditions()[:2]) {
		for _, c := range others {
			wantListed(t, s, a, c)
		}
	}
}

// Lists by assignee and by acknowledgement show the current response only.
func incidentsFollowResponses(t *trial, s incident.Store) {
	st := mustCreate(t, s, ruled(acme, api))
	for _, r := range []*incident.Response{
		{Assignee: ada},
		acknowledged(ada, bob, time.Time{}),
		acknowledged(bob, bob, minute(40)),
		acknowledged("", ada, minute(20)),
		{Assignee: bob},
		nil,
		acknowledged("", "", time.Time{}),
	} {
		st = mustChange(t, s, responding(st, r))
		wantListedByResponse(t, s, st.Incident)
	}
	wantListedByResponse(t, s, mustChange(t, s, transition(st, incident.StatusClosed)).Incident)
}

// wantListedByResponse checks the lists of an organization with one incident.
func wantListedByResponse(t *trial, s incident.Store, inc incident.Incident) {
	t.Helper()
	check := func(q incident.IncidentQuery, listed bool) {
		t.Helper()
		var want []incident.Incident
		if listed {
			want = append(want, inc)
		}
		q.OrganizationID, q.Limit = acme, everything
		wantEqual(t, fmt.Sprintf("the incidents for %s, after the response %s", show(q), show(inc.Response)), mustIncidents(t, s, q), want)
	}
	for _, user := range []incident.UserID{ada, bob} {
		check(incident.IncidentQuery{Assignee: user}, inc.Response != nil && inc.Response.Assignee == user)
	}
	for _, now := range []time.Time{minute(10), minute(30), minute(50)} {
		for _, is := range []bool{true, false} {
			check(incident.IncidentQuery{Acknowledged: &is, Now: now}, inc.Acknowledged(now) == is)
		}
	}
}

// Assignees are compared byte for byte.
func namesOfAssigneesAreBytes(t *trial, s incident.Store) {
	for _, name := range names() {
		inc := draft(acme)
		inc.Response = &incident.Response{Assignee: incident.UserID(name)}
		st := mustCreate(t, s, inc)
		q := incident.IncidentQuery{OrganizationID: acme, Assignee: incident.UserID(name), Limit: everything}
		wantEqual(t, fmt.Sprintf("the incidents assigned to %+q", name), mustIncidents(t, s, q), []incident.Incident{st.Incident})
	}
}
