package prometheus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	incidentprometheus "github.com/incidentkit/incident/telemetry/prometheus"
)

// fixed is a source of constant statistics.
type fixed incident.Stats

func (s fixed) Stats() incident.Stats { return incident.Stats(s) }

// full has a different number in each field.
func full() fixed {
	return fixed{
		Running: true, CacheHits: 1, CacheMisses: 2, CacheBypassed: 3, StaleDrops: 4, LoadsShared: 5, Conflicts: 6,
		Feed: incident.FeedStats{State: incident.FeedFollowing, Lag: 70 * time.Millisecond, Told: 8, Resets: 9},
		Notifications: incident.NotificationStats{
			Delivered: 10, Failed: 11, GivenUp: 12, BacklogAge: 13 * time.Second,
			Backlog: incident.Backlog{Pending: 14, Parked: 15, Reminders: 16, Oldest: 17500 * time.Millisecond},
		},
		Notifiers: map[string]incident.NotificationStats{"pager": {Delivered: 18}},
		Abandoned: map[string]incident.Backlog{"chat": {Pending: 19, Parked: 20, Reminders: 21}, "\xff": {Pending: 1}},
		Retention: incident.RetentionStats{Purged: 22, Passes: 23, Held: 24, PassAge: 25 * time.Second},
	}
}

func mustGather(t *testing.T, collectors ...prometheus.Collector) *prometheus.Registry {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	for _, c := range collectors {
		if err := registry.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := registry.Gather(); err != nil {
		t.Fatal(err)
	}
	return registry
}

// values returns the value of each series, by name and labels, and fails on a wrong type.
func values(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			v := m.GetGauge().GetValue()
			if isCounter := strings.HasSuffix(f.GetName(), "_total"); isCounter != (m.GetCounter() != nil) {
				t.Errorf("%s is a %v", f.GetName(), f.GetType())
			} else if isCounter {
				v = m.GetCounter().GetValue()
			}
			all[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = v
		}
	}
	return all
}

func TestCollector_namesFollowConventions(t *testing.T) {
	problems, err := testutil.CollectAndLint(incidentprometheus.NewCollector(full(), nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestCollector_exportsEachNumber(t *testing.T) {
	got := values(t, mustGather(t, incidentprometheus.NewCollector(full(), nil)))
	now := float64(time.Now().UnixMilli()) / 1000
	for name, age := range map[string]float64{
		`incident_notifications_backlog_timestamp_seconds{notifier=""}`: 13,
		`incident_retention_last_pass_timestamp_seconds{}`:              25,
	} {
		if at, ok := got[name]; !ok || at > now-age || at < now-age-60 {
			t.Errorf("%s: got %v, want %v seconds before %v", name, at, age, now)
		}
		delete(got, name)
	}
	want := map[string]float64{
		`incident_running{}`:                                       1,
		`incident_cache_hits_total{}`:                              1,
		`incident_cache_misses_total{}`:                            2,
		`incident_cache_bypassed_total{}`:                          3,
		`incident_cache_stale_drops_total{}`:                       4,
		`incident_loads_shared_total{}`:                            5,
		`incident_write_conflicts_total{}`:                         6,
		`incident_feed_state{state="none"}`:                        0,
		`incident_feed_state{state="stopped"}`:                     0,
		`incident_feed_state{state="lost"}`:                        0,
		`incident_feed_state{state="following"}`:                   1,
		`incident_feed_state{state="asleep"}`:                      0,
		`incident_feed_lag_seconds{}`:                              0.07,
		`incident_feed_versions_total{}`:                           8,
		`incident_feed_resets_total{}`:                             9,
		`incident_notifications_delivered_total{notifier=""}`:      10,
		`incident_notification_failures_total{notifier=""}`:        11,
		`incident_notifications_given_up_total{notifier=""}`:       12,
		`incident_notifications_pending{notifier=""}`:              14,
		`incident_notifications_parked{notifier=""}`:               15,
		`incident_reminders_pending{notifier=""}`:                  16,
		`incident_notifications_oldest_seconds{notifier=""}`:       17.5,
		`incident_notifications_abandoned{notifier="chat"}`:        60,
		`incident_retention_purged_total{}`:                        22,
		`incident_retention_passes_total{}`:                        23,
		`incident_retention_held{}`:                                24,
		`incident_notifications_delivered_total{notifier="pager"}`: 18,
		`incident_notification_failures_total{notifier="pager"}`:   0,
		`incident_notifications_given_up_total{notifier="pager"}`:  0,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// Each field of the statistics changes what is exported, so that a new field is not forgotten.
func TestCollector_omitsNoField(t *testing.T) {
	before := exported(t, full())
	s := full()
	root := reflect.ValueOf(&s).Elem()
	var paths []string
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		old := reflect.ValueOf(v.Interface())
		switch {
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
			return
		case v.Kind() == reflect.Map:
			v.Set(reflect.Zero(v.Type()))
		case v.Kind() == reflect.Bool:
			v.SetBool(!v.Bool())
		case v.CanInt():
			v.SetInt(v.Int() + int64(time.Hour)) // of FeedState, an unknown state
		case v.CanUint():
			v.SetUint(v.Uint() + 1)
		default:
			t.Fatalf("%s is a %v, which no rule here changes", path, v.Kind())
		}
		if after := exported(t, s); reflect.DeepEqual(before, after) {
			paths = append(paths, path)
		}
		v.Set(old)
	}
	walk(root, "Stats")
	if len(paths) > 0 {
		t.Errorf("changes of %q are not exported", paths)
	}
}

// exported returns the series with times in whole minutes.
func exported(t *testing.T, s fixed) map[string]float64 {
	all := values(t, mustGather(t, incidentprometheus.NewCollector(s, nil)))
	for name, v := range all {
		if strings.Contains(name, "_timestamp_") {
			all[name] = float64(int(time.Until(time.UnixMilli(int64(v * 1000))).Minutes()))
		}
	}
	return all
}

func TestCollector_omitsGaugesBeforeTheirFirstCount(t *testing.T) {
	got := values(t, mustGather(t, incidentprometheus.NewCollector(fixed{}, nil)))
	for name := range got {
		if strings.Contains(name, "pending") || strings.Contains(name, "timestamp") || strings.Contains(name, "held") {
			t.Errorf("%s is exported before it is known", name)
		}
	}
	if v, ok := got[`incident_notifications_delivered_total{notifier=""}`]; !ok || v != 0 {
		t.Errorf("delivered: %v, %v, want 0: a counter exists from the beginning", v, ok)
	}
	named := fixed{Notifiers: map[string]incident.NotificationStats{"pager": {}}}
	for name := range values(t, mustGather(t, incidentprometheus.NewCollector(named, nil))) {
		if strings.Contains(name, `notifier=""`) {
			t.Errorf("%s is exported without a notifier of that name", name)
		}
	}
}

func TestCollector_constLabelsSeparateManagers(t *testing.T) {
	named := func(name string) *incidentprometheus.Collector {
		return incidentprometheus.NewCollector(full(), &incidentprometheus.Options{ConstLabels: prometheus.Labels{"manager": name}})
	}
	got := values(t, mustGather(t, named("eu"), named("us")))
	for _, want := range []string{
		`incident_cache_hits_total{manager="eu"}`, `incident_cache_hits_total{manager="us"}`,
		`incident_notifications_parked{manager="us",notifier=""}`,
	} {
		if _, ok := got[want]; !ok {
			t.Errorf("%s is missing", want)
		}
	}
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(incidentprometheus.NewCollector(full(), nil)); err != nil {
		t.Fatal(err)
	}
	var already prometheus.AlreadyRegisteredError
	if err := registry.Register(incidentprometheus.NewCollector(full(), nil)); !errors.As(err, &already) {
		t.Errorf("a second Manager without a label: %v", err)
	}
	for _, bad := range []prometheus.Labels{{"notifier": "x"}, {"": "x"}, {"a": "\xff"}} {
		c := incidentprometheus.NewCollector(full(), &incidentprometheus.Options{ConstLabels: bad})
		if err := prometheus.NewPedanticRegistry().Register(c); err == nil {
			t.Errorf("the labels %q were accepted", bad)
		}
	}
}

// The numbers of a real Manager with two notifiers, gathered by several goroutines while it works.
func TestCollector_ofManager(t *testing.T) {
	sent := make(chan incident.UserID, 100)
	incidents, err := incident.New(memory.New(), &incident.Options{
		Logger: slog.New(slog.DiscardHandler),
		Notifier: incident.NotifierFunc(func(_ context.Context, n incident.Notification) error {
			sent <- n.Activity.UserID
			return nil
		}),
		Notifiers: map[string]incident.NamedNotifier{"pager": {
			Notifier: incident.NotifierFunc(func(context.Context, incident.Notification) error { return errors.New("down") }),
			Notify:   incident.NotifyOptions{MaxAttempts: 2, Backoff: func(int) time.Duration { return time.Millisecond }},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	registry := mustGather(t, incidentprometheus.NewCollector(incidents, nil))
	if got := values(t, registry); got[`incident_running{}`] != 0 || got[`incident_feed_state{state="none"}`] != 1 {
		t.Errorf("before Run: %v", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := incidents.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Search is slow", UserID: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := incidents.Get(ctx, inc.Key()); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]float64{
		`incident_running{}`: 1,
		`incident_notifications_delivered_total{notifier=""}`:      2,
		`incident_notification_failures_total{notifier=""}`:        0,
		`incident_notifications_delivered_total{notifier="pager"}`: 0,
		`incident_notification_failures_total{notifier="pager"}`:   4,
		`incident_notifications_given_up_total{notifier="pager"}`:  2,
	}
	settled := func(got map[string]float64) bool {
		for name, n := range want {
			if got[name] != n {
				return false
			}
		}
		return got[`incident_notifications_backlog_timestamp_seconds{notifier="pager"}`] > 0
	}
	var gathering sync.WaitGroup
	for range 4 {
		gathering.Go(func() {
			deadline := time.Now().Add(30 * time.Second)
			for got := values(t, registry); !settled(got); got = values(t, registry) {
				if time.Now().After(deadline) {
					t.Errorf("got %v, want %v", got, want)
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	gathering.Wait()
	if got := values(t, registry); got[`incident_cache_hits_total{}`]+got[`incident_cache_misses_total{}`] == 0 {
		t.Errorf("no look-up is counted: %v", got)
	}
	for name := range values(t, registry) {
		for _, private := range []string{"acme", "ada", "Search"} {
			if strings.Contains(name, private) {
				t.Errorf("%s tells %q", name, private)
			}
		}
	}
}
