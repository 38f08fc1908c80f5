package storetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// A claim has everything that a delivery needs.
func claimIsWhole(t *trial, s incident.OutboxStore) {
	c := notifying(creation(ruled(acme, api, db), firing(critical)))
	key := mustApply(t, s, c).Incident.Key()
	for _, user := range []incident.UserID{"zoe", "10", "9", "Zoe", "émile"} {
		mustSubscribe(t, s, incident.Subscription{Incident: key, UserID: user, DateAdded: t0})
	}
	mustApply(t, s, notifying(comment(key, "Der Zähler ▲ steht\nauf 7"))) // ada follows from here on
	mustApply(t, s, notifying(transition(mustLoad(t, s, key), incident.StatusClosed)))
	want := incident.Claim{
		Ticket:      incident.Ticket{Key: key},
		Incident:    mustLoad(t, s, key).Incident,
		Subscribers: []incident.UserID{"10", "9", "Zoe", ada, bob, "zoe", "émile"},
		Attempt:     1,
	}
	for sequence := int64(1); sequence <= 4; sequence++ {
		got := mustClaimOne(t, s, key, sequence)
		want.Sequence, want.Fence, want.More, want.Now = sequence, got.Fence, sequence < 4, got.Now
		want.Activity = mustActivity(t, s, key, sequence)
		wantEqual(t, "the claim", got, want)
		mustSettle(t, s, deliver(got))
	}
	bare := mustQueue(t, s, umbrella, 1)
	mustUnsubscribe(t, s, bare, ada)
	got := mustClaimOne(t, s, bare, 3)
	wantEqual(t, "the subscribers of an incident without subscribers", got.Subscribers, []incident.UserID{})
}

// A claim has the data of the time of the claim, not of the commit.
func claimIsOfThePresent(t *trial, s incident.OutboxStore) {
	st := mustCreate(t, s, ruled(acme, api), firing(critical))
	key := st.Incident.Key()
	mustNotify(t, s, key, 1)
	check := func(when string, users ...incident.UserID) {
		t.Helper()
		got := mustClaimOne(t, s, key, 3)
		wantEqual(t, when+" the incident", got.Incident, mustLoad(t, s, key).Incident)
		wantEqual(t, when+" the activity", got.Activity, mustActivity(t, s, key, 3))
		wantEqual(t, when+" the subscribers", got.Subscribers, users)
		mustSettle(t, s, release(got))
	}
	check("at first", ada)
	st = mustChange(t, s, reprojecting(st, db, web))
	mustSubscribe(t, s, incident.Subscription{Incident: key, UserID: eve, DateAdded: t0})
	mustRevise(t, s, edited(mustActivity(t, s, key, 3), "edited"))
	check("after changes", ada, eve)
	mustChange(t, s, transition(st, incident.StatusClosed)) // bob's doing
	mustUnsubscribe(t, s, key, ada)
	mustRevise(t, s, deleted(mustActivity(t, s, key, 3)))
	check("after more changes", bob, eve)
}

// A claim has the data of a single moment. In this case the title, the comment and the
// subscribers always agree.
func claimIsOneRead(t *trial, s incident.OutboxStore) {
	st := mustCreate(t, s, draft(acme))
	key := st.Incident.Key()
	write := func(ctx context.Context, tx incident.Store) error {
		a, err := tx.Activity(ctx, key, 3)
		if err != nil {
			return err
		}
		st, err := tx.Load(ctx, key)
		if err != nil {
			return err
		}
		text := fmt.Sprint("version ", st.Incident.Version+1)
		if _, err := tx.Apply(ctx, retitling(st, text)); err != nil {
			return err
		}
		if err := tx.Unsubscribe(ctx, key, incident.UserID(st.Incident.Title)); err != nil {
			return err
		}
		if _, err := tx.Subscribe(ctx, incident.Subscription{Incident: key, UserID: incident.UserID(text), DateAdded: t0}); err != nil {
			return err
		}
		return tx.ReviseActivity(ctx, edited(a, text))
	}
	mustNotify(t, s, key, 1)
	mustUnsubscribe(t, s, key, ada)
	mustInTx(t, s, func(tx incident.Store) error { return write(t.Context(), tx) })

	var reading atomic.Bool
	reading.Store(true)
	t.together(2, func(i int) {
		var err error
		for i == 0 && err == nil && reading.Load() {
			err = s.InTx(t.Context(), func(tx incident.Store) error { return write(t.Context(), tx) })
		}
		if i == 1 {
			defer reading.Store(false)
			err = keepClaiming(t.Context(), s, t.patience)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// keepClaiming claims and releases until it has seen enough versions.
func keepClaiming(ctx context.Context, s incident.OutboxStore, patience time.Duration) error {
	const versions = 30
	seen := map[int64]bool{}
	for start := time.Now(); len(seen) < versions && time.Since(start) < patience/2; {
		claims, err := try(ctx, s, anything())
		if err != nil {
			return err
		}
		for _, c := range claims {
			title := c.Incident.Title
			if title != fmt.Sprint("version ", c.Incident.Version) || c.Activity.Comment != title ||
				!slices.Equal(c.Subscribers, []incident.UserID{incident.UserID(title)}) {
				return fmt.Errorf("the claim mixes several versions: %s", show(c))
			}
			seen[c.Incident.Version] = true
			if err := settle(ctx, s, patience, release(c)); err != nil {
				return err
			}
		}
	}
	return nil
}

// More reports whether the queue has another notification at the time of the claim.
func claimReportsMore(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 2)
	want := func(sequence int64, more bool) incident.Claim {
		t.Helper()
		c := mustClaimOne(t, s, key, sequence)
		if c.More != more {
			t.Errorf("More of activity %d is %v, want %v", sequence, c.More, more)
		}
		return c
	}
	mustSettle(t, s, release(want(3, true)))
	mustSettle(t, s, deliver(want(3, true)))
	mustSettle(t, s, retry(want(4, false), 0))
	mustNotify(t, s, key, 1)
	mustSettle(t, s, deliver(want(4, true)))
	mustSettle(t, s, deliver(want(5, false)))
}

// Nothing of a queue can be claimed while its head is claimed, even if more is appended.
func claimIsOfOneAtATime(t *trial, s incident.OutboxStore) {
	key := mustApply(t, s, notifying(creation(draft(acme)))).Incident.Key()
	mustNotify(t, s, key, 2)
	for sequence := int64(1); sequence <= 5; sequence++ {
		c := mustClaimOne(t, s, key, sequence)
		wantNoClaim(t, s, fmt.Sprintf("while activity %d is claimed", sequence))
		if sequence == 4 {
			mustNotify(t, s, key, 1)
			wantNoClaim(t, s, "after something was appended to a claimed queue")
		}
		mustSettle(t, s, deliver(c))
	}
	wantNoClaim(t, s, "after the last notification was delivered")
}

// A claimed queue cannot be claimed again by any query.
func claimExcludesOthers(t *trial, s incident.OutboxStore) {
	mustQueue(t, s, acme, 2)
	mustQueue(t, s, umbrella, 1)
	q := anything()
	for n := 0; n < 2; {
		n += len(mustClaim(t, s, q))
	}
	for _, q := range []incident.ClaimQuery{
		anything(),
		{Limit: 1, PerOrganization: 1, Lease: shortLease},
		{Limit: 9, PerOrganization: 1, After: acme, Lease: longLease},
		{Limit: 9, PerOrganization: 9, Except: []incident.OrganizationID{umbrella}, Lease: longLease},
	} {
		t.together(4, func(int) {
			if claims, err := try(t.Context(), s, q); err != nil || len(claims) > 0 {
				t.Errorf("Claim(%+v) of claimed queues = %v, %v, want none", q, activityKeysOf(claims), err)
			}
		})
	}
}

// After the lease the same activity can be claimed as the next attempt. Each claim lasts
// for the lease that its query asks for.
func claimEndsWithItsLease(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 2)
	q := anything()
	q.Lease = shortLease
	begun := time.Now()
	wantClaimed(t, "the first claims", mustClaim(t, s, q), activityKey{key, 3})
	for attempt := 2; attempt <= 4; attempt++ {
		before := begun
		c := mustClaim(t, s, q)
		begun = time.Now()
		wantClaimed(t, "the claims after a lease", c, activityKey{key, 3})
		if since := begun.Sub(before); since < shortLease-rounding {
			t.Errorf("a lease of %v ended after %v", shortLease, since)
		}
		if c[0].Attempt != attempt || !c[0].More {
			t.Errorf("the claim after %d leases is %s, want attempt %d and More", attempt-1, show(c[0]), attempt)
		}
		begun = before.Add(shortLease) // the earliest begin of the next lease
	}
	c := mustClaimOne(t, s, key, 3)
	wantNoClaim(t, s, "during a long lease")
	mustSettle(t, s, deliver(c))
	mustClaimOne(t, s, key, 4)
}

// The longest lease does not end. The notification stays claimed and pending.
func claimMayLastForever(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 1)
	q := anything()
	q.Lease = math.MaxInt64
	claims := mustClaim(t, s, q)
	wantClaimed(t, "the claims", claims, activityKey{key, 3})
	wantNoClaim(t, s, "within the longest lease")
	wantBacklog(t, s, "within the longest lease", 1, 0)
	mustSettle(t, s, deliver(claims[0]))
	wantBacklog(t, s, "after it was delivered", 0, 0)
}

// Two claims of a notification never have the same fence, however the first ended and
// however often the notification was parked and replayed since.
func claimHasItsOwnFence(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 1)
	fences := map[int64]int{}
	last := 0
	claim := func(lease time.Duration) incident.Claim {
		t.Helper()
		q := anything()
		q.Lease = lease
		c := mustClaim(t, s, q)
		wantClaimed(t, "the claims", c, activityKey{key, 3})
		last++
		if earlier := fences[c[0].Fence]; earlier != 0 {
			t.Errorf("claim %d has the fence of claim %d", last, earlier)
		}
		fences[c[0].Fence] = last
		return c[0]
	}
	for range 3 {
		claim(time.Millisecond)
		mustSettle(t, s, retry(claim(longLease), 0))
		mustSettle(t, s, release(claim(longLease)))
		mustSettle(t, s, retry(claim(longLease), time.Millisecond))
		mustSettle(t, s, park(claim(longLease), "no receiver"))
		mustReplayParked(t, s, key, 1)
	}
}

func claimIsTheCallersMemory(t *trial, s incident.OutboxStore) {
	closed := operated(acme, api, db)
	closed.Status, closed.DateClosed = incident.StatusClosed, new(at(time.Hour))
	key := mustCreate(t, s, closed).Incident.Key()
	mustNotify(t, s, key, 1)
	mustRevise(t, s, edited(mustActivity(t, s, key, 3), "edited"))
	mustRevise(t, s, deleted(mustActivity(t, s, key, 3)))
	before := mustFreeze(t, s)
	first := mustClaimOne(t, s, key, 3)
	want, back, now := show(first), release(first), first.Now
	scribble([]incident.Claim{first})
	mustSettle(t, s, back)
	again := mustClaimOne(t, s, key, 3)
	again.Fence, again.Now = back.Fence, now
	wantEqual(t, "the next claim, after the caller overwrote a claim", show(again), want)
	wantEqual(t, "the records, after the caller overwrote a claim", mustFreeze(t, s), before)
}
