package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/common/model"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// The peer in memory is the provider of Prometheus Alertmanager. An alert has the usual
// labels of Kubernetes and two annotations. A firing has the equivalent slot and title.
// Put keeps its argument, so every new alert has to be allocated, and that is part of its
// cost. Fire only reads its argument. The strings of both are made outside the measured
// time.

// known is the number of alerts that fire repeatedly.
const known = 10_000

func memoryComparisons(ctx context.Context) ([]comparison, error) {
	var all []comparison
	for _, goroutines := range []int{1, 2} {
		bar := 1.0
		if goroutines > 1 {
			bar = 0
		}
		ours, err := incident.New(memory.New(), nil)
		if err != nil {
			return nil, err
		}
		theirs, err := newAlerts(ctx)
		if err != nil {
			return nil, err
		}
		firings, alerts := make([]incident.Firing, known), make([]*alert.Alert, known)
		for i := range known {
			firings[i], alerts[i] = makeFiring(ruleName(i)), makeAlert(ruleName(i))
			if _, err := ours.Fire(ctx, firings[i]); err != nil {
				return nil, err
			}
			if err := theirs.Put(ctx, alerts[i]); err != nil {
				return nil, err
			}
		}
		all = append(all, comparison{
			ours: &side{name: "Fire that changes nothing, in memory", call: func(g, n int) error {
				_, err := ours.Fire(ctx, firings[(n*goroutines+g)%known])
				return err
			}},
			theirs: &side{name: "Alertmanager's Put of a known alert", call: func(g, n int) error {
				return theirs.Put(ctx, alerts[(n*goroutines+g)%known])
			}},
			goroutines: goroutines, bar: bar,
		}, newOnes(ctx, goroutines, bar, false), newOnes(ctx, goroutines, 0, true))
	}
	return all, nil
}

// newOnes compares the firing of new alerts. The strings are made in chunks outside the
// measured time and, if ready is set, so are the alerts. Each turn begins with an empty
// store, so that neither side leaves work to the other's garbage collector.
func newOnes(ctx context.Context, goroutines int, bar float64, ready bool) comparison {
	var ours incident.Manager
	var theirs *mem.Alerts
	names, alerts := make([][chunk]string, goroutines), make([][chunk]*alert.Alert, goroutines)
	nameAll := func(g, n int) {
		for i := range chunk {
			names[g][i] = ruleName((n+i)*goroutines + g)
		}
	}
	forget := func() {
		ours = nil
		if theirs != nil {
			theirs.Close()
			theirs = nil
		}
	}
	put := &side{
		name: "making an alert and Alertmanager's Put of it",
		begin: func() (err error) {
			forget()
			theirs, err = newAlerts(ctx)
			return err
		},
		prepare: nameAll,
		call:    func(g, n int) error { return theirs.Put(ctx, makeAlert(names[g][n%chunk])) },
	}
	if ready {
		put.name = "Alertmanager's Put of a new alert that is made"
		put.prepare = func(g, n int) {
			nameAll(g, n)
			for i, name := range names[g] {
				alerts[g][i] = makeAlert(name)
			}
		}
		put.call = func(g, n int) error { return theirs.Put(ctx, alerts[g][n%chunk]) }
	}
	return comparison{
		ours: &side{
			name: "Fire that opens, in memory",
			begin: func() (err error) {
				forget()
				ours, err = incident.New(memory.New(), nil)
				return err
			},
			prepare: nameAll,
			call: func(g, n int) error {
				_, err := ours.Fire(ctx, makeFiring(names[g][n%chunk]))
				return err
			},
		},
		theirs: put, goroutines: goroutines, bar: bar,
	}
}

func newAlerts(ctx context.Context) (*mem.Alerts, error) {
	return mem.NewAlerts(ctx, time.Hour, 0, nil, slog.New(slog.DiscardHandler), eventrecorder.NopRecorder(), nil, nil)
}

// now is when all alerts began.
var now = time.Now()

func ruleName(i int) string { return fmt.Sprintf("HighErrorRate-%08d", i) }

func makeFiring(name string) incident.Firing {
	return incident.Firing{
		Slot: incident.Slot{
			OrganizationID: "production", AlertRuleID: incident.AlertRuleID(name),
			ProjectID: "checkout", QueryID: "eu-west-1",
		},
		TriggerID: "critical", Severity: incident.StatusCritical, Title: "The error rate is above 5 %",
	}
}

func makeAlert(name string) *alert.Alert {
	return &alert.Alert{
		Alert: model.Alert{
			Labels: model.LabelSet{
				"alertname": model.LabelValue(name), "severity": "critical", "cluster": "eu-west-1",
				"namespace": "checkout", "job": "checkout", "service": "checkout", "pod": "checkout-7d9f", "instance": "10.0.0.1:8080",
			},
			Annotations: model.LabelSet{"summary": "The error rate is above 5 %", "runbook_url": "https://runbooks.example.com/errors"},
			StartsAt:    now, EndsAt: now.Add(time.Hour),
		},
		UpdatedAt: now,
	}
}
