package storetest

import (
	"time"

	"github.com/incidentkit/incident"
)

// mustCreateLeased creates an incident whose queues are claimed by the creation, and returns the
// ticket of each notifier. A store may ignore Leases: then isClaimed is false, and the queues must
// be due.
func mustCreateLeased(
	t *trial, s incident.OutboxStore, lease time.Duration, targets ...incident.NotifyTarget,
) (tickets []incident.Ticket, isClaimed bool) {
	t.Helper()
	c := creation(draft(acme))
	c.Notify = targets
	for range targets {
		c.Leases = append(c.Leases, lease)
	}
	applied := mustApply(t, s, c)
	key := applied.Incident.Key()
	if applied.Fence == 0 {
		for _, target := range targets {
			claims := mustClaim(t, s, claimsFor(target))
			wantClaimed(t, "without a fence the claims", claims, activityKey{key, firstWanted(&c, target)})
		}
		return nil, false
	}
	for _, target := range targets {
		tickets = append(tickets, incident.Ticket{
			Key: key, Notifier: target.Notifier, Sequence: firstWanted(&c, target), Fence: applied.Fence,
		})
	}
	return tickets, true
}

// firstWanted returns the sequence of the first activity of a creation that a notifier wants.
func firstWanted(c *incident.Change, target incident.NotifyTarget) int64 {
	for i := range c.Activities {
		if target.Wants(c.Activities[i].Type) {
			return int64(i + 1)
		}
	}
	return 0
}

// through returns the settlement of a claim whose activities before sequence were delivered.
func through(ticket incident.Ticket, sequence int64, outcome incident.Outcome, before int) incident.Settlement {
	ticket.Sequence = sequence
	end := incident.Settlement{Ticket: ticket, Outcome: outcome, Before: before}
	if outcome == incident.OutcomePark {
		end.Error = "no receiver"
	}
	return end
}

// A queue that its creation claims is not due. It counts as pending, and its activities are settled
// at once. What is appended meanwhile is due then.
func leasesClaimNewQueues(t *trial, s incident.OutboxStore) {
	tickets, isClaimed := mustCreateLeased(t, s, longLease, unnamed()...)
	if !isClaimed {
		return
	}
	wantNoClaim(t, s, "after a creation with a lease")
	wantBacklog(t, s, "after a creation with a lease", 2, 0)
	wrong := through(tickets[0], 2, incident.OutcomeDelivered, 1)
	wrong.Fence++
	mustSettle(t, s, wrong)
	wantBacklog(t, s, "after a settlement with another fence", 2, 0)
	mustSettle(t, s, through(tickets[0], 2, incident.OutcomeDelivered, 1))
	wantBacklog(t, s, "after all was delivered", 0, 0)
	wantNoClaim(t, s, "after all was delivered")

	more, _ := mustCreateLeased(t, s, longLease, unnamed()...)
	mustNotify(t, s, more[0].Key, 1)
	wantNoClaim(t, s, "while a longer queue is claimed")
	mustSettle(t, s, through(more[0], 2, incident.OutcomeDelivered, 1))
	mustSettle(t, s, through(more[0], 2, incident.OutcomeDelivered, 1)) // it changes nothing
	if c := mustClaimOne(t, s, more[0].Key, 3); c.Attempt != 1 {
		t.Errorf("the appended notification has attempt %d, want 1", c.Attempt)
	}
}

// A claim ends with its lease. The next claim is the second attempt of the first activity.
func leasesEnd(t *trial, s incident.OutboxStore) {
	tickets, isClaimed := mustCreateLeased(t, s, shortLease, unnamed()...)
	if !isClaimed {
		return
	}
	c := mustClaimOne(t, s, tickets[0].Key, 1)
	if c.Attempt != 2 || c.Fence == tickets[0].Fence || !c.More {
		t.Errorf("after the lease the claim is %s, want attempt 2, another fence than %d, and More", show(c), tickets[0].Fence)
	}
	mustSettle(t, s, through(tickets[0], 2, incident.OutcomeDelivered, 1))
	wantBacklog(t, s, "after a late settlement", 2, 0)
	mustSettle(t, s, deliver(c))
	mustDrain(t, s, map[incident.Key][]int64{c.Key: {2}})
}

// A claim may end with a later activity than the first: those before have left the queue.
func leasesEndWithALaterActivity(t *trial, s incident.OutboxStore) {
	for _, c := range []struct {
		outcome incident.Outcome
		attempt int // of the later activity; 0 if it has left the queue
		parked  bool
	}{
		{incident.OutcomeRetry, 2, false},
		{incident.OutcomeRelease, 1, false},
		{incident.OutcomePark, 0, true},
	} {
		tickets, isClaimed := mustCreateLeased(t, s, longLease, unnamed()...)
		if !isClaimed {
			return
		}
		key := tickets[0].Key
		mustSettle(t, s, through(tickets[0], 2, c.outcome, 1))
		if c.parked {
			wantBacklog(t, s, "after the second was parked", 0, 1)
			wantParked(t, s, acme, activityKey{key, 2})
			continue
		}
		wantBacklog(t, s, "after the first was delivered", 1, 0)
		later := mustClaimOne(t, s, key, 2)
		if later.Attempt != c.attempt || later.More {
			t.Errorf("after outcome %d of the second activity its claim is %s, want attempt %d", c.outcome, show(later), c.attempt)
		}
		mustSettle(t, s, deliver(later))
		wantBacklog(t, s, "after both were delivered", 0, 0)
	}
}

// Each notifier has a lease of its own, and only what it wants.
func leasesAreOfEachNotifier(t *trial, s incident.OutboxStore) {
	created := target(pager, incident.ActivityTypeCreated)
	tickets, isClaimed := mustCreateLeased(t, s, longLease, unnamed()[0], created)
	if !isClaimed {
		return
	}
	key := tickets[0].Key
	wantNoClaim(t, s, "after a creation with leases")
	wantNoClaimBy(t, s, claimsFor(created), "after a creation with leases")
	mustSettle(t, s, through(tickets[1], 2, incident.OutcomeDelivered, 0))
	wantBacklogOf(t, s, pager, "after its activity was delivered", counts{0, 0, 0})
	wantBacklog(t, s, "after another notifier has its activity", 2, 0)
	mustSettle(t, s, through(tickets[0], 1, incident.OutcomeRelease, 0))
	mustDrain(t, s, map[incident.Key][]int64{key: {1, 2}})

	c := creation(draft(acme))
	c.Notify, c.Leases = []incident.NotifyTarget{{}, created}, []time.Duration{longLease, 0}
	applied := mustApply(t, s, c)
	wantNoClaim(t, s, "of the notifier with a lease")
	mustSettle(t, s, deliver(mustClaimOneFor(t, s, created, applied.Incident.Key(), 2, false)))
}

// In a transaction nothing is claimed, because nobody delivers before its end.
func leasesLeaveTransactionsAlone(t *trial, s incident.OutboxStore) {
	var key incident.Key
	mustInTx(t, s, func(tx incident.Store) error {
		c := notifying(creation(draft(acme)))
		c.Leases = []time.Duration{longLease}
		applied := mustApply(t, tx, c)
		key = applied.Incident.Key()
		if applied.Fence != 0 {
			t.Errorf("in a transaction the fence is %d, want 0", applied.Fence)
		}
		return nil
	})
	if c := mustClaimOne(t, s, key, 1); c.Attempt != 1 {
		t.Errorf("after the transaction the attempt is %d, want 1", c.Attempt)
	}
}
