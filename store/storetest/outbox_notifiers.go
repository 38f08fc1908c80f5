package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/incidentkit/incident"
)

// Each notifier of a change has a queue of its own. Claims, delays and parking of a notifier do
// not affect the others.
func notifiersHaveQueuesOfTheirOwn(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 0)
	for range 2 {
		mustNotifyTo(t, s, key, someNotifiers()...)
	}
	claims := map[string]incident.Claim{}
	for _, name := range someNotifiers() {
		claims[name] = mustClaimOneOf(t, s, name, key, 3)
		if c := claims[name]; c.Attempt != 1 || !c.More {
			t.Errorf("the claim of notifier %q is %s, want attempt 1 and More", name, show(c))
		}
	}
	mustSettle(t, s, retry(claims[""], longLease))
	for _, name := range someNotifiers() {
		wantNoClaimOf(t, s, name, "after one of three claims was delayed")
	}
	mustSettle(t, s, park(claims[mail], "no receiver"))
	mustClaimOneOf(t, s, mail, key, 4)
	wantNoClaimOf(t, s, "", "while it is delayed")
	wantNoClaimOf(t, s, pager, "while it is claimed")
	mustSettle(t, s, retry(claims[pager], 0))
	c := mustClaimOneOf(t, s, pager, key, 3)
	if c.Attempt != 2 {
		t.Errorf("after a failure the attempt is %d, want 2", c.Attempt)
	}
	wantBacklogs(t, s, "with one delayed, one parked and one that failed", map[string]counts{"": {pending: 2}, mail: {pending: 1, parked: 1}, pager: {pending: 2}})
	mustSettle(t, s, deliver(c))
	mustDrainOf(t, s, anythingOf(pager), map[incident.Key][]int64{key: {4}})
	mustNotifyTo(t, s, key, someNotifiers()...)
	wantNoClaimOf(t, s, "", "after an append to a delayed queue")
	wantNoClaimOf(t, s, mail, "after an append to a claimed queue")
	mustDrainOf(t, s, anythingOf(pager), map[incident.Key][]int64{key: {5}})
}

// A notifier gets the activities of the changes that name it, in order.
func notifiersGetWhatAChangeNames(t *trial, s incident.OutboxStore) {
	key, other := mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0)
	for _, names := range [][]string{{mail}, {mail, pager}, {"", pager}, {""}, nil} {
		mustNotifyTo(t, s, key, names...)
	}
	mustNotifyTo(t, s, other, pager)
	mustApply(t, s, notifyingTo(creation(draft(umbrella)), mail))
	created := incident.Key{OrganizationID: umbrella, Identifier: 2}
	wantBacklogs(t, s, "after changes for different notifiers", map[string]counts{"": {pending: 2}, mail: {pending: 4}, pager: {pending: 3}})
	mustDrainOf(t, s, anythingOf(mail), map[incident.Key][]int64{key: {3, 4}, created: {1, 2}})
	mustDrainOf(t, s, anythingOf(""), map[incident.Key][]int64{key: {5, 6}})
	mustDrainOf(t, s, anythingOf(pager), map[incident.Key][]int64{key: {4, 5}, other: {3}})
	wantNoClaimOf(t, s, "fax", "for a notifier of no change")
}

// A settlement ends the claim of its notifier alone.
func notifiersAreSettledAlone(t *trial, s incident.OutboxStore) {
	for outcome, end := range allOutcomes() {
		key := mustQueue(t, s, acme, 0)
		mustNotifyTo(t, s, key, someNotifiers()...)
		c := mustClaimOneOf(t, s, mail, key, 3)
		for _, other := range []string{"", pager, "Mail", "mai"} {
			wrong := end(c)
			wrong.Notifier = other
			mustSettle(t, s, wrong)
		}
		when := fmt.Sprintf("after %s of tickets with other notifiers", outcome)
		wantNoClaimOf(t, s, mail, when)
		wantBacklogs(t, s, when, map[string]counts{"": {pending: 1}, mail: {pending: 1}, pager: {pending: 1}})
		for _, other := range []string{"", pager} {
			got := mustClaimOneOf(t, s, other, key, 3)
			if got.Attempt != 1 {
				t.Errorf("%s the attempt of notifier %q is %d, want 1", when, other, got.Attempt)
			}
			mustSettle(t, s, end(c))
			wantNoClaimOf(t, s, other, "after a settlement for notifier mail")
			mustSettle(t, s, deliver(got))
		}
		mustClearOf(t, s, mail)
	}
}

// mustClearOf removes everything of a notifier, in the slow way.
func mustClearOf(t *trial, s incident.OutboxStore, notifier string) {
	t.Helper()
	for b := mustBacklogs(t, s)[notifier]; b.Pending+b.Parked > 0; b = mustBacklogs(t, s)[notifier] {
		if b.Pending == 0 {
			mustReplayBatch(t, s, parkedFor(acme, notifier))
		}
		for _, c := range mustClaim(t, s, anythingOf(notifier)) {
			mustSettle(t, s, deliver(c))
		}
	}
}

// A notification that was parked for a notifier is neither listed nor replayed for another.
func notifiersParkAlone(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 0)
	mustNotifyTo(t, s, key, someNotifiers()...)
	at := incident.ParkedPosition{Identifier: key.Identifier, Sequence: 3}
	for i, name := range someNotifiers() {
		mustSettle(t, s, park(mustClaimOneOf(t, s, name, key, 3), name))
		for j, other := range someNotifiers() {
			var want []incident.ParkedPosition
			if j <= i {
				want = append(want, at)
			}
			wantPositions(t, s, parkedFor(acme, other), want...)
		}
	}
	for _, name := range someNotifiers() {
		if p := mustParked(t, s, parkedFor(acme, name))[0]; p.Notifier != name || p.Error != name {
			t.Errorf("Parked() for notifier %q = %s, want its own", name, show(p))
		}
	}
	q := parkedFor(acme, mail)
	q.Identifier = key.Identifier
	if b := mustReplayBatch(t, s, q); b.Count != 1 || b.Last != at {
		t.Errorf("Replay(%+v) = %+v, want one at %+v", q, b, at)
	}
	wantBacklogs(t, s, "after a replay for notifier mail", map[string]counts{"": {parked: 1}, mail: {pending: 1}, pager: {parked: 1}})
	wantNoClaimOf(t, s, pager, "after a replay for notifier mail")
	wantNoClaimOf(t, s, "", "after a replay for notifier mail")
	c := mustClaimOneOf(t, s, mail, key, 3)
	if !c.Replayed {
		t.Errorf("the replayed claim is %s", show(c.Ticket))
	}
	if b := mustReplayBatch(t, s, parkedFor(acme, "")); b.Count != 1 {
		t.Errorf("Replay() for the notifier without a name = %+v, want one", b)
	}
	mustSettle(t, s, deliver(c))
	mustSettle(t, s, deliver(mustClaimOneOf(t, s, "", key, 3)))
	wantBacklogs(t, s, "after deliveries", map[string]counts{pager: {parked: 1}})
}

// Names of notifiers are compared byte for byte.
func notifiersAreComparedByteForByte(t *trial, s incident.OutboxStore) {
	all := append(names(), "")
	slices.Sort(all)
	keys := map[string]incident.Key{}
	want := map[string]counts{}
	mustInTx(t, s, func(tx incident.Store) error {
		for _, name := range all {
			keys[name] = mustQueue(t, tx, acme, 0)
			mustNotifyTo(t, tx, keys[name], name)
			want[name] = counts{pending: 1}
		}
		return nil
	})
	shared := mustQueue(t, s, umbrella, 0)
	for chunk := range slices.Chunk(all, 20) {
		mustNotifyTo(t, s, shared, chunk...)
		for _, name := range chunk {
			want[name] = counts{pending: 2}
		}
	}
	wantBacklogs(t, s, "with a queue for each name", want)
	for _, other := range []string{"acm", "acmee", "a", "n", strings.Repeat("n", 253), "ACMe", "CAFE", "null "} {
		wantNoClaimOf(t, s, other, "for a notifier of no change")
	}
	for _, name := range all {
		claims := mustClaimAll(t, s, anythingOf(name), 2)
		for _, c := range claims {
			if c.Key != keys[name] && c.Key != shared {
				t.Errorf("Claim() for notifier %+q = %s, want %s and %s", name, c.Key, keys[name], shared)
			}
			mustSettle(t, s, deliver(c))
		}
	}
	wantBacklogs(t, s, "after each name has its deliveries", map[string]counts{})
}

// The backlog of a notifier does not delay the claims of another.
func notifiersDoNotCrowdOthersOut(t *trial, s incident.OutboxStore) {
	const incidents, each = 30, 50
	var last incident.Key
	mustInTx(t, s, func(tx incident.Store) error {
		for range incidents {
			last = mustQueue(t, tx, acme, 0)
			c := comment(last, "text")
			for range each - 1 {
				c.Activities = append(c.Activities, activity(last, incident.ActivityTypeComment))
			}
			mustApply(t, tx, notifyingTo(c, "", mail))
		}
		return nil
	})
	mustNotifyTo(t, s, last, pager)
	q := incident.ClaimQuery{Limit: 1, PerOrganization: 1, Lease: longLease}
	q.Notifier = pager
	c, err := try(t.Context(), s, q)
	if err == nil && len(c) == 0 {
		c = mustClaim(t, s, q)
	}
	if err != nil {
		t.Fatal(err)
	}
	wantClaimed(t, "the claims beside two backlogs", c, activityKey{last, 3 + each})
	wantBacklogs(t, s, "with two backlogs", map[string]counts{"": {pending: incidents * each}, mail: {pending: incidents * each}, pager: {pending: 1}})
	mustSettle(t, s, deliver(c[0]))
	wantNoClaimBy(t, s, q, "after the only one was delivered")
}

// Two organizations with the same incidents have separate queues for each notifier.
func notifiersAreOfAnOrganization(t *trial, s incident.OutboxStore) {
	mine, others := mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0)
	mustNotifyTo(t, s, mine, "", mail)
	mustNotifyTo(t, s, others, mail, pager)
	q := anythingOf(mail)
	q.After = acme
	other := mustClaim(t, s, q)
	wantClaimed(t, "the claims after an organization", other, activityKey{others, 3})
	mustSettle(t, s, release(other[0]))
	q.Except, q.After = []incident.OrganizationID{umbrella}, ""
	own := mustClaim(t, s, q)
	wantClaimed(t, "the claims beside an excepted organization", own, activityKey{mine, 3})
	q.Except = nil
	other = mustClaim(t, s, q)
	wantClaimed(t, "the claims of the rest", other, activityKey{others, 3})
	mustSettle(t, s, park(own[0], "no receiver"))
	wantNoClaimOf(t, s, mail, "after one of two organizations was parked")
	wantPositions(t, s, parkedFor(umbrella, mail))
	if b := mustReplayBatch(t, s, parkedFor(umbrella, mail)); b.Count != 0 || b.Last != (incident.ParkedPosition{}) {
		t.Errorf("Replay() of an organization without parked notifications = %+v, want the zero batch", b)
	}
	mustSettle(t, s, deliver(other[0]))
	wantBacklogs(t, s, "after settlements for notifier mail", map[string]counts{"": {pending: 1}, mail: {parked: 1}, pager: {pending: 1}})
}

// A transaction queues for all its notifiers, or for none.
func notifiersFollowTransactions(t *trial, s incident.OutboxStore) {
	waiting, quiet := mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0)
	mustNotifyTo(t, s, waiting, mail)
	write := func(tx incident.Store) {
		mustNotifyTo(t, tx, waiting, someNotifiers()...)
		mustNotifyTo(t, tx, quiet, mail, pager)
		mustApply(t, tx, notifyingTo(creation(draft(umbrella)), "", pager))
	}
	err := s.InTx(t.Context(), func(tx incident.Store) error {
		write(tx)
		return errUndo
	})
	wantError(t, "InTx()", err, errUndo)
	wantBacklogs(t, s, "after a transaction that failed", map[string]counts{mail: {pending: 1}})
	mustInTx(t, s, func(tx incident.Store) error {
		write(tx)
		return nil
	})
	created := incident.Key{OrganizationID: umbrella, Identifier: 1}
	mustDrainOf(t, s, anythingOf(""), map[incident.Key][]int64{waiting: {4}, created: {1, 2}})
	mustDrainOf(t, s, anythingOf(mail), map[incident.Key][]int64{waiting: {3, 4}, quiet: {3}})
	mustDrainOf(t, s, anythingOf(pager), map[incident.Key][]int64{waiting: {4}, quiet: {3}, created: {1, 2}})
}

// The store neither writes to the targets of a change or a query nor keeps their memory.
func notifiersLeaveTargetsAlone(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 0)
	types := func() []incident.ActivityType {
		return []incident.ActivityType{incident.ActivityTypeStatusChange, incident.ActivityTypeComment}
	}
	targets := func() []incident.NotifyTarget {
		return []incident.NotifyTarget{{Types: types()}, {Notifier: mail, Types: types()}, {Notifier: pager}}
	}
	c := comment(key, "text")
	c.Notify = targets()
	mustApply(t, s, c)
	wantEqual(t, "the caller's targets", c.Notify, targets())
	scribble(c.Notify)
	for i, want := range targets() {
		q := anything()
		q.NotifyTarget = targets()[i]
		got := mustClaim(t, s, q)
		wantClaimed(t, "the claims, after the caller overwrote its targets", got, activityKey{key, 3})
		wantEqual(t, "the caller's query", q.NotifyTarget, want)
		scribble(q.Types)
		mustSettle(t, s, retry(got[0], 0))
		q.NotifyTarget = targets()[i]
		wantClaimed(t, "the claims, after the caller overwrote its query", mustClaim(t, s, q), activityKey{key, 3})
	}
	wantBacklogs(t, s, "with all claimed", map[string]counts{"": {pending: 1}, mail: {pending: 1}, pager: {pending: 1}})
}
