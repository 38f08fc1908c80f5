package storetest

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

func incidentsFaults() []fault {
	return []fault{
		{"TitleIsAPattern", titleIsAPattern, []string{"Incidents/FilteredByLiteralTitle"}},
		{"TitleIsFoldedAsASCII", titleIsFoldedAsASCII, []string{"Incidents/FilteredByLiteralTitle"}},
		{"TitleIsInLowerCase", titleIsInLowerCase, []string{"Incidents/FilteredByLiteralTitle"}},
		{"WindowByStartOnly", windowByStartOnly, []string{"Incidents/FilteredByWindow", "Incidents/MeetAllConditions"}},
		{"WindowExcludesItsEnds", windowExcludesItsEnds, []string{"Incidents/FilteredByWindow"}},
		{"AllProjectsWanted", allProjectsWanted, []string{"Incidents/FilteredByProjects"}},
		{"AccessIgnored", accessIgnored, []string{"Incidents/FilteredByAccess", "Incidents/MeetAllConditions"}},
		{"EmptyAccessIsOpen", emptyAccessIsOpen, []string{"Incidents/FilteredByAccess", "Incidents/WithinAccessFollowProjects"}},
		{"AccessNeedsAProject", accessNeedsAProject, []string{"Incidents/FilteredByAccess", "Incidents/WithinAccessFollowProjects"}},
		{"ProjectsInsteadOfAccess", projectsInsteadOfAccess, []string{"Incidents/OfProjectsWithinAccess"}},
		{"AccessInsteadOfProjects", accessInsteadOfProjects, []string{"Incidents/OfProjectsWithinAccess"}},
		{"AccessToTheProjectsAskedFor", accessToTheProjectsAskedFor, []string{"Incidents/OfProjectsWithinAccess"}},
		{"OnceAProject", onceAProject, []string{"Incidents/FilteredByProjects", "Incidents/AreLimited"}},
		{"OnlyTheProjectAskedFor", onlyTheProjectAskedFor, []string{"Incidents/AreWhole"}},
		{"StatusesIgnored", statusesIgnored, []string{"Incidents/FilteredByStatuses", "Incidents/MeetAllConditions"}},
		{"RuleByPrefix", ruleByPrefix, []string{"Incidents/FilteredByAlertRule"}},
		{"ListOfFirstVersions", listOfFirstVersions, []string{"Incidents/FollowChanges"}},
		{"NoneIsNotFound", noneIsNotFound, []string{"Incidents/MayBeNone"}},
		{"TiesAreSkipped", tiesAreSkipped, []string{"Incidents/ArePagedFromBothEnds", "Incidents/ArePagedFromAnyPosition"}},
		{"TiesAreRepeated", tiesAreRepeated, []string{"Incidents/ArePagedFromBothEnds", "Incidents/ArePagedFromAnyPosition"}},
		{"PagedByNumber", pagedByNumber, []string{"Incidents/ArePagedWhileOthersAreAdded"}},
		{"PlaceMustBeTaken", placeMustBeTaken, []string{"Incidents/ArePagedFromVacantPositions", "Incidents/ArePagedWithinConditions"}},
		{"LimitOfTen", limitOfTen, []string{"Incidents/AreLimited"}},
	}
}

// matcher reports whether a list contains an incident.
type matcher func(inc incident.Incident, q incident.IncidentQuery) bool

// relisted makes a list from all matches of a wider query.
func relisted(s incident.Store, widen func(q *incident.IncidentQuery), keep matcher) incident.Store {
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		wide := q
		widen(&wide)
		all, err := allOf(ctx, s, wide)
		all = slices.DeleteFunc(all, func(inc incident.Incident) bool { return !keep(inc, q) })
		return pageOf(all, q), err
	}}
}

func anyTitle(q *incident.IncidentQuery) { q.Title = "" }

func titleIsAPattern(s incident.Store) incident.Store {
	return relisted(s, anyTitle, func(inc incident.Incident, q incident.IncidentQuery) bool {
		pattern := regexp.QuoteMeta(q.Title)
		pattern = strings.NewReplacer("%", ".*", "_", ".").Replace(pattern)
		return regexp.MustCompile("(?s)" + pattern).MatchString(incident.FoldTitle(inc.Title))
	})
}

func titleIsFoldedAsASCII(s incident.Store) incident.Store {
	return relisted(s, anyTitle, func(inc incident.Incident, q incident.IncidentQuery) bool {
		folded := strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				r += 'a' - 'A'
			}
			return r
		}, inc.Title)
		return strings.Contains(folded, q.Title)
	})
}

func titleIsInLowerCase(s incident.Store) incident.Store {
	return relisted(s, anyTitle, func(inc incident.Incident, q incident.IncidentQuery) bool {
		return strings.Contains(strings.ToLower(inc.Title), q.Title)
	})
}

func anyTime(q *incident.IncidentQuery) { q.Start, q.End = time.Time{}, time.Time{} }

func windowByStartOnly(s incident.Store) incident.Store {
	return relisted(s, anyTime, func(inc incident.Incident, q incident.IncidentQuery) bool {
		return !inc.DateStarted.Before(q.Start) && (q.End.IsZero() || !inc.DateStarted.After(q.End))
	})
}

func windowExcludesItsEnds(s incident.Store) incident.Store {
	return relisted(s, anyTime, func(inc incident.Incident, q incident.IncidentQuery) bool {
		return (inc.DateClosed == nil || inc.DateClosed.After(q.Start)) && (q.End.IsZero() || inc.DateStarted.Before(q.End))
	})
}

func allProjectsWanted(s incident.Store) incident.Store {
	return relisted(s, func(*incident.IncidentQuery) {}, func(inc incident.Incident, q incident.IncidentQuery) bool {
		return len(without(q.Projects, inc.Projects)) == 0
	})
}

// accessible is a check of access.
func accessible(inc incident.Incident, access *incident.ProjectAccess) bool {
	return access == nil || len(inc.Projects) == 0 || len(without(inc.Projects, access.Projects)) < len(inc.Projects)
}

func anyAccess(q *incident.IncidentQuery) { q.Access = nil }

func accessIgnored(s incident.Store) incident.Store {
	return relisted(s, anyAccess, func(incident.Incident, incident.IncidentQuery) bool { return true })
}

// emptyAccessIsOpen takes an empty list for no list, as is right for Projects.
func emptyAccessIsOpen(s incident.Store) incident.Store {
	return relisted(s, anyAccess, func(inc incident.Incident, q incident.IncidentQuery) bool {
		return q.Access == nil || len(q.Access.Projects) == 0 || accessible(inc, q.Access)
	})
}

func accessNeedsAProject(s incident.Store) incident.Store {
	return relisted(s, anyAccess, func(inc incident.Incident, q incident.IncidentQuery) bool {
		return q.Access == nil || len(inc.Projects) > 0 && accessible(inc, q.Access)
	})
}

func projectsInsteadOfAccess(s incident.Store) incident.Store {
	return relisted(s, anyAccess, func(inc incident.Incident, q incident.IncidentQuery) bool {
		return len(q.Projects) > 0 || accessible(inc, q.Access)
	})
}

func accessInsteadOfProjects(s incident.Store) incident.Store {
	widen := func(q *incident.IncidentQuery) {
		if q.Access != nil {
			q.Projects = nil
		}
	}
	return relisted(s, widen, func(incident.Incident, incident.IncidentQuery) bool { return true })
}

// accessToTheProjectsAskedFor requires a project that is in both lists.
func accessToTheProjectsAskedFor(s incident.Store) incident.Store {
	return relisted(s, func(*incident.IncidentQuery) {}, func(inc incident.Incident, q incident.IncidentQuery) bool {
		if q.Access == nil || len(q.Projects) == 0 {
			return true
		}
		both := without(q.Projects, without(q.Projects, q.Access.Projects))
		return len(without(inc.Projects, both)) < len(inc.Projects)
	})
}

func statusesIgnored(s incident.Store) incident.Store {
	widen := func(q *incident.IncidentQuery) { q.Statuses = nil }
	return relisted(s, widen, func(incident.Incident, incident.IncidentQuery) bool { return true })
}

func ruleByPrefix(s incident.Store) incident.Store {
	widen := func(q *incident.IncidentQuery) { q.AlertRuleID = "" }
	return relisted(s, widen, func(inc incident.Incident, q incident.IncidentQuery) bool {
		return strings.HasPrefix(string(inc.AlertRuleID), string(q.AlertRuleID))
	})
}

// onceAProject returns an incident for each of its matching projects.
func onceAProject(s incident.Store) incident.Store {
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		page, err := s.Incidents(ctx, q)
		var rows []incident.Incident
		for _, inc := range page {
			for range max(1, len(q.Projects)-len(without(q.Projects, inc.Projects))) {
				rows = append(rows, inc)
			}
		}
		return rows[:min(len(rows), q.Limit)], err
	}}
}

func onlyTheProjectAskedFor(s incident.Store) incident.Store {
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		page, err := s.Incidents(ctx, q)
		for i := range page {
			if len(q.Projects) > 0 {
				page[i].Projects = without(page[i].Projects, without(page[i].Projects, q.Projects))
			}
		}
		return page, err
	}}
}

// listOfFirstVersions matches the first version of an incident.
func listOfFirstVersions(s incident.Store) incident.Store {
	var titles registry[incident.Key, string]
	return &broken{
		Store: s,
		apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			applied, err := s.Apply(ctx, c)
			if err == nil && c.Key.Identifier == 0 {
				titles.put(applied.Incident.Key(), c.Incident.Title)
			}
			return applied, err
		},
		incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
			return relisted(s, anyTitle, func(inc incident.Incident, q incident.IncidentQuery) bool {
				title, _ := titles.get(inc.Key())
				return strings.Contains(incident.FoldTitle(title), q.Title)
			}).Incidents(ctx, q)
		},
	}
}

func noneIsNotFound(s incident.Store) incident.Store {
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		page, err := s.Incidents(ctx, q)
		if err == nil && len(page) == 0 {
			err = incident.ErrNotFound
		}
		return page, err
	}}
}

// behindMoment starts a page after a time instead of a position: before the first or
// after the last incident of that time.
func behindMoment(s incident.Store, first bool) incident.Store {
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		if q.After != nil {
			moment := *q.After
			moment.Identifier = 0
			if first != q.Reverse {
				moment.Identifier = 1 << 40
			}
			q.After = &moment
		}
		return s.Incidents(ctx, q)
	}}
}

func tiesAreSkipped(s incident.Store) incident.Store { return behindMoment(s, false) }

func tiesAreRepeated(s incident.Store) incident.Store { return behindMoment(s, true) }

// pagedByNumber skips as many incidents as earlier pages returned.
func pagedByNumber(s incident.Store) incident.Store {
	offset := 0
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		if q.After == nil {
			offset = 0
		}
		all, err := allOf(ctx, s, q)
		all = all[min(offset, len(all)):]
		all = all[:min(q.Limit, len(all))]
		offset += len(all)
		return all, err
	}}
}

func placeMustBeTaken(s incident.Store) incident.Store {
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		if q.After == nil {
			return s.Incidents(ctx, q)
		}
		all, err := allOf(ctx, s, q)
		for _, inc := range all {
			if *positionOf(inc) == *q.After {
				return s.Incidents(ctx, q)
			}
		}
		return nil, err
	}}
}

func limitOfTen(s incident.Store) incident.Store {
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		q.Limit = min(q.Limit, 10)
		return s.Incidents(ctx, q)
	}}
}
