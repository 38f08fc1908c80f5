package incident_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// backlogCounter counts the counts of the backlog.
type backlogCounter struct {
	*memory.Store
	counts atomic.Int64
}

func (c *backlogCounter) Backlog(ctx context.Context) (map[string]incident.Backlog, error) {
	c.counts.Add(1)
	return c.Store.Backlog(ctx)
}

// A process without a notifier is to send almost nothing while nobody calls.
func TestRun_countsTheBacklog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		notifier incident.Notifier
		want     int64 // in five minutes
	}{
		{"no notifier", nil, 5},
		{"a notifier", &postbox{}, 20},
		{"a notifier of another process", incident.NotifyElsewhere, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &backlogCounter{Store: memory.New()}
				m, err := incident.New(store, &incident.Options{Notifier: tt.notifier})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute-time.Second)
				defer cancel()
				_ = m.Run(ctx) // ends with its context
				if got := store.counts.Load(); got != tt.want {
					t.Errorf("Run has counted %d times, want %d", got, tt.want)
				}
			})
		})
	}
}
