package memory_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) incident.Store { return memory.New() })
}

// A call that waits for the end of a transaction ends with its context.
func TestStore_waitingObeysTheContext(t *testing.T) {
	s := memory.New()
	err := s.InTx(t.Context(), func(incident.Store) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := s.Load(ctx, incident.Key{OrganizationID: "acme", Identifier: 1})
		return err
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a read within a transaction of another = %v", err)
	}
}

// A list that is longer than a chunk lets a writer in between, and still has
// each incident once.
func TestStore_longWalk(t *testing.T) {
	s := memory.New()
	const n = 10_000
	started := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	for i := range n {
		title := "noise"
		if i%2500 == 7 {
			title = "match"
		}
		_, err := s.Apply(t.Context(), incident.Change{
			Key: incident.Key{OrganizationID: "acme"},
			Incident: &incident.Incident{
				OrganizationID: "acme", Title: title, Status: incident.StatusOpen,
				DateStarted: started.Add(time.Duration(i) * time.Second), Version: 1,
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, reverse := range []bool{false, true} {
		found, err := s.Incidents(t.Context(), incident.IncidentQuery{
			OrganizationID: "acme", Title: "match", Reverse: reverse, Limit: 100,
		})
		if err != nil || len(found) != 4 {
			t.Errorf("reverse %t: %d of 4 matches, %v", reverse, len(found), err)
		}
	}
}
