package storetest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// exhibitLabels are the labels of the exhibits.
var exhibitLabels = []map[string]string{
	{"team": "shop", "env": "prod"},
	{"team": "shop", "env": "test"},
	{"team": "data", "env": "prod"},
	{"env": "prod"},
	{"team": "shop", "env": "prod", "tier": "1"},
	nil,
	{"team": "Shop", "env": "prod"},
	{"team": "shop", "env": "prod", "shop": "team"},
}

// byLabels returns a condition on labels, which must be in order of name.
func byLabels(want []int64, labels ...incident.Label) condition {
	return condition{fmt.Sprintf("labels %q", labels), func(q *incident.IncidentQuery) { q.Labels = labels }, want}
}

func labelConditions() []condition {
	label := func(name, value string) incident.Label { return incident.Label{Name: name, Value: value} }
	return []condition{
		byLabels([]int64{1, 2, 5, 8}, label("team", "shop")),
		byLabels([]int64{1, 5, 8}, label("env", "prod"), label("team", "shop")),
		byLabels([]int64{1, 3, 4, 5, 7, 8}, label("env", "prod")),
		byLabels([]int64{5}, label("env", "prod"), label("team", "shop"), label("tier", "1")),
		byLabels([]int64{2}, label("env", "test"), label("team", "shop")),
		byLabels([]int64{7}, label("team", "Shop")),
		byLabels(nil, label("team", "data"), label("tier", "1")), // each has an incident
		byLabels(nil, label("team", "prod")),
		byLabels(nil, label("env", "prod"), label("none", "x")),
		byLabels(nil, label("team", "sho")),
		byLabels(nil, label("tea", "mshop")),
	}
}

// Labels restrict the incidents that meet each other condition.
func incidentsWithLabelsMeetOtherConditions(t *trial, s incident.Store) {
	mustExhibit(t, s)
	others := slices.Concat(projectConditions(), accessConditions(), statusConditions(), ruleConditions(),
		titleConditions(), windowConditions(), assigneeConditions(), acknowledgedConditions())
	for _, l := range labelConditions()[:4] {
		for _, c := range others {
			wantListed(t, s, l, c)
		}
	}
}

// An incident must meet the conditions on labels, people, projects, access and status together.
func incidentsWithLabelsMeetAllConditions(t *trial, s incident.Store) {
	mustExhibit(t, s)
	wantCombined(t, s, wantListed, labelConditions(), assigneeConditions(), acknowledgedConditions(), projectConditions(),
		accessConditions(), statusConditions())
}

// Labels are compared byte for byte, name with name and value with value. Separators, quotes and
// escapes have no meaning.
func incidentsFilteredByLiteralLabels(t *trial, s incident.Store) {
	sets := hostileLabels()
	mustCreateLabelled(t, s, acme, sets)
	mustCreateLabelled(t, s, umbrella, sets)
	wantFoundByLabels(t, s, sets)
	for _, name := range names() {
		q := incident.IncidentQuery{OrganizationID: acme, Labels: []incident.Label{{Name: name, Value: "absent"}}, Limit: everything}
		if got := mustIncidents(t, s, q); len(got) != 0 {
			t.Errorf("Incidents() with the absent label %+q = %s, want none", q.Labels, show(got))
		}
	}
}

// mustCreateLabelled creates an incident for each set of labels, in the order of the sets. The
// annotations of an incident are the labels of the next.
func mustCreateLabelled(t *trial, s incident.Store, org incident.OrganizationID, sets []map[string]string) []incident.State {
	t.Helper()
	var states []incident.State
	for i, labels := range sets {
		inc := draft(org)
		inc.Labels, inc.Annotations = labels, sets[(i+1)%len(sets)]
		states = append(states, mustCreate(t, s, inc))
	}
	return states
}

// wantFoundByLabels checks the list of each label. The incident of sets[i] has the identifier
// i + 1.
func wantFoundByLabels(t *trial, s incident.Store, sets []map[string]string) {
	t.Helper()
	asked := map[incident.Label]bool{}
	for _, labels := range sets {
		for name, value := range labels {
			label := incident.Label{Name: name, Value: value}
			if asked[label] {
				continue
			}
			asked[label] = true
			var want []int64
			for i, other := range slices.Backward(sets) {
				if has, found := other[name]; found && has == value {
					want = append(want, int64(i+1))
				}
			}
			q := incident.IncidentQuery{OrganizationID: acme, Labels: []incident.Label{label}, Limit: everything}
			wantEqual(t, fmt.Sprintf("the incidents with the label %+.60q", label), identifiersOf(mustIncidents(t, s, q)), want)
		}
	}
}

// The list of a label follows each change of the label, and ignores changes that fail.
func incidentsFollowLabels(t *trial, s incident.Store) {
	mustCreate(t, s, labelled(umbrella, map[string]string{"team": "shop"}))
	st := mustCreate(t, s, labelled(acme, map[string]string{"team": "shop", "env": "prod"}))
	other := mustCreate(t, s, labelled(acme, map[string]string{"team": "data", "env": "prod"}))
	stale := st
	wantListedByLabels(t, s, st.Incident, other.Incident)
	for _, labels := range []map[string]string{
		{"team": "data", "env": "prod"},
		{"team": "data"},
		nil,
		{"team": "shop"},
		{"team": "shop", "env": "test", "tier": "1"},
		{"tier": "1"},
	} {
		st = mustChange(t, s, relabelling(st, labels))
		_, err := s.Apply(t.Context(), relabelling(stale, map[string]string{"team": "stale"}))
		wantError(t, "Apply() on an old version", err, incident.ErrVersionConflict)
		wantListedByLabels(t, s, st.Incident, other.Incident)
	}
	mustChange(t, s, retitling(st, "Newer"))
	mustComment(t, s, st.Incident.Key(), "text")
	st = mustChange(t, s, transition(mustLoad(t, s, st.Incident.Key()), incident.StatusClosed))
	wantListedByLabels(t, s, st.Incident, other.Incident)
}

// labelled returns an incident without an alert rule that affects api and db.
func labelled(org incident.OrganizationID, labels map[string]string) incident.Incident {
	inc := draft(org)
	inc.Projects, inc.Labels = []incident.ProjectID{api, db}, labels
	return inc
}

// wantListedByLabels checks the lists of single labels and of a pair, with and without projects.
func wantListedByLabels(t *trial, s incident.Store, all ...incident.Incident) {
	t.Helper()
	slices.SortFunc(all, func(a, b incident.Incident) int {
		if isAfter(a, *positionOf(b)) {
			return 1
		}
		return -1
	})
	for _, labels := range [][]incident.Label{
		{{Name: "team", Value: "shop"}},
		{{Name: "team", Value: "data"}},
		{{Name: "env", Value: "prod"}},
		{{Name: "env", Value: "test"}},
		{{Name: "tier", Value: "1"}},
		{{Name: "team", Value: "stale"}},
		{{Name: "env", Value: "prod"}, {Name: "team", Value: "data"}},
	} {
		var want []incident.Incident
		for _, inc := range all {
			if hasLabels(inc, labels) {
				want = append(want, inc)
			}
		}
		for _, projects := range [][]incident.ProjectID{nil, {api}, {api, db}} {
			q := incident.IncidentQuery{OrganizationID: acme, Labels: labels, Projects: projects, Limit: everything}
			wantEqual(t, fmt.Sprintf("the incidents of %s", show(q)), mustIncidents(t, s, q), want)
		}
	}
}

func hasLabels(inc incident.Incident, labels []incident.Label) bool {
	return !slices.ContainsFunc(labels, func(l incident.Label) bool {
		value, found := inc.Labels[l.Name]
		return !found || value != l.Value
	})
}

// From either end, pages of incidents with labels hold each match once, in order. Other conditions
// of the query do not matter.
func incidentsWithLabelsArePagedFromBothEnds(t *trial, s incident.Store) {
	shelf := mustLabelledShelf(t, s)
	red := incident.Label{Name: "color", Value: "red"}
	round := incident.Label{Name: "shape", Value: "round"}
	access := func(projects ...incident.ProjectID) *incident.ProjectAccess {
		return &incident.ProjectAccess{Projects: projects}
	}
	for _, q := range []incident.IncidentQuery{
		{Labels: []incident.Label{red}},
		{Labels: []incident.Label{red, round}},
		{Labels: []incident.Label{red}, Projects: []incident.ProjectID{api, db}},
		{Labels: []incident.Label{red}, Access: access(db, web)},
		{Labels: []incident.Label{red}, Access: access()},
		{Labels: []incident.Label{red, round}, Projects: []incident.ProjectID{api, db}, Access: access(db)},
		{Labels: []incident.Label{red}, Statuses: []incident.Status{incident.StatusOpen}, Title: "checkout"},
		{Labels: []incident.Label{red}, Start: t0, End: at(time.Hour), Projects: []incident.ProjectID{db}},
	} {
		want := slices.DeleteFunc(slices.Clone(shelf), func(inc incident.Incident) bool {
			return !hasLabels(inc, q.Labels) || len(q.Projects) > 0 && len(inc.Projects) == 0 ||
				q.Access != nil && len(q.Access.Projects) == 0 && len(inc.Projects) > 0
		})
		for _, q.Limit = range []int{1, 3, 4, everything} {
			for _, q.Reverse = range []bool{false, true} {
				q.OrganizationID = acme
				wantPages(t, s, q, want)
			}
		}
	}
}

// mustLabelledShelf creates a shelf in which every second incident is red and every third is round.
func mustLabelledShelf(t *trial, s incident.Store) []incident.Incident {
	t.Helper()
	shelf := mustShelf(t, s)
	for i, inc := range shelf {
		labels := map[string]string{"color": "blue", "shape": "round"}
		if inc.Identifier%2 == 0 {
			labels["color"] = "red"
		}
		if inc.Identifier%3 != 0 {
			delete(labels, "shape")
		}
		shelf[i] = mustChange(t, s, relabelling(incident.State{Incident: inc}, maps.Clone(labels))).Incident
		inc.OrganizationID = umbrella
		mustChange(t, s, relabelling(incident.State{Incident: inc}, labels))
	}
	return shelf
}

// A page of incidents with labels may start after any position.
func incidentsWithLabelsArePagedFromAnyPosition(t *trial, s incident.Store) {
	mustExhibit(t, s)
	for _, c := range slices.Concat(labelConditions()[:4], assigneeConditions()[:1], acknowledgedConditions()[:2]) {
		for _, started := range []int{-1, 0, 10, 15, 30} {
			for _, id := range []int64{0, 5, 99} {
				wantPageAfter(t, s, c, incident.Position{DateStarted: minute(started), Identifier: id})
			}
		}
	}
}
