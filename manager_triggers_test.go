package incident_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

func numbered(n int) incident.Firing {
	return incident.Firing{
		Slot:      incident.Slot{OrganizationID: "acme", AlertRuleID: "one rule", ProjectID: "checkout"},
		TriggerID: incident.TriggerID(fmt.Sprintf("trigger-%04d", n)),
		Severity:  incident.StatusWarning,
		Title:     "Many thresholds",
	}
}

// An incident has at most MaxTriggers triggers, and the cost of a call grows at most linearly with
// their number.
func TestManager_manyTriggers(t *testing.T) {
	var slow []string
	for range 8 { // other programs disturb times, so that the best of eight attempts counts
		if slow = manyTriggers(t); len(slow) == 0 {
			return
		}
	}
	t.Error(slow)
}

// manyTriggers returns which calls grow faster than linearly.
func manyTriggers(t *testing.T) (slow []string) {
	t.Helper()
	ctx := t.Context()
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	fired := make([]time.Duration, incident.MaxTriggers)
	for i := range fired {
		begin := time.Now()
		if r, err := incidents.Fire(ctx, numbered(i)); err != nil || !r.Changed || r.Identifier != 1 {
			t.Fatalf("trigger %d: %+v, %v", i, r, err)
		}
		fired[i] = time.Since(begin)
	}
	slow = append(slow, notLinear(t, "Fire", fired[75:175], fired[900:])...)

	before, err := incidents.Details(ctx, key, "ada")
	if err != nil || len(before.Triggers) != incident.MaxTriggers {
		t.Fatalf("%d triggers, %v", len(before.Triggers), err)
	}
	_, err = incidents.Fire(ctx, numbered(incident.MaxTriggers))
	if bad, ok := errors.AsType[*incident.FieldError](err); !ok || bad.Field != "trigger" || !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("one trigger too many: %v, want a FieldError of trigger", err)
	}
	if after, err := incidents.Details(ctx, key, "ada"); err != nil || after.Version != before.Version || len(after.Triggers) != len(before.Triggers) {
		t.Errorf("the refused trigger left version %d of %d, %v", after.Version, before.Version, err)
	}
	critical := numbered(500)
	critical.Severity = incident.StatusCritical
	if r, err := incidents.Fire(ctx, critical); err != nil || r.Status != incident.StatusCritical {
		t.Errorf("a known trigger fires again: %v, %v", r.Status, err)
	}

	resolved := make([]time.Duration, incident.MaxTriggers)
	var last incident.Result
	for i := range resolved {
		begin := time.Now()
		if last, err = incidents.Resolve(ctx, incident.Resolution{Slot: numbered(i).Slot, TriggerID: numbered(i).TriggerID}); err != nil || !last.Changed {
			t.Fatalf("resolving trigger %d: %+v, %v", i, last, err)
		}
		resolved[i] = time.Since(begin)
	}
	if last.Status != incident.StatusClosed {
		t.Errorf("after the last resolution the incident is %v", last.Status)
	}
	// Each has all triggers before it, so that the bar is that of firing the last ones.
	return append(slow, notLinear(t, "Resolve", fired[75:175], resolved[450:550])...)
}

// notLinear compares calls among 1,000 triggers with calls among 125. Linear growth is a factor of
// 8, quadratic growth a factor of 64.
func notLinear(t *testing.T, name string, few, many []time.Duration) []string {
	t.Helper()
	middle := func(of []time.Duration) time.Duration { return slices.Sorted(slices.Values(of))[len(of)/2] }
	small, large := middle(few), middle(many)
	text := fmt.Sprintf("%s takes %v among 125 triggers and %v among 1,000", name, small, large)
	t.Log(text)
	if large > 24*small {
		return []string{text}
	}
	return nil
}

// Concurrent firings reuse memory, and must not mix their values.
func TestFire_concurrentFiringsDoNotMix(t *testing.T) {
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var firing sync.WaitGroup
	for n := range 4 {
		firing.Go(func() {
			for i := range 100 {
				f := numbered(n)
				f.AlertRuleID = incident.AlertRuleID(fmt.Sprint(n, "-", i))
				f.Title = "of " + string(f.AlertRuleID)
				r, err := incidents.Fire(t.Context(), f)
				if err != nil || !r.Changed || r.Title != f.Title || r.AlertRuleID != f.AlertRuleID {
					t.Errorf("Fire(%q) = %+v, %v", f.Title, r, err)
				}
				triggers, err := incidents.Triggers(t.Context(), r.Key())
				if err != nil || len(triggers) != 1 || triggers[0].TriggerID != f.TriggerID || triggers[0].Incident != r.Key() {
					t.Errorf("Triggers() after Fire(%q) = %+v, %v", f.Title, triggers, err)
				}
			}
		})
	}
	firing.Wait()
}
