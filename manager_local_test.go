package incident_test

import (
	"context"
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
