package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// outboxNamedContract lists the promises of an outbox for a named notifier. Its cases are those
// for the notifier without a name.
func outboxNamedContract() []group[incident.OutboxStore] {
	var groups []group[incident.OutboxStore]
	for _, g := range slices.Concat(outboxDeliveryContract(), outboxSupportContract()) {
		if g.name == "Context" || g.name == "Outbox" {
			continue // these name notifiers themselves
		}
		named := group[incident.OutboxStore]{name: "Named" + g.name}
		for _, c := range g.cases {
			if !unnamedOnly[g.name+"/"+c.name] {
				named.cases = append(named.cases, outboxCase{c.name, func(t *trial, s incident.OutboxStore) { c.run(t, &namedOutbox{s}) }})
			}
		}
		groups = append(groups, named)
	}
	return groups
}

// unnamedOnly has the cases that name notifiers themselves, and those about the memory of arguments
// that a namedOutbox copies.
var unnamedOnly = map[string]bool{
	"Settle/LeavesItsArgumentsAlone": true, "Leases/AreOfEachNotifier": true,
	"Parked/AreInOrderOfPosition": true, "Replay/WorksInBatches": true, "Replay/OfNotifiersReturnsErrNotFound": true,
	"InTx/UndoesBatches": true, "InTx/CommitsReminders": true, "InTx/UndoesReminders": true, "InTx/NestsReminders": true,
	"InTx/HidesReminders": true, "Isolation/OfReminders": true,
}

// The names of a namedOutbox: its own, and of notifiers whose queues nobody claims.
const (
	ownName   = "Zähler 'x' \\ %"
	otherName = "zähler"
)

// namedOutbox is an outbox whose notifier without a name has a name in the outbox underneath. Its
// changes are queued for two other notifiers, too.
type namedOutbox struct{ incident.OutboxStore }

func (n *namedOutbox) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	var all []incident.NotifyTarget
	var leases []time.Duration
	for i, target := range c.Notify {
		for _, name := range []string{"", ownName, otherName} {
			target.Notifier = name
			all = append(all, target)
			if len(c.Leases) > 0 {
				leases = append(leases, c.Leases[i])
			}
		}
	}
	c.Notify, c.Leases = all, leases
	return n.OutboxStore.Apply(ctx, c)
}

func (n *namedOutbox) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	return n.OutboxStore.InTx(ctx, func(tx incident.Store) error {
		if outbox, err := outboxOf(tx); err == nil {
			tx = &namedOutbox{outbox}
		}
		return fn(tx)
	})
}

func (n *namedOutbox) Claim(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
	q.Notifier = ownName
	claims, err := n.OutboxStore.Claim(ctx, q)
	for i := range claims {
		claims[i].Notifier = unnamedFor(claims[i].Notifier)
	}
	return claims, err
}

// unnamedFor returns the name of a notifier for a case.
func unnamedFor(name string) string {
	switch name {
	case ownName:
		return ""
	case "":
		return "the notifier without a name"
	}
	return name
}

func (n *namedOutbox) Settle(ctx context.Context, all []incident.Settlement) ([]int, error) {
	named := slices.Clone(all)
	for i := range named {
		named[i].Notifier = ownName
	}
	return n.OutboxStore.Settle(ctx, named)
}

func (n *namedOutbox) Backlog(ctx context.Context) (map[string]incident.Backlog, error) {
	all, err := n.OutboxStore.Backlog(ctx)
	return map[string]incident.Backlog{"": all[ownName]}, err
}

func (n *namedOutbox) Parked(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
	q.Notifier = ownName
	parked, err := n.OutboxStore.Parked(ctx, q)
	for i := range parked {
		parked[i].Notifier = unnamedFor(parked[i].Notifier)
	}
	return parked, err
}

func (n *namedOutbox) Replay(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	q.Notifier = ownName
	return n.OutboxStore.Replay(ctx, q)
}
