package storetest

import (
	"context"
	"errors"

	"github.com/incidentkit/incident"
)

func outboxOf(tx incident.Store) (incident.OutboxStore, error) {
	if outbox, ok := tx.(incident.OutboxStore); ok {
		return outbox, nil
	}
	return nil, errors.New("the Store of InTx does not implement OutboxStore")
}

// replayInTx replays the parked notifications of an incident and checks that the
// transaction sees it.
func replayInTx(t *trial, tx incident.Store, key incident.Key, want int) error {
	t.Helper()
	outbox, err := outboxOf(tx)
	if err != nil {
		return err
	}
	q := incident.ParkedQuery{OrganizationID: acme, Limit: everything}
	if parked, err := outbox.Parked(t.Context(), q); err != nil || len(parked) != want {
		t.Errorf("Parked() of a transaction = %s, %v, want %d", show(parked), err, want)
	}
	if n, err := replay(t.Context(), outbox, key); err != nil || n != want {
		t.Errorf("Replay() of a transaction = %d, %v, want %d", n, err, want)
	}
	if parked, err := outbox.Parked(t.Context(), q); err != nil || len(parked) != 0 {
		t.Errorf("Parked() after Replay() of the same transaction = %s, %v, want none", show(parked), err)
	}
	return nil
}

// A replay in a transaction takes effect with the commit.
func outboxTxReplaysAndCommits(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 2)
	mustPark(t, s, 2)
	mustInTx(t, s, func(tx incident.Store) error {
		if err := replayInTx(t, tx, key, 2); err != nil {
			return err
		}
		_, err := tx.Apply(t.Context(), notifying(comment(key, "text")))
		return err
	})
	wantParked(t, s, acme)
	wantBacklog(t, s, "after a replay was committed", 3, 0)
	got := map[int64]bool{}
	for len(got) < 3 {
		for _, c := range mustClaim(t, s, anything()) {
			if c.Replayed != (c.Sequence < 5) || got[c.Sequence] {
				t.Errorf("after a replay was committed the claim is %s, want each activity once, and Replayed before sequence 5", show(c.Ticket))
			}
			got[c.Sequence] = true
			mustSettle(t, s, deliver(c))
		}
	}
	wantNoClaim(t, s, "after all was delivered")
}

// Undoing a transaction undoes its replay.
func outboxTxUndoesAReplay(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 2)
	mustPark(t, s, 2)
	before := mustParked(t, s, incident.ParkedQuery{OrganizationID: acme, Limit: everything})
	ctx, cancel := context.WithCancel(t.Context())
	err := s.InTx(ctx, func(tx incident.Store) error {
		err := replayInTx(t, tx, key, 2)
		cancel()
		return err
	})
	wantError(t, "InTx() whose context ended", err, context.Canceled)
	err = s.InTx(t.Context(), func(tx incident.Store) error {
		return errors.Join(replayInTx(t, tx, key, 2), errUndo)
	})
	wantError(t, "InTx()", err, errUndo)
	wantNoClaim(t, s, "after a replay was undone")
	wantBacklog(t, s, "after a replay was undone", 0, 2)
	wantEqual(t, "the parked notifications", mustParked(t, s, incident.ParkedQuery{OrganizationID: acme, Limit: everything}), before)
	mustReplayParked(t, s, key, 2)
}
