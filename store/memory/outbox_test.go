package memory_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/store/storetest"
)

// mustEnqueue appends activities to an incident with Notify set. Identifier 0 creates the
// incident.
func mustEnqueue(t testing.TB, s incident.Store, org incident.OrganizationID, identifier int64, activities int) incident.Key {
	t.Helper()
	c := incident.Change{Key: incident.Key{OrganizationID: org, Identifier: identifier}, Notify: []incident.NotifyTarget{{}}}
	if identifier == 0 {
		c.Incident = &incident.Incident{
			OrganizationID: org, Status: incident.StatusOpen, Version: 1,
			DateStarted: time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC),
		}
	}
	for range activities {
		c.Activities = append(c.Activities, incident.Activity{Type: incident.ActivityTypeComment, NotificationUUID: uuid.New()})
	}
	applied, err := s.Apply(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if identifier == 0 {
		return applied.Incident.Key()
	}
	return c.Key
}

func mustClaim(t testing.TB, s *memory.Store, c incident.ClaimQuery) []incident.Claim {
	t.Helper()
	claims, err := s.Claim(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func mustSettle(t testing.TB, s *memory.Store, all ...incident.Settlement) {
	t.Helper()
	if busy, err := s.Settle(t.Context(), all); err != nil || len(busy) > 0 {
		t.Fatalf("Settle() = %v, %v", busy, err)
	}
}

func mustBacklog(t testing.TB, s *memory.Store) incident.Backlog {
	t.Helper()
	b, err := s.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b[""]
}

func TestStore_outbox(t *testing.T) {
	storetest.RunOutbox(t, func(*testing.T) incident.OutboxStore { return memory.New() })
}

// Leases, delays and ages are exact to the nanosecond.
func TestStore_Claim_exactTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		mustEnqueue(t, s, "acme", 0, 2)
		all := incident.ClaimQuery{Limit: 9, PerOrganization: 9, Lease: time.Minute}
		wantClaims := func(after time.Duration, want int) []incident.Claim {
			t.Helper()
			time.Sleep(after)
			got := mustClaim(t, s, all)
			if len(got) != want {
				t.Fatalf("%d claims, want %d", len(got), want)
			}
			return got
		}
		wantClaims(0, 1)
		wantClaims(time.Minute-1, 0)
		c := wantClaims(1, 1)[0]
		if c.Attempt != 2 || !c.More {
			t.Errorf("second claim = %+v, want Attempt 2 and More", c)
		}
		mustSettle(t, s, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeRetry, After: time.Hour})
		wantClaims(time.Hour-1, 0)
		if got, want := mustBacklog(t, s), (incident.Backlog{Pending: 2, Oldest: time.Hour + time.Minute - 1}); got != want {
			t.Errorf("Backlog() = %+v, want %+v", got, want)
		}
		c = wantClaims(1, 1)[0]
		mustSettle(t, s, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeDelivered})
		time.Sleep(time.Second)
		if got, want := mustBacklog(t, s), (incident.Backlog{Pending: 1, Oldest: time.Second}); got != want {
			t.Errorf("Backlog() = %+v, want %+v", got, want)
		}
		c = wantClaims(0, 1)[0]
		mustSettle(t, s, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeRetry, After: 1<<63 - 1})
		wantClaims(1000*time.Hour, 0)
	})
}

// Oldest is the age of the oldest head, in whatever order queues advance and end.
func TestStore_Backlog_oldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		for range 4 {
			mustEnqueue(t, s, "acme", 0, 1)
			time.Sleep(time.Second)
		}
		claims := mustClaim(t, s, incident.ClaimQuery{Limit: 9, PerOrganization: 9, Lease: time.Minute})
		for _, step := range []struct {
			settles int
			oldest  time.Duration
		}{{1, 4 * time.Second}, {0, 2 * time.Second}, {3, 2 * time.Second}, {2, 0}} {
			mustSettle(t, s, incident.Settlement{Ticket: claims[step.settles].Ticket, Outcome: incident.OutcomeDelivered})
			if got := mustBacklog(t, s).Oldest; got != step.oldest {
				t.Errorf("after the delivery of %s Oldest = %v, want %v", claims[step.settles].Key, got, step.oldest)
			}
		}
	})
}

// A rollback restores queues, including those with gaps.
func TestStore_InTx_rollbackRestoresQueues(t *testing.T) {
	s := memory.New()
	key := mustEnqueue(t, s, "acme", 0, 1)
	quiet := func(tx incident.Store) {
		_, err := tx.Apply(t.Context(), incident.Change{Key: key, Activities: []incident.Activity{{
			Type: incident.ActivityTypeComment, NotificationUUID: uuid.New(),
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	undo := errors.New("undo")
	for range 2 {
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			mustEnqueue(t, tx, "acme", key.Identifier, 1)
			mustEnqueue(t, tx, "acme", key.Identifier, 2)
			quiet(tx)
			mustEnqueue(t, tx, "acme", key.Identifier, 2)
			mustEnqueue(t, tx, "acme", key.Identifier, 1)
			mustEnqueue(t, tx, "acme", 0, 3)
			mustEnqueue(t, tx, "umbrella", 0, 3)
			return undo
		})
		if !errors.Is(err, undo) {
			t.Fatal(err)
		}
		if got := mustBacklog(t, s).Pending; got != 1 {
			t.Errorf("Pending = %d, want 1", got)
		}
	}
	mustEnqueue(t, s, "acme", key.Identifier, 1)
	quiet(s)
	mustEnqueue(t, s, "acme", key.Identifier, 2)
	var got []int64
	for {
		claims := mustClaim(t, s, incident.ClaimQuery{Limit: 9, PerOrganization: 9, Lease: time.Minute})
		if len(claims) == 0 {
			break
		}
		got = append(got, claims[0].Sequence)
		mustSettle(t, s, incident.Settlement{Ticket: claims[0].Ticket, Outcome: incident.OutcomeDelivered})
	}
	if fmt.Sprint(got) != "[1 2 4 5]" {
		t.Errorf("delivered %v, want [1 2 4 5]", got)
	}
}

// A transaction cannot undo claims or a discard, so it refuses them.
func TestStore_InTx_refusesClaimSettleAndDiscard(t *testing.T) {
	s := memory.New()
	err := s.InTx(t.Context(), func(tx incident.Store) error {
		_, err := tx.(incident.OutboxStore).Claim(t.Context(), incident.ClaimQuery{Limit: 1, PerOrganization: 1})
		_, settled := tx.(incident.OutboxStore).Settle(t.Context(), nil)
		_, discarded := tx.(incident.OutboxStore).Discard(t.Context(), "", 1)
		for _, err := range []error{err, settled, discarded} {
			if !errors.Is(err, incident.ErrInvalid) {
				t.Errorf("Claim(), Settle() and Discard() in a transaction = %v, want ErrInvalid", err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The cost of a claim and its settlement with many due queues, in one organization and in many.
func BenchmarkStore_Claim(b *testing.B) {
	for _, size := range []struct{ organizations, each int }{{1, 10}, {1, 100_000}, {5000, 20}} {
		b.Run(fmt.Sprintf("%dx%d", size.organizations, size.each), func(b *testing.B) {
			s := memory.New()
			for i := range size.organizations {
				for range size.each {
					mustEnqueue(b, s, incident.OrganizationID(fmt.Sprint("org-", i)), 0, 1)
				}
			}
			q := incident.ClaimQuery{Limit: 10, PerOrganization: 10, Lease: time.Minute}
			for b.Loop() {
				var all []incident.Settlement
				for _, c := range mustClaim(b, s, q) {
					all = append(all, incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeRelease})
				}
				if len(all) != q.Limit {
					b.Fatalf("%d claims", len(all))
				}
				mustSettle(b, s, all...)
			}
		})
	}
}
