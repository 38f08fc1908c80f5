package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// other is a driver for another database.
type other struct{}

func (other) Open(string) (driver.Conn, error) { return nil, errors.New("nobody connects") }

// wrapping wraps a driver like a wrapper for tracing.
type wrapping struct{ inner driver.Driver }

func (w wrapping) Open(dsn string) (driver.Conn, error) { return w.inner.Open(dsn) }

// hiding hides the driver that it wraps.
type hiding struct {
	open func(dsn string) (driver.Conn, error)
}

func (h hiding) Open(dsn string) (driver.Conn, error) { return h.open(dsn) }

// dsnConnector is a connector for any driver.
type dsnConnector struct {
	driver driver.Driver
	dsn    string
}

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c dsnConnector) Driver() driver.Driver                        { return c.driver }

func poolOf(t *testing.T, d driver.Driver, dsn string) *sqlx.DB {
	t.Helper()
	pool := sqlx.NewDb(sql.OpenDB(dsnConnector{d, dsn}), "postgres")
	t.Cleanup(func() { pool.Close() })
	return pool
}

// New refuses an unknown driver, and the error names it.
func TestNew_otherDrivers(t *testing.T) {
	for _, d := range []driver.Driver{other{}, &other{}, wrapping{other{}}, wrapping{wrapping{&other{}}}} {
		_, err := postgres.New(poolOf(t, d, ""), nil)
		wantRemedy(t, err, incident.ErrInvalid, "other")
		wantRemedy(t, err, incident.ErrInvalid, "github.com/jackc/pgx/v5/stdlib")
	}
	for _, d := range []driver.Driver{pq.Driver{}, &pq.Driver{}, wrapping{&pq.Driver{}}, wrapping{wrapping{pq.Driver{}}}, hiding{pq.Open}} {
		if _, err := postgres.New(poolOf(t, d, ""), nil); err != nil {
			t.Errorf("New() with %T = %v", d, err)
		}
	}
}

// hiddenConn is a connection that reveals only its methods.
type hiddenConn struct {
	conn func() driver.Conn
}

func (h hiddenConn) Prepare(q string) (driver.Stmt, error) { return h.conn().Prepare(q) }
func (h hiddenConn) Close() error                          { return h.conn().Close() }
func (h hiddenConn) Begin() (driver.Tx, error) { //nolint:staticcheck // the interface has it
	return h.conn().(driver.ConnBeginTx).BeginTx(context.Background(), driver.TxOptions{})
}

func (h hiddenConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return h.conn().(driver.ConnBeginTx).BeginTx(ctx, o)
}

func (h hiddenConn) QueryContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Rows, error) {
	return h.conn().(driver.QueryerContext).QueryContext(ctx, q, args)
}

func (h hiddenConn) PrepareContext(ctx context.Context, q string) (driver.Stmt, error) {
	return h.conn().(driver.ConnPrepareContext).PrepareContext(ctx, q)
}

// A wrapper may hide the driver and its connections. The errors still reveal the driver.
func TestNew_hiddenDriver(t *testing.T) {
	t.Parallel()
	u := newTables(t)
	d := hiding{func(dsn string) (driver.Conn, error) {
		conn, err := pq.Open(dsn)
		return hiddenConn{func() driver.Conn { return conn }}, err
	}}
	m := mustManager(t, mustNew(t, poolOf(t, d, u), nil))
	if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"}); err != nil {
		t.Error(err)
	}
}
