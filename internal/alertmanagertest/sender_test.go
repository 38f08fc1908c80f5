package alertmanagertest

import (
	"context"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	amconfig "github.com/prometheus/alertmanager/config/common"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/notify/webhook"
	"github.com/prometheus/alertmanager/template"
	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// sender returns Alertmanager's webhook sender for a receiver.
func sender(t *testing.T, target string, maxAlerts uint64, credentials string) *webhook.Notifier {
	t.Helper()
	tmpl, err := template.FromGlobs(nil)
	if err != nil {
		t.Fatal(err)
	}
	if tmpl.ExternalURL, err = url.Parse("https://alertmanager.example.com"); err != nil {
		t.Fatal(err)
	}
	n, err := webhook.New(&webhook.WebhookConfig{
		URL:       amconfig.SecretTemplateURL(target),
		MaxAlerts: maxAlerts,
		HTTPConfig: &commoncfg.HTTPClientConfig{
			Authorization: &commoncfg.Authorization{Type: "Bearer", Credentials: commoncfg.Secret(credentials)},
		},
	}, tmpl, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// post sends alerts once, as the dispatcher of Alertmanager would.
func post(t *testing.T, n *webhook.Notifier, alerts ...*alert.Alert) notify.NotifyVerdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ctx = notify.WithGroupKey(ctx, `{}:{alertname="Latency"}`)
	ctx = notify.WithReceiverName(ctx, "incidents")
	ctx = notify.WithGroupLabels(ctx, model.LabelSet{"alertname": "Latency"})
	ctx = notify.WithNotificationReason(ctx, notify.ReasonFirstNotification)
	return n.Notify(ctx, alerts...)
}

// alertOf returns an alert, which is firing if end is zero.
func alertOf(labels model.LabelSet, start, end time.Time) *alert.Alert {
	return &alert.Alert{Alert: model.Alert{
		Labels:       labels,
		Annotations:  model.LabelSet{"summary": "Checkout is slow", "runbook_url": "https://runbooks.example.com/latency"},
		StartsAt:     start,
		EndsAt:       end,
		GeneratorURL: "https://prometheus.example.com/graph?g0.expr=x",
	}}
}

var checkout = model.LabelSet{"alertname": "Latency", "service": "checkout", "severity": "critical", "größe.é": "ü\n\t\"<&>"}

func TestSender_makesAnIncident(t *testing.T) {
	r := newReceiver(t, memory.New(), time.Now)
	start := time.Now().Add(-time.Hour).Truncate(time.Millisecond).UTC()
	n := sender(t, r.url, 0, token)
	if v := post(t, n, alertOf(checkout, start, time.Time{})); v.Err() != nil {
		t.Fatal(v.Err())
	}
	all := r.incidents()
	if len(all) != 1 {
		t.Fatalf("%d incidents, want 1", len(all))
	}
	inc := all[0]
	if inc.Title != "Checkout is slow" || inc.Status != incident.StatusCritical || inc.AlertRuleID != "Latency" ||
		!slices.Equal(inc.Projects, []incident.ProjectID{"checkout"}) || !inc.DateStarted.Equal(start) {
		t.Errorf("incident is %+v", inc)
	}
	if inc.Labels["größe.é"] != "ü\n\t\"<&>" {
		t.Errorf("labels are %q", inc.Labels)
	}
	for name, want := range map[string]string{
		"generatorURL": "https://prometheus.example.com/graph?g0.expr=x", "externalURL": "https://alertmanager.example.com",
		"runbook_url": "https://runbooks.example.com/latency", "summary": "Checkout is slow",
	} {
		if inc.Annotations[name] != want {
			t.Errorf("annotation %s is %q, want %q", name, inc.Annotations[name], want)
		}
	}
	end := start.Add(10 * time.Minute)
	if v := post(t, n, alertOf(checkout, start, end)); v.Err() != nil {
		t.Fatal(v.Err())
	}
	if inc = r.incidents()[0]; inc.Status != incident.StatusClosed || !inc.DateClosed.Equal(end) {
		t.Errorf("incident is %+v, want it closed at %s", inc, end)
	}
}

// The sender repeats exactly the answers that a repetition can change.
func TestSender_repeats(t *testing.T) {
	r := newReceiver(t, memory.New(), time.Now)
	for name, c := range map[string]struct {
		fault       fault
		credentials string
		labels      model.LabelSet
		fails       bool
		repeats     bool
	}{
		"healthy":        {healthy, token, checkout, false, false},
		"unusable":       {healthy, token, model.LabelSet{"severity": "critical"}, false, false},
		"down":           {down, token, checkout, true, true},
		"reply lost":     {replyLost, token, checkout, true, true},
		"store lost":     {storeLost, token, checkout, true, true},
		"wrong password": {healthy, "wrong", checkout, true, false},
	} {
		r.restart() // so that the first write is the first to fail
		r.set(c.fault)
		v := post(t, sender(t, r.url, 0, c.credentials), alertOf(c.labels, time.Now(), time.Time{}))
		if (v.Err() != nil) != c.fails || v.ShouldRetry() != c.repeats {
			t.Errorf("%s: error %v, repeats %v, want an error %v, repeats %v", name, v.Err(), v.ShouldRetry(), c.fails, c.repeats)
		}
		if v.Err() != nil && strings.Contains(v.Err().Error(), token) {
			t.Errorf("%s: a secret in %v", name, v.Err())
		}
	}
}

// With max_alerts, the group says resolved while an alert fires that was cut off.
func TestSender_truncates(t *testing.T) {
	r := newReceiver(t, memory.New(), time.Now)
	start := time.Now().Add(-time.Hour)
	search := checkout.Clone()
	search["service"] = "search"
	all, first := sender(t, r.url, 0, token), sender(t, r.url, 1, token)
	post(t, all, alertOf(checkout, start, time.Time{}), alertOf(search, start, time.Time{}))
	post(t, first, alertOf(checkout, start, start.Add(time.Minute)), alertOf(search, start, time.Time{}))
	for _, inc := range r.incidents() {
		want := map[incident.ProjectID]incident.Status{"checkout": incident.StatusClosed, "search": incident.StatusCritical}[inc.Projects[0]]
		if inc.Status != want {
			t.Errorf("%s is %v, want %v", inc.Projects, inc.Status, want)
		}
	}
	if got := r.handler.Stats().Truncated; got != 1 {
		t.Errorf("counted %d truncated alerts, want 1", got)
	}
}

// A large group is one request.
func TestSender_largeGroup(t *testing.T) {
	r := newReceiver(t, memory.New(), time.Now)
	alerts := make([]*alert.Alert, 500)
	for i := range alerts {
		labels := checkout.Clone()
		labels["instance"] = model.LabelValue(strings.Repeat("i", i+1))
		alerts[i] = alertOf(labels, time.Now().Add(-time.Minute), time.Time{})
	}
	if v := post(t, sender(t, r.url, 0, token), alerts...); v.Err() != nil {
		t.Fatal(v.Err())
	}
	if got := len(r.incidents()); got != len(alerts) {
		t.Errorf("%d incidents, want %d", got, len(alerts))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.requests != 1 {
		t.Errorf("%d requests, want 1", r.requests)
	}
}
