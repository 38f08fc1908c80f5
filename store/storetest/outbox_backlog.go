package storetest

import (
	"time"

	"github.com/incidentkit/incident"
)

// A notification is pending until it is delivered or parked: claimed, delayed or
// replayed, in any organization.
func backlogCountsAll(t *trial, s incident.OutboxStore) {
	wantBacklog(t, s, "of an empty store", 0, 0)
	key := mustQueue(t, s, acme, 3)
	wantBacklog(t, s, "with three comments", 3, 0)
	c := mustClaimOne(t, s, key, 3)
	wantBacklog(t, s, "with one of them claimed", 3, 0)
	mustApply(t, s, notifying(creation(draft(umbrella))))
	wantBacklog(t, s, "with a new incident", 5, 0)
	mustSettle(t, s, deliver(c))
	wantBacklog(t, s, "with one delivered", 4, 0)
	for _, c := range mustClaim(t, s, incident.ClaimQuery{Limit: 1, PerOrganization: 1, Lease: longLease}) {
		mustSettle(t, s, park(c, "no receiver"))
	}
	wantBacklog(t, s, "with one parked", 3, 1)
	for _, c := range mustClaim(t, s, incident.ClaimQuery{Limit: 1, PerOrganization: 1, After: acme, Lease: longLease}) {
		mustSettle(t, s, park(c, "no receiver"))
	}
	wantBacklog(t, s, "with another parked", 2, 2)
	for _, c := range mustClaim(t, s, anything()) {
		mustSettle(t, s, retry(c, longLease))
	}
	wantBacklog(t, s, "with some delayed", 2, 2)
	mustReplayParked(t, s, key, 1)
	wantBacklog(t, s, "with one replayed", 3, 1)
}

// Oldest is the time since the longest-waiting notification became the head of its
// queue. Failures and claims do not reset it.
func backlogReportsTheOldest(t *trial, s incident.OutboxStore) {
	const age = 30 * time.Millisecond
	if b := mustBacklog(t, s); b.Oldest != 0 {
		t.Errorf("Oldest of an empty store is %v, want 0", b.Oldest)
	}
	// want checks that Oldest is between the ages of two times.
	want := func(when string, from, to time.Time) {
		t.Helper()
		least := time.Since(to)
		got := mustBacklog(t, s).Oldest
		if most := time.Since(from); got < least-rounding || got > most+rounding {
			t.Errorf("Oldest %s is %v, want %v to %v", when, got, least, most)
		}
	}
	around := func(fn func()) (from, to time.Time) {
		t.Helper()
		from = time.Now()
		fn()
		return from, time.Now()
	}
	var key incident.Key
	from, to := around(func() { key = mustQueue(t, s, umbrella, 2) })
	time.Sleep(age)
	want("of one queue", from, to)
	c := mustClaimOne(t, s, key, 3)
	want("while it is claimed", from, to)
	mustSettle(t, s, retry(c, time.Millisecond))
	c = mustClaimOne(t, s, key, 3)
	want("after a failure", from, to)
	otherFrom, otherTo := around(func() { mustQueue(t, s, acme, 1) })
	mustNotify(t, s, key, 1)
	time.Sleep(age)
	want("of two queues", from, to)
	mustSettle(t, s, deliver(c))
	want("after the older one went on", otherFrom, otherTo)

	var parked incident.Claim
	for _, c := range mustClaim(t, s, incident.ClaimQuery{Limit: 1, PerOrganization: 1, Lease: longLease}) {
		parked = c
		mustSettle(t, s, park(c, "no receiver"))
	}
	time.Sleep(age)
	from, to = around(func() { mustSettle(t, s, park(mustClaimOne(t, s, key, 4), "no receiver")) })
	want("after the head was parked", from, to)
	mustSettle(t, s, deliver(mustClaimOne(t, s, key, 5)))
	if b := mustBacklog(t, s); b.Oldest != 0 || b.Pending != 0 {
		t.Errorf("with nothing to be delivered the backlog is %+v, want no age", b)
	}
	from, to = around(func() { mustReplayParked(t, s, parked.Key, 1) })
	want("of a replayed notification", from, to)
}
