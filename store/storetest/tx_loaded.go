package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// The states that a transaction has loaded stay as they are until its end, or it returns a
// version conflict. So of two transactions that load the same two incidents, and each write to one
// of them, the later sees the write of the earlier or is refused.
func inTxKeepsLoadedStates(t *trial, s incident.Store) {
	keys := []incident.Key{
		mustCreate(t, s, draft(acme)).Incident.Key(),
		mustCreate(t, s, draft(acme)).Incident.Key(),
	}
	for round := range 3 {
		title := fmt.Sprint("the only write of round ", round)
		var loaded atomic.Int64
		t.together(2, func(i int) {
			err := s.InTx(t.Context(), func(tx incident.Store) error {
				var states [2]incident.State
				for j, key := range keys {
					var err error
					if states[j], err = tx.Load(t.Context(), key); err != nil {
						return err
					}
				}
				loaded.Add(1)
				for start := time.Now(); loaded.Load() < 2 && time.Since(start) < 10*time.Millisecond; {
					time.Sleep(100 * time.Microsecond) // for the other to load, if the store lets it
				}
				if states[1-i].Incident.Title == title {
					return nil
				}
				_, err := tx.Apply(t.Context(), retitling(states[i], title))
				return err
			})
			if err != nil && !errors.Is(err, incident.ErrVersionConflict) {
				t.Error(err)
			}
		})
		written := 0
		for _, key := range keys {
			if mustLoad(t, s, key).Incident.Title == title {
				written++
			}
		}
		if written > 1 {
			t.Errorf("of two transactions that decided on the same incidents, %d have written, want one", written)
		}
	}
}
