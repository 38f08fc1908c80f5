package storetest

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

func responseFaults() []fault {
	creations, changes := "RoundTrip/KeepsResponses", "RoundTrip/KeepsResponsesOfAChange"
	both := []string{creations, changes}
	list := []fault{
		{"AssigneeIsDropped", rewritingResponses(func(r *incident.Response) { r.Assignee = "" }), both},
		{"AcknowledgerIsDropped", rewritingResponses(func(r *incident.Response) { r.AcknowledgedBy = "" }), both},
		{"AcknowledgerIsTheAssignee", rewritingResponses(func(r *incident.Response) { r.AcknowledgedBy = r.Assignee }), both},
		{"AcknowledgementIsDropped", rewritingResponses(func(r *incident.Response) { r.DateAcknowledged = nil }), both},
		{"UntilIsDropped", rewritingResponses(func(r *incident.Response) { r.AcknowledgedUntil = nil }), both},
		{"AcknowledgedStatusIsDropped", rewritingResponses(func(r *incident.Response) { r.AcknowledgedStatus = 0 }), both},
		{"ResponseTimesInMilliseconds", rewritingResponses(func(r *incident.Response) {
			for _, t := range []*time.Time{r.DateAcknowledged, r.AcknowledgedUntil} {
				if t != nil {
					*t = t.Truncate(time.Millisecond)
				}
			}
		}), both},
		{"NoResponseIsEmpty", rereading("", func(inc *incident.Incident) {
			if inc.Response == nil {
				inc.Response = &incident.Response{}
			}
		}), both},
		{"NoUntilIsZero", rereading("", func(inc *incident.Incident) {
			if inc.Response != nil && inc.Response.AcknowledgedUntil == nil {
				inc.Response.AcknowledgedUntil = &time.Time{}
			}
		}), both},
		{"NoResponseStays", merging(func(inc *incident.Incident, stored incident.Incident) {
			if inc.Response == nil {
				inc.Response = stored.Response
			}
		}), []string{changes}},
		{"UntilStays", merging(func(inc *incident.Incident, stored incident.Incident) {
			if inc.Response != nil && stored.Response != nil && inc.Response.AcknowledgedUntil == nil {
				inc.Response.AcknowledgedUntil = stored.Response.AcknowledgedUntil
			}
		}), []string{changes}},
		{"ClosingRemovesTheResponse", rewriting(func(inc *incident.Incident, _ bool) {
			if !inc.Status.Active() {
				inc.Response = nil
			}
		}), []string{creations}},
		{"DuplicatesAreDropped", rewriting(func(inc *incident.Incident, _ bool) { inc.DuplicateOf = 0 }), []string{"RoundTrip/KeepsDuplicates"}},
		{"DuplicatesStay", merging(func(inc *incident.Incident, stored incident.Incident) {
			if inc.DuplicateOf == 0 {
				inc.DuplicateOf = stored.DuplicateOf
			}
		}), []string{"RoundTrip/KeepsDuplicates"}},
		{"DuplicatesAreShort", rewriting(func(inc *incident.Incident, _ bool) { inc.DuplicateOf &= 1<<31 - 1 }), []string{"RoundTrip/KeepsDuplicates"}},
	}
	return append(list, operationActivityFaults()...)
}

// rewritingResponses changes the responses that Apply writes.
func rewritingResponses(alter func(r *incident.Response)) func(s incident.Store) incident.Store {
	return rewriting(func(inc *incident.Incident, _ bool) {
		if inc.Response != nil {
			alter(inc.Response)
		}
	})
}

func operationActivityFaults() []fault {
	cases := []string{"RoundTrip/KeepsActivitiesOfOperations"}
	drops := map[string]func(a *incident.Activity){
		"Trigger": func(a *incident.Activity) { a.TriggerID = "" },
		"Field":   func(a *incident.Activity) { a.Field = "" },
		"Old":     func(a *incident.Activity) { a.Old = "" },
		"New":     func(a *incident.Activity) { a.New = "" },
		"Type":    func(a *incident.Activity) { a.Type &= 127 - 1 },
	}
	var list []fault
	for name, drop := range drops {
		written := func(s incident.Store) incident.Store {
			return altering(s, func(_ context.Context, c *incident.Change) {
				for i := range c.Activities {
					drop(&c.Activities[i])
				}
			})
		}
		list = append(list,
			fault{name + "OfAnActivityIsDropped", written, cases},
			fault{name + "MissingInActivity", droppedInActivity(drop), cases},
			fault{name + "MissingInActivities", droppedInActivities(drop), cases},
			fault{name + "MissingInAReplay", droppedInReplays(drop), cases},
		)
	}
	cut := func(s string) string { return s[:min(len(s), 8<<10)] }
	return append(list,
		fault{"FieldsAreCut", func(s incident.Store) incident.Store {
			return altering(s, func(_ context.Context, c *incident.Change) {
				for i := range c.Activities {
					c.Activities[i].New = cut(c.Activities[i].New)
				}
			})
		}, cases},
		fault{"RevisionClearsFields", revisionClearsFields, cases},
	)
}

func droppedInActivity(drop func(a *incident.Activity)) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		return &broken{Store: s, activity: func(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
			a, err := s.Activity(ctx, key, sequence)
			drop(&a)
			return a, err
		}}
	}
}

func droppedInActivities(drop func(a *incident.Activity)) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		return &broken{Store: s, activities: func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
			log, err := s.Activities(ctx, key, q)
			for i := range log.Activities {
				drop(&log.Activities[i])
			}
			return log, err
		}}
	}
}

func droppedInReplays(drop func(a *incident.Activity)) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			applied, err := s.Apply(ctx, c)
			if applied.Activity != nil {
				drop(applied.Activity)
			}
			return applied, err
		})
	}
}

// revisionClearsFields reads a revised activity without the fields that a revision does not have.
func revisionClearsFields(s incident.Store) incident.Store {
	return droppedInActivities(func(a *incident.Activity) {
		if a.Revision > 0 {
			a.Field = ""
		}
	})(s)
}
