package incident

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// ActivityType is what happened. The numbers are Sentry's.
type ActivityType int

// The types of an activity.
const (
	// ActivityTypeCreated is the recording of the incident. Its Value is the
	// status that the incident began with.
	ActivityTypeCreated ActivityType = 1
	// ActivityTypeStatusChange is a change from PreviousValue to Value.
	ActivityTypeStatusChange ActivityType = 2
	// ActivityTypeComment is what a user wrote.
	ActivityTypeComment ActivityType = 3
	// ActivityTypeDetected is when the incident was noticed: its DateAdded is
	// the incident's DateDetected.
	ActivityTypeDetected ActivityType = 4
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
	}
	return "ActivityType(" + strconv.Itoa(int(t)) + ")"
}

// Activity is one entry of an incident's history. It never changes, but for
// the text of a comment.
type Activity struct {
	Incident Key `json:"incident"`

	// Sequence orders the activities of the incident: 1, 2, 3 … without a gap.
	// Their dates need not be in this order.
	Sequence int64 `json:"id,string"`

	Type ActivityType `json:"type"`

	// UserID is whose doing it was. Empty for a program's.
	UserID UserID `json:"user"`

	// Value and PreviousValue are the statuses after and before a StatusChange.
	Value         Status `json:"value,string,omitzero"`
	PreviousValue Status `json:"previousValue,string,omitzero"`

	// Comment is the text of a Comment, or what a user said about a
	// StatusChange. It is empty once it was deleted.
	Comment string `json:"comment"`

	// NotificationUUID is unique in the organization. It makes the write safe
	// to repeat, and tells a receiver of notifications which it has had.
	NotificationUUID uuid.UUID `json:"notificationUuid"`

	DateAdded time.Time `json:"dateCreated"`

	// DateEdited is when the comment was last edited, DateDeleted when it was
	// deleted. Nil if it was not.
	DateEdited  *time.Time `json:"dateEdited"`
	DateDeleted *time.Time `json:"dateDeleted"`

	// Revision counts the edits and the deletion.
	Revision int64 `json:"revision"`
}

// Clone returns a copy that shares no memory with a.
func (a Activity) Clone() Activity {
	a.DateEdited = cloneTime(a.DateEdited)
	a.DateDeleted = cloneTime(a.DateDeleted)
	return a
}

// NewComment is what [ActivityManager.Comment] writes.
type NewComment struct {
	// UserID is the author. Required.
	UserID UserID

	// Comment is the text: 1 to 65,536 bytes that are not all blank. Its lines end
	// with a newline alone: a carriage return is refused like all control
	// characters but newline and tab.
	Comment string

	// Mentions are users who become subscribed with the author, at most 1,000.
	// Where there is an [Authorizer], it must let all of them in.
	Mentions []UserID

	// Date is when the comment was made. Defaults to now.
	Date time.Time

	// NotificationUUID is the idempotency key of the call and names the
	// activity: a second comment with it returns the first and writes nothing.
	// Defaults to a new one.
	NotificationUUID uuid.UUID
}

// CommentEdit is a change to a comment: [ActivityManager.EditComment] gives it a new
// text, [ActivityManager.DeleteComment] takes its text away.
type CommentEdit struct {
	// Sequence is that of the comment's activity.
	Sequence int64

	// UserID is who asks. Only the author may, or a moderator.
	UserID UserID

	// Moderator is the host's word that the user may change others' comments.
	Moderator bool

	// Comment is the new text. It must be empty for a deletion.
	Comment string
}

// ActivityFilter selects activities of one incident.
type ActivityFilter struct {
	// Descending turns the order to the latest first.
	Descending bool

	// Cursor is [ActivityPage.Next] of the page before, of the same incident
	// and direction. Empty for the first page.
	Cursor string

	// Limit is the size of the page, 1 to 100. Defaults to 25.
	Limit int
}

// ActivityPage is a part of an incident's activities, in order of Sequence. The
// list is never nil.
type ActivityPage struct {
	Activities []Activity

	// Next is the cursor of the page after this one. Empty on the last.
	Next string
}

// ActivityManager is the activities' part of [Manager].
type ActivityManager interface {
	// Activities returns a page of an incident's history.
	Activities(ctx context.Context, key Key, f ActivityFilter) (ActivityPage, error)

	// Comment adds a comment and subscribes its author and those mentioned.
	Comment(ctx context.Context, key Key, n NewComment) (Activity, error)

	// EditComment gives a comment a new text and returns it with its edit time.
	// It returns [ErrForbidden] to anyone but the author or a moderator,
	// [ErrNotFound] for a comment that was deleted, and [ErrInvalid] for an
	// activity that is not a comment. The same text changes nothing.
	EditComment(ctx context.Context, key Key, e CommentEdit) (Activity, error)

	// DeleteComment takes a comment's text away and leaves a tombstone in its
	// place. It returns the errors of EditComment, but deleting what is deleted
	// changes nothing.
	DeleteComment(ctx context.Context, key Key, e CommentEdit) (Activity, error)
}

// ActivityQuery is an [ActivityFilter] as a [Store] gets it.
type ActivityQuery struct {
	// After is the sequence that the page starts behind, in its direction. 0 for
	// the beginning.
	After      int64
	Descending bool
	Limit      int // the most that may be returned, 1 to 101
}

// ActivityLog is a part of an incident's activities, and the [Incident.Version] that the
// incident had when they were read: they tell of all changes up to that one.
type ActivityLog struct {
	Activities []Activity
	Version    int64
}

// ActivityStore persists the activities of incidents.
type ActivityStore interface {
	// Activities returns at most q.Limit activities in order of Sequence, never
	// of a date. It must return [ErrNotFound] if the incident does not exist.
	Activities(ctx context.Context, key Key, q ActivityQuery) (ActivityLog, error)

	// Activity returns one of them. It must return [ErrNotFound] if the incident
	// or the activity does not exist.
	Activity(ctx context.Context, key Key, sequence int64) (Activity, error)

	// ReviseActivity stores the Comment, DateEdited, DateDeleted and Revision of
	// a in the activity of its Incident and Sequence. It must return
	// [ErrNotFound] if that does not exist, and [ErrVersionConflict] if the
	// stored Revision is not a.Revision - 1.
	ReviseActivity(ctx context.Context, a Activity) error
}

// opening is the rule of what is logged when an incident is created: that it was
// detected, and that it was recorded.
func opening(log []Activity, inc *Incident, user UserID) []Activity {
	return append(log,
		Activity{
			Incident:  inc.Key(),
			Type:      ActivityTypeDetected,
			UserID:    user,
			DateAdded: inc.DateDetected,
		},
		Activity{
			Incident:  inc.Key(),
			Type:      ActivityTypeCreated,
			UserID:    user,
			Value:     inc.Status,
			DateAdded: inc.DateAdded,
		})
}

// statusChange is the rule of what is logged when an incident's status may have
// changed: one activity more if it has, with the true previous status.
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

// edit is the rule of who may give a comment which text. It returns the comment
// as it is if nothing changes.
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

// remove is the rule of who may delete a comment.
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
		return invalid("sequence", "is not that of a comment; only comments can be changed")
	case a.UserID != e.UserID && !e.Moderator:
		return fmt.Errorf("only its author or a moderator may change a comment: %w", ErrForbidden)
	}
	return nil
}

// check returns the date of the comment, and sorts its mentions.
func (n *NewComment) check(now time.Time) (at time.Time, err error) {
	if err := checkID("userId", n.UserID, false); err != nil {
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
