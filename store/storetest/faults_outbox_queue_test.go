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
			"Queue/KeepsWhatIsAppendedMeanwhile", "Queue/IsNotHurriedByMore", "Claim/IsOfOneAtATime", "Outbox/LosesAndRepeatsNothing",
		}},
		{"AppendEndsADelay", appendEndsADelay, []string{"Queue/IsNotHurriedByMore"}},
	}
}

func telling(notify bool) func(s incident.OutboxStore) incident.OutboxStore {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			c.Notify = notify
			return s.Apply(ctx, c)
		}}
	}
}

// queuedFromTheFirstToTheLast keeps of a queue where it begins and ends.
func queuedFromTheFirstToTheLast(s incident.OutboxStore) incident.OutboxStore {
	var begun registry[incident.Key, bool]
	return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		if c.Notify {
			begun.put(c.Key, true)
		}
		c.Notify, _ = begun.get(c.Key)
		return s.Apply(ctx, c)
	}}
}

func oneOfAChangeIsQueued(s incident.OutboxStore) incident.OutboxStore {
	return skipping(s, func(c incident.Claim) bool { return c.Activity.Type == incident.ActivityTypeCreated })
}

// failuresAreQueued queues before it knows whether it writes.
func failuresAreQueued(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if err != nil && !isNew(c) {
			_, _ = s.Apply(ctx, told(comment(c.Key, "This was not written")))
		}
		return applied, err
	}}
}

func replaysAreQueued(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if applied.Replayed {
			_, _ = s.Apply(ctx, told(comment(applied.Incident.Key(), "This was written before")))
		}
		return applied, err
	}}
}

// recording hands fn a transaction, and add what it has queued.
func recording(ctx context.Context, s incident.OutboxStore, fn func(tx incident.Store) error, add func(c incident.Change)) error {
	return withOutboxTx(s, func(tx incident.OutboxStore) incident.Store {
		return &brokenOutbox{OutboxStore: tx, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			applied, err := tx.Apply(ctx, c)
			if err == nil && c.Notify {
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

// queuedBeforeTheCommit has others claim what a transaction has just written.
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

// claimsByCursor numbers what it queues when a transaction begins, and goes on behind the
// highest number that it has seen.
func claimsByCursor(s incident.OutboxStore) incident.OutboxStore {
	var mu sync.Mutex // guards what is below
	var last, highest int64
	numbers := map[place]int64{}
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
			numbers[place{c.Key, applied.Sequence}] = n
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
				n := numbers[place{c.Key, c.Sequence}]
				if n >= seen || c.Attempt > 1 {
					rest = append(rest, c)
					highest = max(highest, n)
				}
			}
			return rest, err
		},
	}
}

// appendedMeanwhileIsForgotten takes a queue away when what was the last at the time of
// the claim is done.
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

// appendEndsAClaim makes the queue due whenever something is queued.
func appendEndsAClaim(s incident.OutboxStore) incident.OutboxStore {
	b, latest := watching(s)
	b.apply = func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if claim, ok := latest.get(queueName{Key: c.Key}); ok && err == nil && c.Notify {
			_, _ = s.Settle(ctx, []incident.Settlement{release(claim)})
		}
		return applied, err
	}
	return b
}

// appendEndsADelay keeps what is delayed claimed until it is due.
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
			if end, ok := delayed.get(c.Key); ok && c.Notify {
				end.After = 0
				_, _ = s.Settle(ctx, []incident.Settlement{end})
			}
			return s.Apply(ctx, c)
		},
	}
}
