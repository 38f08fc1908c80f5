package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// never is a time of reminders that are not due during a case.
var never = time.Date(9999, time.December, 31, 23, 59, 59, 999999000, time.UTC)

// reminder returns a new reminder. Its At is in the past, so that it is due at once.
func reminder(name, notifier string) incident.Reminder {
	return incident.Reminder{
		Name: name, Notifier: notifier, At: t0, Unless: incident.UnlessAcknowledged,
		Status: incident.StatusOpen, NotificationUUID: uuid.New(),
	}
}

// reminderAt returns a new reminder of the notifier without a name.
func reminderAt(name string, at time.Time) incident.Reminder {
	r := reminder(name, "")
	r.At = at
	return r
}

// moved returns the reminder at another time, as a new call sets it.
func moved(r incident.Reminder, at time.Time) incident.Reminder {
	r.At, r.NotificationUUID = at, uuid.New()
	return r
}

// setReminder sets a reminder on the present version of the incident.
func setReminder(ctx context.Context, s incident.OutboxStore, key incident.Key, r incident.Reminder) (bool, error) {
	st, err := s.Load(ctx, key)
	if err != nil {
		return false, err
	}
	return s.SetReminder(ctx, incident.ReminderWrite{Key: key, ExpectVersion: st.Incident.Version, Reminder: r, Most: everything})
}

func mustRemind(t *trial, s incident.OutboxStore, key incident.Key, all ...incident.Reminder) {
	t.Helper()
	for _, r := range all {
		if ok, err := setReminder(t.Context(), s, key, r); err != nil || !ok {
			t.Fatalf("SetReminder(%s, %q) = %v, %v, want true and no error", key, r.Name, ok, err)
		}
	}
}

func mustCancel(t *trial, s incident.OutboxStore, key incident.Key, name string) {
	t.Helper()
	if err := s.CancelReminder(t.Context(), key, name); err != nil {
		t.Fatalf("CancelReminder(%s, %q) = %v, want no error", key, name, err)
	}
}

// endingReminders returns a change without a row that ends the reminders of the incident.
func endingReminders(key incident.Key) incident.Change {
	c := comment(key, "over")
	c.EndReminders = true
	return c
}

func mustReminders(t *trial, s incident.OutboxStore, key incident.Key) []incident.Reminder {
	t.Helper()
	all, err := s.Reminders(t.Context(), key)
	if err != nil {
		t.Fatalf("Reminders(%s) = %v, want no error", key, err)
	}
	return all
}

func wantReminders(t *trial, s incident.OutboxStore, key incident.Key, when string, want ...incident.Reminder) {
	t.Helper()
	if got := mustReminders(t, s, key); len(got) > 0 || len(want) > 0 {
		wantEqual(t, when+" the Reminders() of "+key.String(), got, want)
	}
}

// reminded returns the reminder of a claim, or a reminder without a name.
func reminded(c incident.Claim) (r incident.Reminder) {
	if c.Reminder != nil {
		r = *c.Reminder
	}
	return r
}

// mustClaimReminders claims the reminders of an incident, and nothing else is due for their
// notifier. The claims are in the order of the reminders.
func mustClaimReminders(t *trial, s incident.OutboxStore, key incident.Key, want ...incident.Reminder) []incident.Claim {
	t.Helper()
	claims := mustClaimAll(t, s, anythingOf(want[0].Notifier), len(want))
	sorted := make([]incident.Claim, len(want))
	for _, c := range claims {
		i := slices.IndexFunc(want, func(r incident.Reminder) bool {
			return reminded(c).Name == r.Name && c.Key == key && reminded(c).At == r.At
		})
		if i < 0 {
			t.Fatalf("Claim() = %s, want one of the reminders %s of %s", show(c), show(want), key)
		}
		wantEqual(t, "the claimed reminder", reminded(c), want[i])
		sorted[i] = c
	}
	return sorted
}

func mustClaimReminder(t *trial, s incident.OutboxStore, key incident.Key, r incident.Reminder) incident.Claim {
	t.Helper()
	return mustClaimReminders(t, s, key, r)[0]
}

// mustParkReminder sets a reminder that is due, and parks it.
func mustParkReminder(t *trial, s incident.OutboxStore, key incident.Key, r incident.Reminder) {
	t.Helper()
	mustRemind(t, s, key, r)
	mustSettle(t, s, park(mustClaimReminder(t, s, key, r), "no receiver"))
}

// parkedFor selects the parked notifications of a notifier.
func parkedFor(org incident.OrganizationID, notifier string) incident.ParkedQuery {
	return incident.ParkedQuery{OrganizationID: org, Notifier: notifier, Limit: everything}
}

func positionOfParked(p incident.ParkedNotification) incident.ParkedPosition {
	pos := incident.ParkedPosition{Identifier: p.Incident.Identifier, Sequence: p.Sequence}
	if p.Reminder != nil {
		pos.Reminder, pos.Sequence = p.Reminder.Name, p.Reminder.At.UnixMicro()
	}
	return pos
}

func positionsOfParked(all []incident.ParkedNotification) []incident.ParkedPosition {
	var positions []incident.ParkedPosition
	for _, p := range all {
		positions = append(positions, positionOfParked(p))
	}
	return positions
}

// wantPositions checks the parked notifications of a query.
func wantPositions(t *trial, s incident.OutboxStore, q incident.ParkedQuery, want ...incident.ParkedPosition) {
	t.Helper()
	if got := positionsOfParked(mustParked(t, s, q)); !slices.Equal(got, want) {
		t.Fatalf("Parked(%+v) = %+v, want %+v", q, got, want)
	}
}

func mustReplayBatch(t *trial, s incident.OutboxStore, q incident.ParkedQuery) incident.ParkedBatch {
	t.Helper()
	b, err := s.Replay(t.Context(), q)
	if err != nil {
		t.Fatalf("Replay(%+v) = %v, want no error", q, err)
	}
	return b
}

func mustDiscardParked(t *trial, s incident.OutboxStore, q incident.ParkedQuery) incident.ParkedBatch {
	t.Helper()
	b, err := s.DiscardParked(t.Context(), q)
	if err != nil {
		t.Fatalf("DiscardParked(%+v) = %v, want no error", q, err)
	}
	return b
}

func mustDiscard(t *trial, s incident.OutboxStore, notifier string, limit int) int {
	t.Helper()
	n, err := s.Discard(t.Context(), notifier, limit)
	if err != nil {
		t.Fatalf("Discard(%q, %d) = %v, want no error", notifier, limit, err)
	}
	return n
}
