package storetest

import (
	"github.com/incidentkit/incident"
)

// Two organizations with the same incidents and activities have separate queues, with
// their own data and outcomes.
func outboxIsolatesClaims(t *trial, s incident.OutboxStore) {
	mine, others := mustQueue(t, s, acme, 2), mustQueue(t, s, umbrella, 2)
	mustSubscribe(t, s, incident.Subscription{Incident: others, UserID: eve, DateAdded: t0})
	mustChange(t, s, retitling(mustLoad(t, s, others), "Another title"))
	claims := map[incident.Key]incident.Claim{}
	for len(claims) < 2 {
		for _, c := range mustClaim(t, s, anything()) {
			claims[c.Key] = c
		}
	}
	for key, users := range map[incident.Key][]incident.UserID{mine: {ada}, others: {ada, eve}} {
		c := claims[key]
		wantEqual(t, "the activity", c.Activity, mustActivity(t, s, key, 3))
		wantEqual(t, "the incident", c.Incident, mustLoad(t, s, key).Incident)
		wantEqual(t, "the subscribers", c.Subscribers, users)
	}
	for _, end := range []func(incident.Claim) incident.Settlement{
		func(c incident.Claim) incident.Settlement { return retry(c, 0) },
		release,
		deliver,
	} {
		c := claims[mine]
		mustSettle(t, s, end(c))
		claims[mine] = mustClaim(t, s, anything())[0]
		if got := claims[mine]; got.Key != mine {
			t.Fatalf("after a settlement of %s Claim() = %s", mine, got.Key)
		}
	}
	mustSettle(t, s, deliver(claims[mine]))
	wantNoClaim(t, s, "after all of one organization was delivered")
	mustNotify(t, s, mine, 1)
	mustSettle(t, s, deliver(claims[others]))
	mustDrain(t, s, map[incident.Key][]int64{mine: {5}, others: {4}})
}

// Parking and replaying does not affect other organizations.
func outboxIsolatesParked(t *trial, s incident.OutboxStore) {
	mine := mustQueue(t, s, acme, 1)
	mustPark(t, s, 1)
	others := mustQueue(t, s, umbrella, 2)
	wantParked(t, s, umbrella)
	mustReplayParked(t, s, others, 0)
	mustPark(t, s, 1)
	wantParked(t, s, acme, activityKey{mine, 3})
	wantParked(t, s, umbrella, activityKey{others, 3})
	mustReplayParked(t, s, mine, 1)
	wantParked(t, s, umbrella, activityKey{others, 3})
	wantParked(t, s, acme)
	q := anything()
	q.Except = []incident.OrganizationID{umbrella}
	c := mustClaim(t, s, q)
	wantClaimed(t, "replayed", c, activityKey{mine, 3})
	mustSettle(t, s, park(c[0], "no receiver"))
	mustReplayParked(t, s, others, 1)
	wantParked(t, s, acme, activityKey{mine, 3})
	wantParked(t, s, umbrella)
}

// Two organizations with the same incidents have separate reminders, whatever their names.
func outboxIsolatesReminders(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		mine, others := mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0)
		r := reminder("the same", notifier)
		other := moved(r, r.At)
		mustRemind(t, s, mine, r)
		mustRemind(t, s, others, other)
		q := anythingOf(notifier)
		q.Except = []incident.OrganizationID{umbrella}
		c := mustClaim(t, s, q)[0]
		wantEqual(t, "the claimed reminder", reminded(c), r)
		wantEqual(t, "the incident of a claimed reminder", c.Incident, mustLoad(t, s, mine).Incident)
		wrong := deliver(c)
		wrong.Key = others
		mustSettle(t, s, wrong)
		wantReminders(t, s, others, "after a ticket with another organization", other)
		mustRemind(t, s, others, moved(other, never))
		mustCancel(t, s, others, r.Name)
		wantReminders(t, s, mine, "after another organization's was cancelled", r)
		mustSettle(t, s, park(c, "no receiver"))
		wantPositions(t, s, parkedFor(umbrella, notifier))
		if b := mustDiscardParked(t, s, parkedFor(umbrella, notifier)); b.Count != 0 {
			t.Errorf("DiscardParked() of another organization = %+v, want none", b)
		}
		mustReplayBatch(t, s, parkedFor(acme, notifier))
		mustCancel(t, s, others, r.Name)
		mustSettle(t, s, deliver(mustClaimReminder(t, s, mine, r)))
		wantBacklogs(t, s, "after the last delivery", map[string]counts{})
	}
}
