package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// callerKey is the key of the value by which a tracing driver finds the caller.
type callerKey struct{}

func calledBy(t *testing.T, name string) context.Context {
	return context.WithValue(t.Context(), callerKey{}, name)
}

// tracing is a connector whose connections note the caller of all that reaches the driver.
type tracing struct {
	connector driver.Connector

	mu      sync.Mutex
	callers []string // in order; empty for none
}

func (d *tracing) note(ctx context.Context) {
	caller, _ := ctx.Value(callerKey{}).(string)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.callers = append(d.callers, caller)
}

// take returns how often each caller reached the driver since the last take.
func (d *tracing) take() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	times := map[string]int{}
	for _, caller := range d.callers {
		times[caller]++
	}
	d.callers = nil
	return times
}

func (d *tracing) Driver() driver.Driver { return d.connector.Driver() }

func (d *tracing) Connect(ctx context.Context) (driver.Conn, error) {
	d.note(ctx)
	conn, err := d.connector.Connect(ctx)
	return &tracedConn{hiddenConn{func() driver.Conn { return conn }}, d}, err
}

type tracedConn struct {
	hiddenConn
	d *tracing
}

func (c *tracedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	c.d.note(ctx)
	return c.hiddenConn.BeginTx(ctx, o)
}

func (c *tracedConn) QueryContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Rows, error) {
	c.d.note(ctx)
	return c.hiddenConn.QueryContext(ctx, q, args)
}

func (c *tracedConn) PrepareContext(ctx context.Context, q string) (driver.Stmt, error) {
	c.d.note(ctx)
	stmt, err := c.hiddenConn.PrepareContext(ctx, q)
	return &tracedStmt{stmt, c.d}, err
}

type tracedStmt struct {
	driver.Stmt
	d *tracing
}

func (s *tracedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.d.note(ctx)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

func (s *tracedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.d.note(ctx)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func newTraced(t *testing.T) (*postgres.Store, *tracing) {
	t.Helper()
	connector, err := pq.NewConnector(newTables(t))
	mustDo(t, err)
	d := &tracing{connector: connector}
	pool := sqlx.NewDb(sql.OpenDB(d), "postgres")
	t.Cleanup(func() { pool.Close() })
	return mustNew(t, pool, nil), d
}

// A wrapper of the driver that traces finds the values of the caller's context in all that a call sends.
func TestStore_tracedByTheDriver(t *testing.T) {
	t.Parallel()
	s, d := newTraced(t)
	m := mustManager(t, s)
	for name, call := range map[string]func(ctx context.Context, key incident.Key) error{
		"Get": func(ctx context.Context, key incident.Key) error { return only(m.Get(ctx, key)) },
		"Active": func(ctx context.Context, _ incident.Key) error {
			_, _, err := m.Active(ctx, firing.Slot)
			return err
		},
		"Details": func(ctx context.Context, key incident.Key) error { return only(m.Details(ctx, key, "ada")) },
		"List": func(ctx context.Context, _ incident.Key) error {
			return only(m.List(ctx, incident.IncidentFilter{OrganizationID: "acme"}))
		},
		"InTx": func(ctx context.Context, key incident.Key) error {
			return m.InTx(ctx, func(tx incident.Manager) error { return only(tx.Comment(ctx, key, comment)) })
		},
		"EraseUser": func(ctx context.Context, _ incident.Key) error {
			return only(m.EraseUser(ctx, incident.Erasure{OrganizationID: "acme", UserID: "ada", As: "nobody"}))
		},
		"DeleteOrganization": func(ctx context.Context, _ incident.Key) error { return only(m.DeleteOrganization(ctx, "acme")) },
	} {
		wantCaller(t, s, d, m, name, call)
	}
	for _, w := range writes() {
		wantCaller(t, s, d, m, w.name, func(ctx context.Context, key incident.Key) error { return w.call(ctx, m, key) })
	}
}

// wantCaller calls in an incident of its own.
func wantCaller(t *testing.T, s *postgres.Store, d *tracing, m incident.Manager, name string, call func(context.Context, incident.Key) error) {
	t.Helper()
	s.Pool().MustExec(`TRUNCATE incident_organization, incident, incident_slot, incident_activity, incident_trigger, incident_project,
		incident_active, incident_label, incident_subscription, incident_seen, incident_outbox, incident_queue`)
	key := mustBegin(t, m)
	d.take()
	if err := call(calledBy(t, name), key); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if got := d.take(); len(got) != 1 || got[name] == 0 {
		t.Errorf("%s reached the driver as %v", name, got)
	}
}

// A statement that several calls share has the values of one of them.
func TestStore_tracedTogether(t *testing.T) {
	t.Parallel()
	s, d := newTraced(t)
	m := mustManager(t, s)
	var create, read []func(context.Context) error
	for _, org := range manyOrgs(4) {
		create = append(create, func(ctx context.Context) error { return only(m.Create(ctx, downIn(1, org)[0])) })
		read = append(read, func(ctx context.Context) error {
			return only(s.Load(ctx, incident.Key{OrganizationID: org, Identifier: 1}))
		})
	}
	for what, c := range map[string]struct {
		hold  func() (func() int, func())
		calls []func(context.Context) error
	}{"creations": {s.HoldLanes, create}, "reads": {s.HoldReads, read}} {
		if what == "reads" {
			wantNone(t, callAll(t, create))
		}
		waiting, release := c.hold()
		d.take()
		done := make(chan []error)
		go func() { done <- callAll(t, c.calls) }()
		eventually(t, "the calls wait", func() bool { return waiting() == len(c.calls) })
		release()
		wantNone(t, <-done)
		if got := d.take(); len(got) == 0 || got[""] > 0 {
			t.Errorf("%s reached the driver as %v", what, got)
		}
	}
}

// So has the transaction of creations of one organization.
func TestStore_tracedInAGroup(t *testing.T) {
	t.Parallel()
	s, d := newTraced(t)
	m := mustManager(t, s)
	d.take()
	for round := range 10 {
		var all []func(context.Context) error
		for i := range 8 {
			n := newClaiming()
			n.QueryID = incident.QueryID(fmt.Sprint(round, " ", i))
			all = append(all, func(ctx context.Context) error { return only(m.Create(ctx, n)) })
		}
		wantNone(t, callAll(t, all))
	}
	if got := d.take(); len(got) == 0 || got[""] > 0 {
		t.Errorf("the creations reached the driver as %v", got)
	}
}

// callAll makes calls at once, each with a value of its own, and returns their errors.
func callAll(t *testing.T, calls []func(context.Context) error) []error {
	errs := make([]error, len(calls))
	var all sync.WaitGroup
	for i, call := range calls {
		all.Go(func() { errs[i] = call(calledBy(t, fmt.Sprint(i))) })
	}
	all.Wait()
	return errs
}
