package storetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/incidentkit/incident"
)

func labelFaults() []fault {
	byLabels := "Incidents/FilteredByLabels"
	literal := []string{"Incidents/FilteredByLiteralLabels"}
	others := []string{"Incidents/WithLabelsMeetOtherConditions", "Incidents/WithLabelsMeetAllConditions", "Incidents/WithLabelsArePagedFromBothEnds"}
	list := []fault{
		{"LabelsIgnored", labelsMatch(func(incident.Incident, []incident.Label) bool { return true }), append([]string{
			byLabels, "Incidents/FollowLabels", "Incidents/WithLabelsArePagedFromAnyPosition",
		}, append(others, literal...)...)},
		{"AnyLabelWanted", labelsMatch(anyLabelWanted), append([]string{byLabels}, others...)},
		{"FirstLabelOnly", labelsMatch(func(inc incident.Incident, labels []incident.Label) bool { return hasLabels(inc, labels[:1]) }), []string{
			byLabels, "Incidents/WithLabelsArePagedFromBothEnds", "RoundTrip/KeepsTheLongestLabels", "Incidents/FollowLabels",
		}},
		{"LabelsByName", labelsMatch(labelsByName), append([]string{byLabels, "Incidents/FollowLabels"}, literal...)},
		{"LabelsInAnyCase", labelsMatchAs(strings.ToLower), append([]string{byLabels}, literal...)},
		{"LabelsAreTrimmed", labelsMatchAs(strings.TrimSpace), literal},
		{"LabelsAreComposed", labelsMatchAs(composed), literal},
		{"LabelsByPrefix", labelsMatchAs(func(s string) string { return s[:min(len(s), 2712)] }), []string{"RoundTrip/KeepsTheLongestLabels"}},
		{"AnnotationsAreLabels", labelsMatch(annotationsAreLabels), literal},
		{"LabelsInsteadOfProjects", instead(func(q *incident.IncidentQuery) { q.Projects = nil }), others},
		{"LabelsInsteadOfAccess", instead(func(q *incident.IncidentQuery) { q.Access = nil }), others},
		{"LabelsInsteadOfStatuses", instead(func(q *incident.IncidentQuery) { q.Statuses = nil }), others[:2]},
		{"LabelsInsteadOfTheRule", instead(func(q *incident.IncidentQuery) { q.AlertRuleID = "" }), others[:1]},
		{"LabelsInsteadOfTheTitle", instead(func(q *incident.IncidentQuery) { q.Title = "" }), others[:1]},
		{"LabelsInsteadOfTheWindow", instead(func(q *incident.IncidentQuery) { anyTime(q) }), others[:1]},
		{"LabelTiesAreSkipped", withLabels(tiesAreSkipped), []string{
			"Incidents/WithLabelsArePagedFromBothEnds", "Incidents/WithLabelsArePagedFromAnyPosition",
		}},
		{"LabelTiesAreRepeated", withLabels(tiesAreRepeated), []string{
			"Incidents/WithLabelsArePagedFromBothEnds", "Incidents/WithLabelsArePagedFromAnyPosition",
		}},
		{"OnceALabel", onceALabel, []string{"Incidents/WithLabelsArePagedFromBothEnds", byLabels}},
		{"RemovedLabelsStay", removedLabelsStay, []string{"Incidents/FollowLabels", "InTx/UndoesOperations"}},
		{"LabelListIsTwoReads", labelListIsTwoReads, []string{"Incidents/FollowLabelsUnderConcurrency"}},
		{"LabelsOfTheFirstVersion", labelsOfTheFirstVersion, []string{"Incidents/FollowLabels"}},
		{"LabelsOfFailures", labelsOfFailures, []string{"Incidents/FollowLabels"}},
		{"LabelsOfOneOrganization", labelsOfOneOrganization, []string{"Isolation/OfOperations"}},
		{"LabelsOfAllOrganizations", labelsOfAllOrganizations, []string{"Isolation/OfOperations", "Incidents/FilteredByLabels"}},
	}
	for _, separator := range []string{"", "=", ":", "\u2400", `","`, `\0`} {
		list = append(list, fault{"LabelsAreJoinedBy:" + separator, labelsAreJoinedBy(separator), literal})
	}
	return list
}

// labelsMatch replaces the condition on labels.
func labelsMatch(match func(inc incident.Incident, labels []incident.Label) bool) func(s incident.Store) incident.Store {
	widen := func(q *incident.IncidentQuery) { q.Labels = nil }
	return func(s incident.Store) incident.Store {
		return relisted(s, widen, func(inc incident.Incident, q incident.IncidentQuery) bool {
			return len(q.Labels) == 0 || match(inc, q.Labels)
		})
	}
}

func anyLabelWanted(inc incident.Incident, labels []incident.Label) bool {
	return slices.ContainsFunc(labels, func(l incident.Label) bool { return hasLabels(inc, []incident.Label{l}) })
}

func labelsByName(inc incident.Incident, labels []incident.Label) bool {
	return !slices.ContainsFunc(labels, func(l incident.Label) bool { _, found := inc.Labels[l.Name]; return !found })
}

// labelsMatchAs takes names and values that are the same after folding for equal.
func labelsMatchAs(same func(string) string) func(s incident.Store) incident.Store {
	return labelsMatch(func(inc incident.Incident, labels []incident.Label) bool {
		return !slices.ContainsFunc(labels, func(l incident.Label) bool {
			for name, value := range inc.Labels {
				if same(name) == same(l.Name) && same(value) == same(l.Value) {
					return false
				}
			}
			return true
		})
	})
}

func labelsAreJoinedBy(separator string) func(s incident.Store) incident.Store {
	return labelsMatch(func(inc incident.Incident, labels []incident.Label) bool {
		return !slices.ContainsFunc(labels, func(l incident.Label) bool {
			for name, value := range inc.Labels {
				if name+separator+value == l.Name+separator+l.Value {
					return false
				}
			}
			return true
		})
	})
}

func annotationsAreLabels(inc incident.Incident, labels []incident.Label) bool {
	return hasLabels(inc, labels) || hasLabels(incident.Incident{Labels: inc.Annotations}, labels)
}

// instead leaves out another condition of a query with labels.
func instead(of func(q *incident.IncidentQuery)) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
			if len(q.Labels) > 0 {
				of(&q)
			}
			return s.Incidents(ctx, q)
		}}
	}
}

// withLabels plants a fault that only queries with labels meet.
func withLabels(plant func(s incident.Store) incident.Store) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		faulty := plant(s)
		return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
			if len(q.Labels) > 0 {
				return faulty.Incidents(ctx, q)
			}
			return s.Incidents(ctx, q)
		}}
	}
}

// onceALabel returns an incident for each label asked for.
func onceALabel(s incident.Store) incident.Store {
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		page, err := s.Incidents(ctx, q)
		var rows []incident.Incident
		for _, inc := range page {
			for range max(1, len(q.Labels)) {
				rows = append(rows, inc)
			}
		}
		return rows[:min(len(rows), q.Limit)], err
	}}
}

// indexedLabels lists incidents by labels that update keeps, given those before. Each store has an
// index of its own, which its transactions do not undo.
func indexedLabels(
	s incident.Store, update func(before map[incident.Label]bool, c incident.Change, err error) map[incident.Label]bool,
) incident.Store {
	var index registry[incident.Key, map[incident.Label]bool]
	var wrap func(s incident.Store) incident.Store
	wrap = func(s incident.Store) incident.Store {
		listed := labelsMatch(func(inc incident.Incident, labels []incident.Label) bool {
			entries, _ := index.get(inc.Key())
			return !slices.ContainsFunc(labels, func(l incident.Label) bool { return !entries[l] })
		})(s)
		return &broken{
			Store: s,
			apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
				c = cloneChange(c)
				applied, err := s.Apply(ctx, c)
				if key := cmp.Or(applied.Incident.Key(), c.Key); c.Incident != nil && !applied.Replayed {
					before, _ := index.get(key)
					index.put(key, update(before, c, err))
				}
				return applied, err
			},
			incidents: listed.Incidents,
			inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
				return s.InTx(ctx, func(tx incident.Store) error { return fn(wrap(tx)) })
			},
		}
	}
	return wrap(s)
}

func with(entries map[incident.Label]bool, labels []incident.Label, present bool) map[incident.Label]bool {
	after := map[incident.Label]bool{}
	for l := range entries {
		after[l] = true
	}
	for _, l := range labels {
		if after[l] = present; !present {
			delete(after, l)
		}
	}
	return after
}

func removedLabelsStay(s incident.Store) incident.Store {
	return indexedLabels(s, func(before map[incident.Label]bool, c incident.Change, err error) map[incident.Label]bool {
		if err != nil {
			return before
		}
		return with(before, c.AddLabels, true)
	})
}

func labelsOfTheFirstVersion(s incident.Store) incident.Store {
	return indexedLabels(s, func(before map[incident.Label]bool, c incident.Change, err error) map[incident.Label]bool {
		if err != nil || before != nil {
			return before
		}
		return with(before, c.AddLabels, true)
	})
}

func labelsOfFailures(s incident.Store) incident.Store {
	return indexedLabels(s, func(before map[incident.Label]bool, c incident.Change, err error) map[incident.Label]bool {
		return with(with(before, c.RemoveLabels, false), c.AddLabels, true)
	})
}

// labelsOfOneOrganization lists no labels of other organizations.
func labelsOfOneOrganization(s incident.Store) incident.Store {
	return labelsMatch(func(inc incident.Incident, labels []incident.Label) bool {
		return inc.OrganizationID == acme && hasLabels(inc, labels)
	})(s)
}

// labelsOfAllOrganizations leaves the organization out of the condition on labels.
func labelsOfAllOrganizations(s incident.Store) incident.Store {
	return withLabels(organizationMissingInIncidents)(s)
}

// labelListIsTwoReads finds incidents by their labels, and reads their rows later.
func labelListIsTwoReads(s incident.Store) incident.Store {
	return withLabels(func(s incident.Store) incident.Store {
		return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
			page, err := s.Incidents(ctx, q)
			pause()
			for i, inc := range page {
				st, err2 := s.Load(ctx, inc.Key())
				page[i], err = st.Incident, errors.Join(err, err2)
			}
			return page, err
		}}
	})(s)
}
