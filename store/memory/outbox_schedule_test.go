package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

func (q *queue) String() string {
	return fmt.Sprintf("%s %q replayed=%v %v due=%d since=%d attempts=%d fence=%d asleep=%v ready=%v",
		q.key, q.reminderName(), q.replayed, q.spans, q.due, q.since, q.attempts, q.fence, q.asleep, q.ready)
}

// dump returns everything in the outbox of a store, and checks that its parts agree.
func dump(t *testing.T, s *Store) string {
	t.Helper()
	var text strings.Builder
	queues := map[*queue]bool{}
	for _, o := range s.organizations {
		for name, q := range o.queues {
			queues[q] = q.name() == name && !q.replayed
		}
		for name, q := range o.replayed {
			queues[q] = q.replayed && name == replayedName{q.name(), q.head()}
		}
		if o.reminders != nil {
			for _, q := range o.reminders.Items() {
				queues[q] = q.reminder != nil
			}
		}
	}
	for q, ok := range queues {
		if !ok {
			t.Errorf("the queue %v has the wrong name", q)
		}
	}
	for _, notifier := range slices.Sorted(maps.Keys(s.outbox.schedules)) {
		b := s.outbox.schedules[notifier]
		if b.any() == nil && b.parked.Len() == 0 {
			continue // reads like a missing schedule
		}
		fmt.Fprintf(&text, "%q pending=%d\n", notifier, b.pending)
		pending, listed := int64(0), 0
		for q := b.oldest; q != nil; q = q.newer {
			fmt.Fprintf(&text, " %v\n", q)
			pending += q.length()
			listed++
			if q.newer == nil && b.newest != q || q.newer != nil && (q.newer.older != q || q.newer.since < q.since) {
				t.Errorf("the list is broken at %v", q)
			}
		}
		if pending != b.pending || listed+b.awake.Len() != b.ready.Len()+b.waiting.Len() {
			t.Errorf("%q: pending = %d of %d; listed = %d, awake = %d, of %d and %d", notifier,
				b.pending, pending, listed, b.awake.Len(), b.ready.Len(), b.waiting.Len())
		}
		for _, q := range b.awake.Items() {
			fmt.Fprintf(&text, " timer %v\n", q)
		}
		for _, q := range b.asleep.Items() {
			fmt.Fprintf(&text, " asleep %v\n", q)
		}
		for _, q := range slices.Concat(b.ready.Items(), b.waiting.Items(), b.asleep.Items()) {
			if !queues[q] || q.schedule != b {
				t.Errorf("%q: %v is in no organization", notifier, q)
			}
			delete(queues, q)
		}
		for _, p := range b.parked.Items() {
			fmt.Fprintf(&text, " parked %+v\n", p.ParkedPosition)
		}
	}
	if len(queues) > 0 {
		t.Errorf("%v are in no schedule", slices.Collect(maps.Keys(queues)))
	}
	return text.String()
}

// randomWrite makes one of the writes that a transaction may have.
func randomWrite(ctx context.Context, rng *rand.Rand, s *Store) error {
	key := incident.Key{OrganizationID: "acme", Identifier: 1 + rng.Int64N(2)}
	notifier, name := []string{"", "mail"}[rng.IntN(2)], []string{"a", "b"}[rng.IntN(2)]
	parked := incident.ParkedQuery{OrganizationID: "acme", Notifier: notifier, Limit: 1 + rng.IntN(3)}
	switch rng.IntN(10) {
	case 0:
		return s.CancelReminder(ctx, key, name)
	case 1:
		_, err := s.Apply(ctx, incident.Change{Key: key, EndReminders: true})
		return err
	case 2:
		_, err := s.Replay(ctx, parked)
		return err
	case 3:
		_, err := s.DiscardParked(ctx, parked)
		return err
	case 4, 5:
		at := time.Now().Add(time.Duration(rng.IntN(3)) * time.Second).UTC()
		_, err := s.SetReminder(ctx, incident.ReminderWrite{
			Key: key, ExpectVersion: 1, Most: 9, Reminder: incident.Reminder{Name: name, Notifier: notifier, At: at},
		})
		return err
	}
	c := incident.Change{Key: key}
	if rng.IntN(4) > 0 {
		c.Notify = append(c.Notify, incident.NotifyTarget{Types: []incident.ActivityType{incident.ActivityTypeComment}})
	}
	if rng.IntN(4) > 0 {
		c.Notify = append(c.Notify, incident.NotifyTarget{Notifier: "mail"})
	}
	for range rng.IntN(4) {
		typ := []incident.ActivityType{incident.ActivityTypeComment, incident.ActivityTypeStatusChange}[rng.IntN(2)]
		c.Activities = append(c.Activities, incident.Activity{Type: typ, NotificationUUID: uuid.New()})
	}
	_, err := s.Apply(ctx, c)
	return err
}

// randomDelivery claims and settles.
func randomDelivery(t *testing.T, rng *rand.Rand, s *Store) {
	t.Helper()
	q := incident.ClaimQuery{Limit: 1 + rng.IntN(3), PerOrganization: 3, Lease: time.Duration(rng.IntN(4)) * time.Second}
	q.Notifier = []string{"", "mail"}[rng.IntN(2)]
	if rng.IntN(2) == 0 {
		q.Types = []incident.ActivityType{incident.ActivityTypeComment}
	}
	claims, err := s.Claim(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range claims {
		end := incident.Settlement{Ticket: c.Ticket, Outcome: incident.Outcome(rng.IntN(5)), After: time.Second}
		if _, err := s.Settle(t.Context(), []incident.Settlement{end}); err != nil {
			t.Fatal(err)
		}
	}
}

// The parts of the outbox agree after any calls, and a rollback restores each of them.
func TestStore_InTx_rollbackRestoresTheOutbox(t *testing.T) {
	undo := errors.New("undo")
	seeds := uint64(10)
	if os.Getenv("INCIDENT_TEST_LONG") != "" {
		seeds = 200
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, seed))
			s := New()
			for range 2 {
				inc := &incident.Incident{OrganizationID: "acme", Status: incident.StatusOpen, Version: 1}
				if _, err := s.Apply(t.Context(), incident.Change{Key: incident.Key{OrganizationID: "acme"}, Incident: inc}); err != nil {
					t.Fatal(err)
				}
			}
			writes := func(s *Store) error {
				for range rng.IntN(6) {
					if err := randomWrite(t.Context(), rng, s); err != nil {
						return err
					}
				}
				return nil
			}
			for range 200 {
				randomDelivery(t, rng, s)
				before := dump(t, s)
				err := s.InTx(t.Context(), func(tx incident.Store) error {
					first := writes(tx.(*Store))
					between := dump(t, tx.(*Store))
					err := tx.InTx(t.Context(), func(tx incident.Store) error { return errors.Join(writes(tx.(*Store)), undo) })
					if after := dump(t, tx.(*Store)); after != between || first != nil || err.Error() != undo.Error() {
						t.Fatalf("a nested rollback: %v, %v\n got: %s\nwant: %s", first, err, after, between)
					}
					return undo
				})
				if after := dump(t, s); after != before || !errors.Is(err, undo) {
					t.Fatalf("a rollback: %v\n got: %s\nwant: %s", err, after, before)
				}
				if err := writes(s); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(rng.IntN(3)) * 500 * time.Millisecond)
			}
		})
	}
}
