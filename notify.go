package incident

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// Notifier is how the host tells people and other systems what happened. A Manager
// that has one queues each activity in the same commit that writes it, and
// [Manager.Run] calls Notify for it: at least once, and without a fault exactly once,
// whatever is killed meanwhile and however many processes run.
//
// The activities of one incident come one after the other, in order of Sequence, each
// when the one before was delivered or given up. Those of different incidents come side
// by side: Notify must be safe for use by many goroutines.
type Notifier interface {
	// Notify delivers n. Nil means that it was delivered. After an error it is called
	// again later, after ever longer times: see [NotifyOptions]. An error that matches
	// [ErrUndeliverable] gives the notification up at once, and a [*RetryAfterError] says
	// when to call again. A panic is an error too.
	//
	// ctx ends after [NotifyOptions.Timeout], and when Run has to stop. A call that goes
	// on for long after that counts as failed, and is left behind: what it then still
	// sends comes twice.
	//
	// A receiver that must not act twice remembers the organization and the
	// [Activity.NotificationUUID], which are the same in each repetition, and unique
	// together. That a comment was edited or deleted is not notified.
	Notify(ctx context.Context, n Notification) error
}

// NotifierFunc makes a [Notifier] of a function.
type NotifierFunc func(ctx context.Context, n Notification) error

// Notify implements [Notifier].
func (f NotifierFunc) Notify(ctx context.Context, n Notification) error { return f(ctx, n) }

// NotifyElsewhere is the [Options.Notifier] of a process that writes and leaves the
// delivery to others, which have a real one.
var NotifyElsewhere Notifier = notifyElsewhere{}

type notifyElsewhere struct{}

func (notifyElsewhere) Notify(context.Context, Notification) error {
	return errors.New("incident: NotifyElsewhere delivers nothing")
}

// Notification is an activity that the host is to tell of. Its memory belongs to the
// host.
type Notification struct {
	// Activity is what happened. A comment that was edited or deleted since has its
	// present text.
	Activity Activity `json:"activity"`

	// Incident is a copy as of this attempt, which is as of the activity's commit or
	// later.
	Incident Incident `json:"incident"`

	// Recipients are who follows the incident as of this attempt, in ascending order. The
	// user whose doing it was is left out, and so are those whom the [Authorizer] does not
	// let in now. They go on following, and get the next notification if they have access
	// then. There are no recipients of a Detected and a Created activity: whom to page for a
	// new incident is the host's to know.
	Recipients []UserID `json:"recipients"`

	// Attempt counts the calls for this notification in all processes, from 1.
	Attempt int `json:"attempt"`

	// Replayed means that the notification was parked and replayed, so that those of its
	// incident which follow it may have come before.
	Replayed bool `json:"replayed"`
}

// ErrUndeliverable means that trying again is of no use. A [Notifier] returns an error
// that matches it to give a notification up.
var ErrUndeliverable = errors.New("undeliverable")

// RetryAfterError is what a [Notifier] returns when the receiver has said how long to
// wait.
type RetryAfterError struct {
	// After is the least time until the next attempt.
	After time.Duration
	Err   error
}

func (e *RetryAfterError) Error() string {
	return fmt.Sprintf("again in %v at the earliest: %v", e.After, e.Err)
}

// Unwrap returns Err.
func (e *RetryAfterError) Unwrap() error { return e.Err }

// NotifyOptions tunes the delivery of notifications. The zero value is ready to use. A
// duration of math.MaxInt64 means for ever.
type NotifyOptions struct {
	// Concurrency is how many notifications a process delivers at the same time, which
	// is also how many a crash of it may repeat at most. No organization takes more than
	// three quarters of them, and while there are others at least one is left for an
	// organization that has none.
	//
	// Receivers that hang, or whose answers take more than half of Timeout or 5 s, get fewer
	// places, so that they hold up no other organization.
	//
	// At most [MaxNotifyConcurrency]. Defaults to [DefaultNotifyConcurrency].
	Concurrency int

	// Timeout is how long a call of the Notifier may last. Another process tries again
	// a notification whose process has died 5 s after that.
	//
	// Defaults to [DefaultNotifyTimeout].
	Timeout time.Duration

	// MaxAttempts is after how many failures a notification is given up: it is parked, as
	// [NotificationManager.Parked] tells, and the next one of its incident goes on. It
	// counts the attempts of a process that died.
	//
	// Defaults to [DefaultNotifyAttempts], which take about two hours with the default
	// Backoff.
	MaxAttempts int

	// Backoff returns how long to wait after the n-th failure, from 1.
	//
	// Defaults to 1 s, and twice as much after each failure up to 10 minutes, all of them
	// up to a quarter longer or shorter at random.
	Backoff func(n int) time.Duration

	// PollInterval is how often the store is asked for what other processes have queued
	// and do not deliver, and for what was written in a transaction that the host has
	// committed itself. What a process writes otherwise it delivers at once. For 2 s after
	// it has delivered something, or has read from a shared store through its cache, it
	// asks every 40 ms.
	//
	// Defaults to [DefaultNotifyPollInterval].
	PollInterval time.Duration

	// Grace is how long Run goes on with what is being delivered when it has to stop.
	//
	// Defaults to Timeout.
	Grace time.Duration
}

// The defaults of [NotifyOptions].
const (
	DefaultNotifyConcurrency  = 16
	DefaultNotifyTimeout      = 10 * time.Second
	DefaultNotifyAttempts     = 20
	DefaultNotifyPollInterval = time.Second
)

// MaxNotifyConcurrency is the most that [NotifyOptions.Concurrency] may be.
const MaxNotifyConcurrency = 10_000

// withDefaults returns a completed copy.
func (o NotifyOptions) withDefaults() (NotifyOptions, error) {
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"Concurrency", int64(o.Concurrency)},
		{"Timeout", int64(o.Timeout)},
		{"MaxAttempts", int64(o.MaxAttempts)},
		{"PollInterval", int64(o.PollInterval)},
		{"Grace", int64(o.Grace)},
	} {
		if f.value < 0 {
			return o, invalid("Notify."+f.name, "must not be negative")
		}
	}
	if o.Concurrency > MaxNotifyConcurrency {
		return o, invalid("Notify.Concurrency", "must not be more than %d", MaxNotifyConcurrency)
	}
	o.Concurrency = cmp.Or(o.Concurrency, DefaultNotifyConcurrency)
	o.Timeout = cmp.Or(o.Timeout, DefaultNotifyTimeout)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, DefaultNotifyAttempts)
	o.PollInterval = cmp.Or(o.PollInterval, DefaultNotifyPollInterval)
	o.Grace = cmp.Or(o.Grace, o.Timeout)
	if o.Backoff == nil {
		o.Backoff = backoff
	}
	return o, nil
}

// backoff is the default of [NotifyOptions.Backoff].
func backoff(n int) time.Duration {
	const first, longest = time.Second, 10 * time.Minute
	d := longest
	if n < 10 {
		d = min(first<<(n-1), longest)
	}
	return d*3/4 + rand.N(d/2)
}

// ParkedNotification is one that was given up.
type ParkedNotification struct {
	Incident Key `json:"incident"`

	// Sequence is that of its activity, whose NotificationUUID it has.
	Sequence         int64     `json:"activity,string"`
	NotificationUUID uuid.UUID `json:"notificationUuid"`

	// Attempts is how often its delivery was tried, and Error what the last one failed
	// with, of which at most [MaxParkedError] bytes are kept.
	Attempts int    `json:"attempts"`
	Error    string `json:"error"`

	DateParked time.Time `json:"dateParked"`
}

// MaxParkedError is how much is kept of an error, in bytes.
const MaxParkedError = 1000

// ParkedFilter selects notifications that were given up.
type ParkedFilter struct {
	// OrganizationID is whose they are. Required.
	OrganizationID OrganizationID

	// Cursor is [ParkedPage.Next] of the page before, of the same organization. Empty for
	// the first page.
	Cursor string

	// Limit is the size of the page, 1 to 100. Defaults to 25.
	Limit int
}

// ParkedPage is a part of the parked notifications, in order of their incidents'
// identifiers and of Sequence. The list is never nil.
type ParkedPage struct {
	Notifications []ParkedNotification

	// Next is the cursor of the page after this one. Empty on the last.
	Next string
}

// NotificationManager is the notifications' part of [Manager]. It returns [ErrInvalid] if
// the store keeps no notifications.
type NotificationManager interface {
	// Parked returns a page of the notifications that were given up.
	Parked(ctx context.Context, f ParkedFilter) (ParkedPage, error)

	// Replay queues the parked notifications of an incident again, with all their attempts
	// before them, and returns how many there were. They are delivered in no order with
	// those that follow them. To replay all of an organization, go through Parked.
	Replay(ctx context.Context, key Key) (int, error)
}
