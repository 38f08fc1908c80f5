package storetest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

func peopleFaults() []fault {
	byAssignee, byAcknowledgement := "Incidents/FilteredByAssignee", "Incidents/FilteredByAcknowledgement"
	others := "Incidents/OfPeopleMeetOtherConditions"
	return []fault{
		{"AssigneeIgnored", assigneesMatch(func(*incident.Response, incident.UserID) bool { return true }), []string{
			byAssignee, others, "Incidents/FollowResponses", "Names/OfAssigneesAreBytes", "Incidents/WithLabelsMeetAllConditions",
		}},
		{"AssigneeInAnyCase", assigneesMatch(func(r *incident.Response, user incident.UserID) bool {
			return strings.EqualFold(string(r.Assignee), string(user))
		}), []string{byAssignee, "Names/OfAssigneesAreBytes"}},
		{"AssigneeIsTrimmed", assigneesMatch(func(r *incident.Response, user incident.UserID) bool {
			return strings.TrimSpace(string(r.Assignee)) == strings.TrimSpace(string(user))
		}), []string{"Names/OfAssigneesAreBytes"}},
		{"AcknowledgerIsAssigned", assigneesMatch(func(r *incident.Response, user incident.UserID) bool {
			return r.Assignee == user || r.AcknowledgedBy == user
		}), []string{byAssignee, "Incidents/FollowResponses"}},
		{"AssigneeInsteadOfProjects", peopleInsteadOfProjects, []string{others, "Incidents/WithLabelsMeetAllConditions"}},
		{"AcknowledgementIgnored", acknowledgedIs(func(inc incident.Incident, q incident.IncidentQuery) bool { return *q.Acknowledged }), []string{
			byAcknowledgement, others, "Incidents/FollowResponses", "Incidents/WithLabelsMeetAllConditions",
		}},
		{"AcknowledgementsNeverEnd", acknowledgedIs(func(inc incident.Incident, _ incident.IncidentQuery) bool {
			return inc.Response != nil && inc.Response.DateAcknowledged != nil
		}), []string{byAcknowledgement, "Incidents/FollowResponses"}},
		{"AcknowledgedAtTheEnd", acknowledgedIs(func(inc incident.Incident, q incident.IncidentQuery) bool {
			return inc.Acknowledged(q.Now.Add(-time.Microsecond))
		}), []string{byAcknowledgement}},
		{"AcknowledgedAtTheClock", acknowledgedIs(func(inc incident.Incident, _ incident.IncidentQuery) bool {
			return inc.Acknowledged(time.Now())
		}), []string{byAcknowledgement, "Incidents/FollowResponses"}},
		{"AcknowledgedByAUser", acknowledgedIs(func(inc incident.Incident, q incident.IncidentQuery) bool {
			return inc.Acknowledged(q.Now) && inc.Response.AcknowledgedBy != ""
		}), []string{byAcknowledgement, "Incidents/FollowResponses"}},
		{"AcknowledgedWhileActive", acknowledgedIs(func(inc incident.Incident, q incident.IncidentQuery) bool {
			return inc.Acknowledged(q.Now) && inc.Status.Active()
		}), []string{byAcknowledgement, "Incidents/FollowResponses"}},
		{"UnacknowledgedNeedsAResponse", unacknowledgedNeedsAResponse, []string{byAcknowledgement, "Incidents/FollowResponses"}},
		{"PeopleTiesAreSkipped", peopleTiesAreSkipped, []string{"Incidents/WithLabelsArePagedFromAnyPosition"}},
		{"ListOfFirstResponses", listOfFirstResponses, []string{"Incidents/FollowResponses"}},
	}
}

// assigneesMatch replaces the condition on the assignee.
func assigneesMatch(match func(r *incident.Response, user incident.UserID) bool) func(s incident.Store) incident.Store {
	widen := func(q *incident.IncidentQuery) { q.Assignee = "" }
	return func(s incident.Store) incident.Store {
		return relisted(s, widen, func(inc incident.Incident, q incident.IncidentQuery) bool {
			r := inc.Response
			if r == nil {
				r = &incident.Response{}
			}
			return q.Assignee == "" || match(r, q.Assignee)
		})
	}
}

func anyResponse(q *incident.IncidentQuery) { q.Acknowledged = nil }

// acknowledgedIs replaces the value that is compared with Acknowledged.
func acknowledgedIs(is func(inc incident.Incident, q incident.IncidentQuery) bool) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		return relisted(s, anyResponse, func(inc incident.Incident, q incident.IncidentQuery) bool {
			return q.Acknowledged == nil || is(inc, q) == *q.Acknowledged
		})
	}
}

// unacknowledgedNeedsAResponse compares a missing date, which is neither before nor after another.
func unacknowledgedNeedsAResponse(s incident.Store) incident.Store {
	return relisted(s, anyResponse, func(inc incident.Incident, q incident.IncidentQuery) bool {
		return q.Acknowledged == nil || inc.Response != nil && inc.Acknowledged(q.Now) == *q.Acknowledged
	})
}

func peopleInsteadOfProjects(s incident.Store) incident.Store {
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		if q.Assignee != "" {
			q.Projects = nil
		}
		return s.Incidents(ctx, q)
	}}
}

func peopleTiesAreSkipped(s incident.Store) incident.Store {
	faulty := tiesAreSkipped(s)
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		if q.Acknowledged != nil {
			return faulty.Incidents(ctx, q)
		}
		return s.Incidents(ctx, q)
	}}
}

// listOfFirstResponses matches the first response of an incident.
func listOfFirstResponses(s incident.Store) incident.Store {
	var firsts registry[incident.Key, incident.Incident]
	return acknowledgedIs(func(inc incident.Incident, q incident.IncidentQuery) bool {
		return once(&firsts, inc.Key(), inc.Clone()).Acknowledged(q.Now)
	})(s)
}

func movedFaults() []fault {
	cases := []string{"Incidents/FollowMovedStarts"}
	byProject := func(q incident.IncidentQuery) bool { return len(q.Projects) > 0 }
	byLabel := func(q incident.IncidentQuery) bool { return len(q.Labels) > 0 }
	byAccess := func(q incident.IncidentQuery) bool { return q.Access != nil }
	byAssignee := func(q incident.IncidentQuery) bool { return q.Assignee != "" }
	byRule := func(q incident.IncidentQuery) bool { return q.AlertRuleID != "" }
	return []fault{
		{"FirstStartsOfProjects", firstStarts(byProject), cases},
		{"FirstStartsOfLabels", firstStarts(byLabel), cases},
		{"FirstStartsOfAccess", firstStarts(byAccess), cases},
		{"FirstStartsOfRules", firstStarts(byRule), cases},
		{"FirstStartsOfAssignees", firstStarts(byAssignee), cases},
		{"BothStartsOfAssignees", bothStarts(byAssignee), cases},
		{"MovedOutOfAssignees", movedOut(byAssignee), cases},
		{"BothStartsOfProjects", bothStarts(byProject), cases},
		{"BothStartsOfLabels", bothStarts(byLabel), cases},
		{"BothStartsOfRules", bothStarts(byRule), cases},
		{"MovedOutOfProjects", movedOut(byProject), cases},
		{"MovedOutOfLabels", movedOut(byLabel), cases},
		{"FirstStartInWindows", firstStartInWindows, []string{"Incidents/WithinAWindowFollowMovedStarts"}},
	}
}

// startsOf remembers the first start of each incident.
type startsOf struct {
	registry[incident.Key, time.Time]
}

func (r *startsOf) of(inc incident.Incident) time.Time {
	return once(&r.registry, inc.Key(), inc.DateStarted)
}

// moving lists incidents by list, if a query is about it.
func moving(
	about func(q incident.IncidentQuery) bool,
	list func(starts *startsOf, all []incident.Incident, q incident.IncidentQuery) []incident.Incident,
) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		var starts startsOf
		return &broken{
			Store: s,
			apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
				applied, err := s.Apply(ctx, c)
				if err == nil && c.Incident != nil {
					starts.of(applied.Incident)
				}
				return applied, err
			},
			incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
				if !about(q) {
					return s.Incidents(ctx, q)
				}
				all, err := allOf(ctx, s, q)
				return list(&starts, all, q), err
			},
		}
	}
}

// firstStarts lists incidents at their first starts.
func firstStarts(about func(q incident.IncidentQuery) bool) func(s incident.Store) incident.Store {
	return moving(about, func(starts *startsOf, all []incident.Incident, q incident.IncidentQuery) []incident.Incident {
		slices.SortStableFunc(all, func(a, b incident.Incident) int { return starts.of(b).Compare(starts.of(a)) })
		return pageOf(all, q)
	})
}

// bothStarts lists a moved incident at its first start too.
func bothStarts(about func(q incident.IncidentQuery) bool) func(s incident.Store) incident.Store {
	return moving(about, func(starts *startsOf, all []incident.Incident, q incident.IncidentQuery) []incident.Incident {
		for _, inc := range slices.Clone(all) {
			if first := starts.of(inc); first != inc.DateStarted {
				inc.DateStarted = first
				all = append(all, inc)
			}
		}
		slices.SortStableFunc(all, func(a, b incident.Incident) int { return b.DateStarted.Compare(a.DateStarted) })
		return pageOf(all, q)
	})
}

// movedOut does not list a moved incident.
func movedOut(about func(q incident.IncidentQuery) bool) func(s incident.Store) incident.Store {
	return moving(about, func(starts *startsOf, all []incident.Incident, q incident.IncidentQuery) []incident.Incident {
		all = slices.DeleteFunc(all, func(inc incident.Incident) bool { return starts.of(inc) != inc.DateStarted })
		return pageOf(all, q)
	})
}

func firstStartInWindows(s incident.Store) incident.Store {
	var starts startsOf
	return relisted(s, anyTime, func(inc incident.Incident, q incident.IncidentQuery) bool {
		return q.End.IsZero() || !starts.of(inc).After(q.End)
	})
}
