package storetest

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

// mustOutboxWorld creates a due queue, a claimed queue, a parked notification and a reminder.
func mustOutboxWorld(t *trial, s incident.OutboxStore) (claimed incident.Claim, parked incident.Key) {
	t.Helper()
	parked = mustQueue(t, s, acme, 1)
	mustPark(t, s, 1)
	mustRemind(t, s, parked, reminderAt("kept", never))
	claimed = mustClaimOne(t, s, mustQueue(t, s, acme, 1), 3)
	mustQueue(t, s, acme, 1)
	return claimed, parked
}

type outboxOperation struct {
	name string
	call func(ctx context.Context, s incident.OutboxStore) error
}

// outboxTxOperations returns the methods that a transaction can call.
func outboxTxOperations(parked incident.Key) []outboxOperation {
	return []outboxOperation{
		{"Parked", func(ctx context.Context, s incident.OutboxStore) error {
			_, err := s.Parked(ctx, incident.ParkedQuery{OrganizationID: acme, Limit: 1})
			return err
		}},
		{"Replay", func(ctx context.Context, s incident.OutboxStore) error {
			_, err := replay(ctx, s, parked)
			return err
		}},
		{"DiscardParked", func(ctx context.Context, s incident.OutboxStore) error {
			_, err := s.DiscardParked(ctx, parkedOf(parked))
			return err
		}},
		{"SetReminder", func(ctx context.Context, s incident.OutboxStore) error {
			w := incident.ReminderWrite{Key: parked, ExpectVersion: 1, Reminder: reminderAt("another", never), Most: everything}
			_, err := s.SetReminder(ctx, w)
			return err
		}},
		{"CancelReminder", func(ctx context.Context, s incident.OutboxStore) error {
			return s.CancelReminder(ctx, parked, "kept")
		}},
		{"Reminders", func(ctx context.Context, s incident.OutboxStore) error {
			_, err := s.Reminders(ctx, parked)
			return err
		}},
	}
}

// wantOutboxWorld checks that the world is unchanged.
func wantOutboxWorld(t *trial, s incident.OutboxStore, claimed incident.Claim, parked incident.Key) {
	t.Helper()
	wantBacklog(t, s, "after calls that fail", 2, 1)
	wantParked(t, s, acme, activityKey{parked, 3})
	if all := mustReminders(t, s, parked); len(all) != 1 || all[0].Name != "kept" {
		t.Errorf("after calls that fail Reminders() = %s, want the same as before", show(all))
	}
	c := mustClaim(t, s, anything())
	if len(c) != 1 || c[0].Attempt != 1 {
		t.Errorf("after calls that fail Claim() = %s, want one queue with attempt 1", show(c))
	}
	mustSettle(t, s, deliver(claimed))
	wantBacklog(t, s, "after the claim was settled", 1, 1)
}

// If the context is done before the call, the call returns the context's error and does
// nothing.
func outboxContextCancelledBefore(t *trial, s incident.OutboxStore) {
	claimed, parked := mustOutboxWorld(t, s)
	operations := append(outboxTxOperations(parked), []outboxOperation{
		{"Claim", func(ctx context.Context, s incident.OutboxStore) error {
			_, err := s.Claim(ctx, anything())
			return err
		}},
		{"Settle", func(ctx context.Context, s incident.OutboxStore) error {
			_, err := s.Settle(ctx, []incident.Settlement{deliver(claimed)})
			return err
		}},
		{"Backlog", func(ctx context.Context, s incident.OutboxStore) error {
			_, err := s.Backlog(ctx)
			return err
		}},
		{"Discard", func(ctx context.Context, s incident.OutboxStore) error {
			_, err := s.Discard(ctx, "", everything)
			return err
		}},
		{"SetReminder of an unknown incident", func(ctx context.Context, s incident.OutboxStore) error {
			_, err := setUnknown(ctx, s)
			return err
		}},
		{"Replay of an unknown incident", func(ctx context.Context, s incident.OutboxStore) error {
			_, err := replay(ctx, s, incident.Key{OrganizationID: "nobody", Identifier: 9})
			return err
		}},
	}...)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for _, op := range operations {
		wantError(t, op.name+" in a cancelled context", op.call(cancelled, s), context.Canceled)
		wantError(t, op.name+" in an expired context", op.call(expired, s), context.DeadlineExceeded)
	}
	wantOutboxWorld(t, s, claimed, parked)
}

// The same is true for the calls of a transaction. A transaction that has ended returns
// errors.
func outboxContextCancelledWithinTx(t *trial, s incident.OutboxStore) {
	claimed, parked := mustOutboxWorld(t, s)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, op := range outboxTxOperations(parked) {
		var ended incident.OutboxStore
		err := s.InTx(t.Context(), func(tx incident.Store) error {
			var err error
			if ended, err = outboxOf(tx); err != nil {
				return err
			}
			return op.call(done, ended)
		})
		wantError(t, op.name+" of a transaction in a context that is done", err, context.Canceled)
		if ended == nil {
			t.Fatalf("InTx() = %v", err)
		}
		if op.call(t.Context(), ended) == nil {
			t.Errorf("%s of a transaction that has ended = nil, want an error", op.name)
		}
	}
	wantOutboxWorld(t, s, claimed, parked)
}

// setUnknown sets a reminder of an unknown incident.
func setUnknown(ctx context.Context, s incident.OutboxStore) (bool, error) {
	key := incident.Key{OrganizationID: "nobody", Identifier: 9}
	return s.SetReminder(ctx, incident.ReminderWrite{Key: key, ExpectVersion: 1, Reminder: reminderAt("lost", never), Most: everything})
}
