package incident_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// recorder is a cache and a local store that record their calls.
type recorder struct {
	incident.Cache
	incident.LocalStore
	asked []string
}

func (r *recorder) Get(ctx context.Context, key string) (incident.CacheEntry, bool) {
	r.asked = append(r.asked, "cache")
	return r.Cache.Get(ctx, key)
}

func (r *recorder) Put(ctx context.Context, key string, e incident.CacheEntry, ttl time.Duration) {
	r.asked = append(r.asked, "fill")
	r.Cache.Put(ctx, key, e, ttl)
}

func (r *recorder) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	r.asked = append(r.asked, "store")
	return r.LocalStore.Load(ctx, key)
}

func (r *recorder) LoadSlot(ctx context.Context, s incident.Slot) (incident.SlotState, error) {
	r.asked = append(r.asked, "store")
	return r.LocalStore.LoadSlot(ctx, s)
}

func (r *recorder) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	r.asked = append(r.asked, "apply")
	return r.LocalStore.Apply(ctx, c)
}

// The Manager of a local store reads the store in writes and to find the incident of a slot, and
// caches only single incidents.
func TestLocalStore(t *testing.T) {
	ctx := t.Context()
	r := &recorder{Cache: incident.NewCache(100), LocalStore: memory.New()}
	m, err := incident.New(r, &incident.Options{Cache: r})
	if err != nil {
		t.Fatal(err)
	}
	firing := incident.Firing{Slot: slot, TriggerID: "5%", Severity: incident.StatusWarning, Title: "Error rate"}
	tests := []struct {
		name string
		call func() error
		want []string
	}{
		{"a firing that opens", func() error { _, err := m.Fire(ctx, firing); return err }, []string{"store", "apply"}},
		{"a firing that changes nothing", func() error { _, err := m.Fire(ctx, firing); return err }, []string{"store"}},
		{"the active incident", func() error { _, _, err := m.Active(ctx, slot); return err }, []string{"store"}},
		{"a read", func() error { _, err := m.Get(ctx, key); return err }, []string{"cache", "store", "fill"}},
		{"a second read", func() error { _, err := m.Get(ctx, key); return err }, []string{"cache"}},
		{"a change", func() error {
			_, err := m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusCritical})
			return err
		}, []string{"store", "apply", "fill"}},
	}
	for _, tt := range tests {
		r.asked = nil
		if err := tt.call(); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if !slices.Equal(r.asked, tt.want) {
			t.Errorf("%s asks for %v, want %v", tt.name, r.asked, tt.want)
		}
	}
	if got := mustGet(t, m); got.Status != incident.StatusCritical {
		t.Errorf("after the change, the cache has %s", got.Status)
	}
}

// A firing that opens an incident in a local store allocates memory for its answer, and no other for
// this incident alone: the store's lists grow by many at a time. Other goroutines may allocate
// meanwhile, so the least of several attempts counts.
func TestManager_Fire_opensWithOneAllocation(t *testing.T) {
	m, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, rules := t.Context(), make([]incident.AlertRuleID, 5000)
	for i := range rules {
		rules[i] = incident.AlertRuleID(fmt.Sprintf("rule-%04d", i))
	}
	open := func() {
		f := incident.Firing{
			Slot:      incident.Slot{OrganizationID: "acme", AlertRuleID: rules[0], ProjectID: "checkout"},
			TriggerID: "critical", Severity: incident.StatusCritical, Title: "Checkout is slow",
		}
		if r, err := m.Fire(ctx, f); err != nil || !r.Changed {
			t.Fatalf("Fire() = %+v, %v; want a new incident", r, err)
		}
		rules = rules[1:]
	}
	least := testing.AllocsPerRun(900, open)
	for range 4 {
		least = min(least, testing.AllocsPerRun(900, open))
	}
	if least > 1 {
		t.Errorf("Fire allocates %.0f times, want 1", least)
	}
}
