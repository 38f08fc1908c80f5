package alertmanager_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/alertmanager"
)

// faulty is a Manager whose writes and reads fail.
type faulty struct {
	incident.Manager
	fail func(call string) error
}

func (f *faulty) Fire(ctx context.Context, x incident.Firing) (incident.Result, error) {
	if err := f.fail("Fire " + string(x.TriggerID)); err != nil {
		return incident.Result{}, err
	}
	return f.Manager.Fire(ctx, x)
}

func (f *faulty) Resolve(ctx context.Context, x incident.Resolution) (incident.Result, error) {
	if err := f.fail("Resolve " + string(x.TriggerID)); err != nil {
		return incident.Result{}, err
	}
	return f.Manager.Resolve(ctx, x)
}

func (f *faulty) Triggers(ctx context.Context, key incident.Key) ([]incident.Trigger, error) {
	if err := f.fail("Triggers"); err != nil {
		return nil, err
	}
	return f.Manager.Triggers(ctx, key)
}

// A panic of the Manager is no proof that an alert cannot be used.
func TestHandler_panicOfTheManagerIsRepeated(t *testing.T) {
	for call, webhookOf := range map[string]string{
		"Fire warning":    webhook(firing("warning", 0), firing("critical", 0)),
		"Resolve warning": webhook(resolved("warning", 0, 10), firing("critical", 0)),
	} {
		panics := true
		w := newWorldOver(t, func(m incident.Manager) incident.Manager {
			return &faulty{m, func(of string) error {
				if panics && of == call {
					panic("boom")
				}
				return nil
			}}
		})
		w.postBody(webhookOf, http.StatusServiceUnavailable)
		panics = false
		w.postBody(webhookOf, http.StatusOK)
		w.want(critical)
		if s := w.handler.Stats(); s.Failed != 1 || s.Unusable != 0 {
			t.Errorf("%s: counted %+v", call, s)
		}
	}
}

// Alertmanager repeats 5xx alone: each error that a repetition can heal has such a status.
func TestHandler_statusOfFailures(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"unavailable":     {incident.ErrUnavailable, 503},
		"unknown outcome": {incident.ErrUnknownOutcome, 503},
		"conflict":        {incident.ErrVersionConflict, 503},
		"deadline":        {context.DeadlineExceeded, 503},
		"cancelled":       {context.Canceled, 503},
		"other":           {errors.New("odd"), 503},
		"invalid":         {&incident.FieldError{Field: "trigger", Problem: "is new to an incident that has 1000 triggers"}, 200},
		"forbidden":       {incident.ErrForbidden, 200},
	} {
		for _, call := range []string{"Fire warning", "Resolve warning"} {
			failing := true
			w := newWorldOver(t, func(m incident.Manager) incident.Manager {
				return &faulty{m, func(got string) error {
					if failing && got == call {
						return fmt.Errorf("store: %w: secret detail", c.err)
					}
					return nil
				}}
			})
			body := webhook(firing("critical", 0), firing("warning", 0), resolved("warning", 0, 10))
			if call == "Resolve warning" {
				body = webhook(firing("critical", 0), resolved("warning", 0, 10))
				failing = false
				w.post(firing("warning", 0))
				failing = true
			}
			answer := w.postBody(body, c.want)
			if strings.Contains(answer, "secret") {
				t.Errorf("%s: answer is %s", name, answer)
			}
			if got := w.handler.Stats(); c.want == 503 && (got.Failed == 0 || got.Repeats != 1) || c.want == 200 && got.Unusable == 0 {
				t.Errorf("%s: counted %+v", name, got)
			}
			failing = false
			w.postBody(body, http.StatusOK)
			w.want(critical)
		}
	}
}

// The read that looks for a wrong resolution can fail, too.
func TestHandler_failedLookIsRepeated(t *testing.T) {
	failing := false
	w := newWorldOver(t, func(m incident.Manager) incident.Manager {
		return &faulty{m, func(call string) error {
			if failing && call == "Triggers" {
				return incident.ErrUnavailable
			}
			return nil
		}}
	})
	w.post(firing("warning", 0))
	failing = true
	w.postBody(webhook(firing("warning", 0)), http.StatusServiceUnavailable)
}

func TestHandler_endsWithItsTimeout(t *testing.T) {
	w := newWorldOver(t, func(m incident.Manager) incident.Manager { return &silent{m} },
		func(o *alertmanager.Options) { o.Timeout = 20 * time.Millisecond })
	var alerts []alert
	for i := range 100 {
		alerts = append(alerts, labeled(labels{"alertname": fmt.Sprint("A", i)}))
	}
	start := time.Now()
	w.postBody(webhook(alerts...), http.StatusServiceUnavailable)
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
}

// silent is a Manager whose store does not answer.
type silent struct{ incident.Manager }

func (silent) Fire(ctx context.Context, _ incident.Firing) (incident.Result, error) {
	<-ctx.Done()
	return incident.Result{}, ctx.Err()
}

func TestHandler_manyAlerts(t *testing.T) {
	w := newWorld(t)
	var fire, end []alert
	for i := range 1000 {
		a, b := firing("warning", 0), resolved("warning", 0, 10)
		a["labels"] = labels{"alertname": "Many", "severity": "warning", "i": fmt.Sprint(i)}
		b["labels"] = a["labels"]
		fire, end = append(fire, a), append(end, b)
	}
	w.post(fire...)
	w.post(fire...)
	w.post(end...)
	if got := w.handler.Stats(); got.Fired != 1000 || got.Unchanged != 1000 || got.Resolved != 1000 {
		t.Errorf("counted %+v", got)
	}
}
