package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// names are identifiers that differ as bytes. Many are equal after folding, trimming or
// normalizing.
func names() []string {
	return []string{
		"acme", "Acme", "ACME", "acme ", " acme", "acme\u00a0", "acme%", "a_me", "a*e", "ac'me", `ac"me`, `ac\me`,
		"caf\u00e9", "cafe\u0301", "cafe", "stra\u00dfe", "strasse", "\u212Aelvin", "kelvin",
		"i", "\u0131", "\u0130", "I", "0", "00", "0.0", "-0", "1", "01", "1.0", "1e0", "a/b", "a,b", "a#1", "a\u200bb", "ab",
		"null", "NULL", "🔥", strings.Repeat("n", 255), strings.Repeat("n", 254) + "N", strings.Repeat("é", 127),
	}
}

// Organizations are compared byte for byte.
func namesOfOrganizationsAreBytes(t *trial, s incident.Store) {
	for i, name := range names() {
		inc := ruled(incident.OrganizationID(name), api)
		inc.Title = fmt.Sprintf("of %+q", name)
		st := mustCreate(t, s, inc)
		if st.Incident.Identifier != 1 || st.Incident.Title != inc.Title {
			t.Errorf("the first incident of %+q is %s", name, show(st.Incident))
		}
		for _, other := range names()[i+1:] {
			key := incident.Key{OrganizationID: incident.OrganizationID(other), Identifier: 1}
			_, err := s.Load(t.Context(), key)
			wantError(t, fmt.Sprintf("Load() of %+q after %+q was made", other, name), err, incident.ErrNotFound)
		}
		q := incident.IncidentQuery{OrganizationID: inc.OrganizationID, Limit: everything}
		wantEqual(t, "the incidents", mustIncidents(t, s, q), []incident.Incident{st.Incident})
		wantSlot(t, s, slotOf(inc.OrganizationID, api), 1, &st)
	}
}

// Users are compared byte for byte, and ordered by their bytes.
func namesOfUsersAreBytes(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	var subs []incident.Subscription
	var seen []incident.Seen
	for i, name := range names() {
		user, when := incident.UserID(name), at(time.Duration(i)*time.Second)
		if d := mustLoadDetails(t, s, key, user); d.IsSubscribed || d.HasSeen {
			t.Errorf("LoadDetails() of %+q returns another user's data", name)
		}
		subs = append(subs, mustSubscribe(t, s, incident.Subscription{Incident: key, UserID: user, DateAdded: when}))
		seen = append(seen, mustMarkSeen(t, s, incident.Seen{Incident: key, UserID: user, LastSeen: t0}))
		if subs[i].DateAdded != when {
			t.Errorf("Subscribe() of %+q returns another user's subscription", name)
		}
	}
	slices.SortFunc(subs, func(a, b incident.Subscription) int { return strings.Compare(string(a.UserID), string(b.UserID)) })
	slices.SortFunc(seen, func(a, b incident.Seen) int { return strings.Compare(string(a.UserID), string(b.UserID)) })
	wantEqual(t, "the subscribers", mustSubscribers(t, s, key), subs)
	wantEqual(t, "SeenBy()", mustSeenBy(t, s, key), seen)
	for i, sub := range subs {
		mustUnsubscribe(t, s, key, sub.UserID)
		wantEqual(t, "the remaining subscribers", mustSubscribers(t, s, key), subs[i+1:])
	}
}

// The projects and triggers of an incident are compared byte for byte.
func namesWithinAnIncidentAreBytes(t *trial, s incident.Store) {
	inc := ruled(acme)
	var triggers []incident.Trigger
	for _, name := range names() {
		inc.Projects = append(inc.Projects, incident.ProjectID(name))
		triggers = append(triggers, firing(incident.TriggerID(name)))
	}
	slices.Sort(inc.Projects)
	slices.SortFunc(triggers, func(a, b incident.Trigger) int {
		return strings.Compare(string(a.TriggerID), string(b.TriggerID))
	})
	st := mustCreate(t, s, inc, triggers...)
	wantEqual(t, "the projects", st.Incident.Projects, inc.Projects)
	for i := range triggers {
		triggers[i].Incident = st.Incident.Key()
	}
	wantEqual(t, "the triggers", st.Triggers, triggers)
	for _, p := range inc.Projects {
		st = mustChange(t, s, reprojecting(st, without(st.Incident.Projects, []incident.ProjectID{p})...))
		wantSlot(t, s, slotOf(acme, p), 2, nil)
		q := incident.IncidentQuery{OrganizationID: acme, Projects: []incident.ProjectID{p}, Limit: everything}
		if got := mustIncidents(t, s, q); len(got) != 0 {
			t.Errorf("Incidents() with the unlinked project %+q returns the incident", p)
		}
	}
}

// Alert rules and queries are compared byte for byte, in slots and in lists.
func namesOfRulesAndQueriesAreBytes(t *trial, s incident.Store) {
	for _, name := range names() {
		byRule, byQuery := ruled(acme, api), ruled(acme, api)
		byRule.AlertRuleID, byQuery.QueryID = incident.AlertRuleID(name), incident.QueryID(name)
		st := mustCreate(t, s, byRule)
		wantSlot(t, s, slotsOf(byRule)[0], 1, &st)
		q := incident.IncidentQuery{OrganizationID: acme, AlertRuleID: byRule.AlertRuleID, Limit: everything}
		wantEqual(t, "the incidents of a rule", mustIncidents(t, s, q), []incident.Incident{st.Incident})
		st = mustCreate(t, s, byQuery)
		wantSlot(t, s, slotsOf(byQuery)[0], 1, &st)
	}
}
