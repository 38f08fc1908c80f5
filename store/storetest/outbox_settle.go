package storetest

import (
	"fmt"
	"math"
	"time"

	"github.com/incidentkit/incident"
)

// After a delivery the next notification is due at once, with its first attempt. A queue
// that was empty starts again with the next notification.
func settleDeliveredContinues(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 2)
	mustSettle(t, s, retry(mustClaimOne(t, s, key, 3), 0))
	mustSettle(t, s, deliver(mustClaimOne(t, s, key, 3)))
	c := mustClaimOne(t, s, key, 4)
	if c.Attempt != 1 {
		t.Errorf("the next notification has attempt %d, want 1", c.Attempt)
	}
	mustSettle(t, s, deliver(c))
	wantNoClaim(t, s, "after all was delivered")
	wantBacklog(t, s, "after all was delivered", 0, 0)
	mustNotify(t, s, key, 1)
	if c = mustClaimOne(t, s, key, 5); c.Attempt != 1 || c.More {
		t.Errorf("the claim of a later notification is %s, want attempt 1 and no More", show(c))
	}
}

// After a failure the same notification is due when the delay has passed. Nothing behind
// it is due before.
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
	wantNoClaim(t, s, "while one queue is delayed and the other is claimed")
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

// The longest delay does not end, and does not park the notification.
func settleRetryMayWaitForever(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 1)
	mustSettle(t, s, retry(mustClaimOne(t, s, key, 3), math.MaxInt64))
	wantNoClaim(t, s, "within the longest delay")
	wantBacklog(t, s, "within the longest delay", 1, 0)
	wantParked(t, s, acme)
}

// A released notification is due at once, as the same attempt.
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

// A parked notification is not due. The queue continues with the next notification.
func settleParkContinues(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 2)
	mustSettle(t, s, retry(mustClaimOne(t, s, key, 3), 0))
	mustSettle(t, s, park(mustClaimOne(t, s, key, 3), "no receiver"))
	wantParked(t, s, acme, activityKey{key, 3})
	c := mustClaimOne(t, s, key, 4)
	if c.Attempt != 1 || c.Replayed {
		t.Errorf("after a parked notification the claim is %s, want attempt 1", show(c))
	}
	mustSettle(t, s, park(c, "no receiver"))
	wantNoClaim(t, s, "after all was parked")
	wantParked(t, s, acme, activityKey{key, 3}, activityKey{key, 4})
	mustNotify(t, s, key, 1)
	mustDrain(t, s, map[incident.Key][]int64{key: {5}})
	wantParked(t, s, acme, activityKey{key, 3}, activityKey{key, 4})
}

// A claim whose queue was claimed again can no longer be settled, with any outcome.
func settleAfterOthersHaveClaimed(t *trial, s incident.OutboxStore) {
	for name, end := range allOutcomes() {
		key := mustQueue(t, s, acme, 2)
		q := anything()
		q.Lease = time.Millisecond
		late := mustClaim(t, s, q)
		wantClaimed(t, "the claims", late, activityKey{key, 3})
		c := mustClaimOne(t, s, key, 3)
		mustSettle(t, s, end(late[0]))
		wantNoClaim(t, s, "after "+name+" of an expired claim")
		wantParked(t, s, acme)
		mustSettle(t, s, retry(c, 0))
		mustSettle(t, s, end(late[0]))
		if c = mustClaimOne(t, s, key, 3); c.Attempt != 3 {
			t.Errorf("after %s of an expired claim the attempt is %d, want 3", name, c.Attempt)
		}
		mustSettle(t, s, deliver(c))
		mustSettle(t, s, end(late[0]))
		mustDrain(t, s, map[incident.Key][]int64{key: {4}})
		mustSettle(t, s, end(late[0]))
		wantNoClaim(t, s, "after "+name+" of a claim whose queue is empty")
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

// A claim whose lease has expired is valid until the queue is claimed again.
func settleAfterTheLease(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 3)
	late := func(sequence int64) incident.Claim {
		t.Helper()
		q := anything()
		q.Lease = time.Millisecond
		claims := mustClaim(t, s, q)
		wantClaimed(t, "the claims", claims, activityKey{key, sequence})
		time.Sleep(2 * rounding)
		return claims[0]
	}
	mustSettle(t, s, deliver(late(3)))
	mustSettle(t, s, park(late(4), "no receiver"))
	wantParked(t, s, acme, activityKey{key, 4})
	mustSettle(t, s, release(late(5)))
	mustSettle(t, s, retry(late(5), 0))
	c := late(5)
	if c.Attempt != 2 {
		t.Errorf("after a release and a failure the attempt is %d, want 2", c.Attempt)
	}
	mustSettle(t, s, retry(c, longLease))
	wantNoClaim(t, s, "while it is delayed")
}

// A claim ends once. Settling it again, with any outcome, changes nothing.
func settleAgain(t *trial, s incident.OutboxStore) {
	for first, end := range allOutcomes() {
		for second, again := range allOutcomes() {
			what := fmt.Sprintf("%s after %s", second, first)
			key := mustQueue(t, s, acme, 2)
			c := mustClaimOne(t, s, key, 3)
			mustSettle(t, s, end(c))
			mustSettle(t, s, again(c))
			sequence, attempt := int64(4), 1
			var parked []activityKey
			switch end(c).Outcome {
			case incident.OutcomeRetry:
				sequence, attempt = 3, 2
			case incident.OutcomeRelease:
				sequence = 3
			case incident.OutcomePark:
				parked = append(parked, activityKey{key, 3})
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
			wantNoClaim(t, s, what+" and all deliveries")
			wantParked(t, s, acme, parked...)
			if len(parked) > 0 {
				mustReplayParked(t, s, key, 1)
				mustDrain(t, s, map[incident.Key][]int64{key: {3}})
			}
		}
	}
}

// Tickets of unknown queues and tickets with a wrong field are ignored.
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
		"reminder":            func(ticket *incident.Ticket) { ticket.Reminder = "reminder" },
	} {
		for outcome, end := range allOutcomes() {
			wrong := end(c)
			alter(&wrong.Ticket)
			mustSettle(t, s, wrong)
			wantNoClaim(t, s, "after "+outcome+" with another "+name)
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

// Each settlement of a call is carried out, even beside invalid settlements.
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
	wantParked(t, s, acme, activityKey{keys[1], 3})
	wantParked(t, s, umbrella, activityKey{keys[5], 3})
	wantBacklog(t, s, "after eight settlements", 12, 2)
	mustDrain(t, s, want)
}

// Settle neither writes to its arguments nor keeps their memory.
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
		t.Errorf("after the caller overwrote its settlements, Parked() = %s", show(parked))
	}
}
