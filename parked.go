package incident

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// ParkedNotification is a notification that was given up.
type ParkedNotification struct {
	Incident Key `json:"incident"`

	// Notifier is the name of its [Notifier]. Empty for the Notifier without a name.
	Notifier string `json:"notifier,omitzero"`

	// Sequence is the sequence of its activity. 0 for a reminder.
	Sequence int64 `json:"activity,string,omitzero"`

	// Reminder is the reminder. Nil for an activity.
	Reminder *Reminder `json:"reminder,omitzero"`

	// NotificationUUID is the UUID of the activity or the reminder.
	NotificationUUID uuid.UUID `json:"notificationUuid"`

	// Attempts counts the attempts to deliver it. Error is the error of the last attempt, cut
	// to [MaxParkedError] bytes after a word.
	Attempts int    `json:"attempts"`
	Error    string `json:"error"`

	DateParked time.Time `json:"dateParked"`
}

// MaxParkedError bounds [ParkedNotification.Error], in bytes.
const MaxParkedError = 1000

// ParkedFilter selects parked notifications.
type ParkedFilter struct {
	// OrganizationID is the organization. Required.
	OrganizationID OrganizationID `json:"organizationId"`

	// Notifier is the name of the [Notifier]. Empty for the Notifier without a name. It need
	// not be one of the Manager's.
	Notifier string `json:"notifier,omitzero"`

	// Identifier selects the notifications of an incident. 0 for all incidents.
	Identifier int64 `json:"identifier,string,omitzero"`

	// Cursor is [ParkedPage.Next] of the previous page of the same filter. Empty for the
	// first page.
	Cursor string `json:"cursor,omitzero"`

	// Limit is the size of the page, 1 to 100. Defaults to 25.
	Limit int `json:"limit,omitzero"`
}

// ParkedPage is a page of parked notifications, in order of the incident's identifier, the
// reminder's name, then Sequence or the reminder's At. Activities come before reminders. The
// list is never nil.
type ParkedPage struct {
	Notifications []ParkedNotification `json:"notifications"`

	// Next is the cursor of the next page. Empty on the last page.
	Next string `json:"next,omitzero"`
}

// ParkedSelection selects parked notifications to replay or discard.
type ParkedSelection struct {
	// OrganizationID is the organization. Required.
	OrganizationID OrganizationID `json:"organizationId"`

	// Notifier is the name of the [Notifier]. Empty for the Notifier without a name. It need
	// not be one of the Manager's.
	Notifier string `json:"notifier,omitzero"`

	// Identifier selects the notifications of an incident. 0 for all incidents.
	Identifier int64 `json:"identifier,string,omitzero"`
}

// NotificationManager is the part of [Manager] for notifications that were not delivered. It
// returns [ErrInvalid] if the store is not an [OutboxStore].
type NotificationManager interface {
	// Parked returns a page of parked notifications.
	Parked(ctx context.Context, f ParkedFilter) (ParkedPage, error)

	// Replay queues parked notifications again, and returns their number. Their attempts are
	// counted from the beginning. They are delivered in no order with each other and with
	// later notifications. A replayed reminder is delivered unless a condition of its Unless
	// holds by then.
	//
	// Replay returns [ErrNotFound] if the Identifier does not exist. It works in batches of
	// 1,000: after an error, the number counts the batches that were written. Notifications
	// that are parked during the call may be left.
	Replay(ctx context.Context, s ParkedSelection) (int, error)

	// DiscardParked deletes parked notifications, and returns their number. They are never
	// delivered. Its errors and batches are those of Replay.
	DiscardParked(ctx context.Context, s ParkedSelection) (int, error)

	// Discard deletes everything that waits for a notifier in all organizations: queued
	// and parked notifications, and reminders. It returns their number. It is for a notifier
	// that was taken from the options of all processes: the notifications that were queued
	// for it stay until then, and [Stats] counts them as Abandoned.
	//
	// Discard returns [ErrInvalid] for a notifier in the Manager's options, and in a
	// transaction. It works in batches, as Replay does. Another process that still has the
	// notifier may queue more.
	Discard(ctx context.Context, notifier string) (int, error)
}
