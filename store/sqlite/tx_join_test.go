package sqlite_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// host is a Manager in a host's process with the host's own table, in one file.
type host struct {
	incident.Manager
	pool  *sqlx.DB
	store *sqlite.Store
}

func newHost(t *testing.T, settings string) *host {
	t.Helper()
	h := &host{pool: mustHostPool(t, newPath(t), settings)}
	h.pool.MustExec("CREATE TABLE orders (n INTEGER)")
	var err error
	if h.store, err = sqlite.New(t.Context(), h.pool, patient(nil)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := h.store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.Manager, err = incident.New(h.store, nil); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) counts(t *testing.T) (orders, incidents int) {
	t.Helper()
	err := errors.Join(h.pool.Get(&orders, "SELECT count(*) FROM orders"), h.pool.Get(&incidents, "SELECT count(*) FROM incident"))
	if err != nil {
		t.Fatal(err)
	}
	return orders, incidents
}

var disruption = incident.NewIncident{OrganizationID: "acme", Title: "x"}

// A transaction of the host contains calls of the library, and one of the library statements of
// the host: both are committed, or neither.
func TestJoin(t *testing.T) {
	t.Parallel()
	h := newHost(t, "_txlock=immediate")
	ctx := t.Context()
	for _, commits := range []bool{true, false} {
		hostTx := h.pool.MustBegin()
		hostTx.MustExec("INSERT INTO orders VALUES (1)")
		tx, done, err := h.Join(h.store.Join(hostTx))
		if err != nil {
			t.Fatal(err)
		}
		r, err := tx.Create(ctx, disruption)
		if err == nil {
			_, err = tx.Comment(ctx, r.Key(), incident.NewComment{Comment: "in the transaction"})
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Get(ctx, r.Key()); !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("Get() outside the transaction before its commit = %v, want ErrNotFound", err)
		}
		if commits {
			err = hostTx.Commit()
		} else {
			err = hostTx.Rollback()
		}
		if err != nil {
			t.Fatal(err)
		}
		done()
		if orders, incidents := h.counts(t); orders != 1 || incidents != 1 {
			t.Errorf("after a transaction of the host that commits (%t) there are %d orders and %d incidents, want 1 and 1", commits, orders, incidents)
		}
	}
	for _, fails := range []error{errors.New("of the function"), nil} {
		err := h.InTx(ctx, func(tx incident.Manager) error {
			db, err := sqlite.Tx(tx)
			if err != nil {
				return err
			}
			db.MustExec("INSERT INTO orders VALUES (2)")
			if _, err := tx.Create(ctx, disruption); err != nil {
				return err
			}
			return fails
		})
		if !errors.Is(err, fails) {
			t.Errorf("InTx() = %v, want %v", err, fails)
		}
	}
	if orders, incidents := h.counts(t); orders != 2 || incidents != 2 {
		t.Errorf("after InTx() there are %d orders and %d incidents, want 2 and 2", orders, incidents)
	}
	if _, err := sqlite.Tx(h); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("Tx() outside a transaction = %v, want ErrInvalid", err)
	}
}

// A transaction of the host that reads before it writes fails at once, with the remedy, if
// others have written meanwhile. Nothing is written.
func TestJoin_readsBeforeItWrites(t *testing.T) {
	t.Parallel()
	h := newHost(t, "")
	hostTx := h.pool.MustBegin()
	defer hostTx.Rollback()
	var n int
	if err := hostTx.Get(&n, "SELECT count(*) FROM orders"); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, h.store, "of another")
	begin := time.Now()
	_, err := create(t.Context(), h.store.Join(hostTx), "late")
	wantError(t, "Apply() after another's commit", err, "BEGIN IMMEDIATE", incident.ErrUnavailable)
	if took := time.Since(begin); took > busyTimeout/2 {
		t.Errorf("Apply() took %v to fail, want at once, and long before BusyTimeout", took)
	}
	if _, incidents := h.counts(t); incidents != 1 {
		t.Errorf("%d incidents were written, want 1", incidents)
	}
}

// A call in a host's transaction that SQLite has rolled back by itself writes nothing.
func TestJoin_undone(t *testing.T) {
	t.Parallel()
	h := newHost(t, "_txlock=immediate")
	hostTx := h.pool.MustBegin()
	joined := h.store.Join(hostTx)
	if _, err := create(t.Context(), joined, "x"); err != nil {
		t.Fatal(err)
	}
	hostTx.MustExec("ROLLBACK") // as SQLite does
	_, err := create(t.Context(), joined, "late")
	wantError(t, "Apply() after the transaction was undone", err, "repeat it", incident.ErrUnavailable)
	_ = hostTx.Rollback() // there is nothing left
	if _, incidents := h.counts(t); incidents != 0 {
		t.Errorf("%d incidents were written, want none", incidents)
	}
}

// A call that is refused in a host's transaction leaves nothing, and the transaction goes on.
func TestJoin_refusals(t *testing.T) {
	t.Parallel()
	h := newHost(t, "_txlock=immediate")
	hostTx := h.pool.MustBegin()
	joined := h.store.Join(hostTx)
	n, err := create(t.Context(), joined, "x")
	if err != nil {
		t.Fatal(err)
	}
	st, err := load(joined, n)
	if err != nil {
		t.Fatal(err)
	}
	_, err = joined.Apply(t.Context(), incident.Change{Key: st.Incident.Key(), Incident: &st.Incident, ExpectVersion: 7})
	wantError(t, "Apply() with another version", err, "", incident.ErrVersionConflict)
	_, err = joined.Apply(context.Background(), incident.Change{Key: incident.Key{OrganizationID: "acme", Identifier: 9}})
	wantError(t, "Apply() to nothing", err, "", incident.ErrNotFound)
	if err := hostTx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, incidents := h.counts(t); incidents != 1 {
		t.Errorf("%d incidents were written, want 1", incidents)
	}
}

// A host that overlooked why its transaction did not begin gets an error from each call.
func TestJoin_withoutATransaction(t *testing.T) {
	t.Parallel()
	h := newHost(t, "_txlock=immediate")
	tx, done, err := h.Join(h.store.Join(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	_, err = tx.Get(t.Context(), incident.Key{OrganizationID: "acme", Identifier: 1})
	wantError(t, "Get() without a transaction", err, "is nil", incident.ErrInvalid)
	_, err = h.store.Join(nil).Apply(t.Context(), incident.Change{Key: incident.Key{OrganizationID: "acme"}})
	wantError(t, "Apply() without a transaction", err, "is nil", incident.ErrInvalid)
	err = tx.InTx(t.Context(), func(incident.Manager) error { return nil })
	wantError(t, "InTx() without a transaction", err, "is nil", incident.ErrInvalid)
}

// A host may undo a part of the library's transaction by a savepoint of its own. Nothing of that
// part is read afterwards.
func TestTx_hostUndoesAPart(t *testing.T) {
	t.Parallel()
	h := newHost(t, "_txlock=immediate")
	ctx := t.Context()
	m, err := incident.New(mustOpen(t, newPath(t), &sqlite.Options{SingleProcess: true}), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]incident.Manager{"shared": h.Manager, "alone": m} {
		before, err := m.Create(ctx, disruption)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Get(ctx, before.Key()); err != nil {
			t.Fatal(err)
		}
		slot := incident.Slot{OrganizationID: "acme", AlertRuleID: "rule", ProjectID: "api"}
		var undone incident.Result
		err = m.InTx(ctx, func(tx incident.Manager) error {
			db, err := sqlite.Tx(tx)
			if err != nil {
				return err
			}
			db.MustExec("SAVEPOINT part")
			_, err1 := tx.UpdateStatus(ctx, before.Key(), incident.StatusUpdate{Status: incident.StatusClosed})
			var err2 error
			undone, err2 = tx.Fire(ctx, incident.Firing{Slot: slot, TriggerID: "5%", Severity: incident.StatusCritical, Title: "undone"})
			db.MustExec("ROLLBACK TO part")
			return errors.Join(err1, err2)
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.Get(ctx, before.Key()); err != nil || got.Status != incident.StatusOpen {
			t.Errorf("%s: Get() of an incident whose change was undone = %v, %v", name, got.Status, err)
		}
		if _, err := m.Get(ctx, undone.Key()); !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("%s: Get() of an incident whose creation was undone = %v, want ErrNotFound", name, err)
		}
		if _, active, err := m.Active(ctx, slot); err != nil || active {
			t.Errorf("%s: Active() = %t, %v, want a free slot", name, active, err)
		}
		if r, err := m.UpdateStatus(ctx, before.Key(), incident.StatusUpdate{Status: incident.StatusClosed}); err != nil || !r.Changed {
			t.Errorf("%s: the change after it was undone = %t, %v", name, r.Changed, err)
		}
		if got := m.Stats().Feed.Resets; got != 0 {
			t.Errorf("%s: %d resets, want none: nothing was lost", name, got)
		}
	}
}

// A host must not end the transaction of InTx. If it does so, later calls write nothing, and InTx
// does not report success.
func TestTx_hostEndsTheTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, c := range map[string]struct {
		end     func(db *sqlx.Tx) error
		matches error
		left    int
	}{
		"COMMIT":     {func(db *sqlx.Tx) error { _, err := db.Exec("COMMIT"); return err }, incident.ErrUnknownOutcome, 1},
		"Commit()":   {func(db *sqlx.Tx) error { return db.Commit() }, incident.ErrUnknownOutcome, 1},
		"ROLLBACK":   {func(db *sqlx.Tx) error { _, err := db.Exec("ROLLBACK"); return err }, incident.ErrUnavailable, 0},
		"Rollback()": {func(db *sqlx.Tx) error { return db.Rollback() }, incident.ErrUnavailable, 0},
	} {
		h := newHost(t, "_txlock=immediate")
		err := h.InTx(ctx, func(tx incident.Manager) error {
			db, err := sqlite.Tx(tx)
			if err == nil {
				_, err = tx.Create(ctx, disruption)
			}
			if err == nil {
				err = c.end(db)
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = tx.Create(ctx, disruption)
			wantError(t, "Create() after "+name, err, "", c.matches)
			return nil
		})
		wantError(t, "InTx() with "+name, err, "", c.matches)
		if _, incidents := h.counts(t); incidents != c.left {
			t.Errorf("%s: %d incidents, want %d", name, incidents, c.left)
		}
		if _, err := h.Create(ctx, disruption); err != nil {
			t.Errorf("Create() after the transaction of %s = %v", name, err)
		}
	}
}
