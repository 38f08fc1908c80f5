package incident

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// ActivityType is the kind of an activity. The numbers below 100 are Sentry's; the others belong
// to this package.
type ActivityType int

// The types of an activity.
const (
	// ActivityTypeCreated records the creation of the incident. Value is its first
	// status.
	ActivityTypeCreated ActivityType = 1
	// ActivityTypeStatusChange is a change from PreviousValue to Value.
	ActivityTypeStatusChange ActivityType = 2
	// ActivityTypeComment is a comment of a user or a program.
	ActivityTypeComment ActivityType = 3
	// ActivityTypeDetected records that the incident was noticed. DateAdded is the
	// incident's DateDetected.
	ActivityTypeDetected ActivityType = 4

	// ActivityTypeAcknowledged records that a user works on the incident. If the
	// acknowledgement has an end, New is the end, as [time.RFC3339Nano].
	ActivityTypeAcknowledged ActivityType = 100
	// ActivityTypeUnacknowledged records that a user withdrew the acknowledgement, or that a
	// trigger raised the status above the acknowledged status. The latter has a TriggerID.
	ActivityTypeUnacknowledged ActivityType = 101
	// ActivityTypeAssigned is a change of the assignee from Old to New. Empty for nobody.
	ActivityTypeAssigned ActivityType = 102
	// ActivityTypeEdited is a change of Field from Old to New.
	ActivityTypeEdited ActivityType = 103
	// ActivityTypeTriggerFired records that the trigger became active, or changed its
	// severity, and the status stayed. Value is the severity. PreviousValue is the severity
	// before, 0 if the trigger was not active.
	ActivityTypeTriggerFired ActivityType = 104
	// ActivityTypeTriggerResolved records that the trigger was resolved, and the status
	// stayed. PreviousValue is the severity of the trigger.
	ActivityTypeTriggerResolved ActivityType = 105
	// ActivityTypeProjectLinked records that the incident affects the project New.
	ActivityTypeProjectLinked ActivityType = 106
	// ActivityTypeProjectUnlinked records that the incident no longer affects the project
	// Old.
	ActivityTypeProjectUnlinked ActivityType = 107
	// ActivityTypeMarkedDuplicate records that the incident repeats the incident whose
	// identifier is New.
	ActivityTypeMarkedDuplicate ActivityType = 108
)

func (t ActivityType) String() string {
	switch t {
	case ActivityTypeCreated:
		return "Created"
	case ActivityTypeStatusChange:
		return "StatusChange"
	case ActivityTypeComment:
		return "Comment"
	case ActivityTypeDetected:
		return "Detected"
	case ActivityTypeAcknowledged:
		return "Acknowledged"
	case ActivityTypeUnacknowledged:
		return "Unacknowledged"
	case ActivityTypeAssigned:
		return "Assigned"
	case ActivityTypeEdited:
		return "Edited"
	case ActivityTypeTriggerFired:
		return "TriggerFired"
	case ActivityTypeTriggerResolved:
		return "TriggerResolved"
	case ActivityTypeProjectLinked:
		return "ProjectLinked"
	case ActivityTypeProjectUnlinked:
		return "ProjectUnlinked"
	case ActivityTypeMarkedDuplicate:
		return "MarkedDuplicate"
	}
	return "ActivityType(" + strconv.Itoa(int(t)) + ")"
}

func (t ActivityType) known() bool {
	return t >= ActivityTypeCreated && t <= ActivityTypeDetected || t >= ActivityTypeAcknowledged && t <= ActivityTypeMarkedDuplicate
}

// Activity is an entry in the history of an incident. Only comments can change: their
// text can be edited or deleted.
type Activity struct {
	Incident Key `json:"incident"`

	// Sequence orders the activities of the incident: 1, 2, 3 … without a gap.
	// Their dates need not be in this order.
	Sequence int64 `json:"id,string"`

	Type ActivityType `json:"type"`

	// UserID is the user who acted. Empty for a program.
	UserID UserID `json:"user"`

	// Value and PreviousValue are the statuses after and before a StatusChange.
	Value         Status `json:"value,string,omitzero"`
	PreviousValue Status `json:"previousValue,string,omitzero"`

	// TriggerID is the trigger whose firing or resolution caused the activity. Empty if
	// there is none.
	TriggerID TriggerID `json:"alertRuleTrigger,omitzero"`

	// Field names the changed field: "title", "dateStarted", "acknowledgedUntil",
	// "assignee", "project", "duplicateOf", or "labels." or "annotations." and a name. Old
	// and New are its texts before and after the change. Dates are [time.RFC3339Nano].
	// Empty in other activities.
	Field string `json:"field,omitzero"`
	Old   string `json:"old,omitzero"`
	New   string `json:"new,omitzero"`

	// Comment is the text of a Comment, or a remark on another activity. Deleting the
	// comment empties it.
	Comment string `json:"comment"`

	// NotificationUUID is unique in the organization. It makes the write safe to
	// repeat, and lets a receiver recognize a repeated notification.
	NotificationUUID uuid.UUID `json:"notificationUuid"`

	DateAdded time.Time `json:"dateCreated"`

	// DateEdited is when the comment was last edited, DateDeleted when it was
	// deleted. Nil if that has not happened.
	DateEdited  *time.Time `json:"dateEdited"`
	DateDeleted *time.Time `json:"dateDeleted"`

	// Revision counts edits and the deletion.
	Revision int64 `json:"revision"`
}

// Clone returns a copy that shares no memory with a.
func (a Activity) Clone() Activity {
	a.DateEdited = cloneTime(a.DateEdited)
	a.DateDeleted = cloneTime(a.DateDeleted)
	return a
}

// NewComment holds the parameters of [ActivityManager.Comment].
type NewComment struct {
	// UserID is the author. Empty for a program, whose comment only a moderator can change.
	UserID UserID `json:"userId,omitzero"`

	// Comment is the text: 1 to [MaxCommentSize] bytes, not all blank, without control
	// characters other than newline and tab. A carriage return is refused.
	Comment string `json:"comment"`

	// Mentions lists users to subscribe beside the author, at most [MaxMentions]. An
	// [Authorizer] must let all of them in.
	Mentions []UserID `json:"mentions,omitzero"`

	// Date is when the comment was made. Defaults to now.
	Date time.Time `json:"date,omitzero"`

	// NotificationUUID is the idempotency key of the call and the UUID of the
	// activity. A later comment with the same UUID writes nothing and returns the
	// first. Defaults to a new UUID.
	NotificationUUID uuid.UUID `json:"notificationUuid,omitzero"`
}

// CommentEdit holds the parameters of [ActivityManager.EditComment] and
// [ActivityManager.DeleteComment].
type CommentEdit struct {
	// Sequence is the sequence of the comment.
	Sequence int64 `json:"sequence,string"`

	// UserID is the user who edits: the author, or any user if Moderator is set. Required.
	UserID UserID `json:"userId"`

	// Moderator permits the user to change the comments of others. The host decides.
	Moderator bool `json:"moderator,omitzero"`

	// Comment is the new text. It must be empty for DeleteComment.
	Comment string `json:"comment,omitzero"`
}

// ActivityFilter selects activities of an incident.
type ActivityFilter struct {
	// Descending returns the latest activity first.
	Descending bool `json:"descending,omitzero"`

	// Cursor is the [ActivityPage.Next] of the previous page, for the same incident
	// and direction. Empty for the first page.
	Cursor string `json:"cursor,omitzero"`

	// Limit is the size of the page, 1 to [MaxPageSize]. Defaults to
	// [DefaultPageSize].
	Limit int `json:"limit,omitzero"`
}

// ActivityPage is a page of an incident's activities, in order of Sequence. The list
// is never nil.
type ActivityPage struct {
	Activities []Activity `json:"activities"`

	// Next is the cursor of the next page. Empty on the last page.
	Next string `json:"next,omitzero"`
}

// ActivityManager is the activities' part of [Manager].
type ActivityManager interface {
	// Activities returns a page of an incident's history.
	Activities(ctx context.Context, key Key, f ActivityFilter) (ActivityPage, error)

	// Comment adds a comment, and subscribes the author and the mentioned users.
	Comment(ctx context.Context, key Key, n NewComment) (Activity, error)

	// EditComment replaces the text of a comment and returns the comment. The same
	// text changes nothing.
	//
	// It returns [ErrForbidden] unless the user is the author or a moderator,
	// [ErrNotFound] if the comment was deleted, and [ErrInvalid] if the activity is
	// not a comment.
	EditComment(ctx context.Context, key Key, e CommentEdit) (Activity, error)

	// DeleteComment empties the text of a comment and sets its DateDeleted; the
	// activity remains. It returns the errors of EditComment, except that deleting a
	// deleted comment changes nothing.
	DeleteComment(ctx context.Context, key Key, e CommentEdit) (Activity, error)
}

// ActivityQuery is an [ActivityFilter] as a [Store] receives it.
type ActivityQuery struct {
	// After excludes the activities up to this sequence, in the direction of the
	// page. 0 for the first page.
	After      int64
	Descending bool
	Limit      int // 1 to MaxPageSize + 1
}

// ActivityLog is a page of an incident's activities, read together with the
// [Incident.Version]. The activities of all changes up to that version had been
// appended.
type ActivityLog struct {
	Activities []Activity
	Version    int64
}

// ActivityStore persists the activities of incidents.
type ActivityStore interface {
	// Activities returns at most q.Limit activities in order of Sequence, not of
	// date. It must return [ErrNotFound] if the incident does not exist.
	Activities(ctx context.Context, key Key, q ActivityQuery) (ActivityLog, error)

	// Activity returns an activity. It must return [ErrNotFound] if the incident or
	// the activity does not exist.
	Activity(ctx context.Context, key Key, sequence int64) (Activity, error)

	// ReviseActivity writes Comment, DateEdited, DateDeleted and Revision of a to the
	// activity with a's Incident and Sequence. It must return [ErrNotFound] if that
	// activity does not exist, and [ErrVersionConflict] if its Revision is not
	// a.Revision - 1.
	ReviseActivity(ctx context.Context, a Activity) error
}

// opening is the rule for the activities of a new incident: Detected, then Created.
func opening(log []Activity, inc *Incident, user UserID) []Activity {
	return append(log,
		Activity{
			Incident:  inc.key(),
			Type:      ActivityTypeDetected,
			UserID:    user,
			DateAdded: inc.DateDetected,
		},
		Activity{
			Incident:  inc.key(),
			Type:      ActivityTypeCreated,
			UserID:    user,
			Value:     inc.Status,
			DateAdded: inc.DateAdded,
		})
}

// statusChange is the rule for the activity of a status change. It appends none if the
// status is the previous status.
func statusChange(log []Activity, previous Status, after *Incident, at time.Time) []Activity {
	if previous == after.Status {
		return log
	}
	return append(log, Activity{
		Incident:      after.Key(),
		Type:          ActivityTypeStatusChange,
		PreviousValue: previous,
		Value:         after.Status,
		DateAdded:     at,
	})
}

// edit is the rule for editing a comment. It returns the comment unchanged if it has
// the text already.
func (e CommentEdit) edit(a Activity, at time.Time) (Activity, error) {
	switch err := e.permitted(a); {
	case err != nil:
		return a, err
	case a.DateDeleted != nil:
		return a, fmt.Errorf("the comment was deleted: %w", ErrNotFound)
	case a.Comment == e.Comment:
		return a, nil
	}
	a.Comment, a.DateEdited = e.Comment, &at
	a.Revision++
	return a, nil
}

// remove is the rule for deleting a comment. It returns a deleted comment unchanged.
func (e CommentEdit) remove(a Activity, at time.Time) (Activity, error) {
	if err := e.permitted(a); err != nil || a.DateDeleted != nil {
		return a, err
	}
	a.Comment, a.DateDeleted = "", &at
	a.Revision++
	return a, nil
}

func (e CommentEdit) permitted(a Activity) error {
	switch {
	case a.Type != ActivityTypeComment:
		return invalid("sequence", "does not name a comment; only comments can be changed")
	case a.UserID != e.UserID && !e.Moderator:
		return fmt.Errorf("only the author or a moderator may change a comment: %w", ErrForbidden)
	}
	return nil
}

// check validates n, sorts its mentions, and returns the date of the comment.
func (n *NewComment) check(now time.Time) (at time.Time, err error) {
	if err := checkID("userId", n.UserID, true); err != nil {
		return at, err
	}
	if err := checkComment(n.Comment, true); err != nil {
		return at, err
	}
	if n.Mentions, err = checkIDs("mentions", n.Mentions, MaxMentions); err != nil {
		return at, err
	}
	return checkDate("date", n.Date, now, now)
}
