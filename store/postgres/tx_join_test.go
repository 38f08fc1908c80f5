package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// notified counts notifications.
type notified struct {
	mu  sync.Mutex
	all []incident.Notification
}

func (n *notified) Notify(_ context.Context, note incident.Notification) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, note)
	return nil
}

// host is a Manager in a host's process with the host's own table.
type host struct {
	incident.Manager
	pool     *sqlx.DB
	store    *postgres.Store
	notified *notified
	plain    incident.Manager // without a cache
}

// newHost returns a host whose Manager runs or, if alone, has SingleProcess.
func newHost(t *testing.T, single bool, conns int) *host {
	t.Helper()
	pool := mustOpen(t, newTables(t), conns)
	pool.MustExec("CREATE TABLE orders (n int)")
	h := &host{pool: pool, notified: &notified{}, store: mustNew(t, pool, &postgres.Options{SingleProcess: single})}
	var err error
	h.Manager, err = incident.New(h.store, &incident.Options{
		Now: clock, Notifier: h.notified, Notify: incident.NotifyOptions{PollInterval: time.Minute},
		Authorizer: incident.AuthorizerFunc(func(_ context.Context, _ incident.OrganizationID, _ []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
			if users[0] == "mallory" {
				return nil, nil
			}
			return users, nil
		}),
	})
	if err == nil {
		h.plain, err = incident.New(h.store, &incident.Options{Cache: incident.NoCache, Notifier: incident.NotifyElsewhere})
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) run(t *testing.T, single bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if !single {
		awaitFeed(t, h)
	}
}

func (h *host) orders(t *testing.T) (n int) {
	t.Helper()
	if err := h.pool.Get(&n, "SELECT count(*) FROM orders"); err != nil {
		t.Fatal(err)
	}
	return n
}

// Calls in a host's transaction use the Manager's options and are notified. Once the
// commit has returned, no older version is served; after a rollback, no uncommitted
// version.
func TestManager_Join(t *testing.T) {
	t.Parallel()
	for _, single := range []bool{false, true} {
		for _, end := range []string{"commit", "rollback", "commit, never done"} {
			t.Run(fmt.Sprintf("single %t, %s", single, end), func(t *testing.T) {
				t.Parallel()
				h := newHost(t, single, 8)
				h.run(t, single)
				key := mustBegin(t, h)
				for round := range 10 {
					joinOnce(t, h, key, end, round)
				}
			})
		}
	}
}

func joinOnce(t *testing.T, h *host, key incident.Key, end string, round int) {
	t.Helper()
	ctx := t.Context()
	if err := readCached(ctx, h); err != nil {
		t.Fatal(err)
	}
	before := trace(t, h.plain)
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if b := h.Stats().Notifications; b.Delivered > 0 || time.Since(start) > time.Minute {
			break
		}
	}
	db := h.pool.MustBegin()
	tx, done, err := h.Join(h.store.Join(db))
	if err != nil {
		t.Fatal(err)
	}
	db.MustExec("INSERT INTO orders VALUES (1)")
	orders := h.orders(t)
	to := []incident.Status{incident.StatusClosed, incident.StatusCritical}[round%2]
	r, err := tx.UpdateStatus(ctx, key, incident.StatusUpdate{Status: to, UserID: "ada"})
	if err != nil || r.DateClosed != nil && !r.DateClosed.Equal(clock()) {
		t.Fatalf("UpdateStatus = %+v, %v; the clock is not the Manager's?", r, err)
	}
	opened, err := tx.Fire(ctx, with(firing, fmt.Sprint("joined ", round)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Subscribe(ctx, key, "mallory"); !errors.Is(err, incident.ErrForbidden) {
		t.Errorf("Subscribe = %v; the Authorizer is not asked", err)
	}
	if got, err := tx.Get(ctx, key); err != nil || got.Version != r.Version {
		t.Errorf("the joined Manager does not see its own write: version %d, %v", got.Version, err)
	}
	if err := readCached(ctx, h); err != nil {
		t.Fatal(err)
	}
	if inc, err := h.Get(ctx, key); err != nil || inc.Version != r.Version-1 {
		t.Errorf("before the end others see version %d, %v", inc.Version, err)
	}
	if end == "rollback" {
		if err := db.Rollback(); err != nil {
			t.Fatal(err)
		}
	} else if err := db.Commit(); err != nil {
		t.Fatal(err)
	}
	checkCache(t, h, h.plain)
	if end != "commit, never done" {
		done()
		done()
		if _, err := tx.Get(ctx, key); !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("after done Get = %v", err)
		}
	}
	checkCache(t, h, h.plain)
	wantEnd(t, h, end, before, orders, opened)
}

// wantEnd checks the state after a host's transaction.
func wantEnd(t *testing.T, h *host, end, before string, orders int, opened incident.Result) {
	t.Helper()
	got, ok, err := h.Active(t.Context(), slotOf(opened.Incident))
	if end == "rollback" {
		if trace(t, h.plain) != before || h.orders(t) != orders || ok || err != nil {
			t.Errorf("after a rollback something is there: %s, %t, %v", got.Key(), ok, err)
		}
		return
	}
	if !ok || err != nil || got.Identifier != opened.Identifier || h.orders(t) != orders+1 {
		t.Errorf("after the commit the slot holds %s, %t, %v, and there are %d orders", got.Key(), ok, err, h.orders(t))
	}
	if end == "commit, never done" {
		return
	}
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		h.notified.mu.Lock()
		for _, n := range h.notified.all {
			if n.Activity.Incident == opened.Key() {
				h.notified.mu.Unlock()
				return
			}
		}
		h.notified.mu.Unlock()
		if time.Since(start) > time.Minute {
			t.Fatalf("no notification of %s arrived", opened.Key())
		}
	}
}

func slotOf(inc incident.Incident) incident.Slot {
	return incident.Slot{OrganizationID: inc.OrganizationID, AlertRuleID: inc.AlertRuleID, QueryID: inc.QueryID, ProjectID: inc.Projects[0]}
}

// Join refuses an unsuitable transaction, and the error names the remedy.
func TestManager_Join_refuses(t *testing.T) {
	t.Parallel()
	h := newHost(t, true, 4)
	db := h.pool.MustBegin()
	defer func() { _ = db.Rollback() }()
	other := mustNew(t, h.pool, nil)
	refusals := map[string]error{
		"New of a joined store": only(incident.New(h.store.Join(db), nil)),
		"Join of no store":      joinError(h, nil),
		"Join of the store":     joinError(h, h.store),
		"Join of another store": joinError(h, other.Join(db)),
	}
	tx, done, err := h.Join(h.store.Join(db))
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	refusals["Join of a joined Manager"] = joinError(tx, h.store.Join(db))
	refusals["Run of a joined Manager"] = tx.Run(t.Context())
	_, refusals["Tx of a Manager"] = postgres.Tx(h)
	for name, err := range refusals {
		if !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("%s = %v, want ErrInvalid", name, err)
		}
	}
	if err := refusals["New of a joined store"]; err == nil || !strings.Contains(err.Error(), "Manager.Join") {
		t.Errorf("New of a joined store = %v, want that it names Manager.Join", err)
	}
	if got, err := postgres.Tx(tx); err != nil || got != db {
		t.Errorf("Tx of a joined Manager = %v, %v, want the host's own", got, err)
	}
}

func joinError(m incident.Manager, s incident.Store) error {
	_, _, err := m.Join(s)
	return err
}

// A host's statements within InTx are committed with the calls, or not at all.
func TestTx(t *testing.T) {
	t.Parallel()
	h := newHost(t, true, 1)
	ctx := context.Background()
	boom := errors.New("boom")
	for name, tt := range map[string]struct {
		host func(db *sqlx.Tx) error
		ok   bool
	}{
		"succeeds":                {func(*sqlx.Tx) error { return nil }, true},
		"fails":                   {func(*sqlx.Tx) error { return boom }, false},
		"overlooks its own error": {func(db *sqlx.Tx) error { _, _ = db.Exec("SELECT 1/0"); return nil }, false},
		"rolls back":              {func(db *sqlx.Tx) error { return db.Rollback() }, false},
		"breaks a later constraint": {func(db *sqlx.Tx) error {
			_, err := db.Exec(`CREATE TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO late VALUES (1), (1)`)
			return err
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			before, orders := trace(t, h.plain), h.orders(t)
			err := h.InTx(ctx, func(tx incident.Manager) error {
				db, err := postgres.Tx(tx)
				if err != nil {
					return err
				}
				db.MustExec("INSERT INTO orders VALUES (1)")
				if _, err := tx.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Down"}); err != nil {
					return err
				}
				return tt.host(db)
			})
			if tt.ok != (err == nil) {
				t.Errorf("InTx = %v", err)
			}
			if written := trace(t, h.plain) != before; written != tt.ok || (h.orders(t) != orders) != tt.ok {
				t.Errorf("the incident is written: %t, and there are %d orders after %d; InTx = %v", written, h.orders(t), orders, err)
			}
		})
	}
}

// With one connection, or a row that the transaction has locked, a call of the Manager
// itself would wait for ever.
func TestInTx_oneConnection(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	var h *host
	within := map[string]func(tx incident.Manager, key incident.Key) error{
		"Get": func(_ incident.Manager, key incident.Key) error { return only(h.Get(ctx, key)) },
		"List": func(incident.Manager, incident.Key) error {
			return only(h.List(ctx, incident.IncidentFilter{OrganizationID: "acme"}))
		},
		"UpdateStatus of what is locked": func(tx incident.Manager, key incident.Key) error {
			_, err1 := tx.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusCritical})
			_, err2 := h.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed})
			return errors.Join(err1, err2)
		},
		"InTx": func(incident.Manager, incident.Key) error {
			return h.InTx(ctx, func(incident.Manager) error { return nil })
		},
	}
	for _, conns := range []int{1, 8} {
		h = newHost(t, true, conns)
		key := mustBegin(t, h)
		for name, call := range within {
			ended := make(chan error, 1)
			go func() { ended <- h.InTx(ctx, func(tx incident.Manager) error { return call(tx, key) }) }()
			select {
			case err := <-ended:
				if !errors.Is(err, incident.ErrInvalid) || !strings.Contains(err.Error(), "call the Manager that InTx passed") {
					t.Errorf("with %d connections %s = %v, want the call to use instead", conns, name, err)
				}
			case <-time.After(time.Minute):
				t.Fatalf("with %d connections %s hangs", conns, name)
			}
		}
	}
}

// An Authorizer that needs the pool whose last connection the transaction holds.
func TestInTx_authorizerNeedsThePool(t *testing.T) {
	t.Parallel()
	h := newHost(t, true, 1)
	key := mustBegin(t, h)
	m, err := incident.New(h.store, &incident.Options{
		Authorizer: incident.AuthorizerFunc(func(_ context.Context, _ incident.OrganizationID, _ []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
			var n int
			err := h.pool.Get(&n, "SELECT 1") // without a context
			return users, err
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = m.InTx(context.Background(), func(tx incident.Manager) error {
		return only(tx.Subscribe(context.Background(), key, "ada"))
	})
	if !errors.Is(err, incident.ErrUnavailable) || !strings.Contains(err.Error(), "a pool of its own") {
		t.Errorf("InTx = %v, want the remedy", err)
	}
	if _, err := m.Subscribe(context.Background(), key, "ada"); err != nil {
		t.Errorf("outside a transaction Subscribe = %v", err)
	}
}
