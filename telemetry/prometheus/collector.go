package prometheus

import (
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/incidentkit/incident"
)

// Options tunes a [Collector]. The zero value, and nil, are ready to use.
type Options struct {
	// ConstLabels are labels of all metrics. Several Managers in a registry need the same
	// label names with different values.
	//
	// Defaults to none.
	ConstLabels prometheus.Labels
}

// Source is the part of an [incident.Manager] that a [Collector] reads.
type Source interface {
	Stats() incident.Stats
}

// Collector is a [prometheus.Collector] of the statistics of a Manager. It is safe for concurrent
// use, starts no goroutine and needs no closing.
type Collector struct {
	source Source
	descs  descs
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a Collector for a Manager. The Manager must not be nil. If a label of ConstLabels is
// invalid, or has the name of a label of the metrics, Register of the registry returns an error.
func NewCollector(m Source, opts *Options) *Collector {
	var labels prometheus.Labels
	if opts != nil {
		labels = opts.ConstLabels
	}
	return &Collector{source: m, descs: newDescs(labels)}
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs.all {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	s := c.source.Stats()
	e := exporter{descs: &c.descs, ch: ch, now: time.Now()}
	e.cache(&s)
	e.feed(&s.Feed)
	e.notifiers(&s)
	e.retention(&s.Retention)
}

// exporter sends the metrics of a scrape.
type exporter struct {
	*descs
	ch  chan<- prometheus.Metric
	now time.Time
}

func (e *exporter) counter(d *prometheus.Desc, n uint64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func (e *exporter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// ago sends the time of an event as a Unix timestamp, in whole milliseconds: the age is measured at
// each scrape, and smaller digits would differ each time.
func (e *exporter) ago(d *prometheus.Desc, age time.Duration, labels ...string) {
	e.gauge(d, float64(e.now.Add(-age).UnixMilli())/1000, labels...)
}

func (e *exporter) cache(s *incident.Stats) {
	e.gauge(e.running, boolean(s.Running))
	e.counter(e.cacheHits, s.CacheHits)
	e.counter(e.cacheMisses, s.CacheMisses)
	e.counter(e.cacheBypassed, s.CacheBypassed)
	e.counter(e.staleDrops, s.StaleDrops)
	e.counter(e.loadsShared, s.LoadsShared)
	e.counter(e.conflicts, s.Conflicts)
}

// feedStates are all states; each is a series.
var feedStates = []incident.FeedState{
	incident.FeedNone, incident.FeedStopped, incident.FeedLost, incident.FeedFollowing, incident.FeedAsleep,
}

func (e *exporter) feed(f *incident.FeedStats) {
	for _, state := range feedStates {
		e.gauge(e.feedState, boolean(state == f.State), state.String())
	}
	e.gauge(e.feedLag, f.Lag.Seconds())
	e.counter(e.feedVersions, f.Told)
	e.counter(e.feedResets, f.Resets)
}

func (e *exporter) notifiers(s *incident.Stats) {
	if len(s.Notifiers) == 0 || s.Notifications != (incident.NotificationStats{}) {
		e.notifier("", &s.Notifications)
	}
	for name, n := range s.Notifiers {
		e.notifier(name, &n)
	}
	for name, b := range s.Abandoned {
		if utf8.ValidString(name) { // otherwise the registry would refuse the whole scrape
			e.gauge(e.abandoned, float64(b.Pending+b.Parked+b.Reminders), name)
		}
	}
}

func (e *exporter) notifier(name string, n *incident.NotificationStats) {
	e.counter(e.delivered, n.Delivered, name)
	e.counter(e.failures, n.Failed, name)
	e.counter(e.givenUp, n.GivenUp, name)
	if n.BacklogAge == 0 {
		return // not counted yet
	}
	e.gauge(e.pending, float64(n.Backlog.Pending), name)
	e.gauge(e.parked, float64(n.Backlog.Parked), name)
	e.gauge(e.reminders, float64(n.Backlog.Reminders), name)
	e.gauge(e.oldest, n.Backlog.Oldest.Seconds(), name)
	e.ago(e.backlogTime, n.BacklogAge, name)
}

func (e *exporter) retention(r *incident.RetentionStats) {
	e.counter(e.purged, r.Purged)
	e.counter(e.passes, r.Passes)
	if r.PassAge == 0 {
		return // no pass yet
	}
	e.gauge(e.held, float64(r.Held))
	e.ago(e.passTime, r.PassAge)
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
