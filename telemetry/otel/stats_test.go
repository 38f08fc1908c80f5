package otel_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/incidentkit/incident"
	incidentotel "github.com/incidentkit/incident/telemetry/otel"
)

// fixed is a source of constant statistics.
type fixed incident.Stats

func (s fixed) Stats() incident.Stats { return incident.Stats(s) }

func TestObserve_reportsEachNumber(t *testing.T) {
	w := newWorld(t, incidentotel.Options{Attributes: []attribute.KeyValue{attribute.String("a", "b")}})
	registration, err := w.Observe(fixed{
		Running: true, CacheHits: 1, CacheMisses: 2, CacheBypassed: 3, StaleDrops: 4, LoadsShared: 5, Conflicts: 6,
		Feed: incident.FeedStats{State: incident.FeedLost, Lag: 70 * time.Millisecond, Told: 8, Resets: 9},
		Notifications: incident.NotificationStats{
			Delivered: 10, Failed: 11, GivenUp: 12, BacklogAge: 13 * time.Second,
			Backlog: incident.Backlog{Pending: 14, Parked: 15, Reminders: 16, Oldest: 17500 * time.Millisecond},
		},
		Notifiers: map[string]incident.NotificationStats{"pager": {Delivered: 18}},
		Abandoned: map[string]incident.Backlog{"chat": {Pending: 19, Parked: 20, Reminders: 21}, "\xff": {Pending: 1}},
		Retention: incident.RetentionStats{Purged: 22, Passes: 23, Held: 24, PassAge: 25 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		"incident.running{a=b}": 1,
		"counter incident.cache.lookups{a=b,incident.cache.result=hit}":                                                    1,
		"counter incident.cache.lookups{a=b,incident.cache.result=miss}":                                                   2,
		"counter incident.cache.lookups{a=b,incident.cache.result=bypassed}":                                               3,
		"counter incident.cache.stale_drops{a=b}":                                                                          4,
		"counter incident.loads.shared{a=b}":                                                                               5,
		"counter incident.write.conflicts{a=b}":                                                                            6,
		"incident.feed.state{a=b,incident.feed.state=none}":                                                                0,
		"incident.feed.state{a=b,incident.feed.state=stopped}":                                                             0,
		"incident.feed.state{a=b,incident.feed.state=lost}":                                                                1,
		"incident.feed.state{a=b,incident.feed.state=following}":                                                           0,
		"incident.feed.state{a=b,incident.feed.state=asleep}":                                                              0,
		"incident.feed.lag{a=b}":                                                                                           0.07,
		"counter incident.feed.versions{a=b}":                                                                              8,
		"counter incident.feed.resets{a=b}":                                                                                9,
		"counter incident.notification.attempts{a=b,incident.notification.outcome=delivered,incident.notifier.name=}":      10,
		"counter incident.notification.attempts{a=b,incident.notification.outcome=failed,incident.notifier.name=}":         11,
		"counter incident.notification.given_up{a=b,incident.notifier.name=}":                                              12,
		"incident.notification.backlog_age{a=b,incident.notifier.name=}":                                                   13,
		"incident.notification.pending{a=b,incident.notifier.name=}":                                                       14,
		"incident.notification.parked{a=b,incident.notifier.name=}":                                                        15,
		"incident.reminder.pending{a=b,incident.notifier.name=}":                                                           16,
		"incident.notification.oldest{a=b,incident.notifier.name=}":                                                        17.5,
		"counter incident.notification.attempts{a=b,incident.notification.outcome=delivered,incident.notifier.name=pager}": 18,
		"counter incident.notification.attempts{a=b,incident.notification.outcome=failed,incident.notifier.name=pager}":    0,
		"counter incident.notification.given_up{a=b,incident.notifier.name=pager}":                                         0,
		"incident.notification.abandoned{a=b,incident.notifier.name=chat}":                                                 60,
		"counter incident.retention.purged{a=b}":                                                                           22,
		"counter incident.retention.passes{a=b}":                                                                           23,
		"incident.retention.held{a=b}":                                                                                     24,
		"incident.retention.pass_age{a=b}":                                                                                 25,
	}
	if got := w.points(t); !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if err := registration.Unregister(); err != nil {
		t.Error(err)
	}
	if got := w.points(t); len(got) > 0 {
		t.Errorf("after Unregister: %v", got)
	}
}

func TestObserve_omitsGaugesBeforeTheirFirstCount(t *testing.T) {
	w := newWorld(t, incidentotel.Options{})
	if _, err := w.Observe(fixed{Notifiers: map[string]incident.NotificationStats{"pager": {}}}); err != nil {
		t.Fatal(err)
	}
	for name := range w.points(t) {
		for _, unknown := range []string{".pending", ".parked", ".oldest", "_age", ".held", "incident.notifier.name=}", "incident.notifier.name=,"} {
			if strings.Contains(name, unknown) {
				t.Errorf("%s is reported before it is known", name)
			}
		}
	}
}
