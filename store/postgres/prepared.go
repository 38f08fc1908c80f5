package postgres

import (
	"context"
	"database/sql/driver"
	"reflect"
	"sync"

	"github.com/jmoiron/sqlx"
)

// maxKept bounds the statements that a connection keeps prepared.
const maxKept = 128

// connStates remembers the state of the pool's connections.
type connStates struct {
	mu     sync.Mutex // guards the fields below
	byConn map[driver.Conn]*connState
	uses   uint64
}

// connState is the state of a connection, above all its prepared statements. Only the
// session that holds the connection may use it.
type connState struct {
	lastUse    uint64 // guarded by connStates.mu
	link       link
	standby    *standbyWatch
	keepsStmt  bool // false for a connection that cannot be recognized
	identified bool // the connection leads to the worker that it should lead to
	uses       uint64
	stmts      map[*sqlText]*keptStmt
	space      []driver.Value // for the values of a row, while a statement runs
}

type keptStmt struct {
	driver.Stmt
	lastUse uint64
}

// of returns the state of a connection. The pool does not report the connections that it
// closed; the least recently used states are dropped instead.
func (all *connStates) of(conn driver.Conn, pool *sqlx.DB) *connState {
	if !reflect.ValueOf(conn).Comparable() { // a wrapper that cannot be recognized
		return &connState{link: inspect(conn), standby: watchStandby(conn)}
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.uses++
	c := all.byConn[conn]
	if c == nil {
		if all.byConn == nil {
			all.byConn = map[driver.Conn]*connState{}
		}
		for most := 2*pool.Stats().OpenConnections + 1; len(all.byConn) >= most; {
			delete(all.byConn, leastRecent(all.byConn, func(c *connState) uint64 { return c.lastUse }))
		}
		c = &connState{link: inspect(conn), standby: watchStandby(conn), keepsStmt: true, stmts: map[*sqlText]*keptStmt{}}
		all.byConn[conn] = c
	}
	c.lastUse = all.uses
	return c
}

func (all *connStates) forget(conn driver.Conn) {
	if !reflect.ValueOf(conn).Comparable() {
		return
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.byConn, conn)
}

func (c *connState) close() error {
	for t, stmt := range c.stmts {
		if err := stmt.Close(); err != nil {
			return err
		}
		delete(c.stmts, t)
	}
	return nil
}

func (c *connState) get(t *sqlText) driver.Stmt {
	stmt := c.stmts[t]
	if stmt == nil {
		return nil
	}
	c.uses++
	stmt.lastUse = c.uses
	return stmt.Stmt
}

// put keeps a statement. It closes the least recently used statement if there are too
// many.
func (c *connState) put(t *sqlText, stmt driver.Stmt) error {
	var err error
	if len(c.stmts) >= maxKept {
		oldest := leastRecent(c.stmts, func(s *keptStmt) uint64 { return s.lastUse })
		err = c.stmts[oldest].Close()
		delete(c.stmts, oldest)
	}
	c.uses++
	c.stmts[t] = &keptStmt{Stmt: stmt, lastUse: c.uses}
	return err
}

// leastRecent returns the least recently used key.
func leastRecent[K comparable, V any](m map[K]V, use func(V) uint64) (oldest K) {
	least := uint64(0)
	for key, v := range m {
		if u := use(v); least == 0 || u < least {
			oldest, least = key, u
		}
	}
	return oldest
}

// prepared returns the text as a statement of the connection.
func (s *session) prepared(ctx context.Context, t *sqlText) (stmt driver.Stmt, err error) {
	if stmt := s.state.get(t); stmt != nil {
		return stmt, nil
	}
	if preparer, ok := s.raw.(driver.ConnPrepareContext); ok {
		stmt, err = preparer.PrepareContext(ctx, t.text)
	} else {
		stmt, err = s.raw.Prepare(t.text)
	}
	if err != nil || !s.state.keepsStmt {
		return stmt, err
	}
	return stmt, s.state.put(t, stmt)
}

// prepareJoined prepares, on the pool, a text that a host's transaction sent unprepared.
// The next transaction of a host finds it prepared.
func (s *Store) prepareJoined(ctx context.Context, t *sqlText) error {
	if !t.joined.Load() || t.stmt.Load() != nil || !s.wire.prepares.Load() {
		return nil
	}
	stmt, err := s.pool.PreparexContext(ctx, t.text)
	if err != nil {
		return err
	}
	if !t.stmt.CompareAndSwap(nil, stmt) {
		_ = stmt.Close() // another goroutine was faster
	}
	return nil
}

// closePrepared closes the prepared statements of idle connections. A statement that
// cannot be closed in time ends with its connection.
func (d *database) closePrepared() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var held []*session // all at once: the pool would hand out the same connection again
	for range d.pool.Stats().Idle {
		s, err := d.session(ctx)
		if err != nil {
			break
		}
		held = append(held, s)
	}
	for _, s := range held {
		_, _ = within(ctx, &attempt{session: s}, func() (struct{}, error) {
			bad := true                       // also if the driver panics
			defer func() { s.release(bad) }() // after the driver has returned
			err := s.state.close()
			bad = err != nil
			return struct{}{}, err
		}, nil)
	}
}
