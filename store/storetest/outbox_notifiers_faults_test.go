package storetest

import (
	"context"
	"slices"
	"strings"

	"github.com/incidentkit/incident"
)

func notifierFaults() []outboxFault {
	own, gets, bytes := "Notifiers/HaveQueuesOfTheirOwn", "Notifiers/GetWhatAChangeNames", []string{"Notifiers/AreComparedByteForByte"}
	return []outboxFault{
		{"OneQueueForAllNotifiers", renaming(func(string) string { return "" }), []string{
			own, gets, "Notifiers/AreSettledAlone", "Notifiers/ParkAlone", "Notifiers/AreOfAnOrganization", "Notifiers/FollowTransactions",
		}},
		{"NotifiersAreFolded", renaming(strings.ToLower), bytes},
		{"NotifiersAreTrimmed", renaming(strings.TrimSpace), bytes},
		{"NotifiersAreCut", renaming(func(name string) string { return name[:min(len(name), 254)] }), bytes},
		{"TicketsByFenceAlone", ticketsByFenceAlone, []string{"Notifiers/AreSettledAlone"}},
		{"LimitOfAllNotifiers", limitOfAllNotifiers, []string{"Notifiers/DoNotCrowdOthersOut"}},
		{"BacklogOfAllNotifiers", backlogOfAllNotifiers, []string{own, gets, "Notifiers/FollowTransactions"}},
		{"OneClaimOfAnIncident", oneClaimOfAnIncident, []string{own}},
		{"FirstTargetOnly", changing(func(c *incident.Change) { c.Notify = c.Notify[:min(len(c.Notify), 1)] }), []string{
			own, gets, "Notifiers/FollowTransactions", "Outbox/LosesAndRepeatsNothing",
		}},
		{"TargetsOfTheFirstChange", targetsOfTheFirstChange, []string{gets}},
		{"NamedParkedOfAllNotifiers", parkedOfAllNotifiers, []string{"Notifiers/ParkAlone", "Parked/AreInOrderOfPosition"}},
		{"ReplayOfAllNotifiers", batching(replayCall(), ofAllNotifiers(replayCall())), []string{"Notifiers/ParkAlone", "Replay/WorksInBatches"}},
		{"NamedExceptIsIgnored", asking(func(q *incident.ClaimQuery) {
			if q.Notifier != "" {
				q.Except = nil
			}
		}), []string{"Notifiers/AreOfAnOrganization"}},
		{"NamedAfterIsIgnored", asking(func(q *incident.ClaimQuery) {
			if q.Notifier != "" {
				q.After = ""
			}
		}), []string{"Notifiers/AreOfAnOrganization"}},
		{"NamedAreQueuedOutsideTheTransaction", queuedOutsideTheTransaction, []string{"Notifiers/FollowTransactions"}},
		{"TargetsAreReversed", changing(func(c *incident.Change) { slices.Reverse(c.Notify) }), []string{"Notifiers/LeaveTargetsAlone"}},
		{"TypesAreSorted", asking(func(q *incident.ClaimQuery) { slices.Sort(q.Types); slices.Reverse(q.Types) }), []string{
			"Notifiers/LeaveTargetsAlone",
		}},
		{"TargetsAreKept", targetsAreKept, []string{"Notifiers/LeaveTargetsAlone"}},
	}
}

// renaming compares notifiers by what rename returns.
func renaming(rename func(name string) string) outboxPlant {
	return everywhere(func(s incident.OutboxStore) *brokenOutbox {
		b := &brokenOutbox{OutboxStore: s}
		b.apply = func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			var all []incident.NotifyTarget
			for _, target := range c.Notify {
				target.Notifier = rename(target.Notifier)
				if !slices.ContainsFunc(all, func(other incident.NotifyTarget) bool { return other.Notifier == target.Notifier }) {
					all = append(all, target)
				}
			}
			c.Notify = all
			return s.Apply(ctx, c)
		}
		b.claim = func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			name := q.Notifier
			q.Notifier = rename(name)
			claims, err := s.Claim(ctx, q)
			for i := range claims {
				claims[i].Notifier = name
			}
			return claims, err
		}
		b.settle = ending(func(end *incident.Settlement) { end.Notifier = rename(end.Notifier) })(s).Settle
		b.parked = func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
			name := q.Notifier
			q.Notifier = rename(name)
			list, err := s.Parked(ctx, q)
			for i := range list {
				list[i].Notifier = name
			}
			return list, err
		}
		b.replay = func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
			q.Notifier = rename(q.Notifier)
			return s.Replay(ctx, q)
		}
		return b
	})
}

// ticketsByFenceAlone finds the claim of a ticket by its fence.
func ticketsByFenceAlone(s incident.OutboxStore) incident.OutboxStore {
	var notifiers registry[int64, string]
	return &brokenOutbox{
		OutboxStore: s,
		claim:       answering(func(_ incident.OutboxStore, c *incident.Claim) { notifiers.put(c.Fence, c.Notifier) })(s).Claim,
		settle: ending(func(end *incident.Settlement) {
			if name, ok := notifiers.get(end.Fence); ok {
				end.Notifier = name
			}
		})(s).Settle,
	}
}

// limitOfAllNotifiers looks at the first queues of all notifiers.
func limitOfAllNotifiers(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		for _, name := range someNotifiers() {
			other := q
			other.Notifier = name
			claims, err := s.Claim(ctx, other)
			if name == q.Notifier || err != nil {
				return claims, err
			}
			for _, c := range claims {
				_, _ = s.Settle(ctx, []incident.Settlement{release(c)})
			}
			if q.Limit -= len(claims); q.Limit <= 0 {
				return nil, nil
			}
		}
		return s.Claim(ctx, q)
	}}
}

func backlogOfAllNotifiers(s incident.OutboxStore) incident.OutboxStore {
	return recounting(func(all map[string]incident.Backlog) map[string]incident.Backlog {
		var sum incident.Backlog
		for _, b := range all {
			sum.Pending += b.Pending
			sum.Parked += b.Parked
			sum.Reminders += b.Reminders
			sum.Oldest = max(sum.Oldest, b.Oldest)
		}
		return map[string]incident.Backlog{"": sum}
	})(s)
}

// oneClaimOfAnIncident lets a single notifier claim an incident at a time.
func oneClaimOfAnIncident(s incident.OutboxStore) incident.OutboxStore {
	var claimed registry[incident.Key, string]
	b := hidingFrom(s, func(q incident.ClaimQuery, c incident.Claim) bool {
		if name, ok := claimed.get(c.Key); ok && name != q.Notifier && name != "-" {
			return true
		}
		claimed.put(c.Key, q.Notifier)
		return false
	})
	b.settle = ending(func(end *incident.Settlement) { claimed.put(end.Key, "-") })(s).Settle
	return b
}

func targetsOfTheFirstChange(s incident.OutboxStore) incident.OutboxStore {
	var first registry[incident.Key, []incident.NotifyTarget]
	return changing(func(c *incident.Change) {
		if len(c.Notify) > 0 {
			c.Notify = once(&first, c.Key, c.Notify)
		}
	})(s)
}

func parkedOfAllNotifiers(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, parked: func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
		var all []incident.ParkedNotification
		for _, q.Notifier = range someNotifiers() {
			list, err := s.Parked(ctx, q)
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
		}
		return all[:min(len(all), q.Limit)], nil
	}}
}

// ofAllNotifiers makes a call for each notifier.
func ofAllNotifiers(b batchCall) func(ctx context.Context, s incident.OutboxStore, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	return func(ctx context.Context, s incident.OutboxStore, q incident.ParkedQuery) (incident.ParkedBatch, error) {
		own, err := b.call(ctx, s, q)
		for _, name := range someNotifiers() {
			if name != q.Notifier {
				other := q
				other.Notifier = name
				_, _ = b.call(ctx, s, other)
			}
		}
		return own, err
	}
}

// targetsAreKept keeps the memory of the latest targets, and claims the types that it has.
func targetsAreKept(s incident.OutboxStore) incident.OutboxStore {
	var kept registry[string, []incident.ActivityType]
	b := &brokenOutbox{OutboxStore: s}
	b.apply = func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		for _, target := range c.Notify {
			kept.put(target.Notifier, target.Types)
		}
		return s.Apply(ctx, c)
	}
	b.claim = asking(func(q *incident.ClaimQuery) { q.Types, _ = kept.get(q.Notifier) })(s).Claim
	return b
}
