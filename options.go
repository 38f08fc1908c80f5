package incident

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// DefaultCacheTTL is how long a cache keeps an entry.
const DefaultCacheTTL = 3600 * time.Second

// Options tunes a [Manager]. The zero value, and nil, are ready to use.
type Options struct {
	// Now is the clock. Its times are converted to UTC and truncated to microseconds.
	//
	// Defaults to [time.Now].
	Now func() time.Time

	// Logger receives faults that no call returns, such as a failing cache. A returned
	// error is not also logged.
	//
	// Defaults to [slog.Default].
	Logger *slog.Logger

	// Cache keeps incidents with their triggers, and the active incident of each slot.
	// [NoCache] disables it.
	//
	// Defaults to [NewCache] of [DefaultCacheCapacity].
	Cache Cache

	// IncidentTTL is how long the cache keeps an incident with its triggers, and
	// ActiveTTL how long it keeps the active incident of a slot.
	//
	// Both default to [DefaultCacheTTL].
	IncidentTTL, ActiveTTL time.Duration

	// Authorizer decides which users may see incidents and subscribe to them.
	//
	// Defaults to granting access to everyone.
	Authorizer Authorizer

	// Notifier receives each activity, in [Manager.Run]. The store must be an
	// [OutboxStore], as the stores of this module are. Every process that writes to the
	// store needs a Notifier or [NotifyElsewhere]: the activities of a Manager without
	// a Notifier are not queued.
	//
	// Defaults to none.
	Notifier Notifier

	// Notify tunes the delivery of notifications to Notifier.
	Notify NotifyOptions

	// Notifiers are further notifiers by name, for example a pager, an e-mail sender and a
	// chat bridge. Each has queues, attempts and parked notifications of its own. A name is
	// 1 to [MaxIDSize] bytes of valid UTF-8 without control characters. There may be
	// [MaxNotifiers].
	//
	// Every process that writes to the store needs the same names; a process that does not
	// deliver for a name has [NotifyElsewhere] there. A notifier that is added gets the
	// activities that are written from then on. The notifications that were queued for
	// a notifier that is taken away stay: see [NotificationManager.Discard].
	//
	// Defaults to none.
	Notifiers map[string]NamedNotifier

	// Retention makes [Manager.Run] delete incidents some time after they were closed. The
	// store must be a [RetentionStore], as the stores of this module are. Of several
	// processes, one works at a time, and should have the same Retention as the others.
	//
	// Defaults to keeping incidents for ever.
	Retention Retention

	// Trace is called when a call of the Manager begins, and the function that it returns when
	// the call ends, with the returned error. The call runs with the context that Trace
	// returns, which must derive from ctx: the store and the Authorizer receive it. So a host
	// measures calls, and the spans of its database driver are children of the call's span.
	// Module telemetry/otel has a ready Trace.
	//
	// The calls of the Managers of InTx and Join are reported, too, and each page of an
	// iterator such as [All]. Not reported are
	//
	//   - Join and Stats, which ask nobody;
	//   - Run and Watch, which last: see [Manager.Stats], and trace a Notifier by wrapping it;
	//   - calls with a nil context, which fail.
	//
	// The function of InTx receives no context, so that its calls have contexts of the host.
	// [Call.InTx] is the context of the InTx, for a Trace that makes the calls its children.
	//
	// A read that several calls share has the context of one of them, and a commit that several
	// creations share has none of theirs.
	//
	// Trace must be safe for concurrent use, and must not call the Manager. If it returns nil
	// for the context or the function, the call keeps ctx, or its end is not reported. A panic
	// of Trace reaches the caller before the call begins. A panic of the function reaches the
	// caller after the call has ended, perhaps with a commit. If a call itself panics or ends
	// its goroutine, the function receives [ErrNoReturn].
	//
	// Defaults to none, which costs nothing.
	Trace func(ctx context.Context, call Call) (calling context.Context, end func(err error))
}

// withDefaults returns a validated copy with defaults for all zero fields.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.IncidentTTL < 0 {
		return c, invalid("IncidentTTL", "must not be negative")
	}
	if c.ActiveTTL < 0 {
		return c, invalid("ActiveTTL", "must not be negative")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Cache == nil {
		c.Cache = NewCache(DefaultCacheCapacity)
	}
	var err error
	if c.Notify, err = c.Notify.withDefaults(); err != nil {
		return c, err
	}
	if c.Notifiers, err = completeNotifiers(c.Notifiers); err != nil {
		return c, err
	}
	if c.Retention, err = c.Retention.withDefaults(); err != nil {
		return c, err
	}
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.IncidentTTL = cmp.Or(c.IncidentTTL, DefaultCacheTTL)
	c.ActiveTTL = cmp.Or(c.ActiveTTL, DefaultCacheTTL)
	return c, nil
}

// completeNotifiers returns a validated copy with defaults for all zero fields.
func completeNotifiers(notifiers map[string]NamedNotifier) (map[string]NamedNotifier, error) {
	if len(notifiers) > MaxNotifiers {
		return nil, invalid("Notifiers", "has %d entries, limit %d", len(notifiers), MaxNotifiers)
	}
	complete := make(map[string]NamedNotifier, len(notifiers))
	for _, name := range slices.Sorted(maps.Keys(notifiers)) {
		n := notifiers[name]
		if name == "" {
			return nil, invalid("Notifiers", "has an entry without a name; use Options.Notifier for it")
		}
		if err := checkID("Notifiers", name, false); err != nil {
			return nil, err
		}
		if n.Notifier == nil {
			return nil, invalid("Notifiers", "has no Notifier for %q; use NotifyElsewhere if other processes deliver its notifications", name)
		}
		var err error
		if n.Notify, err = n.Notify.withDefaults(); err != nil {
			return nil, fmt.Errorf("notifier %q: %w", name, err)
		}
		complete[name] = n
	}
	return complete, nil
}
