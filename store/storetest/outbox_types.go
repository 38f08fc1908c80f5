package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

const (
	said = incident.ActivityTypeComment
	rose = incident.ActivityTypeStatusChange
	edit = incident.ActivityTypeEdited
)

// mixed returns a change with activities of these types.
func mixed(key incident.Key, types ...incident.ActivityType) incident.Change {
	c := incident.Change{Key: key}
	for _, typ := range types {
		c.Activities = append(c.Activities, activity(key, typ))
	}
	return c
}

// wanting returns the change with the targets that want at least one of its activities.
func wanting(c incident.Change, all ...incident.NotifyTarget) incident.Change {
	c.Notify = nil
	for _, target := range all {
		if slices.ContainsFunc(c.Activities, func(a incident.Activity) bool { return target.Wants(a.Type) }) {
			c.Notify = append(c.Notify, target)
		}
	}
	return c
}

func target(notifier string, types ...incident.ActivityType) incident.NotifyTarget {
	return incident.NotifyTarget{Notifier: notifier, Types: types}
}

// claimsFor claims all due queues for a target.
func claimsFor(target incident.NotifyTarget) incident.ClaimQuery {
	q := anything()
	q.NotifyTarget = target
	return q
}

// mustClaimOneFor claims the only due queue for a target, and checks More.
func mustClaimOneFor(
	t *trial, s incident.OutboxStore, target incident.NotifyTarget, key incident.Key, sequence int64, more bool,
) incident.Claim {
	t.Helper()
	claims := mustClaim(t, s, claimsFor(target))
	wantClaimed(t, fmt.Sprintf("the claims for %+v", target), claims, activityKey{key, sequence})
	if claims[0].More != more {
		t.Errorf("More of %s for %+v is %v, want %v", activityKey{key, sequence}, target, claims[0].More, more)
	}
	return claims[0]
}

// A queue has the activities of the wanted types, and counts them alone.
func typesAreQueuedAlone(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 0)
	all := []incident.NotifyTarget{target("", said), target(mail, rose, edit), target(pager)}
	mustApply(t, s, wanting(mixed(key, rose, said, edit, said, rose), all...)) // activities 3 to 7
	wantBacklogs(t, s, "after a change of five types", map[string]counts{"": {pending: 2}, mail: {pending: 3}, pager: {pending: 5}})
	mustApply(t, s, wanting(mixed(key, edit), all...))
	mustApply(t, s, wanting(mixed(key, said, said, edit), all...))
	wantBacklogs(t, s, "after three changes", map[string]counts{"": {pending: 4}, mail: {pending: 5}, pager: {pending: 9}})
	for i, sequences := range [][]int64{{4, 6, 9, 10}, {3, 5, 7, 8, 11}, {3, 4, 5, 6, 7, 8, 9, 10, 11}} {
		left := int64(len(sequences))
		for _, sequence := range sequences {
			c := mustClaimOneFor(t, s, all[i], key, sequence, left > 1)
			wantBacklogOf(t, s, all[i].Notifier, "while one is claimed", counts{pending: left})
			mustSettle(t, s, deliver(c))
			left--
			wantBacklogOf(t, s, all[i].Notifier, "after a delivery", counts{pending: left})
		}
		wantNoClaimBy(t, s, claimsFor(all[i]), "after all was delivered")
	}
	mustApply(t, s, wanting(mixed(key, edit, rose), all...))
	wantBacklogs(t, s, "after a change that one of them does not want", map[string]counts{mail: {pending: 2}, pager: {pending: 2}})
}

// Failures, releases and parking leave the other activities of a queue with types as they are.
func typesOutliveFailures(t *trial, s incident.OutboxStore) {
	for _, name := range []string{"", pager} {
		key, comments := mustQueue(t, s, acme, 0), target(name, said)
		mustApply(t, s, wanting(mixed(key, said, rose, said, edit, said), comments)) // activities 3 to 7
		mustSettle(t, s, retry(mustClaimOneFor(t, s, comments, key, 3, true), 0))
		wantBacklogOf(t, s, name, "after a failure", counts{pending: 3})
		c := mustClaimOneFor(t, s, comments, key, 3, true)
		if c.Attempt != 2 {
			t.Errorf("after a failure the attempt is %d, want 2", c.Attempt)
		}
		mustSettle(t, s, park(c, "no receiver"))
		wantBacklogOf(t, s, name, "after one was parked", counts{pending: 2, parked: 1})
		mustSettle(t, s, release(mustClaimOneFor(t, s, comments, key, 5, true)))
		wantBacklogOf(t, s, name, "after a release", counts{pending: 2, parked: 1})
		c = mustClaimOneFor(t, s, comments, key, 5, true)
		if c.Attempt != 1 {
			t.Errorf("after a release the attempt is %d, want 1", c.Attempt)
		}
		mustSettle(t, s, deliver(c))
		mustSettle(t, s, park(mustClaimOneFor(t, s, comments, key, 7, false), "no receiver"))
		wantBacklogOf(t, s, name, "after all was delivered or parked", counts{parked: 2})
		wantNoClaimBy(t, s, claimsFor(comments), "after all was delivered or parked")
	}
}

// Activities that are appended while the queue is claimed follow, if they are wanted.
func typesAreKeptMeanwhile(t *trial, s incident.OutboxStore) {
	for _, name := range []string{"", pager} {
		key, comments := mustQueue(t, s, acme, 0), target(name, said)
		mustApply(t, s, wanting(mixed(key, rose, said, rose), comments)) // the comment is 4
		c := mustClaimOneFor(t, s, comments, key, 4, false)
		mustApply(t, s, wanting(mixed(key, edit, rose), comments))
		wantBacklogOf(t, s, name, "after a change that is not wanted", counts{pending: 1})
		mustApply(t, s, wanting(mixed(key, edit, said, rose, said, rose), comments)) // the comments are 9 and 11
		wantNoClaimBy(t, s, claimsFor(comments), "after an append to a claimed queue")
		wantBacklogOf(t, s, name, "after an append", counts{pending: 3})
		mustSettle(t, s, deliver(c))
		wantBacklogOf(t, s, name, "after the first was delivered", counts{pending: 2})
		mustSettle(t, s, deliver(mustClaimOneFor(t, s, comments, key, 9, true)))
		mustSettle(t, s, deliver(mustClaimOneFor(t, s, comments, key, 11, false)))
		wantNoClaimBy(t, s, claimsFor(comments), "after all was delivered")
		wantBacklogOf(t, s, name, "after all was delivered", counts{})
	}
}

// mustEmpty claims for a target until nothing is queued. Nothing may be claimed.
func mustEmpty(t *trial, s incident.OutboxStore, target incident.NotifyTarget, when string) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		wantNoClaimBy(t, s, claimsFor(target), when)
		b := mustBacklogs(t, s)[target.Notifier]
		if b.Pending == 0 {
			return
		}
		if time.Since(start) > t.patience {
			t.Fatalf("%s Backlog() still has %d pending after Claim(), want 0", when, b.Pending)
		}
	}
}

// An activity whose type is no longer wanted is not claimed, and leaves the queue.
func typesMayBeNarrowedLater(t *trial, s incident.OutboxStore) {
	for _, name := range []string{"", pager} {
		key, comments := mustQueue(t, s, acme, 0), target(name, said)
		mustApply(t, s, wanting(mixed(key, rose, said, rose, said, rose), target(name))) // activities 3 to 7
		claims := mustClaim(t, s, claimsFor(comments))
		wantClaimed(t, "the claims after the types were narrowed", claims, activityKey{key, 4})
		if c := claims[0]; c.Attempt != 1 || c.Activity.Type != said {
			t.Errorf("after the types were narrowed the claim is %s, want attempt 1 of the comment", show(c))
		}
		mustSettle(t, s, retry(claims[0], 0))
		claims = mustClaim(t, s, claimsFor(comments))
		wantClaimed(t, "the claims after a failure", claims, activityKey{key, 4})
		mustSettle(t, s, deliver(claims[0]))
		claims = mustClaim(t, s, claimsFor(comments))
		wantClaimed(t, "the claims after a delivery", claims, activityKey{key, 6})
		if claims[0].Attempt != 1 {
			t.Errorf("the second comment has attempt %d, want 1", claims[0].Attempt)
		}
		mustSettle(t, s, deliver(claims[0]))
		mustEmpty(t, s, comments, "after the comments were delivered")
		mustApply(t, s, wanting(mixed(key, said), comments))
		mustSettle(t, s, deliver(mustClaimOneFor(t, s, comments, key, 8, false)))
		mustEmpty(t, s, comments, "after a later comment was delivered")
	}
}

// A queue without wanted activities leaves the outbox. Later activities are claimed.
func typesMayLeaveNothing(t *trial, s incident.OutboxStore) {
	for _, name := range []string{"", pager} {
		key, waiting := mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0)
		failed, comments := mustQueue(t, s, acme, 0), target(name, said)
		for _, key := range []incident.Key{key, waiting, failed} {
			mustApply(t, s, wanting(mixed(key, rose, edit), target(name)))
		}
		mustApply(t, s, wanting(mixed(waiting, said), comments))
		for _, c := range mustClaimAll(t, s, claimsFor(target(name)), 3) {
			mustSettle(t, s, retry(c, 0))
		}
		c := mustClaim(t, s, claimsFor(comments))
		wantClaimed(t, "the claims after the types were narrowed", c, activityKey{waiting, 5})
		mustSettle(t, s, deliver(c[0]))
		mustEmpty(t, s, comments, "after the only comment was delivered")
		mustApply(t, s, wanting(mixed(key, said), comments))
		mustSettle(t, s, deliver(mustClaimOneFor(t, s, comments, key, 5, false)))
		wantBacklogOf(t, s, name, "after all was delivered", counts{})
	}
}

// A replayed notification whose type is no longer wanted leaves the outbox.
func typesMayLeaveNoReplay(t *trial, s incident.OutboxStore) {
	for _, name := range []string{"", pager} {
		key, comments := mustQueue(t, s, acme, 0), target(name, said)
		mustApply(t, s, wanting(mixed(key, rose, said), target(name)))
		for _, sequence := range []int64{3, 4} {
			mustSettle(t, s, park(mustClaimOneOf(t, s, name, key, sequence), "no receiver"))
		}
		if b := mustReplayBatch(t, s, parkedFor(acme, name)); b.Count != 2 {
			t.Errorf("Replay() = %+v, want two", b)
		}
		c := mustClaimOneFor(t, s, comments, key, 4, false)
		mustSettle(t, s, deliver(c))
		mustEmpty(t, s, comments, "after the replayed comment was delivered")
	}
}

// The types of a query leave reminders as they are.
func typesLeaveRemindersAlone(t *trial, s incident.OutboxStore) {
	for _, name := range []string{"", pager} {
		key := mustQueue(t, s, acme, 0)
		r := reminder("soon", name)
		mustRemind(t, s, key, r)
		claims := mustClaim(t, s, claimsFor(target(name, edit)))
		if len(claims) != 1 {
			t.Fatalf("Claim() with Types = %s, want one claim", show(claims))
		}
		wantEqual(t, "the claimed reminder", reminded(claims[0]), r)
		mustSettle(t, s, deliver(claims[0]))
	}
}

// Comments that are appended while others narrow the queue are delivered, once and in order.
func typesLoseNothingMeanwhile(t *trial, s incident.OutboxStore) {
	const each = 15
	for _, name := range []string{"", pager} {
		key, comments := mustQueue(t, s, acme, 0), target(name, said)
		var got, want []int64
		for i := range int64(each) {
			want = append(want, 3+2*i+1)
		}
		t.together(2, func(i int) {
			if i == 0 {
				for range each {
					mustApply(t, s, wanting(mixed(key, rose), target(name)))
					mustApply(t, s, wanting(mixed(key, said), target(name)))
				}
				return
			}
			for start := time.Now(); len(got) < each && time.Since(start) < t.patience; {
				claims, err := try(t.Context(), s, claimsFor(comments))
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range claims {
					got = append(got, c.Sequence)
					mustSettle(t, s, deliver(c))
				}
			}
		})
		wantEqual(t, "the delivered comments", got, want)
		mustEmpty(t, s, comments, "after all comments were delivered")
	}
}
