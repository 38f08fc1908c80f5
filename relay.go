package incident

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident/internal/duration"
	"github.com/incidentkit/incident/internal/relay"
)

// leaseMargin is how long a claim is valid after the time limit of its attempt: time for the
// notifier to return, and for the claim to be settled.
const leaseMargin = 5 * time.Second

// outboxRelay delivers the queued notifications of a store to a notifier. Package relay decides
// when and how much to claim; outboxRelay calls the store and the notifier.
type outboxRelay struct {
	*relay.Relay[delivery, attempted]
	manager  *manager
	outbox   OutboxStore
	notifier Notifier
	target   NotifyTarget
	notify   *NotifyOptions
	logger   relayLogger
	record   relayRecord
	attempts attempts // in progress

	// ahead is how far the clock of the store is ahead of the clock of this process, in
	// nanoseconds, as of the last claim.
	ahead atomic.Int64

	warned atomic.Bool // queued has logged that this process delivers nothing
}

func newOutboxRelay(m *manager, outbox OutboxStore, name string, n *NamedNotifier) *outboxRelay {
	notify := &n.Notify
	r := &outboxRelay{
		manager: m, outbox: outbox, notifier: n.Notifier, notify: notify,
		target: NotifyTarget{Notifier: name, Types: notify.Types},
		logger: relayLogger{m.core, name},
	}
	r.Relay = relay.New(relay.Config[delivery, attempted]{
		Permits:      notify.Concurrency,
		Timeout:      notify.Timeout,
		PollInterval: notify.PollInterval,
		Grace:        notify.Grace,
		Claim:        r.claim,
		Tenant:       func(c *delivery) relay.Tenant { return relay.Tenant(c.Key.OrganizationID) },
		Send:         r.send,
		Release:      func(c *delivery) attempted { return c.released() },
		Settle:       r.settle,
		Freed:        freedBy,
	})
	return r
}

// isElsewhere reports whether other processes deliver the notifications.
func (r *outboxRelay) isElsewhere() bool { return r.notifier == NotifyElsewhere }

// claim claims due queues for the relay.
func (r *outboxRelay) claim(ctx context.Context, q relay.Query) ([]delivery, error) {
	query := ClaimQuery{
		NotifyTarget: r.target,
		Limit:        q.Limit, PerOrganization: 1, After: OrganizationID(q.After),
		Lease: duration.Add(r.notify.Timeout, leaseMargin),
	}
	if len(q.Allowances) > 0 {
		query.Allowances = make(map[OrganizationID]int, len(q.Allowances))
	}
	for tenant, n := range q.Allowances {
		query.Allowances[OrganizationID(tenant)] = n
	}
	for _, tenant := range q.Except {
		query.Except = append(query.Except, OrganizationID(tenant))
	}
	claims, err := guarded(func() ([]Claim, error) { return r.outbox.Claim(ctx, query) })
	r.record.store(ctx, r.logger, err)
	if len(claims) > 0 {
		r.ahead.Store(int64(time.Until(claims[0].Now)))
	}
	deliveries := make([]delivery, len(claims))
	for i := range claims {
		deliveries[i].Claim = claims[i]
	}
	return deliveries, err
}

// expect makes the relay ask the store when a reminder is due.
func (r *outboxRelay) expect(at time.Time) {
	if !r.isElsewhere() {
		r.WakeIn(time.Until(at) - time.Duration(r.ahead.Load()))
	}
}

// settle settles claims for the relay, and counts the attempts whose settlements were written.
func (r *outboxRelay) settle(ctx context.Context, all []attempted) (busy []int, err error) {
	settlements := make([]Settlement, len(all))
	for i := range all {
		settlements[i] = all[i].Settlement
	}
	busy, err = guarded(func() ([]int, error) { return r.outbox.Settle(ctx, settlements) })
	r.record.store(ctx, r.logger, err)
	if err == nil {
		r.record.settled(all, busy)
	}
	return busy, err
}

// freedBy returns the organization of a settled claim, and the delay until its queue is due
// again.
func freedBy(s *attempted) (tenant relay.Tenant, again time.Duration) {
	switch {
	case s.Outcome == OutcomeRetry:
		again = s.After
	case s.More, s.Outcome == OutcomeRelease:
		again = relay.Now
	}
	return relay.Tenant(s.Key.OrganizationID), again
}
