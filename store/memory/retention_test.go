package memory_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/store/storetest"
)

// mustOpen creates an incident with two activities of ada, who is subscribed to it.
func mustOpen(t testing.TB, s incident.Store, org incident.OrganizationID, started time.Time) incident.Incident {
	t.Helper()
	key := incident.Key{OrganizationID: org}
	applied, err := s.Apply(t.Context(), incident.Change{
		Key: key,
		Incident: &incident.Incident{
			OrganizationID: org, AlertRuleID: "latency", Projects: []incident.ProjectID{"api"}, Status: incident.StatusOpen,
			DateStarted: started, Version: 1, Labels: map[string]string{"team": "core"},
		},
		Activities: []incident.Activity{
			{Type: incident.ActivityTypeDetected, UserID: "ada", NotificationUUID: uuid.New()},
			{Type: incident.ActivityTypeCreated, UserID: "ada", NotificationUUID: uuid.New()},
		},
		Subscriptions: []incident.Subscription{{UserID: "ada"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return applied.Incident
}

func mustClose(t testing.TB, s incident.Store, inc incident.Incident) {
	t.Helper()
	before := inc.Version
	inc.Status, inc.DateClosed = incident.StatusClosed, new(inc.DateStarted.Add(time.Hour))
	inc.Version++
	_, err := s.Apply(t.Context(), incident.Change{Key: inc.Key(), Incident: &inc, ExpectVersion: before})
	if err != nil {
		t.Fatal(err)
	}
}

// A purge of many incidents visits each in bounded batches, and passes over those that are not due.
func TestStore_Purge_manyBatches(t *testing.T) {
	s := memory.New()
	const n = 5000
	started := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	for i := range n {
		inc := mustOpen(t, s, "acme", started.Add(time.Duration(i)*time.Second))
		if i%5 != 0 {
			mustClose(t, s, inc)
		}
	}
	q := incident.PurgeQuery{OrganizationID: "acme", ClosedBefore: started.Add(24 * time.Hour), Limit: n}
	purged, batches := 0, 0
	for more := true; more; batches++ {
		b, err := s.Purge(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		purged += len(b.Purged)
		q.After, more = b.Next, b.Next != nil
	}
	if purged != n*4/5 || batches < 10 {
		t.Errorf("Purge() deleted %d incidents in %d batches, want %d in 10 or more", purged, batches, n*4/5)
	}
}

// The cost of purging an incident does not grow with the number of incidents.
func BenchmarkStore_Purge(b *testing.B) {
	for _, size := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var longest time.Duration
			for b.Loop() {
				b.StopTimer()
				s := memory.New()
				started := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
				for i := range size {
					inc := mustOpen(b, s, "acme", started.Add(time.Duration(i)*time.Second))
					if i%2 != 0 {
						mustClose(b, s, inc)
					}
				}
				b.StartTimer()
				q := incident.PurgeQuery{OrganizationID: "acme", ClosedBefore: started.AddDate(2, 0, 0), Limit: 1000}
				for more := true; more; {
					begun := time.Now()
					batch, err := s.Purge(b.Context(), q)
					if err != nil {
						b.Fatal(err)
					}
					longest = max(longest, time.Since(begun))
					q.After, more = batch.Next, batch.Next != nil
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size/2), "ns/incident")
			b.ReportMetric(float64(longest.Microseconds()), "max-µs/batch")
		})
	}
}

func TestStore_retention(t *testing.T) {
	storetest.RunRetention(t, func(*testing.T) incident.RetentionStore { return memory.New() })
}
