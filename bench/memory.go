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

// The peer in memory is the provider of Prometheus Alertmanager. An alert has the
// labels that one from Kubernetes has, and two annotations; a firing has the slot
// and the title that say the same. All of them are made before the clock runs.

// known is how many alerts fire again and again.
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
		theirs, err := mem.NewAlerts(ctx, time.Hour, 0, nil, slog.New(slog.DiscardHandler), eventrecorder.NopRecorder(), nil, nil)
		if err != nil {
			return nil, err
		}
		firings, alerts := make([]incident.Firing, known), make([]*alert.Alert, known)
		for i := range known {
			firings[i], alerts[i] = makeFiring(i), makeAlert(i)
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
		}, newOnes(ctx, ours, theirs, goroutines, bar))
	}
	return all, nil
}

// newOnes has each goroutine's inputs made in chunks of their own.
func newOnes(ctx context.Context, ours incident.Manager, theirs *mem.Alerts, goroutines int, bar float64) comparison {
	firings, alerts := make([][]incident.Firing, goroutines), make([][]*alert.Alert, goroutines)
	number := func(g, n int) int { return known + n*goroutines + g }
	return comparison{
		ours: &side{
			name: "Fire that opens, in memory",
			prepare: func(g, n int) {
				firings[g] = firings[g][:0]
				for i := range chunk {
					firings[g] = append(firings[g], makeFiring(number(g, n+i)))
				}
			},
			call: func(g, n int) error {
				_, err := ours.Fire(ctx, firings[g][n%chunk])
				return err
			},
		},
		theirs: &side{
			name: "Alertmanager's Put of a new alert",
			prepare: func(g, n int) {
				alerts[g] = alerts[g][:0]
				for i := range chunk {
					alerts[g] = append(alerts[g], makeAlert(number(g, n+i)))
				}
			},
			call: func(g, n int) error { return theirs.Put(ctx, alerts[g][n%chunk]) },
		},
		goroutines: goroutines, bar: bar,
	}
}

func name(i int) string { return fmt.Sprintf("HighErrorRate-%08d", i) }

func makeFiring(i int) incident.Firing {
	return incident.Firing{
		Slot: incident.Slot{
			OrganizationID: "production", AlertRuleID: incident.AlertRuleID(name(i)),
			ProjectID: "checkout", QueryID: "eu-west-1",
		},
		TriggerID: "critical", Severity: incident.StatusCritical, Title: "The error rate is above 5 %",
	}
}

func makeAlert(i int) *alert.Alert {
	now := time.Now()
	return &alert.Alert{
		Alert: model.Alert{
			Labels: model.LabelSet{
				"alertname": model.LabelValue(name(i)), "severity": "critical", "cluster": "eu-west-1",
				"namespace": "checkout", "job": "checkout", "service": "checkout", "pod": "checkout-7d9f", "instance": "10.0.0.1:8080",
			},
			Annotations: model.LabelSet{"summary": "The error rate is above 5 %", "runbook_url": "https://runbooks.example.com/errors"},
			StartsAt:    now, EndsAt: now.Add(time.Hour),
		},
		UpdatedAt: now,
	}
}
