package incident

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Response names the people at work on an incident.
type Response struct {
	// Assignee is the user who is responsible. Empty for nobody.
	Assignee UserID `json:"assignee,omitzero"`

	// AcknowledgedBy is the first user who acknowledged the incident. Empty for a
	// program, and without an acknowledgement.
	AcknowledgedBy UserID `json:"acknowledgedBy,omitzero"`

	// DateAcknowledged is when the incident was acknowledged. Nil without an
	// acknowledgement.
	DateAcknowledged *time.Time `json:"dateAcknowledged,omitzero"`

	// AcknowledgedUntil is when the acknowledgement of an active incident ends. Nil if it
	// has no end.
	AcknowledgedUntil *time.Time `json:"acknowledgedUntil,omitzero"`

	// AcknowledgedStatus is the highest status of the incident that its acknowledgement
	// covers. A firing that raises the status above it ends the acknowledgement.
	AcknowledgedStatus Status `json:"acknowledgedStatus,omitzero"`
}

// Acknowledged reports whether the incident was acknowledged, and the acknowledgement has not
// ended by now. A closed incident remains acknowledged: closing removes the end of its
// acknowledgement.
func (inc Incident) Acknowledged(now time.Time) bool { return inc.Response.acknowledged(now) }

func (r *Response) acknowledged(now time.Time) bool {
	return r != nil && r.DateAcknowledged != nil && (r.AcknowledgedUntil == nil || now.Before(*r.AcknowledgedUntil))
}

func (r *Response) clone() *Response {
	if r == nil {
		return nil
	}
	c := *r
	c.DateAcknowledged, c.AcknowledgedUntil = cloneTime(r.DateAcknowledged), cloneTime(r.AcknowledgedUntil)
	return &c
}

func (r *Response) equal(other *Response) bool {
	if r == nil || other == nil {
		return r == other
	}
	return r.Assignee == other.Assignee &&
		r.AcknowledgedBy == other.AcknowledgedBy &&
		r.AcknowledgedStatus == other.AcknowledgedStatus &&
		equalTimes(r.DateAcknowledged, other.DateAcknowledged) &&
		equalTimes(r.AcknowledgedUntil, other.AcknowledgedUntil)
}

// unacknowledged returns a response without the acknowledgement, nil if nothing else is left.
func (r *Response) unacknowledged() *Response {
	if r == nil || r.Assignee == "" {
		return nil
	}
	return &Response{Assignee: r.Assignee}
}

// assigned returns a response with another assignee, nil if nothing is left.
func (r *Response) assigned(to UserID) *Response {
	c := r.clone()
	if c == nil {
		c = &Response{}
	}
	if c.Assignee = to; *c == (Response{}) {
		return nil
	}
	return c
}

func (r *Response) assignee() UserID {
	if r == nil {
		return ""
	}
	return r.Assignee
}

// Acknowledgement holds the parameters of [ResponseManager.Acknowledge].
type Acknowledgement struct {
	// UserID is the user who works on the incident. Empty for a program.
	UserID UserID `json:"userId,omitzero"`

	// Comment is a remark for the activity, at most [MaxCommentSize] bytes. May be empty.
	Comment string `json:"comment,omitzero"`

	// Until is when the acknowledgement ends: in the future, at any distance up to the
	// year 9999. Zero for no end. Nothing runs at that time: [Incident.Acknowledged]
	// compares it with the time of the read. A call that is repeated after its Until is
	// refused.
	Until time.Time `json:"until,omitzero"`

	// Withdraw ends the acknowledgement. Until must be zero.
	Withdraw bool `json:"withdraw,omitzero"`

	// ExpectVersion is the [Incident.Version] that the caller has seen. Acknowledge
	// returns [ErrVersionConflict] if the incident has another version. 0 permits any.
	ExpectVersion int64 `json:"version,omitzero"`

	// NotificationUUID is the idempotency key of the call and the UUID of its activity:
	// see [StatusUpdate.NotificationUUID].
	NotificationUUID uuid.UUID `json:"notificationUuid,omitzero"`
}

// Assignment holds the parameters of [ResponseManager.Assign].
type Assignment struct {
	// UserID is the user who assigns. Empty for a program.
	UserID UserID `json:"userId,omitzero"`

	// Assignee is the user to be responsible for the incident. Empty for nobody. An
	// [Authorizer] must let the user in.
	Assignee UserID `json:"assignee"`

	// Comment is a remark for the activity, at most [MaxCommentSize] bytes. May be empty.
	Comment string `json:"comment,omitzero"`

	// ExpectVersion is the [Incident.Version] that the caller has seen. Assign returns
	// [ErrVersionConflict] if the incident has another version. 0 permits any.
	ExpectVersion int64 `json:"version,omitzero"`

	// NotificationUUID is the idempotency key of the call and the UUID of its activity:
	// see [StatusUpdate.NotificationUUID].
	NotificationUUID uuid.UUID `json:"notificationUuid,omitzero"`
}

// ResponseManager is the part of [Manager] for the people at work on an incident.
type ResponseManager interface {
	// Acknowledge records that a user works on an active incident, or no longer does, and
	// subscribes the user. The first user stays: acknowledging the incident again changes
	// nothing, except that another Until replaces the present Until. After the
	// acknowledgement has ended, another user can acknowledge the incident. Any user can
	// withdraw it. Of a closed incident it changes nothing, since calls may arrive late.
	//
	// A firing that raises the status above all statuses that the incident had since it
	// was acknowledged ends the acknowledgement, with an Unacknowledged activity. Closing
	// the incident keeps the acknowledgement without its end, and reopening removes it.
	Acknowledge(ctx context.Context, key Key, a Acknowledgement) (Result, error)

	// Assign makes a user responsible for an active incident, and subscribes both users.
	// Of a closed incident, and if the user is responsible already, it changes nothing.
	// The assignee stays when the incident is closed and reopened.
	//
	// It returns [ErrInvalid] if the Authorizer does not let the assignee in.
	Assign(ctx context.Context, key Key, a Assignment) (Result, error)

	// AcknowledgeAll acknowledges up to [MaxBulk] incidents, by the rules of
	// [IncidentManager.UpdateStatusAll].
	AcknowledgeAll(ctx context.Context, keys []Key, a Acknowledgement) ([]BulkResult, error)
}

// decideAcknowledgement is the rule for an acknowledgement.
func decideAcknowledgement(before *State, a Acknowledgement, now time.Time) (decision, error) {
	response := before.Incident.Response
	held := response.acknowledged(now)
	changes := !held || a.moves(response)
	if a.Withdraw {
		changes = held
	}
	if !changes || !before.Incident.Status.Active() {
		return unchanged(before), nil
	}
	activity := Activity{
		Incident:         before.Incident.Key(),
		Type:             ActivityTypeAcknowledged,
		UserID:           a.UserID,
		Comment:          a.Comment,
		NotificationUUID: a.NotificationUUID,
		DateAdded:        now,
	}
	after := before.clone()
	switch {
	case a.Withdraw:
		activity.Type = ActivityTypeUnacknowledged
		after.Incident.Response = response.unacknowledged()
	case held:
		activity.Field, activity.Old, activity.New = fieldUntil, dateText(response.AcknowledgedUntil), dateText(&a.Until)
		after.Incident.Response.AcknowledgedUntil = &a.Until
	default:
		after.Incident.Response = &Response{
			Assignee:           response.assignee(),
			AcknowledgedBy:     a.UserID,
			DateAcknowledged:   &now,
			AcknowledgedStatus: before.Incident.Status,
		}
		if !a.Until.IsZero() {
			activity.Field, activity.New = fieldUntil, dateText(&a.Until)
			after.Incident.Response.AcknowledgedUntil = &a.Until
		}
	}
	return decision{
		before:        before,
		after:         after,
		activities:    []Activity{activity},
		subscriptions: subscriptions(activity.Incident, subscribersOf(a.UserID, nil), now),
	}, nil
}

// moves reports whether a gives the acknowledgement another end.
func (a *Acknowledgement) moves(r *Response) bool {
	return !a.Until.IsZero() && (r.AcknowledgedUntil == nil || !r.AcknowledgedUntil.Equal(a.Until))
}

// decideAssignment is the rule for an assignment.
func decideAssignment(before *State, a Assignment, now time.Time) (decision, error) {
	held := before.Incident.Response.assignee()
	if !before.Incident.Status.Active() || held == a.Assignee {
		return unchanged(before), nil
	}
	after := before.clone()
	after.Incident.Response = before.Incident.Response.assigned(a.Assignee)
	var others []UserID
	if a.Assignee != "" {
		others = []UserID{a.Assignee}
	}
	return decision{
		before: before,
		after:  after,
		activities: []Activity{{
			Incident:         before.Incident.Key(),
			Type:             ActivityTypeAssigned,
			UserID:           a.UserID,
			Field:            fieldAssignee,
			Old:              string(held),
			New:              string(a.Assignee),
			Comment:          a.Comment,
			NotificationUUID: a.NotificationUUID,
			DateAdded:        now,
		}},
		subscriptions: subscriptions(before.Incident.Key(), subscribersOf(a.UserID, others), now),
		mustAdmit:     a.Assignee,
	}, nil
}

// respond is the rule for the response to a status that a person set: closing the incident
// removes the end of the acknowledgement, reopening removes the acknowledgement, and a
// higher status is covered by it.
func (s *State) respond(from Status) {
	r, to := s.Incident.Response, s.Incident.Status
	if r == nil {
		return
	}
	switch {
	case to == StatusClosed:
		r.AcknowledgedUntil = nil
	case from == StatusClosed:
		s.Incident.Response = r.unacknowledged()
	case r.DateAcknowledged != nil:
		r.AcknowledgedStatus = max(r.AcknowledgedStatus, to)
	}
}

// escalate is the rule for the response to a firing: a status above the acknowledged status
// ends the acknowledgement.
func (s *State) escalate(log []Activity, trigger TriggerID, at, now time.Time) []Activity {
	r := s.Incident.Response
	if !r.acknowledged(now) || s.Incident.Status <= r.AcknowledgedStatus {
		return log
	}
	s.Incident.Response = r.unacknowledged()
	return append(log, Activity{
		Incident:  s.Incident.Key(),
		Type:      ActivityTypeUnacknowledged,
		TriggerID: trigger,
		DateAdded: at,
	})
}

// check validates a, and makes Until canonical.
func (a *Acknowledgement) check(now time.Time) error {
	if a.Withdraw && !a.Until.IsZero() {
		return invalid("until", "must be zero to withdraw an acknowledgement")
	}
	if !a.Until.IsZero() {
		until, err := checkBound("until", a.Until)
		switch {
		case err != nil:
			return err
		case !until.After(now):
			return invalid("until", "must be in the future")
		}
		a.Until = until
	}
	return checkRemark(a.UserID, a.Comment, a.ExpectVersion)
}

func (a *Assignment) check() error {
	if err := checkID("assignee", a.Assignee, true); err != nil {
		return err
	}
	return checkRemark(a.UserID, a.Comment, a.ExpectVersion)
}

// checkRemark validates the parameters that the updates of an incident share.
func checkRemark(user UserID, comment string, expectVersion int64) error {
	if expectVersion < 0 {
		return invalid("version", "must not be negative")
	}
	if err := checkID("userId", user, true); err != nil {
		return err
	}
	return checkComment(comment, false)
}
