package incident

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Reminder is a notification at a later time, such as "nobody has acknowledged this for 15
// minutes".
type Reminder struct {
	// Name names the reminder within its incident: 1 to [MaxIDSize] bytes of valid UTF-8
	// without control characters. Required.
	Name string `json:"name"`

	// Notifier is the name of the [Notifier] that delivers the reminder. Empty for the
	// Notifier without a name or, if a Manager has none, for its only one.
	Notifier string `json:"notifier,omitzero"`

	// At is when the reminder is due, by the clock of the store: after the present time of
	// the Manager, and before the year 10000. Required.
	At time.Time `json:"at"`

	// Unless lists conditions under which a due reminder is not delivered. A closed incident
	// has no reminders, whatever Unless is.
	Unless Unless `json:"unless,omitzero"`

	// Status is the status of the incident at the time of the Remind, for [UnlessLowered].
	// Remind sets it.
	Status Status `json:"status"`

	// NotificationUUID identifies the notification. Remind sets it.
	NotificationUUID uuid.UUID `json:"notificationUuid"`
}

// MaxReminders is the most pending reminders of an incident. Processes that set reminders of an
// incident at the same time may exceed it by their number.
const MaxReminders = 100

// Unless is a set of conditions under which a due reminder is not delivered. They are compared
// with the state of the incident at that time. UnlessAcknowledged|UnlessLowered has both.
type Unless int

// The conditions of a reminder.
const (
	// UnlessClosed is the condition of every reminder: the incident was closed.
	UnlessClosed Unless = 0
	// UnlessAcknowledged means that the incident is acknowledged: see
	// [Incident.Acknowledged].
	UnlessAcknowledged Unless = 1
	// UnlessLowered means that the status is below [Reminder.Status].
	UnlessLowered Unless = 2
)

func (u Unless) String() string {
	names := []string{"Closed"}
	if u&UnlessAcknowledged != 0 {
		names = append(names, "Acknowledged")
	}
	if u&UnlessLowered != 0 {
		names = append(names, "Lowered")
	}
	if rest := u &^ (UnlessAcknowledged | UnlessLowered); rest != 0 {
		names = append(names, "Unless("+strconv.Itoa(int(rest))+")")
	}
	return strings.Join(names, "|")
}

// ReminderManager is the part of [Manager] for reminders. It returns [ErrInvalid] if the store
// is not an [OutboxStore].
type ReminderManager interface {
	// Remind sets a reminder of an active incident. When the reminder is due, the relays
	// deliver it as a [Notification] with a Reminder and without an Activity, unless a
	// condition of its Unless holds. It is delivered at least once, and exactly once without
	// a fault, and retried and parked like other notifications. In the usual case a relay of
	// the process that has set it finds it within 50 ms, and so does a relay that delivers or
	// whose process is in use. Any relay finds it within [NotifyOptions.PollInterval].
	//
	// An incident has a reminder for each name. Remind moves a pending reminder of the same
	// name, which then has a new UUID. If At, Unless and Notifier are those of the pending
	// reminder, Remind changes nothing. A reminder is pending until it was delivered, given
	// up, cancelled or ended. A Notifier can set it again during its delivery, so that it
	// repeats; if that delivery then fails, it is not retried.
	//
	// The commit that closes an incident ends its reminders: a delivery that begins later
	// does not happen. A reminder that was parked before stays parked.
	//
	// Remind returns [ErrInvalid]
	//
	//   - for a Notifier that is not in the options of the Manager;
	//   - for a closed incident;
	//   - beyond [MaxReminders] pending reminders of the incident.
	Remind(ctx context.Context, key Key, r Reminder) error

	// CancelReminder ends the pending reminder of a name. It does nothing if there is none.
	// A delivery that has begun is not interrupted, and is not retried.
	CancelReminder(ctx context.Context, key Key, name string) error

	// Reminders returns the pending reminders of an incident, in order of name. The list is
	// never nil.
	Reminders(ctx context.Context, key Key) ([]Reminder, error)
}

// checkReminder validates the parameters of a Remind and returns the reminder in canonical form.
func checkReminder(r Reminder, now time.Time) (Reminder, error) {
	if err := checkID("name", r.Name, false); err != nil {
		return r, err
	}
	switch {
	case r.At.IsZero():
		return r, invalid("at", "is required")
	case !canonical(r.At).After(now):
		return r, invalid("at", "must be in the future")
	case !r.At.Before(maxDate):
		return r, invalid("at", "must be before the year 10000")
	case r.Unless&^(UnlessAcknowledged|UnlessLowered) != 0:
		return r, invalid("unless", "has the unknown conditions %d", int(r.Unless&^(UnlessAcknowledged|UnlessLowered)))
	}
	r.At = canonical(r.At)
	return r, nil
}

// remind decides a Remind on the state of an incident: it returns the reminder with the status
// of the incident.
func remind(r Reminder, inc *Incident) (Reminder, error) {
	if !inc.Status.Active() {
		return r, invalid("incident", "is closed, and a closed incident has no reminders")
	}
	r.Status = inc.Status
	return r, nil
}

// endedBy reports whether a due reminder must not be delivered, because of the state of its
// incident.
func (r *Reminder) endedBy(inc *Incident, now time.Time) bool {
	switch {
	case !inc.Status.Active():
		return true
	case r.Unless&UnlessAcknowledged != 0 && inc.Response.acknowledged(now):
		return true
	}
	return r.Unless&UnlessLowered != 0 && inc.Status < r.Status
}
