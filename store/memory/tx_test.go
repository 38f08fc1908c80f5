package memory_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// A call blocked by a transaction returns when its context is done.
func TestStore_InTx_blockedCallReturnsWithContext(t *testing.T) {
	s := memory.New()
	err := s.InTx(t.Context(), func(incident.Store) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := s.Load(ctx, incident.Key{OrganizationID: "acme", Identifier: 1})
		return err
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Load() during a transaction = %v, want DeadlineExceeded", err)
	}
}
