package storetest

import (
	"context"
	"errors"

	"github.com/incidentkit/incident"
)

// countsOf is the signature of CountIncidents.
type countsOf func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error)

func countFaults() []fault {
	conditions := []string{"CountIncidents/MeetsConditions"}
	all := []string{"CountIncidents/MeetsAllConditions"}
	list := []fault{
		{"CountIsUnlimited", asked(func(q *incident.IncidentQuery) { q.Limit = incident.MaxCount + 1 }), []string{"CountIncidents/IsLimitedByStatus"}},
		{"CountIsLimitedToAPage", asked(func(q *incident.IncidentQuery) { q.Limit = min(q.Limit, 6) }), []string{"CountIncidents/IsLimitedByStatus"}},
		{"CountIsLimitedInTotal", countingBy(countIsLimitedInTotal), []string{"CountIncidents/IsLimitedByStatus"}},
		{"CountStopsAtTheLimit", countingBy(countStopsAtTheLimit), []string{"CountIncidents/IsLimitedByStatus"}},
		{"CountOnceAMatch", countingBy(countOnceAMatch), []string{"CountIncidents/IsLimitedByStatus", "CountIncidents/MeetsConditions"}},
		{"CountOfThePage", countingBy(countOfThePage), []string{"CountIncidents/IgnoresThePage"}},
		{"CountOfAllOrganizations", countingBy(countOfAllOrganizations), []string{"CountIncidents/MeetsConditions", "Isolation/OfReads", "Isolation/OfOperations"}},
		{"NoCountIsNotFound", countingBy(noCountIsNotFound), []string{"CountIncidents/MayBeNone"}},
		{"CountOfUnknownFails", countingBy(countOfUnknownFails), []string{"CountIncidents/MayBeNone"}},
		{"CountIsTwoReads", countingBy(countIsTwoReads), []string{"CountIncidents/IsOneRead"}},
		{"CountOfFirstStatuses", countOfFirstStatuses, []string{"CountIncidents/FollowsChanges"}},
		{"CountFromOutsideATx", countFromOutsideATx, []string{"CountIncidents/FollowsChanges", "InTx/IsInvisibleBeforeTheCommit"}},
		{"CountsAreShared", countsAreShared, []string{"Memory/OfLabelQueriesIsLeftAlone"}},
		{"CountOfLabelsInsteadOfAccess", asked(func(q *incident.IncidentQuery) {
			if len(q.Labels) > 0 && len(q.Projects) > 0 {
				q.Access = nil
			}
		}), all},
		{"CountOfProjectsInsteadOfTheWindow", asked(func(q *incident.IncidentQuery) {
			if len(q.Statuses) > 0 && len(q.Projects) > 0 {
				anyTime(q)
			}
		}), all},
		{"CountIgnoresTheContext", countingBy(func(s incident.Store) countsOf {
			return func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
				return s.CountIncidents(context.WithoutCancel(ctx), q)
			}
		}), []string{"Context/CancelledBefore", "Context/ExpiredBefore"}},
	}
	for name, drop := range map[string]func(q *incident.IncidentQuery){
		"Labels":       func(q *incident.IncidentQuery) { q.Labels = nil },
		"Assignee":     func(q *incident.IncidentQuery) { q.Assignee = "" },
		"Acknowledged": anyResponse,
		"Projects":     func(q *incident.IncidentQuery) { q.Projects = nil },
		"Access":       anyAccess,
		"Statuses":     func(q *incident.IncidentQuery) { q.Statuses = nil },
		"AlertRule":    func(q *incident.IncidentQuery) { q.AlertRuleID = "" },
		"Title":        anyTitle,
		"Window":       anyTime,
	} {
		list = append(list, fault{"CountIgnores" + name, asked(drop), conditions})
	}
	return list
}

// countingBy replaces CountIncidents, in transactions too.
func countingBy(replace func(s incident.Store) countsOf) func(s incident.Store) incident.Store {
	var plant func(s incident.Store) incident.Store
	plant = func(s incident.Store) incident.Store {
		return &broken{Store: s, count: replace(s), inTx: withTx(s, plant).InTx}
	}
	return plant
}

// asked changes the query of CountIncidents.
func asked(alter func(q *incident.IncidentQuery)) func(s incident.Store) incident.Store {
	return countingBy(func(s incident.Store) countsOf {
		return func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
			alter(&q)
			return s.CountIncidents(ctx, q)
		}
	})
}

// countIsLimitedInTotal counts the incidents of a page.
func countIsLimitedInTotal(s incident.Store) countsOf {
	return func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
		q.After, q.Reverse = nil, false
		page, err := s.Incidents(ctx, q)
		return countOf(page), err
	}
}

func countOf(page []incident.Incident) map[incident.Status]int {
	counts := map[incident.Status]int{}
	for _, inc := range page {
		counts[inc.Status]++
	}
	return counts
}

// countStopsAtTheLimit counts until any status has reached the limit.
func countStopsAtTheLimit(s incident.Store) countsOf {
	return func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
		all, err := allOf(ctx, s, q)
		for n := range all {
			if counts := countOf(all[:n]); counts[all[n].Status] == q.Limit {
				return counts, err
			}
		}
		return countOf(all), err
	}
}

// countOnceAMatch counts an incident for each of its matching projects.
func countOnceAMatch(s incident.Store) countsOf {
	return func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
		counts, err := s.CountIncidents(ctx, q)
		wide := q
		wide.Limit = everything
		page, err2 := onceAProject(s).Incidents(ctx, wide)
		for status, n := range countOf(page) {
			counts[status] = min(n, q.Limit)
		}
		return counts, errors.Join(err, err2)
	}
}

func countOfThePage(s incident.Store) countsOf {
	return func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
		page, err := s.Incidents(ctx, q)
		return countOf(page), err
	}
}

func countOfAllOrganizations(s incident.Store) countsOf {
	return func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
		counts, err := s.CountIncidents(ctx, q)
		for _, q.OrganizationID = range theOthers(q.OrganizationID) {
			more, err2 := s.CountIncidents(ctx, q)
			for status, n := range more {
				counts[status] += n
			}
			err = errors.Join(err, err2)
		}
		return counts, err
	}
}

func noCountIsNotFound(s incident.Store) countsOf {
	return func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
		counts, err := s.CountIncidents(ctx, q)
		if err == nil && len(counts) == 0 {
			err = incident.ErrNotFound
		}
		return counts, err
	}
}

func countOfUnknownFails(s incident.Store) countsOf {
	return func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
		if _, err := s.Load(ctx, incident.Key{OrganizationID: q.OrganizationID, Identifier: 1}); err != nil {
			return nil, err
		}
		return s.CountIncidents(ctx, q)
	}
}

func countIsTwoReads(s incident.Store) countsOf {
	return func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
		first, err1 := s.CountIncidents(ctx, q)
		pause()
		second, err2 := s.CountIncidents(ctx, q)
		first[incident.StatusClosed] = second[incident.StatusClosed]
		return first, errors.Join(err1, err2)
	}
}

// countOfFirstStatuses counts incidents by the status of their creation.
func countOfFirstStatuses(s incident.Store) incident.Store {
	var statuses registry[incident.Key, incident.Status]
	return countingBy(func(s incident.Store) countsOf {
		return func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
			all, err := allOf(ctx, s, q)
			for i, inc := range all {
				all[i].Status = once(&statuses, inc.Key(), inc.Status)
			}
			return countOf(all), err
		}
	})(s)
}

// countFromOutsideATx counts as before the transaction.
func countFromOutsideATx(s incident.Store) incident.Store {
	return withTx(s, func(tx incident.Store) incident.Store {
		before, err := tx.CountIncidents(context.Background(), incident.IncidentQuery{OrganizationID: acme, Limit: everything})
		return &broken{Store: tx, count: func(context.Context, incident.IncidentQuery) (map[incident.Status]int, error) {
			return before, err
		}}
	})
}

func countsAreShared(s incident.Store) incident.Store {
	var all registry[incident.OrganizationID, map[incident.Status]int]
	return &broken{Store: s, count: func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
		counts, err := s.CountIncidents(ctx, q)
		return once(&all, q.OrganizationID, counts), err
	}}
}
