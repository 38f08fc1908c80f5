package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/jmoiron/sqlx"
)

// A statement whose connection is silent keeps the driver in a read that nothing
// ends: lib/pq looks at no context there, and database/sql holds the connection's
// lock until the driver returns. The pool never gets such a connection back.
//
// Therefore a call takes a connection out of the pool, and runs its statements on
// the driver's own connection, outside of that lock. A call that is abandoned
// closes the driver's connection, which ends the read, and the pool can replace it
// at once. What a connection has prepared is remembered here for the same reason:
// statements of database/sql need its lock.

// maxKept bounds the statements that are kept prepared on one connection.
const maxKept = 128

// session is a connection of the pool in the hands of one call or transaction.
type session struct {
	database *database
	conn     *sqlx.Conn
	raw      driver.Conn
	kept     *kept
	killed   atomic.Bool
	released atomic.Bool
	busy     chan struct{} // holds a token while a statement of a transaction runs
	spoiled  atomic.Bool   // the pool must not get the connection back
}

// session takes a connection out of the pool. Waiting for one ends with ctx, and so
// does connecting, unless the driver itself cannot be interrupted.
func (d *database) session(ctx context.Context) (*session, error) {
	conn, err := d.pool.Connx(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{database: d, conn: conn, busy: make(chan struct{}, 1)}
	err = conn.Raw(func(raw any) (err error) {
		s.raw, err = driverConn(raw)
		return err
	})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	s.kept = d.sessions.of(s.raw, d.pool)
	s.kept.standby.begin()
	return s, nil
}

func driverConn(raw any) (driver.Conn, error) {
	conn, ok := raw.(driver.Conn)
	if !ok {
		return nil, fmt.Errorf("the pool's connections are no driver.Conn but %T", raw)
	}
	return conn, nil
}

// unfit reports whether a connection must not be used again after an error: it has
// ended, or it may have outlived a failover.
func unfit(err error) bool { return errors.Is(err, driver.ErrBadConn) || isReadOnly(err) }

// release gives the connection back to the pool. The pool closes one that is bad.
func (s *session) release(bad bool) {
	if !s.released.CompareAndSwap(false, true) {
		return
	}
	if bad || s.spoiled.Load() {
		s.database.sessions.forget(s.raw)
		_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
	} else {
		s.kept.standby.end()
	}
	_ = s.conn.Close()
}

// kill ends the connection while a statement runs on it, in which the driver
// returns then. A transaction still has to give the connection back.
func (s *session) kill(inTx bool) {
	s.killed.Store(true)
	s.database.sessions.forget(s.raw)
	s.closeNetwork()
	if !inTx {
		s.release(true)
	}
}

// enter begins to use the connection of a transaction, until leave. An abandoned
// statement may still be at it.
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

// query runs a statement of the form. It is prepared first, unless the connection
// has it prepared or nothing may be kept.
func (s *session) query(ctx context.Context, f *form, args []any) (driver.Rows, error) {
	ctx, stop := s.watch(ctx)
	rows, err := s.send(ctx, f, args)
	if err != nil {
		stop()
		return nil, err
	}
	return &watchedRows{rows, stop}, nil
}

// send is query without a watch on the context.
func (s *session) send(ctx context.Context, f *form, args []any) (driver.Rows, error) {
	queryer, ok := s.raw.(driver.QueryerContext)
	if ok && !(s.database.wire.prepares.Load() && s.kept.keeps) {
		values, err := s.values(nil, args)
		if err != nil {
			return nil, err
		}
		return queryer.QueryContext(ctx, f.text, values)
	}
	stmt, err := s.prepared(ctx, f)
	if err != nil {
		return nil, err
	}
	values, err := s.values(stmt, args)
	if err != nil {
		return nil, err
	}
	rows, err := queryStmt(ctx, stmt, values)
	if err == nil && !s.kept.keeps {
		rows = &closingRows{rows, stmt}
	}
	return rows, err
}

// prepared returns the form as a statement of the connection.
func (s *session) prepared(ctx context.Context, f *form) (stmt driver.Stmt, err error) {
	if stmt := s.kept.get(f); stmt != nil {
		return stmt, nil
	}
	if preparer, ok := s.raw.(driver.ConnPrepareContext); ok {
		stmt, err = preparer.PrepareContext(ctx, f.text)
	} else {
		stmt, err = s.raw.Prepare(f.text)
	}
	if err != nil || !s.kept.keeps {
		return stmt, err
	}
	return stmt, s.kept.put(f, stmt)
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

// closingRows closes their statement, which is not kept.
type closingRows struct {
	driver.Rows
	stmt driver.Stmt
}

// Close implements [driver.Rows].
func (r *closingRows) Close() error { return errors.Join(r.Rows.Close(), r.stmt.Close()) }

// values makes what the driver takes of the arguments, as database/sql does.
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

// closeKept closes what idle connections have prepared. What cannot be closed in time
// ends with its connection.
func (d *database) closeKept() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var held []*session // all at once, since the pool would give the same one again
	for range d.pool.Stats().Idle {
		s, err := d.session(ctx)
		if err != nil {
			break
		}
		held = append(held, s)
	}
	for _, s := range held {
		_, err := within(ctx, &attempt{session: s}, func() (struct{}, error) { return struct{}{}, s.kept.close() }, nil)
		s.release(err != nil)
	}
}

// sessions remembers what the pool's connections have prepared.
type sessions struct {
	mu     sync.Mutex // guards what is below
	byConn map[driver.Conn]*kept
	uses   uint64
}

// kept is what is known of a connection: above all what it has prepared. It is for
// the session that has the connection.
type kept struct {
	lastUse uint64 // guarded by the lock of the sessions
	link    link
	standby *standbyWatch
	keeps   bool // what is prepared
	uses    uint64
	stmts   map[*form]*keptStmt
}

type keptStmt struct {
	driver.Stmt
	lastUse uint64
}

// of returns what a connection has prepared. The pool does not tell which of its
// connections it has closed: those are among the ones used least recently.
func (all *sessions) of(conn driver.Conn, pool *sqlx.DB) *kept {
	if !reflect.ValueOf(conn).Comparable() { // a wrapper that cannot be recognized
		return &kept{link: inspect(conn), standby: watchStandby(conn)}
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.uses++
	k := all.byConn[conn]
	if k == nil {
		if all.byConn == nil {
			all.byConn = map[driver.Conn]*kept{}
		}
		for most := 2*pool.Stats().OpenConnections + 1; len(all.byConn) >= most; {
			delete(all.byConn, leastRecent(all.byConn, func(k *kept) uint64 { return k.lastUse }))
		}
		k = &kept{link: inspect(conn), standby: watchStandby(conn), keeps: true, stmts: map[*form]*keptStmt{}}
		all.byConn[conn] = k
	}
	k.lastUse = all.uses
	return k
}

func (all *sessions) forget(conn driver.Conn) {
	if !reflect.ValueOf(conn).Comparable() {
		return
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.byConn, conn)
}

func (k *kept) close() error {
	for f, stmt := range k.stmts {
		if err := stmt.Close(); err != nil {
			return err
		}
		delete(k.stmts, f)
	}
	return nil
}

func (k *kept) get(f *form) driver.Stmt {
	stmt := k.stmts[f]
	if stmt == nil {
		return nil
	}
	k.uses++
	stmt.lastUse = k.uses
	return stmt.Stmt
}

// put keeps a statement, and closes the one used least recently if there are too
// many.
func (k *kept) put(f *form, stmt driver.Stmt) error {
	var err error
	if len(k.stmts) >= maxKept {
		oldest := leastRecent(k.stmts, func(s *keptStmt) uint64 { return s.lastUse })
		err = k.stmts[oldest].Close()
		delete(k.stmts, oldest)
	}
	k.uses++
	k.stmts[f] = &keptStmt{Stmt: stmt, lastUse: k.uses}
	return err
}

// leastRecent returns the key that was used least recently.
func leastRecent[K comparable, V any](m map[K]V, use func(V) uint64) (oldest K) {
	least := uint64(0)
	for key, v := range m {
		if u := use(v); least == 0 || u < least {
			oldest, least = key, u
		}
	}
	return oldest
}
