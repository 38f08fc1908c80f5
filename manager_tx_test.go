package incident_test

import (
	"context"
	"errors"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// wrappedStore is a Store around another, as a host has it for metrics.
type wrappedStore struct{ incident.Store }

func (s wrappedStore) Unwrap() incident.Store { return s.Store }

func (s wrappedStore) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	return s.Store.InTx(ctx, func(tx incident.Store) error { return fn(wrappedStore{tx}) })
}

// StoreAs finds a store behind wrappers, also within a transaction, and no store of another type.
func TestStoreAs_unwraps(t *testing.T) {
	own := memory.New()
	m, err := incident.New(wrappedStore{wrappedStore{own}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := incident.StoreAs[*memory.Store](m); got != own || err != nil {
		t.Errorf("StoreAs() = %v, %v, want the store", got, err)
	}
	err = m.InTx(t.Context(), func(tx incident.Manager) error {
		got, err := incident.StoreAs[*memory.Store](tx)
		if got == nil || got == own {
			t.Errorf("StoreAs() in a transaction = %v, want its store", got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := incident.StoreAs[incident.OutboxStore](mustNew(t, struct{ incident.Store }{own}, nil)); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("StoreAs() of another type = %v, want ErrInvalid", err)
	}
}

// After a transaction that the host had too, a read of the store tells what was written. The next
// read fills the cache.
func TestInTx_lentReadsTheStore(t *testing.T) {
	m, p := probed(t, nil)
	err := m.InTx(t.Context(), func(tx incident.Manager) error {
		if _, err := incident.StoreOf(tx); err != nil {
			return err
		}
		mustClose(t, tx)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	before := p.loads.Load()
	for range 5 {
		if got := mustGet(t, m); got.Status != incident.StatusClosed {
			t.Errorf("Get() after the commit = %v", got.Status)
		}
	}
	if got := p.loads.Load() - before; got != 2 {
		t.Errorf("five reads are %d loads, want two", got)
	}
}
