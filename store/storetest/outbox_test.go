package storetest

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// outboxFault is an outbox that breaks the contract in one way, with the cases that must
// reject it.
type outboxFault struct {
	name  string
	plant func(s incident.OutboxStore) incident.OutboxStore
	cases []string
}

func outboxFaults() []outboxFault {
	return slices.Concat(
		queueFaults(), claimFaults(), claimedOperationFaults(), claimLimitFaults(), settleFaults(), newQueueFaults(), parkedFaults(), replayedFaults(), outboxTxFaults(),
		notifierFaults(), typeFaults(), reminderFaults(), reminderEndFaults(), dueReminderFaults(),
		batchFaults(), discardFaults(), batchTxFaults(),
	)
}

func TestRunOutbox_RejectsBrokenOutboxes(t *testing.T) {
	byName := casesByName(outboxContract())
	for _, f := range outboxFaults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			var all sync.WaitGroup // most of them wait
			for _, name := range f.cases {
				run, ok := byName[name]
				if !ok {
					t.Errorf("there is no case %s", name)
					continue
				}
				all.Go(func() {
					wantRejectedBy(t, name, run, func() incident.OutboxStore { return f.plant(memory.New()) })
				})
			}
			all.Wait()
		})
	}
}

// The cases for a named notifier reject what the same cases reject for the notifier without a name.
func TestRunOutbox_RejectsBrokenOutboxesOfNamedNotifiers(t *testing.T) {
	byName := casesByName(outboxNamedContract())
	for _, f := range slices.Concat(claimFaults(), claimLimitFaults(), settleFaults()) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range f.cases {
				if run, ok := byName["Named"+name]; ok {
					wantRejectedBy(t, "Named"+name, run, func() incident.OutboxStore { return f.plant(memory.New()) })
				}
			}
		})
	}
}

func TestRunOutbox_EachCaseRejectsAnOutbox(t *testing.T) {
	var named []string
	for _, f := range outboxFaults() {
		named = append(named, f.cases...)
	}
	wantEachNamed(t, casesByName(outboxContract()), named)
}

// The broken outboxes are made of an outbox that keeps the contract.
func TestRunOutbox_Memory(t *testing.T) {
	RunOutbox(t, func(*testing.T) incident.OutboxStore { return memory.New() })
}

// An outbox may return claims in any order, pass over due queues and be busy.
func TestRunOutbox_AcceptsLiberties(t *testing.T) {
	RunOutbox(t, func(*testing.T) incident.OutboxStore {
		s := memory.New()
		return &brokenOutbox{
			OutboxStore: s,
			claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
				if rand.N(3) == 0 {
					return nil, ctx.Err()
				}
				claims, err := s.Claim(ctx, q)
				rand.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
				return claims, err
			},
			settle: func(ctx context.Context, all []incident.Settlement) (busy []int, err error) {
				var some []incident.Settlement
				for i := range all {
					if rand.N(3) == 0 {
						busy = append(busy, i)
					} else {
						some = append(some, all[i])
					}
				}
				_, err = s.Settle(ctx, some)
				return busy, err
			},
		}
	})
}
