package storetest

import (
	"context"

	"github.com/incidentkit/incident"
)

func labelMemoryFaults() []fault {
	list := []fault{
		{"LabelsOfTheChangeAreKept", keptOfChanges(func(inc *incident.Incident, given incident.Change) {
			inc.Labels = given.Incident.Labels
		}), []string{"Memory/OfWrittenLabelsIsTheCallers"}},
		{"AnnotationsOfTheChangeAreKept", keptOfChanges(func(inc *incident.Incident, given incident.Change) {
			inc.Annotations = given.Incident.Annotations
		}), []string{"Memory/OfWrittenLabelsIsTheCallers"}},
		{"ResponseOfTheChangeIsKept", keptOfChanges(func(inc *incident.Incident, given incident.Change) {
			inc.Response = given.Incident.Response
		}), []string{"Memory/OfWrittenLabelsIsTheCallers"}},
		{"AddedLabelsAreKept", addedLabelsAreKept, []string{"Memory/OfWrittenLabelsIsTheCallers"}},
		{"LabelsOfQueriesAreSorted", labelsOfQueriesAreSorted, []string{"Memory/OfLabelQueriesIsLeftAlone"}},
	}
	for _, method := range []string{"Load", "LoadSlot", "LoadDetails", "Incidents", "Apply"} {
		list = append(list, fault{"LabelsAreSharedBy" + method, labelsAreShared(method), []string{"Memory/OfLabelsIsTheCallers"}})
	}
	return list
}

// keptOfChanges reads parts of incidents from the memory of Apply's argument.
func keptOfChanges(read func(inc *incident.Incident, given incident.Change)) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		var given registry[versionOf, incident.Change]
		return &broken{
			Store: s,
			apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
				applied, err := s.Apply(ctx, c)
				if err == nil && c.Incident != nil {
					given.put(versionOf{applied.Incident.Key(), applied.Incident.Version}, c)
				}
				return applied, err
			},
			load: func(ctx context.Context, key incident.Key) (incident.State, error) {
				st, err := s.Load(ctx, key)
				if c, ok := given.get(versionOf{key, st.Incident.Version}); ok {
					read(&st.Incident, c)
				}
				return st, err
			},
		}
	}
}

// addedLabelsAreKept lists incidents by the caller's AddLabels.
func addedLabelsAreKept(s incident.Store) incident.Store {
	var added registry[versionOf, []incident.Label]
	listed := labelsMatch(func(inc incident.Incident, labels []incident.Label) bool {
		own, ok := added.get(versionOf{inc.Key(), inc.Version})
		return !ok || hasLabels(inc, labels) && len(without(own, labelsOf(inc))) == 0
	})(s)
	return &broken{
		Store:     s,
		incidents: listed.Incidents,
		apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			applied, err := s.Apply(ctx, c)
			if err == nil && c.Incident != nil {
				added.put(versionOf{applied.Incident.Key(), applied.Incident.Version}, c.AddLabels)
			}
			return applied, err
		},
	}
}

func labelsOfQueriesAreSorted(s incident.Store) incident.Store {
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		page, err := s.Incidents(ctx, q)
		if len(q.Labels) > 1 {
			q.Labels[0], q.Labels[1] = q.Labels[1], q.Labels[0]
		}
		return page, err
	}}
}

// labelsAreShared returns the store's own memory from one method. Load reads the same memory.
func labelsAreShared(method string) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		var all registry[versionOf, incident.Incident]
		share := func(inc *incident.Incident) {
			if inc.Identifier == 0 {
				return
			}
			own := once(&all, versionOf{inc.Key(), inc.Version}, *inc)
			inc.Labels, inc.Annotations, inc.Response = own.Labels, own.Annotations, own.Response
		}
		b := rereading(method, share)(s).(*broken)
		loading := rereading("Load", share)(s).(*broken)
		b.load = loading.load
		return b
	}
}
