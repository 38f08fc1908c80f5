package incident

import (
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Status is the severity of an active incident, or closed. The numbers are the wire
// contract, and the numbers of Sentry's incidents module.
type Status int

// The statuses of an incident. Any status may follow any other.
const (
	// StatusOpen is active without a stated severity: the default of a new incident.
	StatusOpen Status = 1
	// StatusClosed is over. Its label is "Resolved".
	StatusClosed Status = 2
	// StatusWarning is set by hand, or by an active trigger of this severity.
	StatusWarning Status = 10
	// StatusCritical is set by hand, or by an active trigger of this severity.
	StatusCritical Status = 20
)

// String returns the label for users.
func (s Status) String() string {
	switch s {
	case StatusOpen:
		return "Open"
	case StatusClosed:
		return "Resolved"
	case StatusWarning:
		return "Warning"
	case StatusCritical:
		return "Critical"
	}
	return "Status(" + strconv.Itoa(int(s)) + ")"
}

// Active reports whether the status is not closed.
func (s Status) Active() bool {
	return s == StatusOpen || s == StatusWarning || s == StatusCritical
}

// ActiveStatuses returns the active statuses, for [IncidentFilter]. The caller owns the
// result.
func ActiveStatuses() []Status {
	return []Status{StatusOpen, StatusWarning, StatusCritical}
}

func (s Status) known() bool { return s == StatusClosed || s.Active() }

// StatusMethod is the cause of an incident's status. The numbers are Sentry's.
type StatusMethod int

// The causes of a status.
const (
	// StatusMethodManual means that a person set the status.
	StatusMethodManual StatusMethod = 1
	// StatusMethodRuleUpdated means that the definition of the alert rule changed.
	StatusMethodRuleUpdated StatusMethod = 2
	// StatusMethodRuleTriggered means that a trigger of the alert rule fired or resolved.
	StatusMethodRuleTriggered StatusMethod = 3
)

func (m StatusMethod) String() string {
	switch m {
	case StatusMethodManual:
		return "Manual"
	case StatusMethodRuleUpdated:
		return "RuleUpdated"
	case StatusMethodRuleTriggered:
		return "RuleTriggered"
	}
	return "StatusMethod(" + strconv.Itoa(int(m)) + ")"
}

func (m StatusMethod) known() bool {
	return m >= StatusMethodManual && m <= StatusMethodRuleTriggered
}

// Type is the origin of an incident. The numbers are Sentry's, so that zero is a valid
// type.
type Type int

// The types of an incident.
const (
	// TypeDetected is an incident that a person or a program noticed.
	TypeDetected Type = 0
	// TypeAlertTriggered is an incident that a trigger of an alert rule opened.
	TypeAlertTriggered Type = 2
)

func (t Type) String() string {
	switch t {
	case TypeDetected:
		return "Detected"
	case TypeAlertTriggered:
		return "AlertTriggered"
	}
	return "Type(" + strconv.Itoa(int(t)) + ")"
}

func (t Type) known() bool { return t == TypeDetected || t == TypeAlertTriggered }

// StatusUpdate holds the parameters of [IncidentManager.UpdateStatus].
type StatusUpdate struct {
	// Status is the new status. Required.
	Status Status `json:"status"`

	// Method defaults to [StatusMethodManual].
	Method StatusMethod `json:"statusMethod,omitzero"`

	// UserID is the user who sets the status. Empty for a program.
	UserID UserID `json:"userId,omitzero"`

	// Comment is a remark for the activity, at most [MaxCommentSize] bytes. May be
	// empty.
	Comment string `json:"comment,omitzero"`

	// Date is when the status changed; of a closed incident, its DateClosed. Defaults
	// to now. A closing date must not be before the start of the incident.
	Date time.Time `json:"date,omitzero"`

	// ExpectVersion is the [Incident.Version] that the caller has seen. UpdateStatus
	// returns [ErrVersionConflict] if the incident has another version. 0 permits any.
	ExpectVersion int64 `json:"version,omitzero"`

	// NotificationUUID is the idempotency key of the call and the UUID of its
	// activity. If the UUID is known, the call writes nothing and returns the current
	// incident. Defaults to a new UUID.
	NotificationUUID uuid.UUID `json:"notificationUuid,omitzero"`
}

// transition is the status rule. It returns the state after a change to the given
// status: DateClosed is set if and only if the incident is closed, and closing it
// resolves its active triggers, whose dates never go back and are not moved ahead of now. A
// closing date before the start is refused if the caller named it, and is moved to the start
// otherwise.
func transition(before *State, to Status, method StatusMethod, at, now time.Time, named bool) (*State, error) {
	after := before.clone()
	after.Incident.Status = to
	after.Incident.StatusMethod = method
	after.Incident.DateClosed = nil
	after.respond(before.Incident.Status)
	if to != StatusClosed {
		after.Incident.DuplicateOf = 0
		return after, nil
	}
	if started := before.Incident.DateStarted; at.Before(started) {
		if named {
			return nil, invalid("date", "must not be before the start of the incident, %s", started.Format(time.RFC3339Nano))
		}
		at = started
	}
	after.Incident.DateClosed = &at
	for i := range after.Triggers {
		if t := &after.Triggers[i]; t.Status == TriggerStatusActive {
			t.Status, t.DateModified = TriggerStatusResolved, later(t.DateModified, earlier(at, now))
		}
	}
	return after, nil
}

// decideStatus is the rule for an update by hand: the same status changes nothing, and a
// change subscribes the user.
func decideStatus(before *State, u StatusUpdate, at, now time.Time) (decision, error) {
	if before.Incident.Status == u.Status {
		return unchanged(before), nil
	}
	after, err := transition(before, u.Status, u.Method, at, now, !u.Date.IsZero())
	if err != nil {
		return decision{}, err
	}
	change := statusChange(nil, before.Incident.Status, &after.Incident, at)
	change[0].UserID, change[0].Comment, change[0].NotificationUUID = u.UserID, u.Comment, u.NotificationUUID
	return decision{
		before:        before,
		after:         after,
		activities:    change,
		subscriptions: subscriptions(after.Incident.Key(), subscribersOf(u.UserID, nil), now),
	}, nil
}

// check validates u, completes Method, and returns the date of the update.
func (u *StatusUpdate) check(now time.Time) (time.Time, error) {
	if u.Method == 0 {
		u.Method = StatusMethodManual
	}
	switch {
	case u.Status == 0:
		return now, invalid("status", "is required")
	case !u.Status.known():
		return now, invalid("status", "has the unknown value %d", int(u.Status))
	case !u.Method.known():
		return now, invalid("statusMethod", "has the unknown value %d", int(u.Method))
	}
	if err := checkRemark(u.UserID, u.Comment, u.ExpectVersion); err != nil {
		return now, err
	}
	return checkDate("date", u.Date, now, now)
}
