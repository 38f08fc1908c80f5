package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/incidentkit/incident"
)

// mustClosedQueue creates a due incident whose queue for a notifier has a comment with sequence 3.
func mustClosedQueue(t *trial, s retentionOutbox, notifier string) incident.Key {
	t.Helper()
	key := mustClosed(t, s, acme, t0, minute(9)).Incident.Key()
	mustNotifyTo(t, s, key, notifier)
	return key
}

// A purge holds back an incident with a notification that is queued, delayed, claimed or replayed,
// or with a reminder that is pending. Once it is delivered or ended, the incident is purged.
func purgeHoldsBackTheUndelivered(t *trial, s retentionOutbox) {
	for _, c := range undelivered() {
		for _, notifier := range []string{"", mail} {
			key, end := c.make(t, s, notifier)
			b := mustPurgeAll(t, s, anyDue(acme))
			wantPurged(t, b)
			if b.Held != 1 {
				t.Errorf("Purge() with %s holds %d incidents back, want 1", c.name, b.Held)
			}
			if _, err := s.Load(t.Context(), key); err != nil {
				t.Fatalf("Load() after a Purge() with %s = %v, want no error", c.name, err)
			}
			end()
			wantPurged(t, mustPurgeAll(t, s, anyDue(acme)), key.Identifier)
			wantNoClaimOf(t, s, notifier, "after a purge")
			wantBacklogOf(t, s, notifier, "after a purge", counts{})
		}
	}
}

// undelivery is a way to make an incident that is due and held back, and to end that.
type undelivery struct {
	name string
	make func(t *trial, s retentionOutbox, notifier string) (key incident.Key, end func())
}

func undelivered() []undelivery {
	return []undelivery{
		{"a queued activity", func(t *trial, s retentionOutbox, notifier string) (incident.Key, func()) {
			key := mustClosedQueue(t, s, notifier)
			return key, func() { mustSettle(t, s, deliver(mustClaimOneOf(t, s, notifier, key, 3))) }
		}},
		{"a claimed activity", func(t *trial, s retentionOutbox, notifier string) (incident.Key, func()) {
			key := mustClosedQueue(t, s, notifier)
			c := mustClaimOneOf(t, s, notifier, key, 3)
			return key, func() { mustSettle(t, s, deliver(c)) }
		}},
		{"a delayed activity", func(t *trial, s retentionOutbox, notifier string) (incident.Key, func()) {
			key := mustClosedQueue(t, s, notifier)
			c := mustClaimOneOf(t, s, notifier, key, 3)
			mustSettle(t, s, retry(c, longLease))
			return key, func() { mustDiscard(t, s, notifier, everything) }
		}},
		{"a replayed activity", func(t *trial, s retentionOutbox, notifier string) (incident.Key, func()) {
			key := mustClosedQueue(t, s, notifier)
			mustSettle(t, s, park(mustClaimOneOf(t, s, notifier, key, 3), "no receiver"))
			mustReplayBatch(t, s, parkedFor(acme, notifier))
			return key, func() { mustSettle(t, s, deliver(mustClaimOneOf(t, s, notifier, key, 3))) }
		}},
		{"a reminder that is not due", func(t *trial, s retentionOutbox, notifier string) (incident.Key, func()) {
			key := mustClosed(t, s, acme, t0, minute(9)).Incident.Key()
			r := reminder("later", notifier)
			r.At = never
			mustRemind(t, s, key, r)
			return key, func() { mustCancel(t, s, key, "later") }
		}},
		{"a reminder that is due", func(t *trial, s retentionOutbox, notifier string) (incident.Key, func()) {
			key := mustClosed(t, s, acme, t0, minute(9)).Incident.Key()
			r := reminder("now", notifier)
			mustRemind(t, s, key, r)
			return key, func() { mustSettle(t, s, deliver(mustClaimReminder(t, s, key, r))) }
		}},
		{"a replayed reminder", func(t *trial, s retentionOutbox, notifier string) (incident.Key, func()) {
			key := mustClosed(t, s, acme, t0, minute(9)).Incident.Key()
			r := reminder("again", notifier)
			mustParkReminder(t, s, key, r)
			mustReplayBatch(t, s, parkedFor(acme, notifier))
			return key, func() { mustSettle(t, s, deliver(mustClaimReminder(t, s, key, r))) }
		}},
	}
}

// A purge continues behind the incidents that it holds back, batch by batch.
func purgePassesTheHeldBack(t *trial, s retentionOutbox) {
	var free []int64
	held := map[incident.Key][]int64{}
	for i := range 12 {
		st := mustClosed(t, s, acme, at(time.Duration(i)*time.Second), minute(60))
		if i%3 == 2 {
			free = append(free, st.Incident.Identifier)
			continue
		}
		mustNotify(t, s, st.Incident.Key(), 1)
		held[st.Incident.Key()] = []int64{3}
	}
	q := anyDue(acme)
	q.Limit = 1
	b := mustPurgeAll(t, s, q)
	wantPurged(t, b, free...)
	if b.Held != len(held) {
		t.Errorf("Purge() holds %d incidents back, want %d", b.Held, len(held))
	}
	mustDrain(t, s, held)
	if got := len(mustPurgeAll(t, s, anyDue(acme)).Purged); got != len(held) {
		t.Errorf("Purge() after all was delivered deletes %d incidents, want %d", got, len(held))
	}
}

// The parked notifications of a purged incident are deleted, those of others are not.
func purgeDeletesParked(t *trial, s retentionOutbox) {
	var keys []incident.Key
	for _, org := range []incident.OrganizationID{acme, acme, umbrella} {
		key := mustClosed(t, s, org, t0, minute(9)).Incident.Key()
		for _, notifier := range []string{"", mail} {
			mustNotifyTo(t, s, key, notifier)
			mustSettle(t, s, park(mustClaim(t, s, anythingOf(notifier))[0], "no receiver"))
			mustParkReminder(t, s, key, reminder("parked", notifier))
		}
		keys = append(keys, key)
	}
	q := anyDue(acme)
	q.After = &incident.Position{DateStarted: t0, Identifier: keys[0].Identifier}
	wantPurged(t, mustPurgeAll(t, s, q), keys[1].Identifier)
	for _, notifier := range []string{"", mail} {
		for _, key := range []incident.Key{keys[0], keys[2]} {
			got := positionsOfParked(mustParked(t, s, parkedFor(key.OrganizationID, notifier)))
			if len(got) != 2 || got[0].Identifier != key.Identifier || got[1].Identifier != key.Identifier {
				t.Errorf("Parked() of %q after a purge = %+v, want both of %s", key.OrganizationID, got, key)
			}
		}
		wantBacklogOf(t, s, notifier, "after a purge", counts{parked: 4})
		if n := mustReplayBatch(t, s, parkedFor(acme, notifier)).Count; n != 2 {
			t.Errorf("Replay() after a purge replays %d notifications, want 2", n)
		}
	}
}

// wantNothingLost purges closed incidents, while write is called with those that are next. write
// reports whether a notification is pending since. Those incidents must not be deleted.
func wantNothingLost(t *trial, s retentionOutbox, prepare func(key incident.Key), write func(ctx context.Context, key incident.Key) (bool, error)) {
	t.Helper()
	const n = 40
	var keys [n]incident.Key
	for i := range n {
		keys[i] = mustClosed(t, s, acme, at(time.Duration(i)*time.Second), minute(60)).Incident.Key()
		prepare(keys[i])
	}
	var pending [n]bool
	raceWithPurge(t, s, n, func(i int) {
		var err error
		if pending[i], err = write(t.Context(), keys[i]); err != nil && !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("a write beside Purge() = %v, want no error or ErrNotFound", err)
		}
	})
	claimed := map[incident.Key]bool{}
	want := 0
	for i := range n {
		if pending[i] {
			want++
		}
	}
	for start := time.Now(); len(claimed) < want && time.Since(start) < t.patience; time.Sleep(time.Millisecond) {
		claims, err := try(t.Context(), s, anything())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range claims {
			claimed[c.Key] = true
		}
	}
	for i, key := range keys {
		_, err := s.Load(t.Context(), key)
		switch {
		case claimed[key] != pending[i]:
			t.Errorf("%s has a pending notification: %v, was claimed: %v", key, pending[i], claimed[key])
		case pending[i] && err != nil:
			t.Errorf("Load(%s), which has a pending notification, = %v, want no error", key, err)
		}
	}
}

// A notification that was replayed beside a purge is delivered.
func purgeLosesNoReplay(t *trial, s retentionOutbox) {
	wantNothingLost(t, s, func(key incident.Key) {
		mustNotify(t, s, key, 1)
		mustPark(t, s, 1)
	}, func(ctx context.Context, key incident.Key) (bool, error) {
		n, err := replay(ctx, s, key)
		return n > 0, err
	})
}

// A reminder that was set beside a purge is delivered.
func purgeLosesNoReminder(t *trial, s retentionOutbox) {
	wantNothingLost(t, s, func(incident.Key) {}, func(ctx context.Context, key incident.Key) (bool, error) {
		return setReminder(ctx, s, key, reminder("late", ""))
	})
}

// An activity that was queued beside a purge is delivered.
func purgeLosesNoNotification(t *trial, s retentionOutbox) {
	wantNothingLost(t, s, func(incident.Key) {}, func(ctx context.Context, key incident.Key) (bool, error) {
		_, err := s.Apply(ctx, notifying(comment(key, "text")))
		return err == nil, err
	})
}
