package incident

import (
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Duplicate holds the parameters of [IncidentManager.MarkDuplicate].
type Duplicate struct {
	// Of is the identifier of the incident that is repeated.
	Of int64 `json:"duplicateOf,string"`

	// UserID is the user who marks the incident. Empty for a program.
	UserID UserID `json:"userId,omitzero"`

	// Comment is a remark for the activity, at most [MaxCommentSize] bytes. May be empty.
	Comment string `json:"comment,omitzero"`

	// ExpectVersion is the [Incident.Version] that the caller has seen. MarkDuplicate
	// returns [ErrVersionConflict] if the incident has another version. 0 permits any.
	ExpectVersion int64 `json:"version,omitzero"`

	// NotificationUUID is the idempotency key of the call and the UUID of its first
	// activity: see [StatusUpdate.NotificationUUID].
	NotificationUUID uuid.UUID `json:"notificationUuid,omitzero"`
}

// decideDuplicate is the rule for a duplicate of another incident: the duplicate is closed. The
// other incident must not be a duplicate itself. So the mark that would complete a circle is
// refused: the incident that it names has a mark already.
func decideDuplicate(before, other *State, d *Duplicate, now time.Time) (decision, error) {
	if before.Incident.DuplicateOf == d.Of {
		return unchanged(before), nil
	}
	if original := other.Incident.DuplicateOf; original != 0 {
		return decision{}, invalid("duplicateOf", "names a duplicate of incident %d", original)
	}
	after, log := before, []Activity{{
		Incident:         before.Incident.Key(),
		Type:             ActivityTypeMarkedDuplicate,
		UserID:           d.UserID,
		Field:            fieldDuplicateOf,
		Old:              identifierText(before.Incident.DuplicateOf),
		New:              identifierText(d.Of),
		Comment:          d.Comment,
		NotificationUUID: d.NotificationUUID,
		DateAdded:        now,
	}}
	if before.Incident.Status.Active() {
		var err error
		if after, err = transition(before, StatusClosed, StatusMethodManual, now, now, false); err != nil {
			return decision{}, err
		}
		log = statusChange(log, before.Incident.Status, &after.Incident, now)
		log[1].UserID = d.UserID
	} else {
		after = before.clone()
	}
	after.Incident.DuplicateOf = d.Of
	return decision{
		before:        before,
		after:         after,
		activities:    log,
		subscriptions: subscriptions(before.Incident.Key(), subscribersOf(d.UserID, nil), now),
	}, nil
}

// identifierText returns an identifier as the text of an activity. Empty for 0.
func identifierText(identifier int64) string {
	if identifier == 0 {
		return ""
	}
	return strconv.FormatInt(identifier, 10)
}

func (d *Duplicate) check(key Key) error {
	switch {
	case d.Of <= 0:
		return invalid("duplicateOf", "must be positive")
	case d.Of == key.Identifier:
		return invalid("duplicateOf", "must name another incident")
	}
	return checkRemark(d.UserID, d.Comment, d.ExpectVersion)
}
