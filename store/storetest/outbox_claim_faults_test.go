package storetest

import (
	"context"
	"slices"
	"sync"

	"github.com/incidentkit/incident"
)

func claimFaults() []outboxFault {
	whole := []string{"Claim/IsWhole"}
	return []outboxFault{
		{"SubscribersAreMissing", answering(func(_ incident.OutboxStore, c *incident.Claim) { c.Subscribers = nil }), whole},
		{"SubscribersInAnyOrder", answering(func(_ incident.OutboxStore, c *incident.Claim) { slices.Reverse(c.Subscribers) }), whole},
		{"ProjectsAreMissing", answering(func(_ incident.OutboxStore, c *incident.Claim) { c.Incident.Projects = nil }), whole},
		{"ActivityIsTheLatest", answering(activityIsTheLatest), whole},
		{"CopyOfTheFirstClaim", copyOfTheFirstClaim, []string{"Claim/IsOfThePresent"}},
		{"IncidentIsReadLater", answering(incidentIsReadLater), []string{"Claim/IsOneRead"}},
		{"MoreIsForgotten", answering(func(_ incident.OutboxStore, c *incident.Claim) { c.More = false }), []string{"Claim/ReportsMore", "Claim/IsWhole"}},
		{"MoreIsAssumed", answering(func(_ incident.OutboxStore, c *incident.Claim) { c.More = true }), []string{"Claim/ReportsMore", "Claim/IsWhole"}},
		{"MarksThenSends", marksThenSends, []string{
			"Claim/IsOfOneAtATime", "Claim/EndsWithItsLease", "Settle/RetryWaits", "Settle/ReleaseTakesTheAttemptBack",
			"Outbox/LosesAndRepeatsNothing", "Outbox/OutlivesItsUsers",
		}},
		{"AllOfAQueueAtOnce", allOfAQueueAtOnce, []string{"Claim/IsOfOneAtATime", "Outbox/LosesAndRepeatsNothing"}},
		{"LeaseIsIgnored", asking(func(q *incident.ClaimQuery) { q.Lease = 0 }), []string{
			"Claim/ExcludesOthers", "Claim/EndsWithItsLease", "Claim/GoesToOneOfMany", "Outbox/LosesAndRepeatsNothing",
		}},
		{"LeaseNeverEnds", asking(func(q *incident.ClaimQuery) { q.Lease = longLease }), []string{
			"Claim/EndsWithItsLease", "Outbox/OutlivesItsUsers",
		}},
		{"LeaseEndsForGood", leaseEndsForGood, []string{"Claim/EndsWithItsLease", "Outbox/OutlivesItsUsers"}},
		{"LooksThenClaims", looksThenClaims, []string{"Claim/GoesToOneOfMany"}},
		{"AttemptsAreNotCounted", answering(func(_ incident.OutboxStore, c *incident.Claim) { c.Attempt = 1 }), []string{
			"Claim/EndsWithItsLease", "Settle/RetryWaits", "Outbox/LosesAndRepeatsNothing",
		}},
		{"AttemptsAreFailures", attemptsAreFailures, []string{"Claim/EndsWithItsLease"}},
		{"AttemptsOfTheIncident", attemptsOfTheIncident, []string{
			"Settle/DeliveredContinues", "Settle/ParkContinues", "Outbox/LosesAndRepeatsNothing",
		}},
		{"FencesAreAttempts", fencesAreAttempts, []string{"Claim/HasItsOwnFence", "Replay/IgnoresClaimsFromBefore"}},
		{"ClaimsAreShared", claimsAreShared, []string{"Claim/IsTheCallersMemory"}},
	}
}

func claimedOperationFaults() []outboxFault {
	cases := []string{"Claim/IsWholeAfterOperations"}
	list := []outboxFault{
		{"IncidentOfTheFirstClaim", copyOfTheFirstIncident, cases},
		{"ReplayedActivityInPart", answering(func(_ incident.OutboxStore, c *incident.Claim) {
			if c.Replayed {
				c.Activity.Field = ""
			}
		}), cases},
	}
	for name, drop := range map[string]func(c *incident.Claim){
		"Labels":       func(c *incident.Claim) { c.Incident.Labels = nil },
		"Annotations":  func(c *incident.Claim) { c.Incident.Annotations = nil },
		"Response":     func(c *incident.Claim) { c.Incident.Response = nil },
		"DuplicateOf":  func(c *incident.Claim) { c.Incident.DuplicateOf = 0 },
		"TriggerID":    func(c *incident.Claim) { c.Activity.TriggerID = "" },
		"Field":        func(c *incident.Claim) { c.Activity.Field = "" },
		"Old":          func(c *incident.Claim) { c.Activity.Old = "" },
		"New":          func(c *incident.Claim) { c.Activity.New = "" },
		"ActivityType": func(c *incident.Claim) { c.Activity.Type = incident.ActivityTypeAcknowledged },
	} {
		list = append(list, outboxFault{name + "MissingInClaims", answering(func(_ incident.OutboxStore, c *incident.Claim) { drop(c) }), cases})
	}
	return list
}

// copyOfTheFirstIncident returns the incident as at its first claim.
func copyOfTheFirstIncident(s incident.OutboxStore) incident.OutboxStore {
	var firsts registry[incident.Key, incident.Incident]
	return answering(func(_ incident.OutboxStore, c *incident.Claim) {
		c.Incident = once(&firsts, c.Key, c.Incident.Clone()).Clone()
	})(s)
}

func activityIsTheLatest(s incident.OutboxStore, c *incident.Claim) {
	log, err := s.Activities(context.Background(), c.Key, incident.ActivityQuery{Descending: true, Limit: 1})
	if err == nil {
		c.Activity = log.Activities[0]
	}
}

func copyOfTheFirstClaim(s incident.OutboxStore) incident.OutboxStore {
	var firsts registry[activityKey, incident.Claim]
	return answering(func(_ incident.OutboxStore, c *incident.Claim) {
		first := once(&firsts, activityKey{c.Key, c.Sequence}, *c)
		c.Activity, c.Incident, c.Subscribers = first.Activity, first.Incident.Clone(), slices.Clone(first.Subscribers)
	})(s)
}

func incidentIsReadLater(s incident.OutboxStore, c *incident.Claim) {
	pause()
	if st, err := s.Load(context.Background(), c.Key); err == nil {
		c.Incident = st.Incident
	}
}

// marksThenSends removes notifications when they are claimed.
func marksThenSends(s incident.OutboxStore) incident.OutboxStore {
	return answering(func(s incident.OutboxStore, c *incident.Claim) {
		_, _ = s.Settle(context.Background(), []incident.Settlement{deliver(*c)})
	})(s)
}

// allOfAQueueAtOnce claims the notifications behind the head too.
func allOfAQueueAtOnce(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		claims, err := s.Claim(ctx, q)
		for _, c := range claims {
			if c.More {
				c.Sequence++
				claims = append(claims, c)
			}
		}
		return claims[:min(len(claims), q.Limit)], err
	}}
}

// leaseEndsForGood never returns a queue whose lease has expired.
func leaseEndsForGood(s incident.OutboxStore) incident.OutboxStore {
	var claimed registry[incident.Ticket, bool]
	b := &brokenOutbox{OutboxStore: s}
	b.claim = func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		claims, err := s.Claim(ctx, q)
		var rest []incident.Claim
		for _, c := range claims {
			if !claimed.put(incident.Ticket{Key: c.Key, Sequence: c.Sequence}, true) {
				rest = append(rest, c)
			}
		}
		return rest, err
	}
	b.settle = func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		for _, end := range all {
			claimed.put(incident.Ticket{Key: end.Key, Sequence: end.Sequence}, false)
		}
		return s.Settle(ctx, all)
	}
	return b
}

// looksThenClaims reads the due queues in a call before the claim.
func looksThenClaims(s incident.OutboxStore) incident.OutboxStore {
	var mu sync.Mutex // guards the fields below
	looking, found := 0, []incident.Claim(nil)
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		mu.Lock()
		looking++
		mu.Unlock()
		claims, err := s.Claim(ctx, q)
		mu.Lock()
		found = append(found, claims...)
		mu.Unlock()
		pause()
		mu.Lock()
		defer mu.Unlock()
		claims = slices.Clone(found[:min(len(found), q.Limit)])
		if looking--; looking == 0 {
			found = nil
		}
		return claims, err
	}}
}

// attemptsAreFailures counts failures that are settled. A crash settles nothing.
func attemptsAreFailures(s incident.OutboxStore) incident.OutboxStore {
	var failures registry[activityKey, int]
	return &brokenOutbox{
		OutboxStore: s,
		claim: answering(func(_ incident.OutboxStore, c *incident.Claim) {
			n, _ := failures.get(activityKey{c.Key, c.Sequence})
			c.Attempt = n + 1
		})(s).Claim,
		settle: ending(func(end *incident.Settlement) {
			if end.Outcome == incident.OutcomeRetry {
				n, _ := failures.get(activityKey{end.Key, end.Sequence})
				failures.put(activityKey{end.Key, end.Sequence}, n+1)
			}
		})(s).Settle,
	}
}

// attemptsOfTheIncident does not reset the count for the next notification.
func attemptsOfTheIncident(s incident.OutboxStore) incident.OutboxStore {
	var mu sync.Mutex // guards attempts
	attempts := map[incident.Key]int{}
	return answering(func(_ incident.OutboxStore, c *incident.Claim) {
		mu.Lock()
		defer mu.Unlock()
		attempts[c.Key]++
		c.Attempt = attempts[c.Key]
	})(s)
}

// fencesAreAttempts repeats the fence of a repeated attempt.
func fencesAreAttempts(s incident.OutboxStore) incident.OutboxStore {
	var actual registry[incident.Ticket, int64]
	name := func(t incident.Ticket) incident.Ticket {
		t.More = false
		return t
	}
	b := &brokenOutbox{OutboxStore: s}
	b.claim = func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		claims, err := s.Claim(ctx, q)
		for i := range claims {
			c := &claims[i]
			fence := c.Fence
			c.Fence = int64(c.Attempt)
			actual.put(name(c.Ticket), fence)
		}
		return claims, err
	}
	b.settle = func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		all = slices.Clone(all)
		for i := range all {
			all[i].Fence, _ = actual.get(name(all[i].Ticket))
		}
		return s.Settle(ctx, all)
	}
	return b
}

func claimsAreShared(s incident.OutboxStore) incident.OutboxStore {
	var all registry[activityKey, incident.Claim]
	return answering(func(_ incident.OutboxStore, c *incident.Claim) {
		shared := once(&all, activityKey{c.Key, c.Sequence}, *c)
		c.Activity, c.Incident, c.Subscribers = shared.Activity, shared.Incident, shared.Subscribers
	})(s)
}
