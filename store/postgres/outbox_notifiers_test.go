package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

const (
	typeCreated = incident.ActivityTypeCreated
	typeComment = incident.ActivityTypeComment
	typeStatus  = incident.ActivityTypeStatusChange
)

func target(name string, types ...incident.ActivityType) incident.NotifyTarget {
	return incident.NotifyTarget{Notifier: name, Types: types}
}

func claimOf(t incident.NotifyTarget) incident.ClaimQuery {
	return incident.ClaimQuery{NotifyTarget: t, Limit: 100, PerOrganization: 100, Lease: time.Minute}
}

// mustOpenIncident creates an incident without activities.
func mustOpenIncident(t *testing.T, s *postgres.Store, org incident.OrganizationID) incident.Incident {
	t.Helper()
	at := time.Date(2026, 3, 14, 2, 0, 0, 0, time.UTC)
	applied, err := s.Apply(t.Context(), incident.Change{Key: incident.Key{OrganizationID: org}, Incident: &incident.Incident{
		OrganizationID: org, Version: 1, Status: incident.StatusOpen, StatusMethod: 1, DateStarted: at, DateDetected: at, DateAdded: at,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return applied.Incident
}

// mustAppend appends activities of the given types in a change for the notifiers.
func mustAppend(t *testing.T, s incident.Store, key incident.Key, notify []incident.NotifyTarget, types ...incident.ActivityType) {
	t.Helper()
	c := incident.Change{Key: key, Notify: notify}
	for _, typ := range types {
		c.Activities = append(c.Activities, incident.Activity{Type: typ, DateAdded: clock(), NotificationUUID: uuid.New()})
	}
	if _, err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func mustClaim(t *testing.T, s *postgres.Store, q incident.ClaimQuery) []incident.Claim {
	t.Helper()
	claims, err := s.Claim(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func mustSettle(t *testing.T, s *postgres.Store, all ...incident.Settlement) {
	t.Helper()
	if busy, err := s.Settle(t.Context(), all); err != nil || len(busy) > 0 {
		t.Fatalf("Settle = %v, %v", busy, err)
	}
}

// mustDeliver claims and delivers until nothing is due, and returns the sequences.
func mustDeliver(t *testing.T, s *postgres.Store, to incident.NotifyTarget) (sequences []int64) {
	t.Helper()
	for {
		claims := mustClaim(t, s, claimOf(to))
		if len(claims) == 0 {
			return sequences
		}
		for _, c := range claims {
			if c.Notifier != to.Notifier {
				t.Errorf("a claim for %q is of %q", to.Notifier, c.Notifier)
			}
			sequences = append(sequences, c.Sequence)
			mustSettle(t, s, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeDelivered})
		}
	}
}

func mustBacklog(t *testing.T, s *postgres.Store) map[string]incident.Backlog {
	t.Helper()
	all, err := s.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A notifier that fails leaves the queues of another as they are.
func TestStore_notifiersAreIndependent(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	key := mustOpenIncident(t, s, "acme").Key()
	mustAppend(t, s, key, []incident.NotifyTarget{target(""), target("mail"), target("pager")}, typeComment, typeComment, typeComment)
	failing := mustClaim(t, s, claimOf(target("mail")))
	parking := mustClaim(t, s, claimOf(target("pager")))
	if len(failing) != 1 || failing[0].Sequence != 1 || !failing[0].More || len(parking) != 1 || parking[0].Sequence != 1 {
		t.Fatalf("Claim = %+v and %+v, want activity 1 for each", failing, parking)
	}
	mustSettle(t, s,
		incident.Settlement{Ticket: failing[0].Ticket, Outcome: incident.OutcomeRetry, After: time.Hour},
		incident.Settlement{Ticket: parking[0].Ticket, Outcome: incident.OutcomePark, Error: "no receiver"})
	for name, want := range map[string][]int64{"": {1, 2, 3}, "mail": nil, "pager": {2, 3}} {
		if got := mustDeliver(t, s, target(name)); !slices.Equal(got, want) {
			t.Errorf("%q got %v, want %v", name, got, want)
		}
	}
	all := mustBacklog(t, s)
	if all["mail"].Pending != 3 || all["mail"].Oldest <= 0 || all["pager"] != (incident.Backlog{Parked: 1}) || all[""] != (incident.Backlog{}) {
		t.Errorf("Backlog = %+v", all)
	}
	q := incident.ParkedQuery{OrganizationID: "acme", Notifier: "pager", Limit: 10}
	parked, err := s.Parked(t.Context(), q)
	if err != nil || len(parked) != 1 || parked[0].Sequence != 1 || parked[0].Notifier != "pager" || parked[0].Error != "no receiver" {
		t.Fatalf("Parked = %+v, %v", parked, err)
	}
	if b, err := s.Replay(t.Context(), q); err != nil || b.Count != 1 || b.Last != (incident.ParkedPosition{Identifier: key.Identifier, Sequence: 1}) {
		t.Fatalf("Replay = %+v, %v", b, err)
	}
	if got := mustDeliver(t, s, target("pager")); !slices.Equal(got, []int64{1}) {
		t.Errorf("the pager got %v after the replay, want 1", got)
	}
	for _, want := range []int{3, 0} {
		if n, err := s.Discard(t.Context(), "mail", 10); err != nil || n != want {
			t.Errorf("Discard = %d, %v, want %d", n, err, want)
		}
	}
}

// Exactly the wanted activities of the changes are queued and counted.
func TestStore_queuesWantedTypes(t *testing.T) {
	t.Parallel()
	for _, unnamed := range []string{"rest", ""} {
		s, _ := newStore(t)
		key := mustOpenIncident(t, s, "acme").Key()
		targets := []incident.NotifyTarget{target(unnamed, typeCreated, typeStatus), target("all"), target("comments", typeComment)}
		mustAppend(t, s, key, targets, typeCreated, typeComment, typeComment, typeStatus)
		mustAppend(t, s, key, targets[1:], typeComment)
		mustAppend(t, s, key, targets, typeStatus, typeComment)
		mustAppend(t, s, key, targets[1:], typeComment)
		want := map[string][]int64{"all": {1, 2, 3, 4, 5, 6, 7, 8}, "comments": {2, 3, 5, 7, 8}, unnamed: {1, 4, 6}}
		for _, to := range targets {
			want := want[to.Notifier]
			for i := range want {
				if got := mustBacklog(t, s)[to.Notifier].Pending; got != int64(len(want)-i) {
					t.Errorf("%q: Pending = %d, want %d", to.Notifier, got, len(want)-i)
				}
				claims := mustClaim(t, s, claimOf(to))
				if len(claims) != 1 || claims[0].Sequence != want[i] || claims[0].More != (i < len(want)-1) {
					t.Fatalf("%q: Claim = %+v, want activity %d", to.Notifier, claims, want[i])
				}
				mustSettle(t, s, incident.Settlement{Ticket: claims[0].Ticket, Outcome: incident.OutcomeDelivered})
			}
		}
		if all := mustBacklog(t, s); len(all) != 0 {
			t.Errorf("at the end Backlog = %+v", all)
		}
	}
}

// Activities that were queued while the types were others are not claimed, and leave the queue.
func TestStore_typesChange(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	var keys []incident.Key
	for i := range 3 {
		key := mustOpenIncident(t, s, incident.OrganizationID(fmt.Sprint("org-", i))).Key()
		mustAppend(t, s, key, []incident.NotifyTarget{target(""), target("mail")}, typeComment, typeComment)
		keys = append(keys, key)
	}
	mustAppend(t, s, keys[2], []incident.NotifyTarget{target(""), target("mail")}, typeStatus, typeComment)
	for _, name := range []string{"", "mail"} {
		to := target(name, typeStatus)
		claims := mustClaim(t, s, claimOf(to))
		if len(claims) != 1 || claims[0].Key != keys[2] || claims[0].Sequence != 3 {
			t.Errorf("%q: Claim = %+v, want activity 3 of %s", name, claims, keys[2])
		}
		mustSettle(t, s, incident.Settlement{Ticket: claims[0].Ticket, Outcome: incident.OutcomeDelivered})
		if got := mustDeliver(t, s, to); got != nil {
			t.Errorf("%q: then it got %v", name, got)
		}
		if b := mustBacklog(t, s)[name]; b != (incident.Backlog{}) {
			t.Errorf("%q: Backlog = %+v, want none", name, b)
		}
	}
}

// mustParkAll parks everything that is due.
func mustParkAll(t *testing.T, s *postgres.Store, notifier string) {
	t.Helper()
	for {
		claims := mustClaim(t, s, claimOf(target(notifier)))
		if len(claims) == 0 {
			return
		}
		for _, c := range claims {
			mustSettle(t, s, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomePark, Error: "no"})
		}
	}
}

// mustParkThree parks two activities and a reminder of each of three incidents.
func mustParkThree(t *testing.T, s *postgres.Store, notifier string) (want []incident.ParkedPosition) {
	t.Helper()
	for range 3 {
		inc := mustOpenIncident(t, s, "acme")
		mustAppend(t, s, inc.Key(), []incident.NotifyTarget{target(notifier)}, typeComment, typeComment)
		w := reminderWrite(inc, notifier, "late", -time.Second)
		mustRemind(t, s, w)
		want = append(want,
			incident.ParkedPosition{Identifier: inc.Identifier, Sequence: 1},
			incident.ParkedPosition{Identifier: inc.Identifier, Sequence: 2},
			incident.ParkedPosition{Identifier: inc.Identifier, Reminder: "late", Sequence: w.Reminder.At.UnixMicro()})
	}
	mustParkAll(t, s, notifier)
	return want
}

// parkedPositions returns a page of parked notifications.
func parkedPositions(t *testing.T, s *postgres.Store, notifier string, q incident.ParkedQuery) (got []incident.ParkedPosition) {
	t.Helper()
	q.OrganizationID, q.Notifier = "acme", notifier
	all, err := s.Parked(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		at := incident.ParkedPosition{Identifier: p.Incident.Identifier, Sequence: p.Sequence}
		if p.Reminder != nil {
			at.Reminder, at.Sequence = p.Reminder.Name, p.Reminder.At.UnixMicro()
		}
		got = append(got, at)
	}
	return got
}

// Pages of parked notifications follow the position, for activities and reminders of both tables.
func TestStore_parkedPages(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "mail"} {
		s, _ := newStore(t)
		want := mustParkThree(t, s, name)
		for limit := 1; limit <= len(want)+1; limit++ {
			var got []incident.ParkedPosition
			for after := (incident.ParkedPosition{}); ; {
				more := parkedPositions(t, s, name, incident.ParkedQuery{After: after, Limit: limit})
				if got = append(got, more...); len(more) < limit {
					break
				}
				after = more[len(more)-1]
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q: pages of %d are %v, want %v", name, limit, got, want)
			}
		}
		if got := parkedPositions(t, s, name, incident.ParkedQuery{Identifier: 2, After: want[3], Limit: 10}); !slices.Equal(got, want[4:6]) {
			t.Errorf("%q: the rest of incident 2 is %v, want %v", name, got, want[4:6])
		}
	}
}

// Batches of replays and discards follow the position, and Discard keeps its limit.
func TestStore_parkedBatches(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "mail"} {
		s, _ := newStore(t)
		want := mustParkThree(t, s, name)
		b, err := s.Replay(t.Context(), incident.ParkedQuery{OrganizationID: "acme", Notifier: name, After: want[0], Limit: 4})
		if err != nil || b != (incident.ParkedBatch{Count: 4, Last: want[4]}) {
			t.Errorf("%q: Replay = %+v, %v", name, b, err)
		}
		if got := parkedPositions(t, s, name, incident.ParkedQuery{Limit: 10}); !slices.Equal(got, slices.Concat(want[:1], want[5:])) {
			t.Errorf("%q: after the replay %v are parked", name, got)
		}
		mustParkAll(t, s, name)
		b, err = s.DiscardParked(t.Context(), incident.ParkedQuery{OrganizationID: "acme", Notifier: name, Identifier: 2, Limit: 1000})
		if err != nil || b != (incident.ParkedBatch{Count: 3, Last: want[5]}) {
			t.Errorf("%q: DiscardParked = %+v, %v", name, b, err)
		}
		if got := parkedPositions(t, s, name, incident.ParkedQuery{Limit: 10}); !slices.Equal(got, slices.Concat(want[:3], want[6:])) {
			t.Errorf("%q: after the discard %v are parked", name, got)
		}
		for _, want := range []int{4, 2, 0} {
			if n, err := s.Discard(t.Context(), name, 4); err != nil || n != want {
				t.Errorf("%q: Discard = %d, %v, want %d", name, n, err, want)
			}
		}
		if all := mustBacklog(t, s); len(all) != 0 {
			t.Errorf("%q: at the end Backlog = %+v", name, all)
		}
	}
}
