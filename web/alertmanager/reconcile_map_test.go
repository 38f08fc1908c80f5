package alertmanager_test

import (
	"errors"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/alertmanager"
)

// An alert that Map cannot map for a time is there all the same. An alert that it skips makes no incident.
func TestReconcile_mapThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want incident.Status
	}{
		"the directory is away": {errors.New("the directory is away"), warning},
		"skipped from now on":   {alertmanager.ErrSkip, closed},
	} {
		var err error
		w := newWorld(t, func(o *alertmanager.Options) {
			o.Map = func(a *alertmanager.Alert, _ *incident.Firing) error {
				if a.Labels["alertname"] == "Latency" {
					return err
				}
				return nil
			}
		})
		w.post(firing("warning", 0))
		r := w.newReconciler(&upstream{alerts: []*alertmanager.Alert{listed(other), listed(latency)}})
		w.pass(r, 60)
		err = c.err
		w.passes(r, 70, 400)
		if got := w.list()[0].Status; got != c.want {
			t.Errorf("%s: the incident is %s, want %s", name, got, c.want)
		}
	}
}

// Map may also fail from the start of the process. The alerts of the rule are then there, whatever
// projects or queries they have. Those of other rules are not held, and neither are they once Map works.
func TestReconcile_mapThatFailsFromTheStart(t *testing.T) {
	for name, moves := range map[string]func(f *incident.Firing){
		"project": func(f *incident.Firing) { f.ProjectID = "from the directory" },
		"query":   func(f *incident.Firing) { f.QueryID = "from the directory" },
		"rule":    func(f *incident.Firing) { f.AlertRuleID = "from the directory" },
		"trigger": func(f *incident.Firing) { f.TriggerID = "from the directory" },
	} {
		for how, fail := range map[string]func() error{
			"error": func() error { return errors.New("the directory is away") },
			"panic": func() error { panic("the directory is away") },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				isAway := false
				w := newWorld(t, func(o *alertmanager.Options) {
					o.Map = func(a *alertmanager.Alert, f *incident.Firing) error {
						if a.Labels["alertname"] != "Latency" {
							return nil
						}
						if isAway {
							f.AlertRuleID, f.QueryID = "half", "done"
							return fail()
						}
						moves(f)
						return nil
					}
				})
				w.post(firing("warning", 0))
				u := &upstream{alerts: []*alertmanager.Alert{listed(other), listed(latency)}}
				r := w.newReconciler(u)
				isAway = true
				w.passes(r, 60, 400)
				w.want(warning)
				isAway = false
				w.pass(r, 410)
				u.alerts = []*alertmanager.Alert{listed(other)}
				w.passes(r, 420, 600)
				w.want(closed)
			})
		}
	}
}

// An alert that cannot be mapped holds the incidents of its own rule alone.
func TestReconcile_mapThatFailsForAnotherRule(t *testing.T) {
	w := newWorld(t, func(o *alertmanager.Options) {
		o.Map = func(a *alertmanager.Alert, _ *incident.Firing) error {
			if a.Labels["alertname"] != "Latency" {
				return errors.New("of no team")
			}
			return nil
		}
	})
	w.post(firing("warning", 0))
	w.passes(w.newReconciler(&upstream{alerts: []*alertmanager.Alert{listed(other)}}), 60, 200)
	w.want(closed)
}
