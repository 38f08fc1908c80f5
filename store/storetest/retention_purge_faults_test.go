package storetest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// planting makes a store of a function that replaces methods.
func planting(replace func(b *brokenRetention)) func(s retentionAll) incident.RetentionStore {
	return func(s retentionAll) incident.RetentionStore {
		b := newBroken(s)
		replace(b)
		return b
	}
}

// purging changes the query of Purge.
func purging(alter func(q *incident.PurgeQuery)) func(s retentionAll) incident.RetentionStore {
	return planting(func(b *brokenRetention) {
		b.purge = func(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
			alter(&q)
			return b.base.Purge(ctx, q)
		}
	})
}

// purged changes the result of Purge.
func purged(alter func(q incident.PurgeQuery, batch *incident.PurgeBatch)) func(s retentionAll) incident.RetentionStore {
	return planting(func(b *brokenRetention) {
		b.purge = func(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
			batch, err := b.base.Purge(ctx, q)
			if err == nil {
				alter(q, &batch)
			}
			return batch, err
		}
	})
}

func purgeFaults() []retentionFault {
	return []retentionFault{
		{"ClosedAtTheTimeIsDue", purging(func(q *incident.PurgeQuery) { q.ClosedBefore = q.ClosedBefore.Add(time.Microsecond) }), []string{"Purge/VisitsClosedIncidents"}},
		{"ClosedJustBeforeIsNotDue", purging(func(q *incident.PurgeQuery) { q.ClosedBefore = q.ClosedBefore.Add(-time.Microsecond) }), []string{"Purge/VisitsClosedIncidents"}},
		{"PurgeIgnoresTheLimit", purging(func(q *incident.PurgeQuery) { q.Limit = everything }), []string{"Purge/IsLimited"}},
		{"PurgeIgnoresThePosition", purging(func(q *incident.PurgeQuery) { q.After = nil }), []string{
			"Purge/ContinuesAfterAPosition", "Purge/LeavesOthersAlone", "PurgeOutbox/PassesTheHeldBack", "PurgeOutbox/DeletesParked",
		}},
		{"PurgePassesTies", purging(func(q *incident.PurgeQuery) {
			if q.After != nil {
				q.After = &incident.Position{DateStarted: q.After.DateStarted.Add(time.Microsecond)}
			}
		}), []string{"Purge/IsLimited", "Purge/ContinuesAfterAPosition"}},
		{"PurgeStopsEarly", purged(func(_ incident.PurgeQuery, b *incident.PurgeBatch) { b.Next = nil }), []string{
			"Purge/IsLimited", "PurgeOutbox/PassesTheHeldBack", "PurgeFeed/ReportsAllUnderConcurrency",
		}},
		{"PurgeIsInNoOrder", purged(func(_ incident.PurgeQuery, b *incident.PurgeBatch) { slices.Reverse(b.Purged) }), []string{"Purge/IsInOrder"}},
		{"PurgeVisitsByIdentifier", purged(func(_ incident.PurgeQuery, b *incident.PurgeBatch) {
			slices.SortFunc(b.Purged, func(a, b incident.IncidentVersion) int { return int(a.Key.Identifier - b.Key.Identifier) })
		}), []string{"Purge/IsInOrder"}},
		{"PurgeReturnsTheLastVersion", purged(func(_ incident.PurgeQuery, b *incident.PurgeBatch) {
			for i := range b.Purged {
				b.Purged[i].Version--
			}
		}), []string{"Purge/ReturnsGreaterVersions", "PurgeFeed/ReportsTheDeleted"}},
		{"PurgeReturnsNoActivities", purged(func(_ incident.PurgeQuery, b *incident.PurgeBatch) {
			for i := range b.Purged {
				b.Purged[i].Activities = 0
			}
		}), []string{"Purge/ReturnsGreaterVersions"}},
		{"PurgeNeverEnds", purged(func(_ incident.PurgeQuery, b *incident.PurgeBatch) {
			if b.Next == nil {
				b.Next = &incident.Position{DateStarted: never, Identifier: 1}
			}
		}), []string{"Purge/OfNothing", "Purge/IsLimited"}},
		{"PurgeDeletesNothing", purged(func(_ incident.PurgeQuery, b *incident.PurgeBatch) { b.Purged = nil }), []string{"Purge/DeletesOnce", "Purge/ExcludesWriters"}},
		{"PurgeRepeats", planting(purgeRepeats), []string{"Purge/DeletesOnce"}},
		{"PurgeIgnoresTheContext", planting(func(b *brokenRetention) {
			b.purge = func(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
				return b.base.Purge(context.WithoutCancel(ctx), q)
			}
		}), []string{"Purge/ObeysTheContext"}},
		{"PurgeMovesTheCallersPosition", purged(func(q incident.PurgeQuery, b *incident.PurgeBatch) {
			if q.After != nil && b.Next != nil {
				*q.After = *b.Next
			}
		}), []string{"Purge/LeavesTheQueryAlone"}},
		{"PurgeKeepsTheCallersPosition", planting(purgeKeepsTheCallersPosition), []string{"Purge/LeavesTheQueryAlone"}},
		{"PurgeTouchesOthers", planting(func(b *brokenRetention) {
			b.purge = func(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
				other := q
				if other.OrganizationID = umbrella; q.OrganizationID != umbrella {
					_, _ = b.base.Purge(ctx, other)
				}
				return b.base.Purge(ctx, q)
			}
		}), []string{"Purge/IsolatesOrganizations"}},
		{"PurgeClosesFirst", planting(purgeClosesFirst), []string{"Purge/SparesTheReopened", "Purge/VisitsClosedIncidents", "Purge/OfNothing"}},
		{"PurgeReissuesIdentifiers", planting(purgeReissuesIdentifiers), []string{"Purge/UsesUpIdentifiers", "Purge/KeepsSlots"}},
	}
}

// purgeRepeats returns the first batch again in later batches.
func purgeRepeats(b *brokenRetention) {
	var mu sync.Mutex // guards first
	var first []incident.IncidentVersion
	b.purge = func(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
		batch, err := b.base.Purge(ctx, q)
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = slices.Clip(batch.Purged)
		} else if len(batch.Purged) > 0 {
			batch.Purged[0] = first[0]
		}
		return batch, err
	}
}

// purgeKeepsTheCallersPosition begins a purge at the position that the caller gave before.
func purgeKeepsTheCallersPosition(b *brokenRetention) {
	var kept *incident.Position
	b.purge = func(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
		if kept == nil {
			kept = q.After
		} else if q.After == nil {
			q.After = kept
		}
		return b.base.Purge(ctx, q)
	}
}

// purgeClosesFirst deletes incidents that are active by the time of the deletion.
func purgeClosesFirst(b *brokenRetention) {
	b.purge = func(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
		list, err := allOf(ctx, b.base, incident.IncidentQuery{OrganizationID: q.OrganizationID, Statuses: incident.ActiveStatuses()})
		for _, inc := range list {
			if st, err := b.base.Load(ctx, inc.Key()); err == nil {
				_, _ = b.base.Apply(ctx, closing(st, minute(1)))
			}
		}
		if err != nil {
			return incident.PurgeBatch{}, err
		}
		return b.base.Purge(ctx, q)
	}
}

// restart begins a new store if the store is empty, so that identifiers and the versions of slots
// begin again.
func (b *brokenRetention) restart(ctx context.Context) {
	if rest, err := b.base.Organizations(ctx, "", 1); err == nil && len(rest) == 0 {
		purge, remove := b.purge, b.remove
		*b = *newBroken(newKeeper())
		b.purge, b.remove = purge, remove
	}
}

func purgeReissuesIdentifiers(b *brokenRetention) {
	b.purge = func(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
		batch, err := b.base.Purge(ctx, q)
		b.restart(ctx)
		return batch, err
	}
}
