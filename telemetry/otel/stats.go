package otel

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/incidentkit/incident"
)

// Source is the part of an [incident.Manager] that Observe reads.
type Source interface {
	Stats() incident.Stats
}

// Observe reports the statistics of a Manager at each collection of the MeterProvider. The Manager must
// not be nil. Observe reads [incident.Manager] Stats and never asks the store. Unregister of the
// Registration ends it. Observe returns an error if the MeterProvider refuses an instrument.
func (t *Telemetry) Observe(m Source) (metric.Registration, error) {
	in, err := newInstruments(t.meter)
	if err != nil {
		return nil, err
	}
	return t.meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		s := m.Stats()
		o := observer{t: t, instruments: in, to: to}
		o.cache(&s)
		o.feed(&s.Feed)
		o.notifiers(&s)
		o.retention(&s.Retention)
		return nil
	}, in.all...)
}

// instruments are all observable instruments.
type instruments struct {
	all []metric.Observable

	lookups, staleDrops, loadsShared, conflicts, versions, resets metric.Int64ObservableCounter
	attempts, givenUp, purged, passes                             metric.Int64ObservableCounter
	running, state, pending, parked, reminders, abandoned, held   metric.Int64ObservableGauge
	lag, oldest, backlogAge, passAge                              metric.Float64ObservableGauge
}

func newInstruments(meter metric.Meter) (*instruments, error) {
	in := &instruments{}
	var errs []error
	counter := func(name, unit, text string) metric.Int64ObservableCounter {
		c, err := meter.Int64ObservableCounter("incident."+name, metric.WithUnit(unit), metric.WithDescription(text))
		in.all, errs = append(in.all, c), append(errs, err)
		return c
	}
	gauge := func(name, unit, text string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge("incident."+name, metric.WithUnit(unit), metric.WithDescription(text))
		in.all, errs = append(in.all, g), append(errs, err)
		return g
	}
	seconds := func(name, text string) metric.Float64ObservableGauge {
		g, err := meter.Float64ObservableGauge("incident."+name, metric.WithUnit("s"), metric.WithDescription(text))
		in.all, errs = append(in.all, g), append(errs, err)
		return g
	}
	in.running = gauge("running", "1", "Whether Run of the Manager is running.")
	in.lookups = counter("cache.lookups", "{lookup}", "Look-ups in the cache, also those that were not made.")
	in.staleDrops = counter("cache.stale_drops", "{entry}", "Outdated entries that were removed from the cache or not stored.")
	in.loadsShared = counter("loads.shared", "{call}", "Calls that another call's read of the store answered.")
	in.conflicts = counter("write.conflicts", "{conflict}", "Writes that were decided again, because another writer was faster.")

	in.state = gauge("feed.state", "1", "Whether the feed of other processes' writes is in the state.")
	in.lag = seconds("feed.lag", "Bound of how outdated an answer of the cache can be. 0 while the cache is not served.")
	in.versions = counter("feed.versions", "{version}", "Versions of incidents and slots that the feed reported.")
	in.resets = counter("feed.resets", "{reset}", "How often the cache was dropped.")

	in.attempts = counter("notification.attempts", "{attempt}", "Attempts of this process to notify.")
	in.givenUp = counter("notification.given_up", "{notification}", "Notifications that this process parked after their last attempt.")
	in.pending = gauge("notification.pending", "{notification}", "Notifications of all processes that are to be delivered.")
	in.parked = gauge("notification.parked", "{notification}", "Notifications of all processes that were given up and parked.")
	in.reminders = gauge("reminder.pending", "{reminder}", "Reminders of all processes that are not due yet.")
	in.oldest = seconds("notification.oldest", "How long the longest-waiting notification has been at the head of its queue.")
	in.backlogAge = seconds("notification.backlog_age", "Time since the backlog was counted.")
	in.abandoned = gauge("notification.abandoned", "{notification}", "Notifications and reminders of notifiers that are not in the options.")

	in.purged = counter("retention.purged", "{incident}", "Incidents that Run of this process deleted.")
	in.passes = counter("retention.passes", "{pass}", "Complete passes of this process over all organizations.")
	in.held = gauge("retention.held", "{incident}", "Incidents that the last complete pass held back.")
	in.passAge = seconds("retention.pass_age", "Time since the last complete pass.")
	return in, errors.Join(errs...)
}

// observer reports the statistics at a collection.
type observer struct {
	t *Telemetry
	*instruments
	to metric.Observer
}

func (o *observer) int(i metric.Int64Observable, n int64, attributes ...attribute.KeyValue) {
	o.to.ObserveInt64(i, n, metric.WithAttributes(o.t.with(attributes...)...))
}

func (o *observer) seconds(i metric.Float64Observable, d time.Duration, attributes ...attribute.KeyValue) {
	o.to.ObserveFloat64(i, d.Seconds(), metric.WithAttributes(o.t.with(attributes...)...))
}

func (o *observer) cache(s *incident.Stats) {
	result := func(r string) attribute.KeyValue { return attribute.String("incident.cache.result", r) }
	o.int(o.running, boolean(s.Running))
	o.int(o.lookups, int64(s.CacheHits), result("hit"))
	o.int(o.lookups, int64(s.CacheMisses), result("miss"))
	o.int(o.lookups, int64(s.CacheBypassed), result("bypassed"))
	o.int(o.staleDrops, int64(s.StaleDrops))
	o.int(o.loadsShared, int64(s.LoadsShared))
	o.int(o.conflicts, int64(s.Conflicts))
}

// feedStates are all states; each is a series.
var feedStates = []incident.FeedState{
	incident.FeedNone, incident.FeedStopped, incident.FeedLost, incident.FeedFollowing, incident.FeedAsleep,
}

func (o *observer) feed(f *incident.FeedStats) {
	for _, state := range feedStates {
		o.int(o.state, boolean(state == f.State), attribute.String("incident.feed.state", state.String()))
	}
	o.seconds(o.lag, f.Lag)
	o.int(o.versions, int64(f.Told))
	o.int(o.resets, int64(f.Resets))
}

func (o *observer) notifiers(s *incident.Stats) {
	if len(s.Notifiers) == 0 || s.Notifications != (incident.NotificationStats{}) {
		o.notifier("", &s.Notifications)
	}
	for name, n := range s.Notifiers {
		o.notifier(name, &n)
	}
	for name, b := range s.Abandoned {
		if !utf8.ValidString(name) {
			continue // an exporter would refuse the whole collection
		}
		o.int(o.abandoned, b.Pending+b.Parked+b.Reminders, attribute.String("incident.notifier.name", name))
	}
}

func (o *observer) notifier(notifier string, n *incident.NotificationStats) {
	name := attribute.String("incident.notifier.name", notifier)
	o.int(o.attempts, int64(n.Delivered), name, attribute.String("incident.notification.outcome", "delivered"))
	o.int(o.attempts, int64(n.Failed), name, attribute.String("incident.notification.outcome", "failed"))
	o.int(o.givenUp, int64(n.GivenUp), name)
	if n.BacklogAge == 0 {
		return // not counted yet
	}
	o.int(o.pending, n.Backlog.Pending, name)
	o.int(o.parked, n.Backlog.Parked, name)
	o.int(o.reminders, n.Backlog.Reminders, name)
	o.seconds(o.oldest, n.Backlog.Oldest, name)
	o.seconds(o.backlogAge, n.BacklogAge, name)
}

func (o *observer) retention(r *incident.RetentionStats) {
	o.int(o.purged, int64(r.Purged))
	o.int(o.passes, int64(r.Passes))
	if r.PassAge == 0 {
		return // no pass yet
	}
	o.int(o.held, int64(r.Held))
	o.seconds(o.passAge, r.PassAge)
}

func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
