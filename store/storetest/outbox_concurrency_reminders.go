package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// Reminders are set, moved, cancelled and ended while others claim and settle:
//
//   - Each reminder that is not ended is delivered or parked once.
//   - A claim that begins after the end of a reminder does not return the reminder.
//   - A reminder whose transaction was undone is never claimed.
func outboxLosesAndRepeatsNoReminder(t *trial, s incident.OutboxStore) {
	const each = 24
	now := mustClock(t, s)
	keys := []incident.Key{mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0)}
	l := &reminderLedger{writers: len(keys), all: map[uuid.UUID]*kept{}}
	t.together(len(keys)+6, func(i int) {
		if i < len(keys) {
			w := reminderWriter{s: s, key: keys[i], now: now, ledger: l, pending: map[string]uuid.UUID{}}
			l.report(w.run(t.Context(), each))
			l.leave()
		} else {
			l.report(l.deliver(t.Context(), s, someNotifiers()[i%3], t.patience))
		}
	})
	for _, err := range l.errors {
		t.Error(err)
	}
	if len(l.errors) > 0 {
		return
	}
	for _, key := range keys {
		wantReminders(t, s, key, "after all were delivered, parked or ended")
	}
	parked := map[uuid.UUID]int{}
	for _, name := range someNotifiers() {
		wantNoClaimOf(t, s, name, "after all was delivered, parked or ended")
		total := 0
		for _, org := range []incident.OrganizationID{acme, umbrella} {
			for _, p := range mustParked(t, s, parkedFor(org, name)) {
				parked[p.NotificationUUID]++
				total++
			}
		}
		wantBacklogOf(t, s, name, "after all was delivered, parked or ended", counts{parked: int64(total)})
	}
	for id, k := range l.all {
		if n := parked[id]; n > 1 || n == 1 && k.parked == 0 || n == 0 && k.parked == 1 && k.ended == 0 {
			t.Errorf("reminder %s was parked %d times, and Parked() has it %d times", k, k.parked, n)
		}
	}
}

// kept is the state of a reminder as writers and deliverers know it.
type kept struct {
	name     string
	undone   bool  // its transaction fails
	ended    int64 // the time when it was moved, cancelled or ended; 0 if it was not
	claimed  bool
	attempts int
	done     int
	parked   int
}

func (k *kept) String() string { return fmt.Sprintf("%s%+v", k.name, *k) }

// reminderLedger is the state that the writers and deliverers of reminders share.
type reminderLedger struct {
	mu      sync.Mutex // guards the fields below
	time    int64      // counts events
	writers int
	all     map[uuid.UUID]*kept
	errors  []error
	ends    int
}

func (l *reminderLedger) report(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.errors = append(l.errors, err)
	}
}

// leave records the end of a writer.
func (l *reminderLedger) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writers--
}

func (l *reminderLedger) add(r incident.Reminder, undone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[r.NotificationUUID] = &kept{name: r.Name, undone: undone}
}

// ended records that reminders were moved, cancelled or ended.
func (l *reminderLedger) ended(ids ...uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.time++
	for _, id := range ids {
		if k := l.all[id]; k != nil && k.ended == 0 {
			k.ended = l.time
		}
	}
}

func (l *reminderLedger) now() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.time++
	return l.time
}

// over reports whether each reminder that is left was delivered or parked, or somebody has failed.
func (l *reminderLedger) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errors) > 0 {
		return true
	}
	for _, k := range l.all {
		if k.done == 0 && k.ended == 0 && !k.undone {
			return false
		}
	}
	return l.writers == 0
}

// begin records a claim of a call that began at the given time, and returns an error if the claim
// breaks the contract.
func (l *reminderLedger) begin(c incident.Claim, began int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.all[reminded(c).NotificationUUID]
	switch {
	case k == nil:
		return fmt.Errorf("Claim() = %s, which nobody has set", show(c))
	case k.undone:
		return fmt.Errorf("reminder %s is claimed, but its transaction was undone", k)
	case k.ended > 0 && k.ended < began:
		return fmt.Errorf("reminder %s is claimed after it was moved, cancelled or ended", k)
	case k.claimed:
		return fmt.Errorf("reminder %s is claimed while it is claimed", k)
	case k.done > 0:
		return fmt.Errorf("reminder %s is claimed after it was delivered or parked", k)
	}
	k.claimed = true
	if k.attempts++; c.Attempt != k.attempts {
		return fmt.Errorf("the attempt of reminder %s is %d", k, c.Attempt)
	}
	return nil
}

// end decides the outcome of a claim.
func (l *reminderLedger) end(c incident.Claim) incident.Settlement {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.all[c.Reminder.NotificationUUID]
	k.claimed = false
	l.ends++
	switch l.ends % 5 {
	case 0:
		return retry(c, rand.N(2*time.Millisecond))
	case 1:
		k.attempts--
		return release(c)
	}
	k.done++
	if l.ends%5 == 2 {
		k.parked++
		return park(c, "no receiver")
	}
	return deliver(c)
}

// deliver claims and settles until the writers have ended and nothing is left.
func (l *reminderLedger) deliver(ctx context.Context, s incident.OutboxStore, notifier string, patience time.Duration) error {
	for start := time.Now(); !l.over(); {
		if time.Since(start) > patience {
			return errors.New("no reminder becomes due, but some are neither delivered, parked nor ended")
		}
		q := incident.ClaimQuery{Limit: 1 + rand.N(3), PerOrganization: 2, Lease: longLease}
		q.Notifier = notifier
		began := l.now()
		claims, err := try(ctx, s, q)
		if err != nil {
			return err
		}
		for _, c := range claims {
			if err := l.begin(c, began); err != nil {
				return err
			}
		}
		time.Sleep(rand.N(time.Millisecond))
		var ends []incident.Settlement
		for _, c := range claims {
			ends = append(ends, l.end(c))
		}
		if err := settle(ctx, s, patience, ends...); err != nil {
			return err
		}
	}
	return nil
}

// reminderWriter writes the reminders of an incident, alone.
type reminderWriter struct {
	s       incident.OutboxStore
	key     incident.Key
	now     clock
	ledger  *reminderLedger
	pending map[string]uuid.UUID
}

// run makes n writes, and then sets reminders that stay.
func (w *reminderWriter) run(ctx context.Context, n int) error {
	for i := range n {
		var err error
		switch name := fmt.Sprint("number ", i/2%4); i % 8 {
		case 5:
			if err = w.s.CancelReminder(ctx, w.key, name); err != nil {
				return fmt.Errorf("CancelReminder() = %w, want no error", err)
			}
			w.ledger.ended(w.pending[name])
		case 7:
			if _, err = w.s.Apply(ctx, endingReminders(w.key)); err != nil {
				return fmt.Errorf("Apply() with EndReminders = %w, want no error", err)
			}
			for _, id := range w.pending {
				w.ledger.ended(id)
			}
		case 2:
			err = w.undo(ctx, w.next(name, i))
		default:
			err = w.set(ctx, w.next(name, i), i%2 == 0)
		}
		if err != nil {
			return err
		}
		time.Sleep(rand.N(2 * time.Millisecond))
	}
	for i := range 6 {
		if err := w.set(ctx, w.next(fmt.Sprint("last ", i), 2*i), false); err != nil {
			return err
		}
	}
	return nil
}

// next returns a reminder. Consecutive reminders of a name differ in Unless.
func (w *reminderWriter) next(name string, i int) incident.Reminder {
	r := reminder(name, someNotifiers()[i/2%3])
	r.At, r.Unless = w.now.now().Add(rand.N(3*time.Millisecond)).Truncate(time.Microsecond), incident.Unless(i%3)
	return r
}

func (w *reminderWriter) set(ctx context.Context, r incident.Reminder, withinTx bool) error {
	w.ledger.add(r, false)
	write := func(s incident.Store) error {
		outbox, err := outboxOf(s)
		if err != nil {
			return err
		}
		ok, err := setReminder(ctx, outbox, w.key, r)
		switch {
		case err != nil:
			return fmt.Errorf("SetReminder() = %w, want no error", err)
		case !ok:
			return errors.New("SetReminder() = false, want true")
		}
		return nil
	}
	var err error
	if withinTx {
		err = w.s.InTx(ctx, func(tx incident.Store) error {
			err := write(tx)
			time.Sleep(rand.N(time.Millisecond))
			return err
		})
	} else {
		err = write(w.s)
	}
	if err == nil {
		w.ledger.ended(w.pending[r.Name])
		w.pending[r.Name] = r.NotificationUUID
	}
	return err
}

// undo ends all reminders and sets r, in a transaction that fails.
func (w *reminderWriter) undo(ctx context.Context, r incident.Reminder) error {
	w.ledger.add(r, true)
	err := w.s.InTx(ctx, func(tx incident.Store) error {
		outbox, err := outboxOf(tx)
		if err != nil {
			return err
		}
		_, err = outbox.Apply(ctx, endingReminders(w.key))
		_, setErr := setReminder(ctx, outbox, w.key, r)
		return errors.Join(err, setErr, errUndo)
	})
	if errors.Is(err, errUndo) {
		return nil
	}
	return fmt.Errorf("InTx() = %w, want an error that matches %q", err, errUndo)
}
