package storetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/incidentkit/incident"
)

// mustOutboxTx runs a function in a transaction that must commit.
func mustOutboxTx(t *trial, s incident.Store, fn func(tx incident.OutboxStore)) {
	t.Helper()
	mustInTx(t, s, func(tx incident.Store) error {
		outbox, err := outboxOf(tx)
		if err == nil {
			fn(outbox)
		}
		return err
	})
}

// Reminders that are set, moved, cancelled and ended in a transaction are so for the transaction
// at once, and for others with the commit.
func outboxTxCommitsReminders(t *trial, s incident.OutboxStore) {
	key, ended := mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0)
	kept, gone, due := reminder("kept", mail), reminder("gone", mail), reminder("due", pager)
	mustRemind(t, s, key, kept, gone)
	mustRemind(t, s, ended, kept)
	var created incident.Key
	far := moved(kept, never)
	mustOutboxTx(t, s, func(tx incident.OutboxStore) {
		mustRemind(t, tx, key, due, far)
		mustCancel(t, tx, key, gone.Name)
		wantReminders(t, tx, key, "in the transaction", due, far)
		mustChange(t, tx, retitling(mustLoad(t, tx, ended), "Another title"))
		mustApply(t, tx, endingReminders(ended))
		wantReminders(t, tx, ended, "in the transaction")
		mustRemind(t, tx, ended, gone)
		created = mustCreate(t, tx, draft(acme)).Incident.Key()
		mustRemind(t, tx, created, due)
		wantReminders(t, tx, created, "in the transaction", due)
	})
	wantReminders(t, s, key, "after the commit", due, far)
	wantReminders(t, s, ended, "after the commit", gone)
	wantReminders(t, s, created, "after the commit", due)
	wantBacklogs(t, s, "after the commit", map[string]counts{mail: {pending: 1, reminders: 1}, pager: {pending: 2}})
	mustSettle(t, s, deliver(mustClaimReminder(t, s, ended, gone)))
	for _, c := range mustClaimAll(t, s, anythingOf(pager), 2) {
		wantEqual(t, "the claimed reminder", reminded(c), due)
	}
}

// Undoing a transaction undoes its reminders. Claims, attempts and delays from before are valid.
func outboxTxUndoesReminders(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		key := mustQueue(t, s, acme, 0)
		all := map[string]incident.Reminder{}
		for _, name := range []string{"claimed", "delayed", "due", "far", "replayed"} {
			all[name] = reminder(name, notifier)
		}
		all["far"] = moved(all["far"], never)
		mustParkReminder(t, s, key, all["replayed"])
		mustReplayBatch(t, s, parkedFor(acme, notifier))
		replayed := mustClaimReminder(t, s, key, all["replayed"])
		mustRemind(t, s, key, all["delayed"], all["claimed"], all["far"])
		claims := mustClaimReminders(t, s, key, all["delayed"], all["claimed"])
		mustSettle(t, s, retry(claims[0], longLease))
		mustRemind(t, s, key, all["due"])
		before := mustReminders(t, s, key)
		backlog := map[string]counts{notifier: {pending: 4, reminders: 1}}
		writes := map[string]func(tx incident.OutboxStore){
			"moved": func(tx incident.OutboxStore) {
				for _, r := range all {
					r.Notifier = mail
					mustRemind(t, tx, key, moved(r, never), moved(r, t0.AddDate(0, 0, 1)))
				}
				mustRemind(t, tx, key, reminder("new", notifier))
			},
			"cancelled": func(tx incident.OutboxStore) {
				for name := range all {
					mustCancel(t, tx, key, name)
				}
				mustRemind(t, tx, key, moved(all["due"], never))
			},
			"ended": func(tx incident.OutboxStore) {
				mustApply(t, tx, endingReminders(key))
				mustRemind(t, tx, key, moved(all["claimed"], t0))
				mustApply(t, tx, endingReminders(key))
			},
		}
		for name, write := range writes {
			for end, undone := range undoings(t) {
				undone(s, write)
				when := fmt.Sprintf("after reminders were %s in a transaction that %s", name, end)
				wantReminders(t, s, key, when, before...)
				wantBacklogs(t, s, when, backlog)
			}
		}
		mustSettle(t, s, release(mustClaimReminder(t, s, key, all["due"])))
		mustSettle(t, s, deliver(claims[1]), deliver(replayed))
		wantBacklogs(t, s, "after claims from before were settled", map[string]counts{notifier: {pending: 2, reminders: 1}})
		mustDiscardAll(t, s)
	}
}

// undoings lists the ways to undo a transaction.
func undoings(t *trial) map[string]func(s incident.OutboxStore, write func(tx incident.OutboxStore)) {
	inTx := func(ctx context.Context, s incident.OutboxStore, write func(tx incident.OutboxStore), end func() error) error {
		return s.InTx(ctx, func(tx incident.Store) error {
			outbox, err := outboxOf(tx)
			if err != nil {
				t.Fatal(err)
			}
			write(outbox)
			return end()
		})
	}
	return map[string]func(s incident.OutboxStore, write func(tx incident.OutboxStore)){
		"failed": func(s incident.OutboxStore, write func(tx incident.OutboxStore)) {
			err := inTx(t.Context(), s, write, func() error { return errUndo })
			wantError(t, "InTx()", err, errUndo)
		},
		"panicked": func(s incident.OutboxStore, write func(tx incident.OutboxStore)) {
			_ = panicOf(func() { _ = inTx(t.Context(), s, write, func() error { panic(errUndo) }) })
		},
		"was cancelled": func(s incident.OutboxStore, write func(tx incident.OutboxStore)) {
			ctx, cancel := context.WithCancel(t.Context())
			err := inTx(ctx, s, write, func() error {
				cancel()
				return nil
			})
			wantError(t, "InTx() whose context ended", err, context.Canceled)
		},
	}
}

// A nested transaction sets reminders for the transaction around it.
func outboxTxNestsReminders(t *trial, s incident.OutboxStore) {
	key, r := mustQueue(t, s, acme, 0), reminder("nested", mail)
	nest := func(outer error) error {
		return s.InTx(t.Context(), func(tx incident.Store) error {
			err := tx.InTx(t.Context(), func(tx incident.Store) error {
				outbox, err := outboxOf(tx)
				if err == nil {
					mustRemind(t, outbox, key, r)
				}
				return err
			})
			outbox, isOutbox := tx.(incident.OutboxStore)
			if err == nil && isOutbox {
				wantReminders(t, outbox, key, "after a nested transaction", r)
			}
			return errors.Join(err, outer)
		})
	}
	wantError(t, "InTx()", nest(errUndo), errUndo)
	wantReminders(t, s, key, "after the transaction around it failed")
	wantNoClaimOf(t, s, mail, "after the transaction around it failed")
	if err := nest(nil); err != nil {
		t.Errorf("InTx() = %v, want no error", err)
	}
	wantReminders(t, s, key, "after the transaction around it was committed", r)
	mustSettle(t, s, deliver(mustClaimReminder(t, s, key, r)))
}

// Undoing a transaction undoes the Replay and DiscardParked of reminders and of named notifiers.
func outboxTxUndoesBatches(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		want := mustParkMany(t, s, notifier)
		before := mustParked(t, s, parkedFor(acme, notifier))
		for _, b := range []batchCall{replayCall(), discardParkedCall()} {
			for end, undone := range undoings(t) {
				undone(s, func(tx incident.OutboxStore) {
					q := parkedFor(acme, notifier)
					q.Limit = 4
					if got, err := b.call(t.Context(), tx, q); err != nil || got.Count != 4 || got.Last != want[3] {
						t.Errorf("%s(%+v) of a transaction = %+v, %v, want 4 up to %+v", b.name, q, got, err, want[3])
					}
					wantPositions(t, tx, parkedFor(acme, notifier), want[4:]...)
				})
				when := fmt.Sprintf("the parked notifications after a transaction with %s() %s", b.name, end)
				wantEqual(t, when, mustParked(t, s, parkedFor(acme, notifier)), before)
				wantNoClaimOf(t, s, notifier, "after "+b.name+"() was undone")
			}
		}
		mustOutboxTx(t, s, func(tx incident.OutboxStore) {
			q := parkedFor(acme, notifier)
			q.Limit = 4
			mustDiscardParked(t, tx, q)
			mustReplayBatch(t, tx, q)
		})
		wantPositions(t, s, parkedFor(acme, notifier), want[8:]...)
		wantBacklogOf(t, s, notifier, "after four were discarded and four replayed", counts{pending: 4, parked: 13})
		mustDiscardAll(t, s)
	}
}

// A reminder that was set in a transaction is claimed after its commit, and not before.
func outboxTxHidesReminders(t *trial, s incident.OutboxStore) {
	key, early := mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0)
	r := reminder("late", "")
	mustInTx(t, s, func(tx incident.Store) error {
		outbox, err := outboxOf(tx)
		if err != nil {
			return err
		}
		if ok, err := setReminder(t.Context(), outbox, key, r); err != nil || !ok {
			return errors.Join(err, fmt.Errorf("SetReminder() of a transaction = %v", ok))
		}
		overtake(t, s, early)
		return nil
	})
	q := anything()
	q.Except = []incident.OrganizationID{umbrella}
	c := mustClaim(t, s, q)
	wantEqual(t, "the claimed reminder", reminded(c[0]), r)
}
