package storetest

import (
	"fmt"
	"math"
	"time"

	"github.com/incidentkit/incident"
)

// What was delivered is over. The next one is due at once, with its first attempt, and a
// queue that has come to its end begins anew with what is appended.
func settleDeliveredGoesOn(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 2)
	mustSettle(t, s, retry(mustClaimOne(t, s, key, 3), 0))
	mustSettle(t, s, deliver(mustClaimOne(t, s, key, 3)))
	c := mustClaimOne(t, s, key, 4)
	if c.Attempt != 1 {
		t.Errorf("the next one begins with attempt %d, want 1", c.Attempt)
	}
	mustSettle(t, s, deliver(c))
	wantNoClaim(t, s, "after all was delivered")
	wantBacklog(t, s, "after all was delivered", 0, 0)
	mustTell(t, s, key, 1)
	if c = mustClaimOne(t, s, key, 5); c.Attempt != 1 || c.More {
		t.Errorf("what is appended later is claimed as %s, want attempt 1, and no more", show(c))
	}
}

// After a failure the same one is due when its delay is over, and nothing behind it
// before that.
func settleRetryWaits(t *trial, s incident.OutboxStore) {
	never, soon := mustQueue(t, s, acme, 2), mustQueue(t, s, acme, 2)
	var claims []incident.Claim
	for len(claims) < 2 {
		claims = append(claims, mustClaim(t, s, anything())...)
	}
	for _, c := range claims {
		if c.Key == never {
			mustSettle(t, s, retry(c, longLease))
		}
	}
	wantNoClaim(t, s, "while one is delayed, and the other claimed")
	for _, c := range claims {
		if c.Key != soon {
			continue
		}
		for attempt := 2; attempt <= 4; attempt++ {
			delay := time.Duration(attempt) * 10 * time.Millisecond
			begun := time.Now()
			mustSettle(t, s, retry(c, delay))
			c = mustClaimOne(t, s, soon, 3)
			if since := time.Since(begun); since < delay-rounding {
				t.Errorf("a delay of %v ended after %v", delay, since)
			}
			if c.Attempt != attempt {
				t.Errorf("after %d failures the attempt is %d, want %d", attempt-1, c.Attempt, attempt)
			}
		}
	}
}

// The longest delay does not end, and the notification is not parked.
func settleRetryMayWaitForEver(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 1)
	mustSettle(t, s, retry(mustClaimOne(t, s, key, 3), math.MaxInt64))
	wantNoClaim(t, s, "within the longest delay")
	wantBacklog(t, s, "within the longest delay", 1, 0)
	wantParked(t, s, acme)
}

// What was given back is due at once, as the same attempt of the same activity.
func settleReleaseTakesTheAttemptBack(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 2)
	for attempt := 1; attempt <= 3; attempt++ {
		for range 2 {
			c := mustClaimOne(t, s, key, 3)
			if c.Attempt != attempt {
				t.Fatalf("the attempt is %d, want %d", c.Attempt, attempt)
			}
			mustSettle(t, s, release(c))
		}
		mustSettle(t, s, retry(mustClaimOne(t, s, key, 3), 0))
	}
}

// What was parked is not due any more, and the queue goes on behind it.
func settleParkGoesOn(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 2)
	mustSettle(t, s, retry(mustClaimOne(t, s, key, 3), 0))
	mustSettle(t, s, park(mustClaimOne(t, s, key, 3), "no receiver"))
	wantParked(t, s, acme, place{key, 3})
	c := mustClaimOne(t, s, key, 4)
	if c.Attempt != 1 || c.Replayed {
		t.Errorf("behind what was parked comes %s, want attempt 1", show(c))
	}
	mustSettle(t, s, park(c, "no receiver"))
	wantNoClaim(t, s, "after all was parked")
	wantParked(t, s, acme, place{key, 3}, place{key, 4})
	mustTell(t, s, key, 1)
	mustDrain(t, s, map[incident.Key][]int64{key: {5}})
	wantParked(t, s, acme, place{key, 3}, place{key, 4})
}

// Who comes back after others have claimed the queue changes nothing, whatever they
// think has become of it.
func settleAfterOthersHaveClaimed(t *trial, s incident.OutboxStore) {
	for name, end := range allOutcomes() {
		key := mustQueue(t, s, acme, 2)
		q := anything()
		q.Lease = time.Millisecond
		late := mustClaim(t, s, q)
		wantPlaces(t, "the claims", late, place{key, 3})
		c := mustClaimOne(t, s, key, 3)
		mustSettle(t, s, end(late[0]))
		wantNoClaim(t, s, name+" by one whose lease was over")
		wantParked(t, s, acme)
		mustSettle(t, s, retry(c, 0))
		mustSettle(t, s, end(late[0]))
		if c = mustClaimOne(t, s, key, 3); c.Attempt != 3 {
			t.Errorf("%s by one whose lease was over makes the attempt %d, want 3", name, c.Attempt)
		}
		mustSettle(t, s, deliver(c))
		mustSettle(t, s, end(late[0]))
		mustDrain(t, s, map[incident.Key][]int64{key: {4}})
		mustSettle(t, s, end(late[0]))
		wantNoClaim(t, s, name+" by one whose queue is gone")
		wantParked(t, s, acme)
	}
}

func allOutcomes() map[string]func(incident.Claim) incident.Settlement {
	return map[string]func(incident.Claim) incident.Settlement{
		"Delivered": deliver,
		"Retry":     func(c incident.Claim) incident.Settlement { return retry(c, 0) },
		"Release":   release,
		"Park":      func(c incident.Claim) incident.Settlement { return park(c, "no receiver") },
	}
}

// A claim whose lease is over is valid until somebody claims the queue.
func settleAfterTheLease(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 3)
	late := func(sequence int64) incident.Claim {
		t.Helper()
		q := anything()
		q.Lease = time.Millisecond
		claims := mustClaim(t, s, q)
		wantPlaces(t, "the claims", claims, place{key, sequence})
		time.Sleep(2 * rounding)
		return claims[0]
	}
	mustSettle(t, s, deliver(late(3)))
	mustSettle(t, s, park(late(4), "no receiver"))
	wantParked(t, s, acme, place{key, 4})
	mustSettle(t, s, release(late(5)))
	mustSettle(t, s, retry(late(5), 0))
	c := late(5)
	if c.Attempt != 2 {
		t.Errorf("after a release and a failure the attempt is %d, want 2", c.Attempt)
	}
	mustSettle(t, s, retry(c, longLease))
	wantNoClaim(t, s, "while it is delayed")
}

// A claim ends once. Who repeats it, with the same outcome or another, changes nothing.
func settleAgain(t *trial, s incident.OutboxStore) {
	for first, end := range allOutcomes() {
		for second, again := range allOutcomes() {
			what := fmt.Sprintf("%s after %s", second, first)
			key := mustQueue(t, s, acme, 2)
			c := mustClaimOne(t, s, key, 3)
			mustSettle(t, s, end(c))
			mustSettle(t, s, again(c))
			sequence, attempt := int64(4), 1
			var parked []place
			switch end(c).Outcome {
			case incident.OutcomeRetry:
				sequence, attempt = 3, 2
			case incident.OutcomeRelease:
				sequence = 3
			case incident.OutcomePark:
				parked = append(parked, place{key, 3})
			}
			next := mustClaimOne(t, s, key, sequence)
			if next.Attempt != attempt {
				t.Errorf("%s: the attempt is %d, want %d", what, next.Attempt, attempt)
			}
			mustSettle(t, s, again(c))
			wantNoClaim(t, s, what)
			wantParked(t, s, acme, parked...)
			mustSettle(t, s, deliver(next))
			mustSettle(t, s, again(c))
			if sequence == 3 {
				mustSettle(t, s, deliver(mustClaimOne(t, s, key, 4)))
			}
			mustSettle(t, s, again(c))
			wantNoClaim(t, s, what+", and all was delivered")
			wantParked(t, s, acme, parked...)
			if len(parked) > 0 {
				mustReplayParked(t, s, key, 1)
				mustDrain(t, s, map[incident.Key][]int64{key: {3}})
			}
		}
	}
}

// Tickets of queues that do not exist, or that say something wrong, are ignored.
func settleWhatIsUnknown(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 2)
	mustQueue(t, s, umbrella, 0)
	c := mustClaimOne(t, s, key, 3)
	for name, alter := range map[string]func(*incident.Ticket){
		"organization":        func(ticket *incident.Ticket) { ticket.Key.OrganizationID = "nobody" },
		"other organization":  func(ticket *incident.Ticket) { ticket.Key.OrganizationID = umbrella },
		"identifier":          func(ticket *incident.Ticket) { ticket.Key.Identifier = 9 },
		"next sequence":       func(ticket *incident.Ticket) { ticket.Sequence++ },
		"sequence before":     func(ticket *incident.Ticket) { ticket.Sequence-- },
		"fence":               func(ticket *incident.Ticket) { ticket.Fence++ },
		"fence before":        func(ticket *incident.Ticket) { ticket.Fence-- },
		"queue of one parked": func(ticket *incident.Ticket) { ticket.Replayed = true },
	} {
		for outcome, end := range allOutcomes() {
			wrong := end(c)
			alter(&wrong.Ticket)
			mustSettle(t, s, wrong)
			wantNoClaim(t, s, outcome+" of another "+name)
		}
	}
	wantParked(t, s, acme)
	wantParked(t, s, umbrella)
	wantBacklog(t, s, "after settlements of nothing", 2, 0)
	if busy, err := s.Settle(t.Context(), nil); err != nil || len(busy) > 0 {
		t.Errorf("Settle() of nothing = %v, %v", busy, err)
	}
	mustSettle(t, s, deliver(c))
	mustDrain(t, s, map[incident.Key][]int64{key: {4}})
}

// Of several settlements each is carried out, those beside one that is not valid too.
func settleEndsEach(t *trial, s incident.OutboxStore) {
	var all []incident.Settlement
	claims := map[incident.Key]incident.Claim{}
	var keys []incident.Key
	for _, org := range []incident.OrganizationID{acme, umbrella} {
		for range 4 {
			keys = append(keys, mustQueue(t, s, org, 2))
		}
	}
	for len(claims) < len(keys) {
		for _, c := range mustClaim(t, s, anything()) {
			claims[c.Key] = c
		}
	}
	want := map[incident.Key][]int64{}
	for i, key := range keys {
		c := claims[key]
		switch i % 4 {
		case 0:
			all = append(all, deliver(c))
			want[key] = []int64{4}
		case 1:
			all = append(all, park(c, "no receiver"))
			want[key] = []int64{4}
		case 2:
			all = append(all, release(c))
			want[key] = []int64{3, 4}
		case 3:
			all = append(all, retry(c, 0))
			want[key] = []int64{3, 4}
		}
		c.Fence = -1
		all = append(all, deliver(c))
	}
	mustSettle(t, s, all...)
	wantParked(t, s, acme, place{keys[1], 3})
	wantParked(t, s, umbrella, place{keys[5], 3})
	wantBacklog(t, s, "after eight settlements", 12, 2)
	mustDrain(t, s, want)
}

// Settlements are the caller's memory, before the call and after it.
func settleLeavesItsArgumentsAlone(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 1)
	quiet := mustQueue(t, s, umbrella, 0)
	c := mustClaimOne(t, s, key, 3)
	stale := deliver(c)
	stale.Key = quiet
	build := func() []incident.Settlement { return []incident.Settlement{stale, park(c, "no receiver")} }
	all := build()
	for busy := []int{0}; len(busy) > 0; {
		var err error
		if busy, err = s.Settle(t.Context(), all); err != nil {
			t.Fatalf("Settle() = %v, want no error", err)
		}
	}
	wantEqual(t, "the caller's settlements", all, build())
	scribble(all)
	parked := mustParked(t, s, incident.ParkedQuery{OrganizationID: acme, Limit: 1})
	if len(parked) != 1 || parked[0].Error != "no receiver" {
		t.Errorf("after the caller's settlements were overwritten, %s is parked", show(parked))
	}
}
