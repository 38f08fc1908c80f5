package storetest

import (
	"context"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

func roundTripFaults() []fault {
	return []fault{
		{"TimesInMilliseconds", writingTimes(func(t time.Time) time.Time { return t.Truncate(time.Millisecond) }), []string{
			"RoundTrip/KeepsEveryField", "RoundTrip/KeepsEveryFieldOfAChange", "RoundTrip/KeepsTimes",
		}},
		{"TimesInNanoseconds", writingTimes(func(t time.Time) time.Time { return time.Unix(0, t.UnixNano()).UTC() }), []string{
			"RoundTrip/KeepsTimes",
		}},
		{"TimesElsewhere", timesElsewhere, []string{"RoundTrip/KeepsEveryField"}},
		{"TextIsTrimmed", writingText(strings.TrimSpace), []string{"RoundTrip/KeepsEveryField", "RoundTrip/KeepsActivities"}},
		{"TextIsComposed", writingText(composed), []string{"RoundTrip/KeepsEveryField", "RoundTrip/KeepsActivities"}},
		{"TextIsCut", writingText(func(s string) string { return s[:min(len(s), 2048)] }), []string{"RoundTrip/KeepsTheLongest"}},
		{"TriggersAreCut", altering256Triggers, []string{"RoundTrip/KeepsTheMostTriggers"}},
		{"DurationsOverflow", durationsOverflow, []string{"Incidents/MayLastForCenturies"}},
		{"UsersInAnyCase", usersAre(strings.ToLower), []string{"Names/OfUsersAreBytes"}},
		{"UsersAreTrimmed", usersAre(strings.TrimSpace), []string{"Names/OfUsersAreBytes"}},
		{"ProjectsInAnyCase", projectsInAnyCase, []string{"Names/WithinAnIncidentAreBytes"}},
		{"TriggersInAnyCase", triggersInAnyCase, []string{"Names/WithinAnIncidentAreBytes"}},
		{"RulesInAnyCase", rulesInAnyCase, []string{"Names/OfRulesAndQueriesAreBytes"}},
	}
}

// composed does a part of Unicode normalization.
func composed(s string) string { return strings.ReplaceAll(s, "e\u0301", "\u00e9") }

// writingTimes changes the times of new and changed incidents.
func writingTimes(store func(time.Time) time.Time) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		return altering(s, func(_ context.Context, c *incident.Change) {
			if c.Incident == nil {
				return
			}
			for _, t := range []*time.Time{
				&c.Incident.DateStarted, &c.Incident.DateDetected, &c.Incident.DateAdded, c.Incident.DateClosed,
			} {
				if t != nil {
					*t = store(*t)
				}
			}
		})
	}
}

// altering256Triggers drops the triggers of a change after the first 256.
func altering256Triggers(s incident.Store) incident.Store {
	return altering(s, func(_ context.Context, c *incident.Change) { c.Triggers = c.Triggers[:min(len(c.Triggers), 256)] })
}

// timesElsewhere returns times in another location.
func timesElsewhere(s incident.Store) incident.Store {
	return &broken{Store: s, load: func(ctx context.Context, key incident.Key) (incident.State, error) {
		st, err := s.Load(ctx, key)
		st.Incident.DateDetected = st.Incident.DateDetected.In(time.FixedZone("", 0))
		return st, err
	}}
}

func writingText(store func(string) string) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		return altering(s, func(_ context.Context, c *incident.Change) {
			if c.Incident != nil {
				c.Incident.Title = store(c.Incident.Title)
			}
			for i := range c.Activities {
				c.Activities[i].Comment = store(c.Activities[i].Comment)
			}
		})
	}
}

// durationsOverflow finds incidents that started at most the longest time.Duration
// before the window.
func durationsOverflow(s incident.Store) incident.Store {
	return relisted(s, func(*incident.IncidentQuery) {}, func(inc incident.Incident, q incident.IncidentQuery) bool {
		longest := inc.Duration(inc.DateStarted)
		return q.Start.IsZero() || !inc.DateStarted.Before(q.Start.Add(-longest))
	})
}

func usersAre(same func(string) string) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		var first registry[string, incident.UserID]
		return &broken{Store: s, subscribe: func(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
			name := same(string(sub.UserID))
			if known, ok := first.get(name); ok {
				sub.UserID = known
			} else {
				first.put(name, sub.UserID)
			}
			return s.Subscribe(ctx, sub)
		}}
	}
}

func projectsInAnyCase(s incident.Store) incident.Store {
	widen := func(q *incident.IncidentQuery) { q.Projects = nil }
	return relisted(s, widen, func(inc incident.Incident, q incident.IncidentQuery) bool {
		for _, has := range inc.Projects {
			for _, wanted := range q.Projects {
				if strings.EqualFold(string(has), string(wanted)) {
					return true
				}
			}
		}
		return len(q.Projects) == 0
	})
}

func triggersInAnyCase(s incident.Store) incident.Store {
	return altering(s, func(_ context.Context, c *incident.Change) {
		for i := range c.Triggers {
			c.Triggers[i].TriggerID = incident.TriggerID(strings.ToLower(string(c.Triggers[i].TriggerID)))
		}
	})
}

func rulesInAnyCase(s incident.Store) incident.Store {
	widen := func(q *incident.IncidentQuery) { q.AlertRuleID = "" }
	return relisted(s, widen, func(inc incident.Incident, q incident.IncidentQuery) bool {
		return q.AlertRuleID == "" || strings.EqualFold(string(inc.AlertRuleID), string(q.AlertRuleID))
	})
}
