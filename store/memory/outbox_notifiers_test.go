package memory_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

const (
	opened  = incident.ActivityTypeCreated
	comment = incident.ActivityTypeComment
	status  = incident.ActivityTypeStatusChange
)

func named(name string, types ...incident.ActivityType) incident.NotifyTarget {
	return incident.NotifyTarget{Notifier: name, Types: types}
}

// mustAppend appends activities of the given types.
func mustAppend(t testing.TB, s incident.Store, key incident.Key, notify []incident.NotifyTarget, types ...incident.ActivityType) {
	t.Helper()
	c := incident.Change{Key: key, Notify: notify}
	for _, typ := range types {
		c.Activities = append(c.Activities, incident.Activity{Type: typ, NotificationUUID: uuid.New()})
	}
	if _, err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// mustDeliver claims and delivers until nothing is due, and returns the sequences.
func mustDeliver(t testing.TB, s *memory.Store, target incident.NotifyTarget) (sequences []int64) {
	t.Helper()
	q := incident.ClaimQuery{NotifyTarget: target, Limit: 99, PerOrganization: 99, Lease: time.Minute}
	for {
		claims := mustClaim(t, s, q)
		for _, c := range claims {
			if c.Notifier != target.Notifier {
				t.Errorf("a claim for %q is of %q", target.Notifier, c.Notifier)
			}
			sequences = append(sequences, c.Sequence)
			mustSettle(t, s, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeDelivered})
		}
		if len(claims) == 0 {
			return sequences
		}
	}
}

func mustBacklogs(t testing.TB, s *memory.Store) map[string]incident.Backlog {
	t.Helper()
	all, err := s.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A notifier that fails or hangs leaves the queues of another as they are.
func TestStore_Claim_notifiersAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		key := mustEnqueue(t, s, "acme", 0, 0)
		both := []incident.NotifyTarget{named("mail"), named("pager")}
		mustAppend(t, s, key, both, comment, comment, comment)
		failing := mustClaim(t, s, claimAll("mail"))[0]
		if c := mustClaim(t, s, claimAll("pager")); len(c) != 1 || c[0].Sequence != 1 || c[0].Fence == failing.Fence {
			t.Fatalf("Claim() of the pager = %+v, want activity 1", c)
		} else {
			wrong := failing.Ticket
			wrong.Notifier = "pager"
			mustSettle(t, s,
				incident.Settlement{Ticket: wrong, Outcome: incident.OutcomeDelivered}, // ignored
				incident.Settlement{Ticket: c[0].Ticket, Outcome: incident.OutcomePark, Error: "no receiver"},
				incident.Settlement{Ticket: failing.Ticket, Outcome: incident.OutcomeRetry, After: time.Hour})
		}
		if got := mustDeliver(t, s, named("pager")); !slices.Equal(got, []int64{2, 3}) {
			t.Errorf("the pager got %v, want 2 and 3", got)
		}
		time.Sleep(time.Minute)
		if got := mustDeliver(t, s, named("mail")); got != nil {
			t.Errorf("mail got %v during its delay", got)
		}
		want := incident.Backlog{Pending: 3, Oldest: time.Minute}
		if all := mustBacklogs(t, s); all["mail"] != want || all["pager"] != (incident.Backlog{Parked: 1}) {
			t.Errorf("Backlog() = %+v", all)
		}
		time.Sleep(time.Hour - time.Minute)
		if got := mustDeliver(t, s, named("mail")); !slices.Equal(got, []int64{1, 2, 3}) {
			t.Errorf("mail got %v, want 1 to 3", got)
		}
		if got := mustDeliver(t, s, named("")); got != nil {
			t.Errorf("the notifier without a name got %v", got)
		}
	})
}

// Exactly the wanted activities are queued and counted.
func TestStore_Apply_queuesWantedTypes(t *testing.T) {
	s := memory.New()
	key := mustEnqueue(t, s, "acme", 0, 0)
	targets := []incident.NotifyTarget{named("all"), named("comments", comment), named("rest", opened, status)}
	mustAppend(t, s, key, targets, opened, comment, comment, status)
	mustAppend(t, s, key, targets, comment)
	mustAppend(t, s, key, nil, comment)
	mustAppend(t, s, key, targets, status, comment)
	mustAppend(t, s, key, targets[:2], comment)
	want := map[string][]int64{"all": {1, 2, 3, 4, 5, 7, 8, 9}, "comments": {2, 3, 5, 8, 9}, "rest": {1, 4, 7}}
	for _, target := range targets {
		want := want[target.Notifier]
		if got := mustBacklogs(t, s)[target.Notifier].Pending; got != int64(len(want)) {
			t.Errorf("%s: Pending = %d, want %d", target.Notifier, got, len(want))
		}
		if got := mustDeliver(t, s, target); !slices.Equal(got, want) {
			t.Errorf("%s got %v, want %v", target.Notifier, got, want)
		}
		if got := mustBacklogs(t, s)[target.Notifier]; got != (incident.Backlog{}) {
			t.Errorf("%s: after the delivery Backlog() = %+v", target.Notifier, got)
		}
	}
}

// Activities of a type that the notifier does not want any more leave their queue, and do not use
// up the limit of a claim.
func TestStore_Claim_narrowerTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		all := []incident.NotifyTarget{named("")}
		useless := mustEnqueue(t, s, "acme", 0, 0)
		mustAppend(t, s, useless, all, opened, comment)
		time.Sleep(time.Second)
		key := mustEnqueue(t, s, "acme", 0, 0)
		mustAppend(t, s, key, all, comment, comment, status)
		mustAppend(t, s, key, nil, status)
		mustAppend(t, s, key, all, comment, status, comment)
		first := mustClaim(t, s, incident.ClaimQuery{NotifyTarget: named(""), Limit: 2, PerOrganization: 2, Lease: time.Second})
		if len(first) != 2 {
			t.Fatalf("Claim() = %+v, want both incidents", first)
		}
		time.Sleep(time.Second)
		q := incident.ClaimQuery{NotifyTarget: named("", status), Limit: 1, PerOrganization: 1, Lease: time.Minute}
		got := mustClaim(t, s, q)
		if len(got) != 1 || got[0].Key != key || got[0].Sequence != 3 || got[0].Attempt != 1 || !got[0].More {
			t.Fatalf("Claim() = %+v, want the first attempt of activity 3 of %s", got, key)
		}
		for _, c := range first {
			mustSettle(t, s, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomePark})
		}
		if b := mustBacklog(t, s); b != (incident.Backlog{Pending: 4}) {
			t.Errorf("Backlog() = %+v, want 4 pending", b)
		}
		mustSettle(t, s, incident.Settlement{Ticket: got[0].Ticket, Outcome: incident.OutcomeDelivered})
		if got := mustDeliver(t, s, named("", status)); !slices.Equal(got, []int64{6}) {
			t.Errorf("%v came, want 6", got)
		}
		if b := mustBacklog(t, s); b != (incident.Backlog{}) {
			t.Errorf("Backlog() = %+v, want none", b)
		}
		mustAppend(t, s, key, all, comment)
		mustRemind(t, s, key, "escalate", time.Now())
		if got := mustClaim(t, s, q); len(got) != 1 || got[0].Reminder == nil {
			t.Errorf("Claim() = %+v, want the reminder", got)
		}
	})
}

// Parked notifications are listed, replayed and discarded by notifier, in order and in pages.
func TestStore_Parked_byNotifier(t *testing.T) {
	s := memory.New()
	targets := []incident.NotifyTarget{named(""), named("mail")}
	keys := []incident.Key{mustEnqueue(t, s, "acme", 0, 0), mustEnqueue(t, s, "acme", 0, 0), mustEnqueue(t, s, "globex", 0, 0)}
	at := time.Now().Add(-time.Hour)
	for _, key := range keys {
		mustSetReminder(t, s, key, incident.Reminder{Name: "b", At: at, Notifier: "mail"})
		mustSetReminder(t, s, key, incident.Reminder{Name: "a", At: at.Add(time.Second), Notifier: "mail"})
		mustAppend(t, s, key, targets, comment, comment)
	}
	for _, target := range targets {
		for claims := mustClaim(t, s, claimAll(target.Notifier)); len(claims) > 0; claims = mustClaim(t, s, claimAll(target.Notifier)) {
			for _, c := range claims {
				mustSettle(t, s, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomePark})
			}
		}
	}
	list := func(q incident.ParkedQuery) (all []string) {
		t.Helper()
		for {
			page, err := s.Parked(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page {
				if p.Notifier != q.Notifier || p.Incident.OrganizationID != q.OrganizationID {
					t.Errorf("Parked(%+v) has %+v", q, p)
				}
				q.After = incident.ParkedPosition{Identifier: p.Incident.Identifier, Sequence: p.Sequence}
				text := string(rune('0'+p.Incident.Identifier)) + "/" + string(rune('0'+p.Sequence))
				if p.Reminder != nil {
					q.After.Reminder, q.After.Sequence = p.Reminder.Name, p.Reminder.At.UnixMicro()
					text += p.Reminder.Name
				}
				all = append(all, text)
			}
			if len(page) < q.Limit {
				return all
			}
		}
	}
	acme := incident.ParkedQuery{OrganizationID: "acme", Notifier: "mail", Limit: 3}
	first, second := acme, acme
	first.Identifier, second.Identifier = 1, 2
	want := []string{"1/1", "1/2", "1/0a", "1/0b", "2/1", "2/2", "2/0a", "2/0b"}
	if got := list(acme); !slices.Equal(got, want) {
		t.Errorf("parked for mail: %v, want %v", got, want)
	}
	if got := list(first); !slices.Equal(got, want[:4]) {
		t.Errorf("parked for mail of the first: %v, want %v", got, want[:4])
	}
	if got := list(second); !slices.Equal(got, want[4:]) {
		t.Errorf("parked for mail of the second: %v, want %v", got, want[4:])
	}
	b, err := s.DiscardParked(t.Context(), second)
	if last := (incident.ParkedPosition{Identifier: 2, Reminder: "a", Sequence: at.Add(time.Second).UnixMicro()}); err != nil || b.Count != 3 || b.Last != last {
		t.Errorf("DiscardParked() = %+v, %v, want 3 until %+v", b, err, last)
	}
	acme.After = incident.ParkedPosition{Identifier: 1, Sequence: 1}
	if b, err := s.Replay(t.Context(), acme); err != nil || b.Count != 3 || b.Last.Reminder != "b" {
		t.Errorf("Replay() = %+v, %v, want 3 until reminder b", b, err)
	}
	acme.After = incident.ParkedPosition{}
	if got := list(acme); !slices.Equal(got, []string{"1/1", "2/0b"}) {
		t.Errorf("left for mail: %v, want 1/1 and 2/0b", got)
	}
	if got := list(incident.ParkedQuery{OrganizationID: "acme", Limit: 3}); !slices.Equal(got, []string{"1/1", "1/2", "2/1", "2/2"}) {
		t.Errorf("parked for the notifier without a name: %v", got)
	}
	if got := list(incident.ParkedQuery{OrganizationID: "globex", Notifier: "mail", Limit: 3}); !slices.Equal(got, want[:4]) {
		t.Errorf("parked of globex: %v", got)
	}
	if got, want := mustBacklogs(t, s)["mail"], (incident.Backlog{Pending: 3, Parked: 6}); got.Pending != want.Pending || got.Parked != want.Parked {
		t.Errorf("Backlog() = %+v, want %+v", got, want)
	}
	second.Identifier = 3
	_, replayed := s.Replay(t.Context(), second)
	_, discarded := s.DiscardParked(t.Context(), second)
	if !errors.Is(replayed, incident.ErrNotFound) || !errors.Is(discarded, incident.ErrNotFound) {
		t.Errorf("of an unknown incident: %v, %v, want ErrNotFound", replayed, discarded)
	}
}

// Discard removes everything of a notifier in batches, and nothing of another.
func TestStore_Discard(t *testing.T) {
	s := memory.New()
	var tickets []incident.Ticket
	for _, org := range []incident.OrganizationID{"acme", "globex"} {
		key := mustEnqueue(t, s, org, 0, 1)
		mustAppend(t, s, key, []incident.NotifyTarget{named("mail")}, comment)
		c := mustClaim(t, s, claimAll("mail"))[0]
		mustSettle(t, s, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomePark})
		mustAppend(t, s, key, []incident.NotifyTarget{named("mail")}, comment, comment)
		tickets = append(tickets, mustClaim(t, s, claimAll("mail"))[0].Ticket)
		mustSetReminder(t, s, key, incident.Reminder{Name: "a", At: time.Now().Add(time.Hour), Notifier: "mail"})
		mustRemind(t, s, key, "b", time.Now().Add(time.Hour))
	}
	var counts []int
	for {
		n, err := s.Discard(t.Context(), "mail", 2)
		if err != nil {
			t.Fatal(err)
		}
		if counts = append(counts, n); n == 0 {
			break
		}
	}
	if sum := counts[0] + counts[1] + counts[2]; len(counts) != 4 || sum != 8 {
		t.Errorf("Discard() = %v, want 8 in 3 batches", counts)
	}
	for _, ticket := range tickets {
		mustSettle(t, s, incident.Settlement{Ticket: ticket, Outcome: incident.OutcomePark})
		if got := mustReminders(t, s, ticket.Key); len(got) != 1 || got[0].Name != "b" {
			t.Errorf("Reminders() = %+v, want b", got)
		}
	}
	all := mustBacklogs(t, s)
	if b := all[""]; b.Pending != 2 || b.Reminders != 2 || all["mail"] != (incident.Backlog{}) {
		t.Errorf("Backlog() = %+v, want 2 pending and 2 reminders of the notifier without a name", all)
	}
	if n, err := s.Discard(t.Context(), "unknown", 2); n != 0 || err != nil {
		t.Errorf("Discard() of an unknown notifier = %d, %v", n, err)
	}
	mustAppend(t, s, tickets[0].Key, []incident.NotifyTarget{named("mail")}, comment)
	if got := mustDeliver(t, s, named("mail")); !slices.Equal(got, []int64{5}) {
		t.Errorf("after Discard() mail got %v, want 5", got)
	}
}
