package storetest

import (
	"slices"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// A parked notification has its error, its attempts, its date and its UUID.
func parkedAreWhole(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 3)
	texts := []string{"", "dial tcp 10.0.0.1:443:\n\t'x' \"\\%s", strings.Repeat("▲", incident.MaxParkedError/3) + "."}
	for i, text := range texts {
		for range i {
			mustSettle(t, s, retry(mustClaimOne(t, s, key, int64(3+i)), 0))
		}
		mustSettle(t, s, park(mustClaimOne(t, s, key, int64(3+i)), text))
	}
	got := mustParked(t, s, incident.ParkedQuery{OrganizationID: acme, Limit: everything})
	if len(got) != len(texts) {
		t.Fatalf("Parked() returns %d, want %d", len(got), len(texts))
	}
	for i, text := range texts {
		sequence := int64(3 + i)
		parked := got[i].DateParked
		want := incident.ParkedNotification{
			Incident: key, Sequence: sequence, NotificationUUID: mustActivity(t, s, key, sequence).NotificationUUID,
			Attempts: i + 1, Error: text, DateParked: parked.Truncate(time.Microsecond).UTC(),
		}
		wantEqual(t, "the parked notification", got[i], want)
		if age := time.Since(parked).Abs(); age > time.Hour {
			t.Errorf("DateParked is %v, %v from now, want about now", parked, age)
		}
	}
	scribble(got)
	wantParked(t, s, acme, activityKey{key, 3}, activityKey{key, 4}, activityKey{key, 5})
}

// Pages are ordered by incident and activity, start after any position, and hold the
// notifications of a single organization.
func parkedArePaged(t *trial, s incident.OutboxStore) {
	wantParked(t, s, acme)
	wantParked(t, s, "nobody")
	keys := []incident.Key{mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0)}
	for _, i := range []int{2, 0} {
		mustNotify(t, s, keys[i], 3)
		mustPark(t, s, 3)
	}
	mustQueue(t, s, umbrella, 2)
	mustPark(t, s, 2)
	want := []activityKey{{keys[0], 3}, {keys[0], 4}, {keys[0], 5}, {keys[2], 3}, {keys[2], 4}, {keys[2], 5}}
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []activityKey
		q := incident.ParkedQuery{OrganizationID: acme, Limit: limit}
		for {
			page := mustParked(t, s, q)
			if len(page) > limit {
				t.Fatalf("Parked(%+v) returns %d", q, len(page))
			}
			for _, p := range page {
				got = append(got, activityKey{p.Incident, p.Sequence})
				q.After = incident.ParkedPosition{Identifier: p.Incident.Identifier, Sequence: p.Sequence}
			}
			if len(page) < limit || len(got) > len(want) {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d, parked are %v, want %v", limit, got, want)
		}
	}
	for behind, n := range map[[2]int64]int{{1, 1}: 6, {1, 4}: 4, {1, 99}: 3, {2, 4}: 3, {3, 0}: 3, {3, 5}: 0, {4, 0}: 0} {
		q := incident.ParkedQuery{OrganizationID: acme, After: incident.ParkedPosition{Identifier: behind[0], Sequence: behind[1]}, Limit: everything}
		if got := mustParked(t, s, q); len(got) != n {
			t.Errorf("Parked(%+v) returns %d, want %d", q, len(got), n)
		}
	}
}

// Replay makes each parked notification of the incident due at once, independent of the
// others, from the first attempt. After the delivery nothing is left.
func replayQueuesEachAgain(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 2)
	mustSettle(t, s, retry(mustClaimOne(t, s, key, 3), 0))
	mustPark(t, s, 2)
	other := mustQueue(t, s, acme, 1)
	mustPark(t, s, 1)
	mustReplayParked(t, s, key, 2)
	wantParked(t, s, acme, activityKey{other, 3})
	mustReplayParked(t, s, key, 0)
	var claims []incident.Claim
	for len(claims) < 2 {
		claims = append(claims, mustClaim(t, s, anything())...)
	}
	wantNoClaim(t, s, "after the replayed notifications were claimed")
	var got []activityKey
	for _, c := range claims {
		got = append(got, activityKey{c.Key, c.Sequence})
		want := incident.Claim{
			Ticket:   incident.Ticket{Key: key, Sequence: c.Sequence, Replayed: true, Fence: c.Fence},
			Activity: mustActivity(t, s, key, c.Sequence), Incident: mustLoad(t, s, key).Incident,
			Subscribers: []incident.UserID{ada}, Attempt: 1, Now: c.Now,
		}
		wantEqual(t, "the claim of a replayed notification", c, want)
		mustSettle(t, s, deliver(c))
	}
	if len(got) != 2 || got[0] == got[1] {
		t.Errorf("the replayed notifications are %v, want both of %s", got, key)
	}
	wantNoClaim(t, s, "after the replayed notifications were delivered")
	wantParked(t, s, acme, activityKey{other, 3})
	wantBacklog(t, s, "after the replayed notifications were delivered", 0, 1)
}

// A replayed notification that fails is retried, and can be parked again.
func replayParksAgain(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 1)
	mustPark(t, s, 1)
	for range 2 {
		mustReplayParked(t, s, key, 1)
		begun := time.Now()
		mustSettle(t, s, retry(mustClaimOne(t, s, key, 3), shortLease))
		c := mustClaimOne(t, s, key, 3)
		if since := time.Since(begun); since < shortLease-rounding {
			t.Errorf("a delay of %v ended after %v", shortLease, since)
		}
		if c.Attempt != 2 || !c.Replayed {
			t.Errorf("after a failure the claim is %s, want attempt 2 of the replayed notification", show(c))
		}
		mustSettle(t, s, release(c))
		c = mustClaimOne(t, s, key, 3)
		mustSettle(t, s, park(c, "still no receiver"))
		mustSettle(t, s, park(c, "said twice"))
		wantNoClaim(t, s, "after it was parked again")
		parked := mustParked(t, s, incident.ParkedQuery{OrganizationID: acme, Limit: everything})
		if len(parked) != 1 || parked[0].Attempts != 2 || parked[0].Error != "still no receiver" {
			t.Errorf("after parking again Parked() = %s, want one with 2 attempts and the last error", show(parked))
		}
		wantBacklog(t, s, "after it was parked again", 0, 1)
	}
}

// A replayed notification neither waits for the incident's queue nor delays it. Settling
// one does not affect the other.
func replayIsAQueueOfItsOwn(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 3)
	mustPark(t, s, 1)
	own := mustClaimOne(t, s, key, 4)
	mustReplayParked(t, s, key, 1)
	again := mustClaimOne(t, s, key, 3)
	if own.Replayed || !again.Replayed || again.More {
		t.Errorf("the claims are %s and %s, want only the second as replayed", show(own.Ticket), show(again.Ticket))
	}
	mustSettle(t, s, retry(again, longLease))
	wantNoClaim(t, s, "while the replayed notification is delayed and the queue is claimed")
	mustSettle(t, s, deliver(own))
	own = mustClaimOne(t, s, key, 5)
	mustNotify(t, s, key, 1)
	mustSettle(t, s, retry(own, longLease))
	wantBacklog(t, s, "with both of them delayed", 3, 0)

	key = mustQueue(t, s, umbrella, 2)
	mustPark(t, s, 1)
	mustReplayParked(t, s, key, 1)
	q := anything()
	var claims []incident.Claim
	for len(claims) < 2 {
		claims = append(claims, mustClaim(t, s, q)...)
	}
	for _, c := range claims {
		if c.Replayed {
			mustSettle(t, s, deliver(c))
		}
	}
	wantNoClaim(t, s, "after the replayed notification was delivered, while the queue is claimed")
	for _, c := range claims {
		if !c.Replayed {
			mustSettle(t, s, park(c, "no receiver"))
		}
	}
	wantParked(t, s, umbrella, activityKey{key, 4})
}

// Claims from before a notification was parked or replayed are not valid, whatever their
// fence.
func replayIgnoresClaimsFromBefore(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 1)
	brief := anything()
	brief.Lease = time.Millisecond
	var before []incident.Claim
	for range 3 {
		before = append(before, mustClaim(t, s, brief)...)
		c := mustClaimOne(t, s, key, 3)
		before = append(before, c)
		mustSettle(t, s, park(c, "no receiver"))
		mustReplayParked(t, s, key, 1)
		for name, end := range allOutcomes() {
			for _, c := range before {
				mustSettle(t, s, end(c))
			}
			wantBacklog(t, s, "after "+name+" of an earlier claim", 1, 0)
			c := mustClaimOne(t, s, key, 3)
			for _, c := range before {
				mustSettle(t, s, end(c))
			}
			wantNoClaim(t, s, "after "+name+" of an earlier claim")
			mustSettle(t, s, release(c))
			before = append(before, c)
		}
	}
	if c := mustClaimOne(t, s, key, 3); c.Attempt != 1 {
		t.Errorf("after all others were ignored the attempt is %d, want 1", c.Attempt)
	}
}

// A replay of an incident without parked notifications changes nothing.
func replayOfNothing(t *trial, s incident.OutboxStore) {
	quiet, waiting := mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 2)
	mustReplayParked(t, s, quiet, 0)
	mustReplayParked(t, s, waiting, 0)
	mustClaimOne(t, s, waiting, 3)
	mustReplayParked(t, s, waiting, 0)
	wantNoClaim(t, s, "after a replay of nothing")
	wantBacklog(t, s, "after a replay of nothing", 2, 0)
}

func replayReturnsErrNotFound(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 1)
	mustPark(t, s, 1)
	mustQueue(t, s, umbrella, 0)
	other := mustQueue(t, s, umbrella, 1)
	mustPark(t, s, 1)
	for _, unknown := range unknownKeys() {
		n, err := replay(t.Context(), s, unknown)
		wantError(t, "Replay("+unknown.String()+")", err, incident.ErrNotFound)
		if n != 0 {
			t.Errorf("Replay(%s) = %d, want 0", unknown, n)
		}
	}
	wantNoClaim(t, s, "after replays of unknown incidents")
	wantParked(t, s, acme, activityKey{key, 3})
	wantParked(t, s, umbrella, activityKey{other, 3})
}
