package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

// A silent connection blocks the driver in a read that nothing ends: lib/pq does not
// observe the context there, and database/sql holds the connection's lock until the
// driver returns. The pool never gets such a connection back.
//
// Therefore a call takes a connection out of the pool and runs its statements on the
// driver's own connection, outside that lock. Abandoning the call closes the driver's
// connection: the read ends, and the pool can replace the connection at once. The store
// keeps prepared statements itself for the same reason, because those of database/sql
// need the lock.

// session is a connection of the pool while a call or a transaction holds it.
type session struct {
	database *database
	conn     *sqlx.Conn
	raw      driver.Conn
	state    *connState
	killed   atomic.Bool
	released atomic.Bool
	busy     chan struct{} // holds a token while a statement of a transaction runs; nil without a transaction
	spoiled  atomic.Bool   // the pool must not get the connection back
	gone     chan struct{} // closed when the pool has the connection back, or closes it
}

// driverPatience is how long a driver may take to return after its connection was closed. Then the
// pool closes the connection beside the driver.
const driverPatience = 3 * time.Second

// session takes a connection out of the pool. The end of ctx ends waiting for a
// connection, and connecting if the driver can be interrupted.
func (d *database) session(ctx context.Context) (*session, error) {
	if d.connectWait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.connectWait)
		defer cancel()
	}
	conn, err := d.pool.Connx(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{database: d, conn: conn, gone: make(chan struct{})}
	err = conn.Raw(func(raw any) (err error) {
		s.raw, err = driverConn(raw)
		return err
	})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	s.state = d.connStates.of(s.raw, d.pool)
	s.state.standby.begin()
	return s, nil
}

func driverConn(raw any) (driver.Conn, error) {
	conn, ok := raw.(driver.Conn)
	if !ok {
		return nil, fmt.Errorf("the pool's connections have type %T, which is not a driver.Conn", raw)
	}
	return conn, nil
}

// unfit reports whether a connection must not be used again after err: the connection
// has ended, it may have outlived a failover, or it has lost a statement of incident_run.
func unfit(err error) bool {
	return errors.Is(err, driver.ErrBadConn) || isReadOnly(err) || hasForgotten(err)
}

// release gives the connection back to the pool. The pool closes a bad connection.
func (s *session) release(bad bool) {
	if !s.released.CompareAndSwap(false, true) {
		return
	}
	close(s.gone)
	if bad || s.spoiled.Load() {
		s.database.connStates.forget(s.raw)
		_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	} else {
		s.state.standby.end()
	}
	_ = s.conn.Close()
}

// kill ends the connection while a statement runs on it. The driver returns then, and its caller
// releases the connection: database/sql may have statements of its own on it, and would
// close them beside the driver. A transaction must release the connection in any case.
func (s *session) kill(inTx bool) {
	s.killed.Store(true)
	s.spoiled.Store(true)
	s.database.connStates.forget(s.raw)
	s.closeNetwork()
	if inTx {
		return
	}
	timer := time.NewTimer(driverPatience)
	defer timer.Stop()
	select {
	case <-s.gone:
	case <-timer.C:
		s.release(true)
	}
}

// enter reserves the connection of a transaction until leave. It waits for an abandoned
// statement that still uses the connection.
func (s *session) enter(ctx context.Context) error {
	select {
	case s.busy <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.killed.Load() {
		s.leave()
		return driver.ErrBadConn
	}
	return nil
}

func (s *session) leave() { <-s.busy }

// query runs a statement with the text, and prepares it first unless it is prepared or
// the connection keeps no statements.
func (s *session) query(ctx context.Context, t *sqlText, args []any) (driver.Rows, error) {
	ctx, stop := s.cancelAfter(ctx)
	rows, err := s.send(ctx, t, args)
	switch {
	case stop == nil:
		return rows, err
	case err != nil:
		stop()
		return nil, err
	}
	return &cancellableRows{rows, stop}, nil
}

// send is query without cancellation.
func (s *session) send(ctx context.Context, t *sqlText, args []any) (driver.Rows, error) {
	queryer, ok := s.raw.(driver.QueryerContext)
	if ok && !(s.database.wire.prepares.Load() && s.state.keepsStmt) {
		values, err := s.values(nil, args)
		if err != nil {
			return nil, err
		}
		return queryer.QueryContext(ctx, t.text, values)
	}
	stmt, err := s.prepared(ctx, t)
	if err != nil {
		return nil, unsentError{err}
	}
	values, err := s.values(stmt, args)
	if err != nil {
		return nil, err
	}
	rows, err := queryStmt(ctx, stmt, values)
	if err == nil && !s.state.keepsStmt {
		rows = &closingRows{rows, stmt}
	}
	return rows, err
}

func queryStmt(ctx context.Context, stmt driver.Stmt, values []driver.NamedValue) (driver.Rows, error) {
	if q, ok := stmt.(driver.StmtQueryContext); ok {
		return q.QueryContext(ctx, values)
	}
	plain := make([]driver.Value, len(values))
	for i, v := range values {
		plain[i] = v.Value
	}
	//lint:ignore SA1019 a wrapper may have no other method
	return stmt.Query(plain)
}

// closingRows closes a statement that is not kept together with its rows.
type closingRows struct {
	driver.Rows
	stmt driver.Stmt
}

// Close implements [driver.Rows].
func (r *closingRows) Close() error { return errors.Join(r.Rows.Close(), r.stmt.Close()) }

// values converts arguments for the driver, as database/sql does.
func (s *session) values(stmt driver.Stmt, args []any) ([]driver.NamedValue, error) {
	checker, ok := stmt.(driver.NamedValueChecker)
	if !ok {
		checker, _ = s.raw.(driver.NamedValueChecker)
	}
	values := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		v := &values[i]
		v.Ordinal, v.Value = i+1, arg
		err := driver.ErrSkip
		if _, is := arg.(counted); checker != nil && !is {
			err = checker.CheckNamedValue(v)
		}
		if errors.Is(err, driver.ErrSkip) {
			v.Value, err = driver.DefaultParameterConverter.ConvertValue(v.Value)
		}
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	return values, nil
}
