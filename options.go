package incident

import (
	"cmp"
	"log/slog"
	"time"
)

// DefaultCacheTTL is how long a cache keeps an entry that no write replaced.
const DefaultCacheTTL = 3600 * time.Second

// Options tunes a [Manager]. The zero value, and nil, are ready to use.
type Options struct {
	// Now is the clock. Its times are made UTC and cut to microseconds.
	//
	// Defaults to [time.Now].
	Now func() time.Time

	// Logger receives what the Manager cannot return, such as a cache that
	// fails. Errors that are returned are never also logged.
	//
	// Defaults to [slog.Default].
	Logger *slog.Logger

	// Cache keeps incidents with their triggers, and which incident is active in
	// a slot. Use [NoCache] for none.
	//
	// Defaults to a new [NewCache] of [DefaultCacheCapacity] entries.
	Cache Cache

	// IncidentTTL is how long the cache keeps an incident with its triggers,
	// ActiveTTL how long it keeps which incident is active in a slot.
	//
	// Both default to [DefaultCacheTTL].
	IncidentTTL, ActiveTTL time.Duration

	// Authorizer decides who may see and follow incidents.
	//
	// Defaults to letting everyone in.
	Authorizer Authorizer

	// Notifier is called with what happens, by [Manager.Run]. It needs a store that is an
	// [OutboxStore], as all of this module are. All processes that write to a store need
	// one, or [NotifyElsewhere]: what a Manager without a Notifier writes is not queued.
	//
	// Defaults to none.
	Notifier Notifier

	// Notify tunes the delivery of notifications.
	Notify NotifyOptions
}

// withDefaults returns a completed copy; it never changes the caller's value.
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
	c.Logger = cmp.Or(c.Logger, slog.Default())
	c.IncidentTTL = cmp.Or(c.IncidentTTL, DefaultCacheTTL)
	c.ActiveTTL = cmp.Or(c.ActiveTTL, DefaultCacheTTL)
	return c, nil
}
