package storetest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

func settleFaults() []outboxFault {
	return []outboxFault{
		{"DeliveredIsRepeated", turning(incident.OutcomeDelivered, incident.OutcomeRelease, 0), []string{
			"Settle/DeliveredContinues", "Outbox/LosesAndRepeatsNothing",
		}},
		{"DeliveredWaits", turning(incident.OutcomeDelivered, incident.OutcomeRetry, longLease), []string{
			"Settle/DeliveredContinues", "Settle/EndsEach",
		}},
		{"RetryIsAtOnce", turning(incident.OutcomeRetry, incident.OutcomeRetry, 0), []string{"Settle/RetryWaits", "Queue/IsNotMadeDueByMore"}},
		{"RetryIsNever", turning(incident.OutcomeRetry, incident.OutcomeRetry, longLease), []string{"Settle/RetryWaits"}},
		{"RetryIsNoAttempt", turning(incident.OutcomeRetry, incident.OutcomeRelease, 0), []string{"Settle/RetryWaits"}},
		{"RetryGivesUp", turning(incident.OutcomeRetry, incident.OutcomeDelivered, 0), []string{"Settle/RetryWaits"}},
		{"RetryLetsOthersPass", retryLetsOthersPass, []string{"Settle/RetryWaits"}},
		{"ReleaseIsAnAttempt", turning(incident.OutcomeRelease, incident.OutcomeRetry, 0), []string{
			"Settle/ReleaseTakesTheAttemptBack", "Outbox/LosesAndRepeatsNothing",
		}},
		{"ReleaseWaits", turning(incident.OutcomeRelease, incident.OutcomeRetry, longLease), []string{"Settle/ReleaseTakesTheAttemptBack"}},
		{"ParkForgets", turning(incident.OutcomePark, incident.OutcomeDelivered, 0), []string{
			"Settle/ParkContinues", "Parked/AreWhole", "Backlog/CountsAll",
		}},
		{"ParkHoldsUp", turning(incident.OutcomePark, incident.OutcomeRetry, longLease), []string{"Settle/ParkContinues"}},
		{"FenceIsIgnored", fenceIsIgnored, []string{
			"Settle/AfterOthersHaveClaimed", "Settle/WhatIsUnknown", "Replay/IgnoresClaimsFromBefore",
		}},
		{"SequenceIsIgnored", sequenceIsIgnored, []string{"Settle/AfterOthersHaveClaimed", "Settle/WhatIsUnknown", "Settle/Again"}},
		{"LateIsIgnored", lateIsIgnored, []string{"Settle/AfterTheLease"}},
		{"SettlesAgain", settlesAgain, []string{"Settle/Again"}},
		{"SettlesWhatNobodyHas", settlesWhatNobodyHas, []string{"Settle/WhatIsUnknown"}},
		{"UnknownIsAnError", unknownIsAnError, []string{"Settle/WhatIsUnknown", "Settle/AfterOthersHaveClaimed"}},
		{"FirstIsSettled", firstIsSettled, []string{"Settle/EndsEach"}},
		{"OneSpoilsAll", oneSpoilsAll, []string{"Settle/EndsEach"}},
		{"SettlementsAreSorted", settlementsAreSorted, []string{"Settle/LeavesItsArgumentsAlone"}},
	}
}

// turning replaces one outcome by another.
func turning(from, to incident.Outcome, after time.Duration) func(s incident.OutboxStore) incident.OutboxStore {
	return ending(func(end *incident.Settlement) {
		if end.Outcome == from {
			end.Outcome, end.After = to, after
		}
	})
}

// retryLetsOthersPass removes a failed notification from the queue, and returns to it
// later.
func retryLetsOthersPass(s incident.OutboxStore) incident.OutboxStore {
	var mu sync.Mutex // guards later
	later := map[activityKey]time.Time{}
	latest := map[activityKey]incident.Claim{}
	return &brokenOutbox{
		OutboxStore: s,
		claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			mu.Lock()
			defer mu.Unlock()
			for p, due := range later {
				if time.Now().After(due) {
					delete(later, p)
					c := latest[p]
					c.Attempt++
					latest[p] = c
					return []incident.Claim{c}, nil
				}
			}
			claims, err := s.Claim(ctx, q)
			for _, c := range claims {
				latest[activityKey{c.Key, c.Sequence}] = c
			}
			return claims, err
		},
		settle: func(ctx context.Context, all []incident.Settlement) ([]int, error) {
			mu.Lock()
			defer mu.Unlock()
			all = slices.Clone(all)
			for i, end := range all {
				if end.Outcome == incident.OutcomeRetry {
					later[activityKey{end.Key, end.Sequence}] = time.Now().Add(end.After)
					all[i].Outcome = incident.OutcomeDelivered
				}
			}
			return s.Settle(ctx, all)
		},
	}
}

// replacing changes the ticket of a settlement.
func replacing(s incident.OutboxStore, replace func(given incident.Ticket, latest incident.Claim) incident.Ticket) incident.OutboxStore {
	b, latest := watching(s)
	b.settle = func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		all = slices.Clone(all)
		for i := range all {
			if c, ok := latest.get(queueOf(all[i].Ticket)); ok {
				all[i].Ticket = replace(all[i].Ticket, c)
			}
		}
		return s.Settle(ctx, all)
	}
	return b
}

func fenceIsIgnored(s incident.OutboxStore) incident.OutboxStore {
	return replacing(s, func(given incident.Ticket, latest incident.Claim) incident.Ticket {
		given.Fence = latest.Fence
		return given
	})
}

func sequenceIsIgnored(s incident.OutboxStore) incident.OutboxStore {
	return replacing(s, func(_ incident.Ticket, latest incident.Claim) incident.Ticket { return latest.Ticket })
}

// lateIsIgnored checks the lease instead of the fence.
func lateIsIgnored(s incident.OutboxStore) incident.OutboxStore {
	var until registry[int64, time.Time] // by fence
	return &brokenOutbox{
		OutboxStore: s,
		claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			claims, err := s.Claim(ctx, q)
			for _, c := range claims {
				until.put(c.Fence, time.Now().Add(q.Lease))
			}
			return claims, err
		},
		settle: func(ctx context.Context, all []incident.Settlement) ([]int, error) {
			return s.Settle(ctx, slices.DeleteFunc(slices.Clone(all), func(end incident.Settlement) bool {
				over, _ := until.get(end.Fence)
				return time.Now().After(over)
			}))
		},
	}
}

// settlesAgain accepts a claim that was settled.
func settlesAgain(s incident.OutboxStore) incident.OutboxStore {
	b, latest := watching(s)
	var settled registry[incident.Ticket, bool]
	b.settle = func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		for _, end := range all {
			c, ok := latest.get(queueOf(end.Ticket))
			if again := settled.put(end.Ticket, true); again && ok && c.Ticket == end.Ticket {
				claims, _ := s.Claim(ctx, anythingOf(end.Notifier))
				for _, c := range claims {
					other := release(c)
					if queueOf(c.Ticket) == queueOf(end.Ticket) && c.Sequence == end.Sequence {
						other.Outcome, other.After, other.Error = end.Outcome, end.After, end.Error
					}
					_, _ = s.Settle(ctx, []incident.Settlement{other})
				}
			} else if _, err := s.Settle(ctx, []incident.Settlement{end}); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	return b
}

// settlesWhatNobodyHas finds a queue by its identifier alone.
func settlesWhatNobodyHas(s incident.OutboxStore) incident.OutboxStore {
	b, latest := watching(s)
	b.settle = func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		all = slices.Clone(all)
		for i := range all {
			if c, ok := latest.get(queueName{Key: incident.Key{OrganizationID: acme, Identifier: all[i].Key.Identifier}, notifier: all[i].Notifier}); ok {
				all[i].Ticket = c.Ticket
			}
		}
		return s.Settle(ctx, all)
	}
	return b
}

// valid reports whether the queue has not been claimed since.
func valid(latest *registry[queueName, incident.Claim], end incident.Settlement) bool {
	c, ok := latest.get(queueOf(end.Ticket))
	return ok && c.Fence == end.Fence && c.Sequence == end.Sequence
}

func unknownIsAnError(s incident.OutboxStore) incident.OutboxStore {
	b, latest := watching(s)
	b.settle = func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		for _, end := range all {
			if !valid(latest, end) {
				return nil, incident.ErrNotFound
			}
		}
		return s.Settle(ctx, all)
	}
	return b
}

func firstIsSettled(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, settle: func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		return s.Settle(ctx, all[:min(len(all), 1)])
	}}
}

func oneSpoilsAll(s incident.OutboxStore) incident.OutboxStore {
	b, latest := watching(s)
	b.settle = func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		for _, end := range all {
			if !valid(latest, end) {
				return nil, ctx.Err()
			}
		}
		return s.Settle(ctx, all)
	}
	return b
}

// settlementsAreSorted sorts the caller's slice, to lock the queues in a stable order.
func settlementsAreSorted(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, settle: func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		slices.SortFunc(all, func(a, b incident.Settlement) int {
			return compareFolded(a.Key.OrganizationID, b.Key.OrganizationID)
		})
		return s.Settle(ctx, all)
	}}
}
