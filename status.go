package incident

import (
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Status is how bad an incident is, or that it is over. The numbers are the
// wire contract and those of Sentry's incidents module.
type Status int

// The statuses of an incident. Any may follow any.
const (
	// StatusOpen is an incident of no stated severity: the status of a new one.
	StatusOpen Status = 1
	// StatusClosed is an incident that is over. It is labelled "Resolved".
	StatusClosed Status = 2
	// StatusWarning is set by hand, or by an active trigger of this severity.
	StatusWarning Status = 10
	// StatusCritical is set by hand, or by an active trigger of this severity.
	StatusCritical Status = 20
)

// String returns the label that is shown to users.
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

// Active reports whether an incident of this status goes on.
func (s Status) Active() bool {
	return s == StatusOpen || s == StatusWarning || s == StatusCritical
}

// ActiveStatuses returns the statuses of an incident that goes on, for
// [IncidentFilter]. The caller owns the result.
func ActiveStatuses() []Status {
	return []Status{StatusOpen, StatusWarning, StatusCritical}
}

func (s Status) known() bool { return s == StatusClosed || s.Active() }

// StatusMethod is what set an incident's status. The numbers are Sentry's.
type StatusMethod int

// The ways in which a status comes about.
const (
	// StatusMethodManual is a person's doing.
	StatusMethodManual StatusMethod = 1
	// StatusMethodRuleUpdated is a change of the alert rule's definition.
	StatusMethodRuleUpdated StatusMethod = 2
	// StatusMethodRuleTriggered is a trigger of the alert rule.
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

// Type is how an incident came to be. The numbers are Sentry's, which is why
// zero is a valid one.
type Type int

// The types of an incident.
const (
	// TypeDetected is an incident that was noticed, by a person or a program.
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

// StatusUpdate is what [IncidentManager.UpdateStatus] does.
type StatusUpdate struct {
	// Status is the new one. Required.
	Status Status

	// Method defaults to [StatusMethodManual].
	Method StatusMethod

	// UserID is who does it. Empty for a program.
	UserID UserID

	// Comment is shown with the activity. It may be empty, and has at most
	// 65,536 bytes.
	Comment string

	// Date is when the status came about: DateClosed, when it is closed.
	// Defaults to now. An incident cannot be closed before its start.
	Date time.Time

	// ExpectVersion, when not 0, is the [Incident.Version] that the caller has
	// seen. UpdateStatus returns [ErrVersionConflict] if it is not the standing
	// one.
	ExpectVersion int64

	// NotificationUUID is the idempotency key of the call and names its
	// activity. A call whose UUID is known writes nothing and returns the
	// incident as it then is. Defaults to a new one.
	NotificationUUID uuid.UUID
}

// transition is the status rule. It returns the state after the incident took
// status to at the time at: DateClosed is set if and only if the incident is
// closed, and closing it resolves its active triggers. A closing time that the
// caller named must not lie before the start; one that a clock gave is moved
// up to it.
func transition(before *State, to Status, method StatusMethod, at time.Time, named bool) (*State, error) {
	after := before.clone()
	after.Incident.Status = to
	after.Incident.StatusMethod = method
	after.Incident.DateClosed = nil
	if to != StatusClosed {
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
		if after.Triggers[i].Status == TriggerStatusActive {
			after.Triggers[i].Status = TriggerStatusResolved
			after.Triggers[i].DateModified = at
		}
	}
	return after, nil
}

// setStatus decides an update by the rules: the status that stands already is no
// change, and the user who changes it becomes subscribed.
func setStatus(before *State, u StatusUpdate, at, now time.Time) (decision, error) {
	if before.Incident.Status == u.Status {
		return unchanged(before), nil
	}
	after, err := transition(before, u.Status, u.Method, at, !u.Date.IsZero())
	if err != nil {
		return decision{}, err
	}
	change := statusChange(nil, before.Incident.Status, &after.Incident, at)
	change[0].UserID, change[0].Comment, change[0].NotificationUUID = u.UserID, u.Comment, u.NotificationUUID
	return decision{
		before:        before,
		after:         after,
		activities:    change,
		subscriptions: follow(after.Incident.Key(), followers(u.UserID, nil), now),
	}, nil
}

// check returns the date of the update.
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
	case u.ExpectVersion < 0:
		return now, invalid("version", "must not be negative")
	}
	if err := checkID("userId", u.UserID, true); err != nil {
		return now, err
	}
	if err := checkComment(u.Comment, false); err != nil {
		return now, err
	}
	return checkDate("date", u.Date, now, now)
}
