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
		queueFaults(), claimFaults(), claimedOperationFaults(), claimLimitFaults(), settleFaults(), parkedFaults(), replayedFaults(), outboxTxFaults(),
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
					rejected, reason := rejects(t, name, run, f.plant(memory.New()))
					if !rejected {
						t.Errorf("%s accepts the outbox", name)
					}
					t.Logf("%s: %s", name, reason)
				})
			}
			all.Wait()
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

// brokenOutbox is an outbox with some methods replaced. Its transactions are those of
// the store underneath unless inTx is set.
type brokenOutbox struct {
	incident.OutboxStore

	apply   func(ctx context.Context, c incident.Change) (incident.Applied, error)
	inTx    func(ctx context.Context, fn func(tx incident.Store) error) error
	claim   func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error)
	settle  func(ctx context.Context, all []incident.Settlement) ([]int, error)
	backlog func(ctx context.Context) (incident.Backlog, error)
	parked  func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error)
	replay  func(ctx context.Context, key incident.Key) (int, error)
}

func (b *brokenOutbox) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	if b.apply != nil {
		return b.apply(ctx, c)
	}
	return b.OutboxStore.Apply(ctx, c)
}

func (b *brokenOutbox) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	if b.inTx != nil {
		return b.inTx(ctx, fn)
	}
	return b.OutboxStore.InTx(ctx, fn)
}

func (b *brokenOutbox) Claim(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
	if b.claim != nil {
		return b.claim(ctx, q)
	}
	return b.OutboxStore.Claim(ctx, q)
}

func (b *brokenOutbox) Settle(ctx context.Context, all []incident.Settlement) ([]int, error) {
	if b.settle != nil {
		return b.settle(ctx, all)
	}
	return b.OutboxStore.Settle(ctx, all)
}

func (b *brokenOutbox) Backlog(ctx context.Context) (map[string]incident.Backlog, error) {
	if b.backlog != nil {
		counted, err := b.backlog(ctx)
		return map[string]incident.Backlog{"": counted}, err
	}
	return b.OutboxStore.Backlog(ctx)
}

func (b *brokenOutbox) Parked(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
	if b.parked != nil {
		return b.parked(ctx, q)
	}
	return b.OutboxStore.Parked(ctx, q)
}

func (b *brokenOutbox) Replay(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	if b.replay != nil {
		n, err := b.replay(ctx, incident.Key{OrganizationID: q.OrganizationID, Identifier: q.Identifier})
		return incident.ParkedBatch{Count: n}, err
	}
	return b.OutboxStore.Replay(ctx, q)
}

// asking changes the query of Claim.
func asking(alter func(q *incident.ClaimQuery)) func(s incident.OutboxStore) incident.OutboxStore {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			alter(&q)
			return s.Claim(ctx, q)
		}}
	}
}

// answering changes the result of Claim.
func answering(alter func(s incident.OutboxStore, c *incident.Claim)) func(s incident.OutboxStore) incident.OutboxStore {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			claims, err := s.Claim(ctx, q)
			for i := range claims {
				alter(s, &claims[i])
			}
			return claims, err
		}}
	}
}

// ending changes the arguments of Settle.
func ending(alter func(end *incident.Settlement)) func(s incident.OutboxStore) incident.OutboxStore {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, settle: func(ctx context.Context, all []incident.Settlement) ([]int, error) {
			all = slices.Clone(all)
			for i := range all {
				alter(&all[i])
			}
			return s.Settle(ctx, all)
		}}
	}
}

// skipping delivers some claims itself, and returns the others.
func skipping(s incident.OutboxStore, skips func(c incident.Claim) bool) *brokenOutbox {
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		for {
			claims, err := s.Claim(ctx, q)
			if err != nil {
				return claims, err
			}
			var rest []incident.Claim
			for _, c := range claims {
				if skips(c) {
					_, _ = s.Settle(ctx, []incident.Settlement{deliver(c)})
				} else {
					rest = append(rest, c)
				}
			}
			if len(rest) > 0 || len(claims) == 0 {
				return rest, nil
			}
		}
	}}
}

// watching records the latest claim of each queue.
func watching(s incident.OutboxStore) (*brokenOutbox, *registry[queueName, incident.Claim]) {
	latest := &registry[queueName, incident.Claim]{}
	return &brokenOutbox{OutboxStore: s, claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		claims, err := s.Claim(ctx, q)
		for _, c := range claims {
			latest.put(queueOf(c.Ticket), c)
		}
		return claims, err
	}}, latest
}

// withOutboxTx replaces the store that InTx passes to fn.
func withOutboxTx(s incident.OutboxStore, replace func(tx incident.OutboxStore) incident.Store) *brokenOutbox {
	return &brokenOutbox{OutboxStore: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		return s.InTx(ctx, func(tx incident.Store) error { return fn(replace(tx.(incident.OutboxStore))) })
	}}
}
