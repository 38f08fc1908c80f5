package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/incidentkit/incident"
)

// The same incidents and activities of two organizations are two: in what a claim holds,
// and in what becomes of it.
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
			t.Fatalf("after a settlement of %s, %s is due", mine, got.Key)
		}
	}
	mustSettle(t, s, deliver(claims[mine]))
	wantNoClaim(t, s, "after all of one organization was delivered")
	mustTell(t, s, mine, 1)
	mustSettle(t, s, deliver(claims[others]))
	mustDrain(t, s, map[incident.Key][]int64{mine: {5}, others: {4}})
}

// What is parked and replayed in one organization is not in the other.
func outboxIsolatesParked(t *trial, s incident.OutboxStore) {
	mine := mustQueue(t, s, acme, 1)
	mustPark(t, s, 1)
	others := mustQueue(t, s, umbrella, 2)
	wantParked(t, s, umbrella)
	mustReplayParked(t, s, others, 0)
	mustPark(t, s, 1)
	wantParked(t, s, acme, place{mine, 3})
	wantParked(t, s, umbrella, place{others, 3})
	mustReplayParked(t, s, mine, 1)
	wantParked(t, s, umbrella, place{others, 3})
	wantParked(t, s, acme)
	q := anything()
	q.Except = []incident.OrganizationID{umbrella}
	c := mustClaim(t, s, q)
	wantPlaces(t, "replayed", c, place{mine, 3})
	mustSettle(t, s, park(c[0], "no receiver"))
	mustReplayParked(t, s, others, 1)
	wantParked(t, s, acme, place{mine, 3})
	wantParked(t, s, umbrella)
}

// mustOutboxWorld makes one queue that is due, one that is claimed, and one parked
// notification.
func mustOutboxWorld(t *trial, s incident.OutboxStore) (claimed incident.Claim, parked incident.Key) {
	t.Helper()
	parked = mustQueue(t, s, acme, 1)
	mustPark(t, s, 1)
	claimed = mustClaimOne(t, s, mustQueue(t, s, acme, 1), 3)
	mustQueue(t, s, acme, 1)
	return claimed, parked
}

type outboxOperation struct {
	name string
	call func(ctx context.Context, s incident.OutboxStore) error
}

// outboxTxOperations are those that may be called in a transaction.
func outboxTxOperations(parked incident.Key) []outboxOperation {
	return []outboxOperation{
		{"Parked", func(ctx context.Context, s incident.OutboxStore) error {
			_, err := s.Parked(ctx, incident.ParkedQuery{OrganizationID: acme, Limit: 1})
			return err
		}},
		{"Replay", func(ctx context.Context, s incident.OutboxStore) error {
			_, err := s.Replay(ctx, parked)
			return err
		}},
	}
}

// wantOutboxWorld checks that it is as it was.
func wantOutboxWorld(t *trial, s incident.OutboxStore, claimed incident.Claim, parked incident.Key) {
	t.Helper()
	wantBacklog(t, s, "after calls in vain", 2, 1)
	wantParked(t, s, acme, place{parked, 3})
	c := mustClaim(t, s, anything())
	if len(c) != 1 || c[0].Attempt != 1 {
		t.Errorf("after calls in vain %s can be claimed, want one, for the first time", show(c))
	}
	mustSettle(t, s, deliver(claimed))
	wantBacklog(t, s, "after the claim was settled", 1, 1)
}

// A context that is done before the call ends it with its error, and nothing is done.
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
		{"Replay of an unknown incident", func(ctx context.Context, s incident.OutboxStore) error {
			_, err := s.Replay(ctx, incident.Key{OrganizationID: "nobody", Identifier: 9})
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

// A done context ends the calls of a transaction in the same way, and a transaction that
// has ended answers with an error.
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

func outboxOf(tx incident.Store) (incident.OutboxStore, error) {
	if outbox, ok := tx.(incident.OutboxStore); ok {
		return outbox, nil
	}
	return nil, errors.New("the Store of InTx is no OutboxStore")
}

// replayInTx replays what is parked of an incident, and checks that the transaction sees
// it.
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
	if n, err := outbox.Replay(t.Context(), key); err != nil || n != want {
		t.Errorf("Replay() of a transaction = %d, %v, want %d", n, err, want)
	}
	if parked, err := outbox.Parked(t.Context(), q); err != nil || len(parked) != 0 {
		t.Errorf("Parked() after Replay() of the same transaction = %s, %v, want none", show(parked), err)
	}
	return nil
}

// A transaction replays what is parked, and it is due after the commit.
func outboxTxReplaysAndCommits(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 2)
	mustPark(t, s, 2)
	mustInTx(t, s, func(tx incident.Store) error {
		if err := replayInTx(t, tx, key, 2); err != nil {
			return err
		}
		_, err := tx.Apply(t.Context(), told(comment(key, "text")))
		return err
	})
	wantParked(t, s, acme)
	wantBacklog(t, s, "after a replay was committed", 3, 0)
	got := map[int64]bool{}
	for len(got) < 3 {
		for _, c := range mustClaim(t, s, anything()) {
			if c.Replayed != (c.Sequence < 5) || got[c.Sequence] {
				t.Errorf("after a replay was committed comes %s", show(c.Ticket))
			}
			got[c.Sequence] = true
			mustSettle(t, s, deliver(c))
		}
	}
	wantNoClaim(t, s, "after all was delivered")
}

// A replay is undone with its transaction.
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
	wantEqual(t, "what is parked", mustParked(t, s, incident.ParkedQuery{OrganizationID: acme, Limit: everything}), before)
	mustReplayParked(t, s, key, 2)
}
