package storetest

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// A claim returns at most Limit queues, of the first organizations. The others stay due.
func claimIsLimited(t *trial, s incident.OutboxStore) {
	for range 3 {
		mustQueue(t, s, acme, 2)
	}
	for range 2 {
		mustQueue(t, s, umbrella, 2)
	}
	q := anything()
	q.Limit = 2
	claimed := map[queueName]bool{}
	for _, want := range [][]incident.OrganizationID{{acme, acme}, {acme, umbrella}, {umbrella}} {
		claims := mustClaim(t, s, q)
		var got []incident.OrganizationID
		for _, c := range claims {
			got = append(got, c.Key.OrganizationID)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("Claim() with Limit 2 goes to %q, want %q", got, want)
		}
		for _, c := range claims {
			if claimed[queueOf(c.Ticket)] {
				t.Errorf("%s is claimed twice", c.Key)
			}
			claimed[queueOf(c.Ticket)] = true
		}
	}
	wantNoClaim(t, s, "after all were claimed")
}

// An organization gets at most PerOrganization claims, even if others use less than
// their part.
func claimIsLimitedPerOrganization(t *trial, s incident.OutboxStore) {
	for range 5 {
		mustQueue(t, s, acme, 1)
		mustQueue(t, s, umbrella, 1)
	}
	mustQueue(t, s, "initech", 1)
	for _, step := range []struct {
		limit, each             int
		acme, initech, umbrella int
	}{
		{everything, 2, 2, 1, 2},
		{3, 2, 2, 0, 1},
		{everything, everything, 1, 0, 2},
	} {
		q := incident.ClaimQuery{Limit: step.limit, PerOrganization: step.each, Lease: longLease}
		got := map[incident.OrganizationID]int{}
		for _, c := range mustClaim(t, s, q) {
			got[c.Key.OrganizationID]++
		}
		if got[acme] != step.acme || got["initech"] != step.initech || got[umbrella] != step.umbrella {
			t.Fatalf("Claim(%+v) gets %v, want %+v", q, got, step)
		}
	}
	wantNoClaim(t, s, "after all were claimed")
}

// The allowance of an organization replaces PerOrganization, whether it is higher or
// lower.
func claimKeepsAllowances(t *trial, s incident.OutboxStore) {
	orgs := []incident.OrganizationID{"a", "b", "c"}
	for range 6 {
		for _, org := range orgs {
			mustQueue(t, s, org, 1)
		}
	}
	type counts = map[incident.OrganizationID]int
	for _, step := range []struct {
		limit, each int
		allowances  counts
		except      []incident.OrganizationID
		want        counts
	}{
		{everything, 1, counts{"b": 3}, nil, counts{"a": 1, "b": 3, "c": 1}},
		{everything, 3, counts{"b": 1, "c": 2, "d": 5}, nil, counts{"a": 3, "b": 1, "c": 2}},
		{4, 1, counts{"a": 9, "b": 9}, []incident.OrganizationID{"b"}, counts{"a": 2, "c": 1}},
		{3, 1, counts{"c": everything}, []incident.OrganizationID{"b"}, counts{"c": 2}},
		{1, 1, counts{"b": 2}, nil, counts{"b": 1}},
		{everything, everything, counts{}, nil, counts{"b": 1}},
	} {
		q := incident.ClaimQuery{
			Limit: step.limit, PerOrganization: step.each, Allowances: step.allowances, Except: step.except, Lease: longLease,
		}
		got := counts{}
		for _, c := range mustClaim(t, s, q) {
			got[c.Key.OrganizationID]++
		}
		if !maps.Equal(got, step.want) {
			t.Fatalf("Claim(%+v) gets %v, want %v", q, got, step.want)
		}
	}
	wantNoClaim(t, s, "after all were claimed")
}

// wantOrganizations checks the organizations of a claim, and releases the claim.
func wantOrganizations(t *trial, s incident.OutboxStore, q incident.ClaimQuery, want ...incident.OrganizationID) {
	t.Helper()
	q.PerOrganization, q.Lease = 1, longLease
	var claims []incident.Claim
	if len(want) > 0 {
		claims = mustClaim(t, s, q)
	} else {
		var err error
		if claims, err = try(t.Context(), s, q); err != nil {
			t.Fatal(err)
		}
	}
	var got []incident.OrganizationID
	for _, c := range claims {
		got = append(got, c.Key.OrganizationID)
		mustSettle(t, s, release(c))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("Claim(%+v) goes to %q, want %q", q, got, want)
	}
}

// A claim goes to the organizations after After in the order of their bytes, and does
// not wrap around. The organization After need not exist.
func claimContinuesAfterAnOrganization(t *trial, s incident.OutboxStore) {
	orgs := []incident.OrganizationID{"B", "a", "a-b", "ab", "b", "é"}
	for _, org := range []incident.OrganizationID{"ab", "é", "B", "a-b", "b", "a"} {
		mustQueue(t, s, org, 1)
		mustQueue(t, s, org, 1)
	}
	for i := range orgs {
		q := incident.ClaimQuery{Limit: 2}
		if i > 0 {
			q.After = orgs[i-1]
		}
		wantOrganizations(t, s, q, orgs[i:min(i+2, len(orgs))]...)
		q.Limit = everything
		wantOrganizations(t, s, q, orgs[i:]...)
	}
	for after, want := range map[incident.OrganizationID][]incident.OrganizationID{
		"A": orgs, "C": orgs[1:], "a0": orgs[3:], "aa": orgs[3:], "ac": orgs[4:], "c": orgs[5:], "é": nil, "ü": nil,
	} {
		wantOrganizations(t, s, incident.ClaimQuery{Limit: everything, After: after}, want...)
	}
}

// A claim leaves out all organizations in Except, however many.
func claimLeavesOrganizationsOut(t *trial, s incident.OutboxStore) {
	orgs := []incident.OrganizationID{"a", "b", "c"}
	for range 2 {
		for _, org := range orgs {
			mustQueue(t, s, org, 1)
		}
	}
	for _, step := range []struct {
		except []incident.OrganizationID
		after  incident.OrganizationID
		limit  int
		want   []incident.OrganizationID
	}{
		{orgs[:1], "", everything, orgs[1:]},
		{orgs[1:2], "", everything, []incident.OrganizationID{"a", "c"}},
		{orgs[2:], "", everything, orgs[:2]},
		{[]incident.OrganizationID{"d"}, "", everything, orgs},
		{[]incident.OrganizationID{"A", "ab"}, "", everything, orgs},
		{[]incident.OrganizationID{}, "", everything, orgs},
		{orgs[:1], "", 1, orgs[1:2]},
		{orgs[1:2], "a", everything, orgs[2:]},
		{orgs[:1], "b", everything, orgs[2:]},
		{orgs[2:], "b", everything, nil},
		{orgs[:2], "", everything, orgs[2:]},
		{orgs[:2], "", 1, orgs[2:]},
		{orgs[1:], "", everything, orgs[:1]},
		{[]incident.OrganizationID{"c", "a"}, "", everything, orgs[1:2]},
		{[]incident.OrganizationID{"c", "a", "c"}, "a", everything, orgs[1:2]},
		{orgs, "", everything, nil},
	} {
		q := incident.ClaimQuery{Limit: step.limit, After: step.after, Except: step.except}
		wantOrganizations(t, s, q, step.want...)
	}
}

// Within an organization the longest-due queue comes first. The ages of incidents and
// activities do not matter: a queue is due again from the moment of its last settlement.
func claimBeginsWithTheLongestDue(t *trial, s incident.OutboxStore) {
	a, b, c := mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0)
	apart := func() { time.Sleep(rounding) }
	for _, key := range []incident.Key{c, a, b} {
		mustNotify(t, s, key, 3)
		apart()
	}
	one := incident.ClaimQuery{Limit: everything, PerOrganization: 1, Lease: longLease}
	next := func(key incident.Key, sequence int64) incident.Claim {
		t.Helper()
		claims := mustClaim(t, s, one)
		wantClaimed(t, "the longest due", claims, activityKey{key, sequence})
		return claims[0]
	}
	first, second, third := next(c, 3), next(a, 3), next(b, 3)
	mustSettle(t, s, deliver(second))
	apart()
	mustSettle(t, s, retry(third, time.Millisecond))
	apart()
	mustSettle(t, s, park(first, "no receiver"))
	apart()

	first = next(a, 4)
	mustSettle(t, s, deliver(first)) // due, but behind the others
	apart()
	mustQueue(t, s, acme, 1)
	two := incident.ClaimQuery{Limit: 2, PerOrganization: everything, Lease: longLease}
	wantClaimed(t, "the two that are due longest", mustClaim(t, s, two), activityKey{b, 3}, activityKey{c, 4})
	next(a, 5)
}

// Concurrent claims never return the same queue.
func claimGoesToOneOfMany(t *trial, s incident.OutboxStore) {
	const claimers, each = 8, 20
	want := map[queueName]bool{}
	for range each {
		want[queueName{Key: mustQueue(t, s, acme, 1)}] = true
		want[queueName{Key: mustQueue(t, s, umbrella, 1)}] = true
	}
	var mu sync.Mutex // guards claimed
	claimed := map[queueName]bool{}
	missing := func(claims []incident.Claim) bool {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range claims {
			if claimed[queueOf(c.Ticket)] {
				t.Errorf("%s is claimed by two", c.Key)
			}
			claimed[queueOf(c.Ticket)] = true
		}
		return len(claimed) < len(want)
	}
	start := time.Now()
	t.together(claimers, func(i int) {
		q := incident.ClaimQuery{Limit: 1 + i%3, PerOrganization: 2, Lease: longLease}
		for going := true; going && time.Since(start) < t.patience; {
			claims, err := try(t.Context(), s, q)
			if err != nil {
				t.Error(err)
			}
			going = missing(claims) && err == nil
		}
	})
	if !maps.Equal(claimed, want) {
		t.Errorf("%d queues were claimed, want %d", len(claimed), len(want))
	}
}
