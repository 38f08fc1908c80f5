package storetest

import (
	"context"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

func queueFaults() []outboxFault {
	return []outboxFault{
		{"AllIsQueued", telling(true), []string{"Queue/HoldsWhatNotifies", "Queue/LeavesOutWhatDoesNot"}},
		{"NothingIsQueued", telling(false), []string{"Queue/HoldsWhatNotifies", "Claim/IsWhole", "Backlog/CountsAll"}},
		{"QueuedFromTheFirstToTheLast", queuedFromTheFirstToTheLast, []string{"Queue/LeavesOutWhatDoesNot"}},
		{"OneOfAChangeIsQueued", oneOfAChangeIsQueued, []string{"Queue/HoldsWhatNotifies", "Queue/HoldsWhatIsCommitted"}},
		{"FailuresAreQueued", failuresAreQueued, []string{"Queue/HoldsNothingOfFailures"}},
		{"ReplaysAreQueued", replaysAreQueued, []string{"Queue/HoldsNothingOfReplays"}},
		{"QueuedOutsideTheTransaction", queuedOutsideTheTransaction, []string{"Queue/HoldsNothingThatWasUndone"}},
		{"QueuedBeforeTheCommit", queuedBeforeTheCommit, []string{"Queue/HoldsWhatIsCommittedLate"}},
		{"TransactionsQueueNothing", transactionsQueueNothing, []string{
			"Queue/HoldsWhatIsCommitted", "Queue/HoldsWhatIsCommittedLate", "Outbox/LosesAndRepeatsNothing",
		}},
		{"ClaimsByCursor", claimsByCursor, []string{"Outbox/LosesAndRepeatsNothing"}},
		{"AppendedMeanwhileIsForgotten", appendedMeanwhileIsForgotten, []string{
			"Queue/KeepsWhatIsAppendedMeanwhile", "Outbox/LosesAndRepeatsNothing",
		}},
		{"AppendEndsAClaim", appendEndsAClaim, []string{
			"Queue/KeepsWhatIsAppendedMeanwhile", "Queue/IsNotMadeDueByMore", "Claim/IsOfOneAtATime", "Outbox/LosesAndRepeatsNothing",
		}},
		{"AppendEndsADelay", appendEndsADelay, []string{"Queue/IsNotMadeDueByMore"}},
	}
}

func telling(notify bool) func(s incident.OutboxStore) incident.OutboxStore {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			c.Notify = nil
			if notify {
				c.Notify = unnamed()
			}
			return s.Apply(ctx, c)
		}}
	}
}

// queuedFromTheFirstToTheLast keeps the first and the last sequence of a queue.
func queuedFromTheFirstToTheLast(s incident.OutboxStore) incident.OutboxStore {
	var begun registry[incident.Key, bool]
	return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		if len(c.Notify) > 0 {
			begun.put(c.Key, true)
		}
		if queued, _ := begun.get(c.Key); queued {
			c.Notify = unnamed()
		}
		return s.Apply(ctx, c)
	}}
}

func oneOfAChangeIsQueued(s incident.OutboxStore) incident.OutboxStore {
	return skipping(s, func(c incident.Claim) bool { return c.Activity.Type == incident.ActivityTypeCreated })
}

// failuresAreQueued queues before the write succeeds.
func failuresAreQueued(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if err != nil && !isNew(c) {
			_, _ = s.Apply(ctx, notifying(comment(c.Key, "This was not written")))
		}
		return applied, err
	}}
}

func replaysAreQueued(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if applied.Replayed {
			_, _ = s.Apply(ctx, notifying(comment(applied.Incident.Key(), "This was written before")))
		}
		return applied, err
	}}
}

// recording gives fn a transaction that reports its notifications to add.
func recording(ctx context.Context, s incident.OutboxStore, fn func(tx incident.Store) error, add func(c incident.Change)) error {
	return withOutboxTx(s, func(tx incident.OutboxStore) incident.Store {
		return &brokenOutbox{OutboxStore: tx, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			applied, err := tx.Apply(ctx, c)
			if err == nil && len(c.Notify) > 0 {
				add(c)
			}
			return applied, err
		}}
	}).InTx(ctx, fn)
}

func queuedOutsideTheTransaction(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		var queued []incident.Change
		committed := false
		defer func() {
			for _, c := range queued {
				if !committed {
					_, _ = s.Apply(context.WithoutCancel(ctx), c)
				}
			}
		}()
		err := recording(ctx, s, fn, func(c incident.Change) { queued = append(queued, c) })
		committed = err == nil
		return err
	}}
}

// queuedBeforeTheCommit lets others claim uncommitted notifications.
func queuedBeforeTheCommit(s incident.OutboxStore) incident.OutboxStore {
	var mu sync.Mutex // guards early
	var early []incident.Claim
	return &brokenOutbox{
		OutboxStore: s,
		inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
			return recording(ctx, s, fn, func(c incident.Change) {
				mu.Lock()
				defer mu.Unlock()
				early = append(early, incident.Claim{Ticket: incident.Ticket{Key: c.Key, Sequence: 3}, Activity: c.Activities[0], Attempt: 1})
			})
		},
		claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			mu.Lock()
			claims := early
			early = nil
			mu.Unlock()
			if len(claims) > 0 {
				return claims, nil
			}
			return s.Claim(ctx, q)
		},
	}
}

func transactionsQueueNothing(s incident.OutboxStore) incident.OutboxStore {
	return withOutboxTx(s, func(tx incident.OutboxStore) incident.Store { return telling(false)(tx) })
}

// claimsByCursor numbers notifications when their transaction begins, and claims after
// the highest number that it has returned.
func claimsByCursor(s incident.OutboxStore) incident.OutboxStore {
	var mu sync.Mutex // guards the fields below
	var last, highest int64
	numbers := map[activityKey]int64{}
	number := func() int64 {
		mu.Lock()
		defer mu.Unlock()
		last++
		return last
	}
	applyTo := func(s incident.OutboxStore, n int64) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			applied, err := s.Apply(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			numbers[activityKey{c.Key, applied.Sequence}] = n
			return applied, err
		}}
	}
	return &brokenOutbox{
		OutboxStore: s,
		apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			return applyTo(s, number()).Apply(ctx, c)
		},
		inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
			n := number()
			return s.InTx(ctx, func(tx incident.Store) error { return fn(applyTo(tx.(incident.OutboxStore), n)) })
		},
		claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			claims, err := s.Claim(ctx, q)
			mu.Lock()
			defer mu.Unlock()
			var rest []incident.Claim
			seen := highest
			for _, c := range claims {
				n := numbers[activityKey{c.Key, c.Sequence}]
				if n >= seen || c.Attempt > 1 {
					rest = append(rest, c)
					highest = max(highest, n)
				}
			}
			return rest, err
		},
	}
}

// appendedMeanwhileIsForgotten removes a queue when the claim of its last notification
// is settled, although another was appended since.
func appendedMeanwhileIsForgotten(s incident.OutboxStore) incident.OutboxStore {
	var forgotten registry[incident.Key, int64] // up to which sequence
	b := skipping(s, func(c incident.Claim) bool {
		last, _ := forgotten.get(c.Key)
		return c.Sequence <= last
	})
	b.settle = func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		for _, end := range all {
			if goes := end.Outcome == incident.OutcomeDelivered || end.Outcome == incident.OutcomePark; goes && !end.More {
				log, err := s.Activities(ctx, end.Key, incident.ActivityQuery{Limit: everything})
				if err == nil {
					forgotten.put(end.Key, int64(len(log.Activities)))
				}
			}
		}
		return s.Settle(ctx, all)
	}
	return b
}

// appendEndsAClaim makes a queue due with each append.
func appendEndsAClaim(s incident.OutboxStore) incident.OutboxStore {
	b, latest := watching(s)
	b.apply = func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if claim, ok := latest.get(queueName{Key: c.Key}); ok && err == nil && len(c.Notify) > 0 {
			_, _ = s.Settle(ctx, []incident.Settlement{release(claim)})
		}
		return applied, err
	}
	return b
}

// appendEndsADelay makes a delayed queue due with each append.
func appendEndsADelay(s incident.OutboxStore) incident.OutboxStore {
	var delayed registry[incident.Key, incident.Settlement]
	return &brokenOutbox{
		OutboxStore: s,
		settle: func(ctx context.Context, all []incident.Settlement) ([]int, error) {
			for _, end := range all {
				if end.Outcome == incident.OutcomeRetry && end.After > time.Minute {
					delayed.put(end.Key, end)
				} else if _, err := s.Settle(ctx, []incident.Settlement{end}); err != nil {
					return nil, err
				}
			}
			return nil, nil
		},
		apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			if end, ok := delayed.get(c.Key); ok && len(c.Notify) > 0 {
				end.After = 0
				_, _ = s.Settle(ctx, []incident.Settlement{end})
			}
			return s.Apply(ctx, c)
		},
	}
}
