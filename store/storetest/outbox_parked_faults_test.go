package storetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

func parkedFaults() []outboxFault {
	whole, paged := []string{"Parked/AreWhole"}, []string{"Parked/ArePaged"}
	return []outboxFault{
		{"ParkedWithoutUUID", listing(func(p *incident.ParkedNotification) { p.NotificationUUID = uuid.Nil }), whole},
		{"ParkedWithoutAttempts", listing(func(p *incident.ParkedNotification) { p.Attempts = 0 }), whole},
		{"ParkedWithoutError", listing(func(p *incident.ParkedNotification) { p.Error = "" }), whole},
		{"ErrorIsCut", listing(func(p *incident.ParkedNotification) { p.Error = p.Error[:min(len(p.Error), 255)] }), whole},
		{"ParkedWithoutDate", listing(func(p *incident.ParkedNotification) { p.DateParked = time.Time{} }), whole},
		{"ParkedInLocalTime", listing(func(p *incident.ParkedNotification) {
			p.DateParked = p.DateParked.In(time.FixedZone("UTC", 0))
		}), whole},
		{"ParkedByDate", parkedByDate, paged},
		{"ParkedFromTheIncidentOn", pagingParked(func(q *incident.ParkedQuery) { q.After.Sequence = 0 }), paged},
		{"ParkedBehindTheIncident", pagingParked(func(q *incident.ParkedQuery) { q.After.Identifier, q.After.Sequence = q.After.Identifier+1, 0 }), paged},
		{"ParkedFromThePlaceOn", pagingParked(func(q *incident.ParkedQuery) { q.After.Sequence = max(q.After.Sequence-1, 0) }), paged},
		{"ParkedWithoutLimit", pagingParked(func(q *incident.ParkedQuery) { q.Limit = everything }), paged},
		{"PendingWithoutClaims", pendingWithoutClaims, []string{"Backlog/CountsAll"}},
		{"QueuesAreCounted", queuesAreCounted, []string{"Backlog/CountsAll"}},
		{"ParkedIsPending", counting(func(b *incident.Backlog) { b.Pending += b.Parked }), []string{"Backlog/CountsAll"}},
		{"OldestIsUnknown", counting(func(b *incident.Backlog) { b.Oldest = 0 }), []string{"Backlog/ReportsTheOldest"}},
		{"OldestOfNothing", counting(func(b *incident.Backlog) { b.Oldest = max(b.Oldest, time.Microsecond) }), []string{"Backlog/ReportsTheOldest"}},
		{"OldestNeverGoesBack", oldestNeverGoesBack, []string{"Backlog/ReportsTheOldest"}},
		{"OldestSinceTheLastClaim", oldestSinceTheLastClaim, []string{"Backlog/ReportsTheOldest"}},
	}
}

// listing changes the result of Parked.
func listing(alter func(p *incident.ParkedNotification)) func(s incident.OutboxStore) incident.OutboxStore {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, parked: func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
			list, err := s.Parked(ctx, q)
			for i := range list {
				alter(&list[i])
			}
			return list, err
		}}
	}
}

// pagingParked changes the query of Parked after the first page.
func pagingParked(alter func(q *incident.ParkedQuery)) func(s incident.OutboxStore) incident.OutboxStore {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, parked: func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
			if q.After.Identifier > 0 || q.Limit == 1 {
				alter(&q)
			}
			return s.Parked(ctx, q)
		}}
	}
}

func parkedByDate(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, parked: func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
		limit := q.Limit
		q.Limit = everything
		list, err := s.Parked(ctx, q)
		slices.SortStableFunc(list, func(a, b incident.ParkedNotification) int { return a.DateParked.Compare(b.DateParked) })
		return list[:min(len(list), limit)], err
	}}
}

// counting changes the result of Backlog.
func counting(alter func(b *incident.Backlog)) func(s incident.OutboxStore) incident.OutboxStore {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, backlog: func(ctx context.Context) (map[string]incident.Backlog, error) {
			all, err := s.Backlog(ctx)
			b := all[""]
			alter(&b)
			return map[string]incident.Backlog{"": b}, err
		}}
	}
}

// pendingWithoutClaims leaves out claimed notifications.
func pendingWithoutClaims(s incident.OutboxStore) incident.OutboxStore {
	b := &brokenOutbox{OutboxStore: s}
	var claimed registry[int64, bool] // by fence
	b.claim = func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		claims, err := s.Claim(ctx, q)
		for _, c := range claims {
			claimed.put(c.Fence, true)
		}
		return claims, err
	}
	b.settle = func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		for _, end := range all {
			claimed.put(end.Fence, false)
		}
		return s.Settle(ctx, all)
	}
	b.backlog = counting(func(counted *incident.Backlog) {
		for fence := range int64(1000) {
			if held, _ := claimed.get(fence); held {
				counted.Pending--
			}
		}
	})(s).Backlog
	return b
}

// queuesAreCounted counts queues instead of notifications.
func queuesAreCounted(s incident.OutboxStore) incident.OutboxStore {
	return counting(func(b *incident.Backlog) { b.Pending = min(b.Pending, 2) })(s)
}

func oldestNeverGoesBack(s incident.OutboxStore) incident.OutboxStore {
	var first registry[bool, time.Time]
	return counting(func(b *incident.Backlog) {
		if b.Pending > 0 {
			b.Oldest = time.Since(once(&first, true, time.Now().Add(-b.Oldest)))
		}
	})(s)
}

func oldestSinceTheLastClaim(s incident.OutboxStore) incident.OutboxStore {
	var last registry[bool, time.Time]
	return &brokenOutbox{
		OutboxStore: s,
		claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			last.put(true, time.Now())
			return s.Claim(ctx, q)
		},
		backlog: counting(func(b *incident.Backlog) {
			if at, ok := last.get(true); ok && b.Pending > 0 {
				b.Oldest = min(b.Oldest, time.Since(at))
			}
		})(s).Backlog,
	}
}

func replayedFaults() []outboxFault {
	again := []string{"Replay/QueuesEachAgain"}
	return []outboxFault{
		{"ReplayForgets", replayForgets, []string{"Replay/QueuesEachAgain", "InTx/ReplaysAndCommits"}},
		{"ReplayKeepsThemParked", replayKeepsThemParked, again},
		{"ReplayOfOne", replayOfOne, again},
		{"ReplayOfAll", replayOfAll, again},
		{"ReplayCountsNothing", replaying(func(int, error) (int, error) { return 0, nil }), []string{
			"Replay/QueuesEachAgain", "Replay/ReturnsErrNotFound",
		}},
		{"ReplayedAttemptsGoOn", attemptsOfTheIncident, again},
		{"ReplayedIsNotMarked", replayedIsNotMarked, []string{"Replay/QueuesEachAgain", "Replay/ParksAgain", "InTx/ReplaysAndCommits"}},
		{"ReplayedIsForgottenWhenItFails", replayedIsForgottenWhenItFails, []string{"Replay/ParksAgain"}},
		{"ReplayedWaitsForTheQueue", replayedWaitsForTheQueue, []string{"Replay/IsAQueueOfItsOwn"}},
		{"ReplayedEndsTheQueuesClaim", replayedEndsTheQueuesClaim, []string{"Replay/IsAQueueOfItsOwn"}},
		{"ReplayOfNothingIsAnError", replaying(func(n int, err error) (int, error) {
			if err == nil && n == 0 {
				return 0, incident.ErrNotFound
			}
			return n, err
		}), []string{"Replay/OfNothing"}},
		{"ReplayOfUnknownIsNothing", replaying(func(n int, err error) (int, error) {
			if errors.Is(err, incident.ErrNotFound) {
				return 0, nil
			}
			return n, err
		}), []string{"Replay/ReturnsErrNotFound"}},
	}
}

// replaying changes the result of Replay.
func replaying(alter func(n int, err error) (int, error)) func(s incident.OutboxStore) incident.OutboxStore {
	return func(s incident.OutboxStore) incident.OutboxStore {
		return &brokenOutbox{OutboxStore: s, replay: func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
			b, err := s.Replay(ctx, q)
			b.Count, err = alter(b.Count, err)
			return b, err
		}}
	}
}

func replayForgets(s incident.OutboxStore) incident.OutboxStore {
	return skipping(s, func(c incident.Claim) bool { return c.Replayed })
}

func replayKeepsThemParked(s incident.OutboxStore) incident.OutboxStore {
	var kept registry[incident.OrganizationID, []incident.ParkedNotification]
	return &brokenOutbox{
		OutboxStore: s,
		replay: func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
			list, _ := s.Parked(ctx, incident.ParkedQuery{OrganizationID: q.OrganizationID, Limit: everything})
			kept.put(q.OrganizationID, list)
			return s.Replay(ctx, q)
		},
		parked: func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
			if list, ok := kept.get(q.OrganizationID); ok {
				return slices.Clone(list), ctx.Err()
			}
			return s.Parked(ctx, q)
		},
	}
}

// replayOfOne parks all but one again.
func replayOfOne(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, replay: func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
		replayed, err := s.Replay(ctx, q)
		claims, _ := s.Claim(ctx, anything())
		for i, c := range claims {
			end := park(c, "no receiver")
			if i == 0 {
				end = release(c)
			}
			_, _ = s.Settle(ctx, []incident.Settlement{end})
		}
		return replayed, err
	}}
}

// replayOfAll replays other incidents too.
func replayOfAll(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, replay: func(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
		replayed, err := s.Replay(ctx, q)
		q.Identifier = 0
		_, _ = s.Replay(ctx, q)
		return replayed, err
	}}
}

func replayedIsNotMarked(s incident.OutboxStore) incident.OutboxStore {
	var replayed registry[int64, bool] // by fence
	return &brokenOutbox{
		OutboxStore: s,
		claim: func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
			claims, err := s.Claim(ctx, q)
			for i, c := range claims {
				replayed.put(c.Fence, c.Replayed)
				claims[i].Replayed = false
			}
			return claims, err
		},
		settle: ending(func(end *incident.Settlement) { end.Replayed, _ = replayed.get(end.Fence) })(s).Settle,
	}
}

func replayedIsForgottenWhenItFails(s incident.OutboxStore) incident.OutboxStore {
	return ending(func(end *incident.Settlement) {
		if end.Replayed && end.Outcome == incident.OutcomePark {
			end.Outcome = incident.OutcomeDelivered
		}
	})(s)
}

// replayedWaitsForTheQueue returns no replayed notification while the incident's queue
// is claimed.
func replayedWaitsForTheQueue(s incident.OutboxStore) incident.OutboxStore {
	b, latest := watching(s)
	claim := b.claim
	b.claim = func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
		claims, err := claim(ctx, q)
		return slices.DeleteFunc(claims, func(c incident.Claim) bool {
			own, ok := latest.get(queueName{Key: c.Key})
			return c.Replayed && ok && own.Sequence > c.Sequence
		}), err
	}
	return b
}

// replayedEndsTheQueuesClaim finds the claim by its incident.
func replayedEndsTheQueuesClaim(s incident.OutboxStore) incident.OutboxStore {
	b, latest := watching(s)
	b.settle = func(ctx context.Context, all []incident.Settlement) ([]int, error) {
		for _, end := range all {
			if own, ok := latest.get(queueName{Key: end.Key}); ok && end.Replayed {
				end.Ticket = own.Ticket
				_, _ = s.Settle(ctx, []incident.Settlement{end})
			}
		}
		return s.Settle(ctx, all)
	}
	return b
}
