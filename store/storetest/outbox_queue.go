package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// The activities of changes with Notify set are queued, in order. No others are.
func queueHoldsWhatNotifies(t *trial, s incident.OutboxStore) {
	quiet := mustCreate(t, s, draft(acme))
	key := quiet.Incident.Key()
	mustComment(t, s, key, "without Notify")
	wantNoClaim(t, s, "after changes that do not notify")
	mustApply(t, s, incident.Change{
		Key: key, Notify: unnamed(),
		Subscriptions: []incident.Subscription{{Incident: key, UserID: ada, DateAdded: t0}},
	})
	wantNoClaim(t, s, "after a change without activities")

	created := mustApply(t, s, notifying(creation(draft(acme)))).Incident.Key()
	mustNotify(t, s, key, 1)
	mustApply(t, s, notifying(transition(quiet, incident.StatusClosed)))
	mustDrain(t, s, map[incident.Key][]int64{key: {4, 5}, created: {1, 2}})
	mustNotify(t, s, created, 2)
	mustDrain(t, s, map[incident.Key][]int64{created: {3, 4}})
}

// Activities before the first and after the last change with Notify set are not queued.
func queueLeavesOutWhatDoesNot(t *trial, s incident.OutboxStore) {
	key := mustQueue(t, s, acme, 3)
	mustComment(t, s, key, "without Notify")
	wantBacklog(t, s, "between changes without Notify", 3, 0)
	for i, want := range []int64{3, 4, 5} {
		c := mustClaimOne(t, s, key, want)
		if more := i < 2; c.More != more {
			t.Errorf("More of activity %d is %v, want %v", want, c.More, more)
		}
		mustSettle(t, s, deliver(c))
	}
	wantNoClaim(t, s, "after all was delivered")
}

// A change that fails queues nothing.
func queueHoldsNothingOfFailures(t *trial, s incident.OutboxStore) {
	holder := mustCreate(t, s, ruled(acme, api))
	other := mustCreate(t, s, draft(acme))
	stale := transition(other, incident.StatusClosed)
	stale.ExpectVersion = 9
	known := comment(other.Incident.Key(), "text")
	known.Activities[0].NotificationUUID = mustActivity(t, s, holder.Incident.Key(), 1).NotificationUUID
	for name, c := range map[string]incident.Change{
		"a slot that is taken":      creation(ruled(acme, api)),
		"an old version":            stale,
		"an unknown incident":       comment(incident.Key{OrganizationID: acme, Identifier: 9}, "text"),
		"another incident's UUID":   known,
		"an unknown organization's": comment(incident.Key{OrganizationID: umbrella, Identifier: 1}, "text"),
	} {
		if _, err := s.Apply(t.Context(), notifying(c)); err == nil {
			t.Errorf("Apply() of %s = nil, want an error", name)
		}
		wantNoClaim(t, s, "after a change of "+name)
	}
	wantBacklog(t, s, "after changes that failed", 0, 0)
	mustNotify(t, s, other.Incident.Key(), 1)
	mustDrain(t, s, map[incident.Key][]int64{other.Incident.Key(): {3}})
}

// A replayed change queues nothing, in whatever state the notifications of the first
// call are.
func queueHoldsNothingOfReplays(t *trial, s incident.OutboxStore) {
	detected := notifying(creationWith(uuid.New(), draft(acme)))
	key := mustApply(t, s, detected).Incident.Key()
	said := notifying(comment(key, "text"))
	mustApply(t, s, said)
	again := func() {
		t.Helper()
		for _, c := range []incident.Change{detected, notifying(withNewUUIDs(detected)), said} {
			if !mustApply(t, s, c).Replayed {
				t.Fatal("Apply() of a known change is not Replayed")
			}
		}
	}
	again()
	for _, sequence := range []int64{1, 2, 3} {
		c := mustClaimOne(t, s, key, sequence)
		again()
		mustSettle(t, s, deliver(c))
	}
	again()
	wantNoClaim(t, s, "after delivered changes were repeated")

	quiet := comment(key, "without Notify")
	mustApply(t, s, quiet)
	if !mustApply(t, s, notifying(quiet)).Replayed {
		t.Fatal("Apply() of a known change is not Replayed")
	}
	wantNoClaim(t, s, "after a change without Notify was repeated with Notify")
}

// Undoing a transaction undoes its notifications, and leaves existing queues as they
// were.
func queueHoldsNothingThatWasUndone(t *trial, s incident.OutboxStore) {
	waiting, quiet := mustQueue(t, s, acme, 1), mustQueue(t, s, acme, 0)
	write := func(tx incident.Store) {
		mustNotify(t, tx, waiting, 2)
		mustNotify(t, tx, quiet, 2)
		mustApply(t, tx, notifying(creation(draft(acme))))
		mustApply(t, tx, notifying(creation(draft(umbrella))))
	}
	err := s.InTx(t.Context(), func(tx incident.Store) error {
		write(tx)
		return errUndo
	})
	wantError(t, "InTx()", err, errUndo)
	wantBacklog(t, s, "after a transaction that failed", 1, 0)
	_ = panicOf(func() {
		_ = s.InTx(t.Context(), func(tx incident.Store) error {
			write(tx)
			panic(errUndo)
		})
	})
	wantBacklog(t, s, "after a transaction that panicked", 1, 0)
	ctx, cancel := context.WithCancel(t.Context())
	err = s.InTx(ctx, func(tx incident.Store) error {
		write(tx)
		cancel()
		return nil
	})
	wantError(t, "InTx() whose context ended", err, context.Canceled)
	wantBacklog(t, s, "after a transaction whose context ended", 1, 0)

	mustSettle(t, s, deliver(mustClaimOne(t, s, waiting, 3)))
	wantNoClaim(t, s, "after transactions that were undone")
	mustNotify(t, s, quiet, 1)
	mustNotify(t, s, waiting, 1)
	mustDrain(t, s, map[incident.Key][]int64{waiting: {4}, quiet: {3}})
}

// Committing a transaction queues its notifications: of new incidents, of others, and of
// incidents whose queue is claimed.
func queueHoldsWhatIsCommitted(t *trial, s incident.OutboxStore) {
	claimed, waiting, quiet := mustQueue(t, s, acme, 1), mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0)
	c := mustClaimOne(t, s, claimed, 3)
	mustNotify(t, s, waiting, 1)
	var created incident.Key
	mustInTx(t, s, func(tx incident.Store) error {
		created = mustApply(t, tx, notifying(creation(draft(acme)))).Incident.Key()
		mustNotify(t, tx, created, 1)
		mustNotify(t, tx, claimed, 1)
		mustNotify(t, tx, waiting, 1)
		mustNotify(t, tx, quiet, 2)
		return nil
	})
	wantBacklog(t, s, "after a commit", 9, 0)
	mustSettle(t, s, deliver(c))
	mustDrain(t, s, map[incident.Key][]int64{created: {1, 2, 3}, claimed: {4}, waiting: {3, 4}, quiet: {3, 4}})
}

// A notification can be claimed after its transaction has committed and not before, even
// if transactions that began later were delivered earlier.
func queueHoldsWhatIsCommittedLate(t *trial, s incident.OutboxStore) {
	late, early := mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0)
	first := map[incident.Key]int64{late: 3}
	mustInTx(t, s, func(tx incident.Store) error {
		if _, err := tx.Apply(t.Context(), notifying(comment(late, "late"))); err != nil {
			return err
		}
		applied, err := tx.Apply(t.Context(), notifying(creation(draft(acme))))
		if err != nil {
			return err
		}
		first[applied.Incident.Key()] = 1
		for range 3 {
			overtake(t, s, early)
		}
		return nil
	})
	q := anything()
	q.Except = []incident.OrganizationID{umbrella}
	for range len(first) {
		for _, c := range mustClaim(t, s, q) {
			if c.Sequence != first[c.Key] {
				t.Errorf("%s is claimed, want activity %d", activityKey{c.Key, c.Sequence}, first[c.Key])
			}
			delete(first, c.Key)
		}
		if len(first) == 0 {
			return
		}
	}
	t.Errorf("after a late commit Claim() does not return %v", first)
}

// overtake appends a notification and delivers everything due. A store may make the
// calls wait for the transaction in progress.
func overtake(t *trial, s incident.OutboxStore, key incident.Key) {
	t.Helper()
	briefly := func(call func(ctx context.Context) error) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := call(ctx)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) &&
			!errors.Is(err, incident.ErrUnavailable) && !errors.Is(err, incident.ErrUnknownOutcome) {
			t.Errorf("during a transaction: %v", err)
		}
	}
	briefly(func(ctx context.Context) error {
		_, err := s.Apply(ctx, notifying(comment(key, "early")))
		return err
	})
	briefly(func(ctx context.Context) error {
		claims, err := try(ctx, s, anything())
		for _, c := range claims {
			if c.Key != key {
				t.Errorf("%s is claimed before it is committed", activityKey{c.Key, c.Sequence})
			}
			err = errors.Join(err, settle(ctx, s, 50*time.Millisecond, deliver(c)))
		}
		return err
	})
}

// A notification that is appended while the last one is claimed comes next, and once,
// however the claim ends.
func queueKeepsWhatIsAppendedMeanwhile(t *trial, s incident.OutboxStore) {
	for _, end := range []func(incident.Claim) incident.Settlement{
		deliver,
		func(c incident.Claim) incident.Settlement { return park(c, "no receiver") },
	} {
		key := mustQueue(t, s, acme, 1)
		c := mustClaimOne(t, s, key, 3)
		mustNotify(t, s, key, 1)
		wantNoClaim(t, s, "after an append to a claimed queue")
		mustSettle(t, s, end(c))
		next := mustClaimOne(t, s, key, 4)
		if next.Attempt != 1 {
			t.Errorf("the next notification has attempt %d, want 1", next.Attempt)
		}
		mustNotify(t, s, key, 1)
		mustSettle(t, s, end(c)) // not valid any more
		wantNoClaim(t, s, "after the next notification was claimed")
		mustSettle(t, s, deliver(next))
		mustSettle(t, s, deliver(mustClaimOne(t, s, key, 5)))
		wantNoClaim(t, s, "after the last notification was delivered")
	}
}

// Appending to a queue does not make it due.
func queueIsNotMadeDueByMore(t *trial, s incident.OutboxStore) {
	delayed := mustQueue(t, s, acme, 1)
	mustSettle(t, s, retry(mustClaimOne(t, s, delayed, 3), longLease))
	claimed := mustQueue(t, s, acme, 1)
	mustClaimOne(t, s, claimed, 3)
	mustNotify(t, s, delayed, 1)
	mustNotify(t, s, claimed, 1)
	wantNoClaim(t, s, "after appends to a delayed and a claimed queue")
	wantBacklog(t, s, "after appends", 4, 0)
}
