package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// A host that overlooked why its transaction did not begin gets an error from each call.
func TestManager_Join_withoutATransaction(t *testing.T) {
	t.Parallel()
	h := newHost(t, true, 4)
	key := mustBegin(t, h)
	for name, call := range map[string]func(tx incident.Manager) error{
		"Create": func(tx incident.Manager) error {
			return only(tx.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"}))
		},
		"Get": func(tx incident.Manager) error { return only(tx.Get(t.Context(), key)) },
		"InTx": func(tx incident.Manager) error {
			return tx.InTx(t.Context(), func(incident.Manager) error { return nil })
		},
	} {
		tx, done, err := h.Join(h.store.Join(nil))
		if err == nil {
			err = call(tx)
			done()
		}
		if !errors.Is(err, incident.ErrInvalid) || !strings.Contains(err.Error(), "is nil") {
			t.Errorf("%s without a transaction = %v, want ErrInvalid", name, err)
		}
	}
}

// A host may undo a part of the library's transaction by a savepoint of its own. Nothing of that
// part is read afterwards.
func TestTx_hostUndoesAPart(t *testing.T) {
	t.Parallel()
	h := newHost(t, true, 2)
	ctx := context.Background()
	key := mustBegin(t, h)
	before, err := h.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	slot := incident.Slot{OrganizationID: key.OrganizationID, AlertRuleID: "undone", ProjectID: "api"}
	var undone incident.Result
	err = h.InTx(ctx, func(tx incident.Manager) error {
		db, err := postgres.Tx(tx)
		if err != nil {
			return err
		}
		db.MustExec("SAVEPOINT part")
		_, err1 := tx.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed})
		var err2 error
		undone, err2 = tx.Fire(ctx, incident.Firing{Slot: slot, TriggerID: "5%", Severity: incident.StatusCritical, Title: "undone"})
		db.MustExec("ROLLBACK TO part")
		return errors.Join(err1, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.Get(ctx, key); err != nil || got.Status != before.Status {
		t.Errorf("Get() of an incident whose change was undone = %v, %v", got.Status, err)
	}
	if _, err := h.Get(ctx, undone.Key()); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("Get() of an incident whose creation was undone = %v, want ErrNotFound", err)
	}
	if _, active, err := h.Active(ctx, slot); err != nil || active {
		t.Errorf("Active() = %t, %v, want a free slot", active, err)
	}
	if r, err := h.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed}); err != nil || !r.Changed {
		t.Errorf("the change after it was undone = %t, %v", r.Changed, err)
	}
}
