package storetest

import (
	"fmt"

	"github.com/incidentkit/incident"
)

// mustFill queues for a notifier in two organizations: activities that are due, claimed, delayed,
// parked and replayed, and reminders. It returns claims, and the number of all.
func mustFill(t *trial, s incident.OutboxStore, notifier string) (claims []incident.Claim, n int64) {
	t.Helper()
	for _, org := range []incident.OrganizationID{acme, umbrella} {
		key := mustQueue(t, s, org, 0)
		mustNotifyTo(t, s, key, notifier)
		mustSettle(t, s, park(mustClaimOneOf(t, s, notifier, key, 3), "no receiver"))
		mustReplayBatch(t, s, parkedFor(org, notifier))
		claims = append(claims, mustClaimOneOf(t, s, notifier, key, 3))
		for range 3 {
			mustNotifyTo(t, s, key, notifier)
		}
		mustSettle(t, s, park(mustClaimOneOf(t, s, notifier, key, 4), "no receiver"))
		claims = append(claims, mustClaimOneOf(t, s, notifier, key, 5))
		mustParkReminder(t, s, key, reminder("parked", notifier))
		claimed, delayed, far := reminder("claimed", notifier), reminder("delayed", notifier), reminder("far", notifier)
		far.At = never
		mustRemind(t, s, key, delayed)
		mustSettle(t, s, retry(mustClaimReminder(t, s, key, delayed), longLease))
		mustRemind(t, s, key, far, claimed)
		claims = append(claims, mustClaimReminder(t, s, key, claimed))
		n += 8
	}
	want := counts{pending: 10, parked: 4, reminders: 2}
	wantBacklogOf(t, s, notifier, "with some of everything", want)
	return claims, n
}

// Discard deletes all of a notifier in all organizations, and nothing of another. It returns the
// number of notifications and reminders.
func discardDeletesAllOfANotifier(t *trial, s incident.OutboxStore) {
	for _, name := range someNotifiers() {
		mustFill(t, s, name)
	}
	before := mustBacklogs(t, s)
	for _, name := range []string{mail, "", pager} {
		deleted := 0
		for {
			n := mustDiscard(t, s, name, everything)
			if deleted += n; n == 0 {
				break
			}
		}
		if deleted != 16 {
			t.Errorf("Discard(%q) returns %d in total, want 16", name, deleted)
		}
		before[name] = incident.Backlog{}
		for other, b := range before {
			wantBacklogOf(t, s, other, fmt.Sprintf("after Discard(%q)", name), counts{b.Pending, b.Parked, b.Reminders})
		}
		wantNoClaimOf(t, s, name, "after Discard()")
		wantPositions(t, s, parkedFor(acme, name))
		wantPositions(t, s, parkedFor(umbrella, name))
	}
	for _, org := range []incident.OrganizationID{acme, umbrella} {
		for id := range int64(3) {
			wantReminders(t, s, incident.Key{OrganizationID: org, Identifier: id + 1}, "after Discard()")
		}
	}
}

// A claim of a deleted queue cannot be settled. Later activities and reminders are claimed.
func discardEndsClaims(t *trial, s incident.OutboxStore) {
	for _, name := range []string{"", pager} {
		for outcome, end := range allOutcomes() {
			claims, _ := mustFill(t, s, name)
			for mustDiscard(t, s, name, everything) > 0 {
				continue
			}
			settle := func() {
				t.Helper()
				for _, c := range claims {
					mustSettle(t, s, end(c))
				}
			}
			settle()
			when := "after " + outcome + " of claims of deleted queues"
			wantBacklogs(t, s, when, map[string]counts{})
			wantNoClaimOf(t, s, name, when)
			key := claims[0].Key
			mustNotifyTo(t, s, key, name)
			settle()
			c := mustClaimOneOf(t, s, name, key, 7)
			settle()
			wantNoClaimOf(t, s, name, when)
			if c.Attempt != 1 {
				t.Errorf("%s a later activity has attempt %d, want 1", when, c.Attempt)
			}
			mustSettle(t, s, deliver(c))
			wantBacklogs(t, s, "after a later delivery", map[string]counts{})
		}
	}
}

// Discard deletes at most Limit queues and parked notifications, and 0 only if none are left.
func discardIsLimited(t *trial, s incident.OutboxStore) {
	const longest = 3 // notifications of a queue
	for _, name := range []string{"", pager} {
		_, total := mustFill(t, s, name)
		key := mustQueue(t, s, acme, 0)
		mustApply(t, s, wanting(mixed(key, said, rose, said, rose, said), target(name, said)))
		total += longest
		calls := 0
		for _, limit := range []int{1, 2, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1} {
			b := mustBacklogs(t, s)[name]
			before := b.Pending + b.Parked + b.Reminders
			n := mustDiscard(t, s, name, limit)
			b = mustBacklogs(t, s)[name]
			if gone := before - b.Pending - b.Parked - b.Reminders; gone != int64(n) || n > limit*longest {
				t.Fatalf("Discard(%q, %d) = %d, and %d are gone", name, limit, n, gone)
			}
			if n == 0 && before > 0 {
				t.Fatalf("Discard(%q, %d) = 0 with %d left", name, limit, before)
			}
			total -= int64(n)
			if n > 0 {
				calls++
			}
		}
		if total != 0 {
			t.Errorf("after 17 calls of Discard(%q), which may delete 21, %d are left", name, total)
		}
		if calls < 12 {
			t.Errorf("Discard(%q) deletes 15 queues and parked notifications in %d calls, want 12 or more", name, calls)
		}
		wantBacklogs(t, s, "after Discard()", map[string]counts{})
	}
}

func discardOfNothing(t *trial, s incident.OutboxStore) {
	mustFill(t, s, mail)
	before := mustBacklogs(t, s)
	for _, name := range []string{"", pager, "Mail", "mai", "mail "} {
		if n := mustDiscard(t, s, name, everything); n != 0 {
			t.Errorf("Discard(%q) = %d, want 0", name, n)
		}
	}
	after := mustBacklogs(t, s)
	for name := range after {
		b := after[name]
		b.Oldest = before[name].Oldest
		after[name] = b
	}
	wantEqual(t, "the backlogs", after, before)
}
