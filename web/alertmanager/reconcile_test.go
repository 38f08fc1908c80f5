package alertmanager_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/alertmanager"
)

// upstream is a source of alerts.
type upstream struct {
	alerts []*alertmanager.Alert
	err    error
	before func() // called while the source is asked
}

func (u *upstream) list(context.Context) ([]*alertmanager.Alert, error) {
	if u.before != nil {
		u.before()
	}
	return u.alerts, u.err
}

func listed(names labels) *alertmanager.Alert {
	return &alertmanager.Alert{Status: alertmanager.StatusFiring, Labels: names, StartsAt: at(0)}
}

var (
	latency  = labels{"alertname": "Latency", "service": "checkout", "instance": "a", "severity": "warning"}
	other    = labels{"alertname": "Other", "service": "search", "severity": "critical"}
	watchdog = labels{"alertname": "Watchdog", "severity": "none"}
)

// newReconciler returns a Reconciler with a Grace of 60 minutes and a pass each 10.
func (w *world) newReconciler(u *upstream, changes ...func(o *alertmanager.ReconcileOptions)) *alertmanager.Reconciler {
	w.t.Helper()
	o := &alertmanager.ReconcileOptions{Alerts: u.list, Grace: 60 * time.Minute, Interval: 10 * time.Minute}
	for _, change := range changes {
		change(o)
	}
	r, err := w.handler.NewReconciler(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// pass makes a pass at a minute.
func (w *world) pass(r *alertmanager.Reconciler, minute int) alertmanager.Reconciled {
	w.t.Helper()
	w.set(minute)
	done, err := r.Reconcile(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return done
}

// passes makes a pass each 10 minutes, and returns the last.
func (w *world) passes(r *alertmanager.Reconciler, from, to int) (last alertmanager.Reconciled) {
	w.t.Helper()
	for minute := from; minute <= to; minute += 10 {
		last = w.pass(r, minute)
	}
	return last
}

func TestReconcile_resolvesWhatTheSourceNoLongerHas(t *testing.T) {
	w := newWorld(t)
	w.post(firing("warning", 0), firing("critical", 0), labeled(other))
	u := &upstream{alerts: []*alertmanager.Alert{listed(other), listed(latency)}}
	r := w.newReconciler(u)
	w.wantByRule("Latency", critical)
	if got := w.passes(r, 60, 110); got != (alertmanager.Reconciled{Alerts: 2, Incidents: 2, Absent: 1}) {
		t.Errorf("before the end of Grace: %+v", got)
	}
	w.wantByRule("Latency", critical)
	if got := w.pass(r, 120); got.Resolved != 1 {
		t.Errorf("after Grace: %+v", got)
	}
	w.wantByRule("Latency", warning)
	u.alerts = u.alerts[:1]
	w.passes(r, 130, 190)
	w.wantByRule("Latency", closed)
	w.wantByRule("Other", critical)
	for _, inc := range w.list() {
		if inc.AlertRuleID == "Latency" && !inc.DateClosed.Equal(at(130)) {
			t.Errorf("closed at %s, want %s, when the source had it no more", inc.DateClosed, at(130))
		}
	}
	if got := w.handler.Stats().Reconciled; got != 2 {
		t.Errorf("counted %d reconciled triggers, want 2", got)
	}
}

// wantByRule fails unless the only incident of a rule has the status.
func (w *world) wantByRule(rule incident.AlertRuleID, want incident.Status) {
	w.t.Helper()
	var got []incident.Status
	for _, inc := range w.list() {
		if inc.AlertRuleID == rule {
			got = append(got, inc.Status)
		}
	}
	if !slices.Equal(got, []incident.Status{want}) {
		w.t.Fatalf("incidents of %s have the statuses %v, want %v\n%s", rule, got, want, w.log)
	}
}

// Nothing is resolved without continuous evidence.
func TestReconcile_weakEvidenceResolvesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		// step changes the source and the world before the pass of a minute.
		step     func(w *world, u *upstream, minute int)
		watchdog string
	}{
		"the source fails": {func(_ *world, u *upstream, minute int) {
			u.err = errors.New("status 500")
		}, ""},
		"the source fails for a third of Grace": {func(_ *world, u *upstream, minute int) {
			if u.err = nil; minute%40 != 0 {
				u.err = errors.New("status 500")
			}
		}, ""},
		"the source is empty": {func(_ *world, u *upstream, minute int) { u.alerts = nil }, ""},
		"the source is empty for a third of Grace": {func(_ *world, u *upstream, minute int) {
			if u.alerts = nil; minute%40 == 0 {
				u.alerts = []*alertmanager.Alert{listed(other)}
			}
		}, ""},
		"the watchdog is missing": {func(_ *world, u *upstream, minute int) { u.alerts = []*alertmanager.Alert{listed(other)} }, "Watchdog"},
		"the alert is there sometimes": {func(_ *world, u *upstream, minute int) {
			if u.alerts = []*alertmanager.Alert{listed(other)}; minute%50 == 0 {
				u.alerts = append(u.alerts, listed(latency))
			}
		}, ""},
		"the alert is sent again": {func(w *world, u *upstream, minute int) {
			if minute%50 == 0 {
				w.post(firing("warning", 0))
			}
		}, ""},
		"new episodes begin": {func(w *world, u *upstream, minute int) {
			if minute%50 == 0 {
				w.post(firing("warning", minute))
			}
		}, ""},
		"the clock jumps": {func(w *world, u *upstream, minute int) {
			if minute%50 == 0 {
				w.set(minute - 100)
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.post(firing("warning", 0))
			u := &upstream{alerts: []*alertmanager.Alert{listed(other)}}
			r := w.newReconciler(u, func(o *alertmanager.ReconcileOptions) { o.Watchdog = c.watchdog })
			for minute := 60; minute <= 600; minute += 10 {
				w.set(minute)
				c.step(w, u, minute)
				_, err := r.Reconcile(t.Context())
				if lacks := u.err != nil || len(u.alerts) == 0 || c.watchdog != ""; lacks != (err != nil) {
					t.Fatalf("minute %d: %v", minute, err)
				}
			}
			w.want(warning)
		})
	}
}

func TestReconcile_watchdogProvesAnAnswer(t *testing.T) {
	w := newWorld(t)
	w.post(firing("warning", 0))
	u := &upstream{}
	r := w.newReconciler(u, func(o *alertmanager.ReconcileOptions) { o.Watchdog = "Watchdog" })
	w.set(60)
	if _, err := r.Reconcile(t.Context()); !errors.Is(err, alertmanager.ErrNoEvidence) {
		t.Errorf("without the watchdog: %v, want ErrNoEvidence", err)
	}
	u.alerts = []*alertmanager.Alert{listed(watchdog)}
	w.passes(r, 60, 120)
	w.want(closed)
}

// A resolution that was wrong after all is healed by the next firing.
func TestReconcile_wrongResolutionIsHealed(t *testing.T) {
	w := newWorld(t)
	w.post(firing("warning", 0))
	r := w.newReconciler(&upstream{alerts: []*alertmanager.Alert{listed(other)}})
	w.passes(r, 60, 120)
	w.want(closed)
	w.post(firing("warning", 0))
	w.want(closed, warning)
}

// An episode that begins in another process during the pass is newer than the evidence.
func TestReconcile_newEpisodeDuringThePass(t *testing.T) {
	w := newWorld(t)
	w.post(firing("warning", 0))
	u := &upstream{alerts: []*alertmanager.Alert{listed(other)}}
	r := w.newReconciler(u)
	w.passes(r, 60, 110)
	first := w.handler
	elsewhere, err := alertmanager.New(w.manager, &alertmanager.Options{Organization: org, Tokens: []string{token}, ProjectLabel: "service", Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	u.before = func() {
		w.handler = elsewhere
		w.post(firing("warning", 115))
		w.handler, u.before = first, nil
	}
	w.pass(r, 120)
	w.want(warning)
	w.passes(r, 130, 170)
	w.want(warning)
	w.passes(r, 180, 180)
	w.want(closed)
}

// An incident of the same slot that was opened since has evidence of its own.
func TestReconcile_nextIncidentHasItsOwnEvidence(t *testing.T) {
	w := newWorld(t)
	w.post(firing("warning", 0))
	r := w.newReconciler(&upstream{alerts: []*alertmanager.Alert{listed(other)}})
	w.passes(r, 60, 110)
	slot := incident.Slot{OrganizationID: org, AlertRuleID: "Latency", ProjectID: "checkout", QueryID: w.list()[0].QueryID}
	w.set(115)
	if _, err := w.manager.Resolve(t.Context(), incident.Resolution{Slot: slot, TriggerID: "warning", Date: at(1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.manager.Fire(t.Context(), incident.Firing{
		Slot: slot, TriggerID: "warning", Severity: warning, Title: "x", Date: at(2), Labels: labels{alertmanager.SourceLabel: "alertmanager"},
	}); err != nil {
		t.Fatal(err)
	}
	w.passes(r, 120, 170)
	w.want(closed, warning)
	w.pass(r, 180)
	w.want(closed, closed)
}

// Incidents of others, also in the same organization, stay as they are.
func TestReconcile_leavesOthersAlone(t *testing.T) {
	w := newWorld(t)
	if _, err := w.manager.Fire(t.Context(), incident.Firing{
		Slot:      incident.Slot{OrganizationID: org, AlertRuleID: "mine", ProjectID: "checkout"},
		TriggerID: "warning", Severity: warning, Title: "x", Date: at(0),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.manager.Fire(t.Context(), incident.Firing{
		Slot:      incident.Slot{OrganizationID: org, AlertRuleID: "theirs", ProjectID: "checkout"},
		TriggerID: "warning", Severity: warning, Title: "x", Date: at(0), Labels: labels{alertmanager.SourceLabel: "grafana"},
	}); err != nil {
		t.Fatal(err)
	}
	n := incident.NewIncident{OrganizationID: org, Title: "of no rule", Labels: labels{alertmanager.SourceLabel: "alertmanager"}}
	if _, err := w.manager.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	w.post(firing("warning", 0)) // to which a user adds a project
	if _, err := w.manager.LinkProject(t.Context(), w.list()[3].Key(), "aaa"); err != nil {
		t.Fatal(err)
	}
	u := &upstream{alerts: []*alertmanager.Alert{listed(latency)}}
	r := w.newReconciler(u)
	w.passes(r, 60, 180)
	w.want(warning, warning, incident.StatusOpen, warning)
	u.alerts = []*alertmanager.Alert{listed(other)}
	w.passes(r, 190, 250)
	w.want(warning, warning, incident.StatusOpen, closed)
}

// Many incidents are read page by page, and are resolved a few in each pass.
func TestReconcile_manyIncidents(t *testing.T) {
	w := newWorld(t)
	var alerts []alert
	for i := range 250 {
		alerts = append(alerts, labeled(labels{"alertname": "Many", "i": fmt.Sprint(i)}))
	}
	w.post(alerts...)
	r := w.newReconciler(&upstream{alerts: []*alertmanager.Alert{listed(other)}}, func(o *alertmanager.ReconcileOptions) { o.Most = 100 })
	w.passes(r, 60, 110)
	want := alertmanager.Reconciled{Alerts: 1, Incidents: 250, Absent: 250, Resolved: 100, Postponed: 150}
	if got := w.pass(r, 120); got != want {
		t.Errorf("the first pass that resolves: %+v, want %+v", got, want)
	}
	w.passes(r, 130, 140)
	for _, inc := range w.list() {
		if inc.Status != closed {
			t.Fatalf("%s is %v", inc.Key(), inc.Status)
		}
	}
}

// Two processes reconcile at the same time.
func TestReconcile_together(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.post(labeled(labels{"alertname": "Many", "i": fmt.Sprint(i)}))
	}
	u := &upstream{alerts: []*alertmanager.Alert{listed(other)}}
	a, b := w.newReconciler(u), w.newReconciler(u)
	for minute := 60; minute <= 120; minute += 10 {
		w.set(minute)
		errs := make(chan error, 2)
		for _, r := range []*alertmanager.Reconciler{a, b} {
			go func() {
				_, err := r.Reconcile(t.Context())
				errs <- err
			}()
		}
		if err := errors.Join(<-errs, <-errs); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.handler.Stats().Reconciled; got != 20 {
		t.Errorf("resolved %d triggers, want 20", got)
	}
}

func TestReconciler_Run(t *testing.T) {
	w := newWorld(t)
	asked := make(chan bool, 10)
	u := &upstream{err: errors.New("down"), before: func() { asked <- true }}
	r := w.newReconciler(u, func(o *alertmanager.ReconcileOptions) { o.Interval = time.Millisecond })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	for range 3 {
		<-asked
	}
	cancel()
	for {
		select {
		case <-asked:
			continue
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		}
		return
	}
}

func TestNewReconciler_refusesBadOptions(t *testing.T) {
	w := newWorld(t)
	u := &upstream{}
	for name, o := range map[string]*alertmanager.ReconcileOptions{
		"nil":               nil,
		"no source":         {},
		"short grace":       {Alerts: u.list, Grace: time.Minute},
		"long interval":     {Alerts: u.list, Grace: time.Hour, Interval: 11 * time.Minute},
		"negative interval": {Alerts: u.list, Interval: -1},
		"negative most":     {Alerts: u.list, Most: -1},
	} {
		if _, err := w.handler.NewReconciler(o); !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}
