package incident

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Notifier delivers notifications to people and other systems. A Manager with a Notifier
// queues each activity in the commit that writes it, and [Manager.Run] calls Notify for it:
// at least once, and exactly once without a fault. Neither killed processes nor the number
// of processes change this. Reminders are delivered in the same way when they are due: see
// [ReminderManager].
//
// The activities of an incident are delivered in order of Sequence, each after the activity
// before it was delivered or given up. Reminders keep no order. Activities of different
// incidents are delivered concurrently: Notify must be safe for use by multiple goroutines.
//
// A Manager can have several Notifiers: see [Options.Notifiers]. Each has queues, attempts and
// parked notifications of its own, so that none waits for another, and a failure of one repeats no
// delivery of another. They share the processors and the connections of the process.
//
// Not every activity is a reason to page a user. The alert activities are the StatusChanges to an
// active Value that is above PreviousValue, or whose PreviousValue is [StatusClosed]. A Fire that
// opens an incident has one, the last of its three activities; a Fire that reopens an incident or
// raises its status has one, too. If the new status ends an acknowledgement, an Unacknowledged
// with a TriggerID follows. TriggerFired, TriggerResolved and Edited leave the status as it is.
type Notifier interface {
	// Notify delivers n. After an error the relay calls it again, with growing delays: see
	// [NotifyOptions]. There are two special errors:
	//
	//   - An error that matches [ErrUndeliverable] gives the notification up at once.
	//   - A [*RetryAfterError] sets the least delay.
	//
	// A panic counts as an error.
	//
	// ctx ends after [NotifyOptions.Timeout], and after [NotifyOptions.Grace] once Run has
	// to stop. A call that lasts more than a second longer counts as failed and is not
	// waited for; the notification may then be delivered twice.
	//
	// A receiver that must not act twice remembers the organization and the
	// [Notification.UUID]. Both are the same in each repetition, and together they are
	// unique for each Notifier. Edited and deleted comments are not notified.
	Notify(ctx context.Context, n Notification) error
}

// NotifierFunc is a function as a [Notifier].
type NotifierFunc func(ctx context.Context, n Notification) error

// Notify implements [Notifier].
func (f NotifierFunc) Notify(ctx context.Context, n Notification) error { return f(ctx, n) }

// NotifyElsewhere is the [Options.Notifier], or one of [Options.Notifiers], of a process that
// queues notifications and leaves the delivery to other processes.
var NotifyElsewhere Notifier = notifyElsewhere{}

type notifyElsewhere struct{}

func (notifyElsewhere) Notify(context.Context, Notification) error {
	return errors.New("incident: NotifyElsewhere delivers nothing")
}

// NamedNotifier is an element of [Options.Notifiers].
type NamedNotifier struct {
	// Notifier receives the notifications. [NotifyElsewhere] leaves the delivery to other
	// processes. Required.
	Notifier Notifier

	// Notify tunes the delivery.
	Notify NotifyOptions
}

// MaxNotifiers is the most that [Options.Notifiers] may have.
const MaxNotifiers = 32

// Notification is an activity or a reminder to deliver. The host owns its memory.
type Notification struct {
	// Activity is the activity as of this attempt: a comment that was edited or deleted has
	// its present text. Zero for a reminder.
	Activity Activity `json:"activity,omitzero"`

	// Reminder is the reminder that is due. Nil for an activity.
	Reminder *Reminder `json:"reminder,omitzero"`

	// Incident is a copy as of this attempt, never older than the activity. Notifications of
	// an acknowledged incident are delivered, too: [Incident.Acknowledged] reports whether a
	// user works on it, and the host decides whom to wake.
	Incident Incident `json:"incident"`

	// Recipients are the subscribers as of this attempt, in ascending order, except:
	//
	//   - the user who caused the activity
	//   - users whom the [Authorizer] now refuses; they stay subscribed
	//
	// A Detected and a Created activity have no recipients: the host decides whom to page
	// for a new incident.
	Recipients []UserID `json:"recipients"`

	// Attempt counts the calls for this notification in all processes, from 1, with those that
	// a process was about to make when it died.
	Attempt int `json:"attempt"`

	// Replayed means that the notification was parked and replayed. Later notifications of
	// its incident may have been delivered before it.
	Replayed bool `json:"replayed"`
}

// UUID returns the NotificationUUID of the activity or the reminder. All attempts for a
// notification have the same UUID.
func (n Notification) UUID() uuid.UUID {
	if n.Reminder != nil {
		return n.Reminder.NotificationUUID
	}
	return n.Activity.NotificationUUID
}

// ErrUndeliverable means that further attempts are useless. A [Notifier] returns an error
// that matches it to give a notification up.
var ErrUndeliverable = errors.New("undeliverable")

// RetryAfterError is returned by a [Notifier] whose receiver asked for a delay.
type RetryAfterError struct {
	// After is the least delay until the next attempt.
	After time.Duration
	Err   error
}

func (e *RetryAfterError) Error() string {
	return fmt.Sprintf("again in %v at the earliest: %v", e.After, e.Err)
}

// Unwrap returns Err.
func (e *RetryAfterError) Unwrap() error { return e.Err }

// NotifyOptions configures the delivery of notifications. The zero value is ready to use. A
// duration of math.MaxInt64 never ends.
type NotifyOptions struct {
	// Concurrency is the number of notifications that a process delivers at the same time,
	// and that a crash may repeat. An organization gets at most three quarters of them.
	// While there are several organizations, at least one is reserved for an organization
	// with none in progress.
	//
	// With a Concurrency above 1, the notifications of an incident that this process creates
	// are delivered right after the write, and marked as delivered together with others. They
	// have the incident and the subscribers as of the write, at most half a second before. A
	// crash may repeat up to eight times Concurrency of these, too.
	//
	// Organizations whose receivers take more than half of Timeout, or more than 5 s, get
	// fewer, so that they do not hold up others.
	//
	// At most [MaxNotifyConcurrency]. Defaults to [DefaultNotifyConcurrency].
	Concurrency int

	// Timeout bounds a call of the Notifier. If a process dies, another process repeats its
	// calls 5 s after their Timeout, or 5.5 s for an incident that the process had just
	// created.
	//
	// Defaults to [DefaultNotifyTimeout].
	Timeout time.Duration

	// MaxAttempts is the number of failures after which a notification is given up: it is
	// parked, see [NotificationManager.Parked], and the next notification of its incident
	// is delivered. Attempts of a process that died count, too, also those that it was only
	// about to make. A notification that no process has tried to the end is tried after the
	// first of these, even if MaxAttempts is 1.
	//
	// Defaults to [DefaultNotifyAttempts], about two hours with the default Backoff.
	MaxAttempts int

	// Backoff returns the delay after the n-th failure, from 1.
	//
	// Defaults to 1 s, doubled by each further failure up to 10 minutes, and then varied by
	// up to a quarter at random.
	Backoff func(n int) time.Duration

	// PollInterval is the interval at which the store is asked for notifications of other
	// processes, and of transactions that the host has committed itself. Other writes of
	// this process are delivered at once. For 2 s after this process has delivered, written,
	// or read from a shared store through its cache, the interval is 40 ms.
	//
	// Defaults to [DefaultNotifyPollInterval].
	PollInterval time.Duration

	// Grace bounds the time that Run waits for calls in progress when it has to stop.
	//
	// Defaults to Timeout.
	Grace time.Duration

	// Types lists the activity types that are queued. Every process must list the same
	// types for a Notifier. Reminders are delivered in any case.
	//
	// Defaults to all types.
	Types []ActivityType
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

// withDefaults returns a completed copy. The caller's Types are left alone.
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
	types := slices.Clone(o.Types)
	slices.Sort(types)
	o.Types = slices.Compact(types)
	for _, t := range o.Types {
		if !t.known() {
			return o, invalid("Notify.Types", "has the unknown type %d", int(t))
		}
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
