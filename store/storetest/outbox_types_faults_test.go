package storetest

import (
	"context"
	"slices"

	"github.com/incidentkit/incident"
)

func typeFaults() []outboxFault {
	narrowed := []string{"Types/MayBeNarrowedLater", "Types/MayLeaveNothing", "Types/MayLeaveNoReplay"}
	return []outboxFault{
		{"AllTypesAreQueued", changing(func(c *incident.Change) {
			c.Notify = slices.Clone(c.Notify)
			for i := range c.Notify {
				c.Notify[i].Types = nil
			}
		}), []string{"Types/AreQueuedAlone", "Types/OutliveFailures", "Types/AreKeptMeanwhile"}},
		{"MoreOfAllTypes", answering(func(_ incident.OutboxStore, c *incident.Claim) { c.More = true }), []string{
			"Types/AreQueuedAlone", "Types/OutliveFailures", "Types/AreKeptMeanwhile",
		}},
		{"ClaimsOfAllTypes", asking(func(q *incident.ClaimQuery) { q.Types = nil }), slices.Concat(narrowed, []string{"Types/LoseNothingMeanwhile"})},
		{"UnwantedStay", unwantedStay, narrowed},
		{"UnwantedTakeTheQueueAlong", unwantedTakeTheQueueAlong, []string{"Types/LoseNothingMeanwhile", "Types/MayBeNarrowedLater"}},
		{"RemindersHaveNoType", hiding(func(q incident.ClaimQuery, c incident.Claim) bool { return len(q.Types) > 0 && c.Reminder != nil }), []string{
			"Types/LeaveRemindersAlone",
		}},
		{"WantedMeanwhileAreForgotten", wantedMeanwhileAreForgotten, []string{"Types/AreKeptMeanwhile"}},
	}
}

func isUnwanted(q incident.ClaimQuery, c incident.Claim) bool {
	return c.Reminder == nil && !q.Wants(c.Activity.Type)
}

// unwantedStay claims no unwanted activities, and leaves them in the queue.
func unwantedStay(s incident.OutboxStore) incident.OutboxStore {
	b := &brokenOutbox{OutboxStore: s}
	b.claim = func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		all := q
		all.Types = nil
		claims, err := s.Claim(ctx, all)
		return slices.DeleteFunc(claims, func(c incident.Claim) bool {
			if !isUnwanted(q, c) {
				return false
			}
			_, _ = s.Settle(ctx, []incident.Settlement{release(c)})
			return true
		}), err
	}
	return b
}

// unwantedTakeTheQueueAlong removes a queue whose head is unwanted, with all that was appended.
func unwantedTakeTheQueueAlong(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		all := q
		all.Types = nil
		claims, err := s.Claim(ctx, all)
		for i := 0; i < len(claims); {
			if !isUnwanted(q, claims[i]) {
				i++
				continue
			}
			pause()
			for gone := claims[i : i+1 : i+1]; len(gone) > 0; {
				for _, c := range gone {
					_, _ = s.Settle(ctx, []incident.Settlement{deliver(c)})
				}
				gone, _ = s.Claim(ctx, all)
			}
			claims = slices.Delete(claims, i, i+1)
		}
		return claims, err
	}}
}

// wantedMeanwhileAreForgotten queues nothing while the queue is claimed.
func wantedMeanwhileAreForgotten(s incident.OutboxStore) incident.OutboxStore {
	var claimed registry[queueName, bool]
	b := changing(func(c *incident.Change) {
		var rest []incident.NotifyTarget
		for _, target := range c.Notify {
			if held, _ := claimed.get(queueName{Key: c.Key, notifier: target.Notifier}); !held {
				rest = append(rest, target)
			}
		}
		c.Notify = rest
	})(s).(*brokenOutbox)
	b.claim = answering(func(_ incident.OutboxStore, c *incident.Claim) { claimed.put(queueOf(c.Ticket), true) })(s).Claim
	b.settle = ending(func(end *incident.Settlement) { claimed.put(queueOf(end.Ticket), false) })(s).Settle
	return b
}
