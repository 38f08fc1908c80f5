package storetest

import (
	"context"

	"github.com/incidentkit/incident"
)

func newQueueFaults() []outboxFault {
	before := func(alter func(end *incident.Settlement)) outboxPlant {
		return ending(func(end *incident.Settlement) {
			if end.Before > 0 {
				alter(end)
			}
		})
	}
	return []outboxFault{
		{"LeasesAreIgnoredInSilence", leasesAreIgnoredInSilence, []string{"Leases/ClaimNewQueues", "Leases/AreOfEachNotifier"}},
		{"LeasesAreKeptInSilence", leasesAreKeptInSilence, []string{"Leases/ClaimNewQueues"}},
		{"LeasesDoNotEnd", changing(func(c *incident.Change) {
			for i := range c.Leases {
				c.Leases[i] = longLease
			}
		}), []string{"Leases/End", "Leases/AreOfEachNotifier"}},
		{"LeasesAreKeptInTransactions", leasesAreKeptInTransactions, []string{"Leases/LeaveTransactionsAlone"}},
		{"TheFirstIsLeft", before(func(end *incident.Settlement) { end.Sequence, end.Before = 1, 0 }), []string{
			"Leases/ClaimNewQueues", "Leases/EndWithALaterActivity",
		}},
		{"LaterActivitiesAreUnknown", before(func(end *incident.Settlement) { end.Before = 0 }), []string{"Leases/EndWithALaterActivity"}},
	}
}

// leasesAreIgnoredInSilence returns a fence without a claim.
func leasesAreIgnoredInSilence(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		hasLeases := len(c.Leases) > 0
		c.Leases = nil
		a, err := s.Apply(ctx, c)
		if hasLeases {
			a.Fence = 1
		}
		return a, err
	}}
}

// leasesAreKeptInSilence returns no fence for its claims.
func leasesAreKeptInSilence(s incident.OutboxStore) incident.OutboxStore {
	return &brokenOutbox{OutboxStore: s, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		a, err := s.Apply(ctx, c)
		a.Fence = 0
		return a, err
	}}
}

// leasesAreKeptInTransactions returns a fence in a transaction, too.
func leasesAreKeptInTransactions(s incident.OutboxStore) incident.OutboxStore {
	return withOutboxTx(s, func(tx incident.OutboxStore) incident.Store {
		return &brokenOutbox{OutboxStore: tx, apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			a, err := tx.Apply(ctx, c)
			if len(c.Leases) > 0 {
				a.Fence = 1
			}
			return a, err
		}}
	})
}
