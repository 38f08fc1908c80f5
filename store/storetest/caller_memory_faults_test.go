package storetest

import (
	"context"
	"slices"

	"github.com/incidentkit/incident"
)

func callerMemoryFaults() []fault {
	return []fault{
		{"StatesAreShared", statesAreShared, []string{"Memory/OfReadsIsTheCallers"}},
		{"ActivitiesAreShared", activitiesAreShared, []string{"Memory/OfReadsIsTheCallers"}},
		{"ListIsShared", listIsShared, []string{"Memory/OfReadsIsTheCallers"}},
		{"ResultsAreShared", resultsAreShared, []string{"Memory/OfResultsIsTheCallers"}},
		{"ReplaysAreShared", replaysAreShared, []string{"Memory/OfResultsIsTheCallers"}},
		{"ChangeIsKept", changeIsKept, []string{"Memory/OfArgumentsIsTheCallers"}},
		{"RevisionIsKept", revisionIsKept, []string{"Memory/OfArgumentsIsTheCallers"}},
		{"QueryIsSorted", queryIsSorted, []string{"Memory/OfQueriesIsLeftAlone"}},
	}
}

// versionOf identifies a state.
type versionOf struct {
	key     incident.Key
	version int64
}

// once returns the first value of a key in all later calls.
func once[K comparable, V any](r *registry[K, V], key K, value V) V {
	if first, ok := r.get(key); ok {
		return first
	}
	r.put(key, value)
	return value
}

func statesAreShared(s incident.Store) incident.Store {
	var states registry[versionOf, incident.State]
	return &broken{Store: s, load: func(ctx context.Context, key incident.Key) (incident.State, error) {
		st, err := s.Load(ctx, key)
		if err != nil {
			return st, err
		}
		return once(&states, versionOf{key, st.Incident.Version}, st), nil
	}}
}

// activitiesAreShared returns pointers to its own memory.
func activitiesAreShared(s incident.Store) incident.Store {
	var all registry[versionOf, incident.Activity]
	return &broken{Store: s, activity: func(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
		a, err := s.Activity(ctx, key, sequence)
		if err != nil {
			return a, err
		}
		return once(&all, versionOf{key, sequence<<32 + a.Revision}, a), nil
	}, activities: func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
		page, err := s.Activities(ctx, key, q)
		for i, a := range page.Activities {
			page.Activities[i] = once(&all, versionOf{key, a.Sequence<<32 + a.Revision}, a)
		}
		return page, err
	}}
}

func listIsShared(s incident.Store) incident.Store {
	var all registry[versionOf, incident.Incident]
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		page, err := s.Incidents(ctx, q)
		for i, inc := range page {
			page[i] = once(&all, versionOf{inc.Key(), inc.Version}, inc)
		}
		return page, err
	}, load: func(ctx context.Context, key incident.Key) (incident.State, error) {
		st, err := s.Load(ctx, key)
		if listed, ok := all.get(versionOf{key, st.Incident.Version}); ok {
			st.Incident = listed
		}
		return st, err
	}}
}

// resultsAreShared reads from the memory that Apply returned.
func resultsAreShared(s incident.Store) incident.Store {
	var applied registry[versionOf, incident.Incident]
	return &broken{
		Store: s,
		apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			a, err := s.Apply(ctx, c)
			if err == nil && c.Incident != nil {
				applied.put(versionOf{a.Incident.Key(), a.Incident.Version}, a.Incident)
			}
			return a, err
		},
		load: func(ctx context.Context, key incident.Key) (incident.State, error) {
			st, err := s.Load(ctx, key)
			if inc, ok := applied.get(versionOf{key, st.Incident.Version}); ok {
				st.Incident = inc
			}
			return st, err
		},
	}
}

// replaysAreShared reads from the memory that a replay returned.
func replaysAreShared(s incident.Store) incident.Store {
	var replayed registry[versionOf, incident.Activity]
	return &broken{
		Store: s,
		apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			applied, err := s.Apply(ctx, c)
			if a := applied.Activity; a != nil {
				replayed.put(versionOf{a.Incident, a.Sequence<<32 + a.Revision}, *a)
			}
			return applied, err
		},
		activities: func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
			page, err := s.Activities(ctx, key, q)
			for i, a := range page.Activities {
				if shared, ok := replayed.get(versionOf{key, a.Sequence<<32 + a.Revision}); ok {
					page.Activities[i] = shared
				}
			}
			return page, err
		},
	}
}

// changeIsKept reads from the memory of Apply's argument.
func changeIsKept(s incident.Store) incident.Store {
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
				st.Incident.Projects, st.Incident.DateClosed = c.Incident.Projects, c.Incident.DateClosed
			}
			return st, err
		},
	}
}

func revisionIsKept(s incident.Store) incident.Store {
	var given registry[versionOf, incident.Activity]
	return &broken{
		Store: s,
		revise: func(ctx context.Context, a incident.Activity) error {
			err := s.ReviseActivity(ctx, a)
			if err == nil {
				given.put(versionOf{a.Incident, a.Sequence<<32 + a.Revision}, a)
			}
			return err
		},
		activities: func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
			page, err := s.Activities(ctx, key, q)
			for i, a := range page.Activities {
				if kept, ok := given.get(versionOf{key, a.Sequence<<32 + a.Revision}); ok {
					page.Activities[i].DateEdited, page.Activities[i].DateDeleted = kept.DateEdited, kept.DateDeleted
				}
			}
			return page, err
		},
	}
}

func queryIsSorted(s incident.Store) incident.Store {
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		slices.Reverse(q.Statuses)
		return s.Incidents(ctx, q)
	}}
}
