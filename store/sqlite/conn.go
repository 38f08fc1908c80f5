package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"modernc.org/sqlite"
)

// session runs statements: on a connection of the store, or in a transaction of the host. It is
// not safe for concurrent use.
type session interface {
	// exec runs a statement and returns the number of changed rows.
	exec(ctx context.Context, text string, args ...any) (int64, error)

	// query calls row with the values of each row. They are valid until row returns.
	query(ctx context.Context, text string, args []any, row func(values []driver.Value) error) error
}

// conn is a connection of the store. It prepares each text once.
type conn struct {
	raw   driver.Conn
	stmts map[string]driver.Stmt
	args  []driver.NamedValue // is reused by each statement
	row   []driver.Value      // is reused by each query, except within another query

	// The state of nextTransaction.
	number  int64 // the number that the connection counted last, or 0
	batch   bool  // the transaction in progress is a batch
	counted bool  // the batch in progress has its number
}

// maxStatements bounds the prepared statements of a connection.
const maxStatements = 200

func newConn(raw driver.Conn) *conn { return &conn{raw: raw, stmts: map[string]driver.Stmt{}} }

// connect opens a connection that no pool has.
func connect(ctx context.Context, dsn string) (*conn, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	raw, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return newConn(raw), nil
}

// prepare returns the prepared statement of a text.
func (c *conn) prepare(text string) (driver.Stmt, error) {
	if stmt := c.stmts[text]; stmt != nil {
		return stmt, nil
	}
	stmt, err := c.raw.(driver.ConnPrepareContext).PrepareContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	if len(c.stmts) >= maxStatements {
		for other, old := range c.stmts {
			_ = old.Close() // a read-only clean-up
			delete(c.stmts, other)
			break
		}
	}
	c.stmts[text] = stmt
	return stmt, nil
}

// bind converts arguments for the driver.
func (c *conn) bind(args []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, arg := range args {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: bound(arg)})
	}
	return c.args
}

// bound returns the value that the driver binds for an argument. It panics on any other type:
// the driver would save a [time.Time] as a text with its monotonic clock.
func bound(arg any) driver.Value {
	switch v := arg.(type) {
	case nil, int64, string, []byte:
		return v
	case int:
		return int64(v)
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	}
	panic(fmt.Sprintf("sqlite: an argument has the type %T", arg))
}

// exec implements session.
func (c *conn) exec(ctx context.Context, text string, args ...any) (int64, error) {
	stmt, err := c.prepare(text)
	if err != nil {
		return 0, err
	}
	result, err := stmt.(driver.StmtExecContext).ExecContext(ctx, c.bind(args))
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query implements session.
func (c *conn) query(ctx context.Context, text string, args []any, row func([]driver.Value) error) error {
	stmt, err := c.prepare(text)
	if err != nil {
		return err
	}
	rows, err := stmt.(driver.StmtQueryContext).QueryContext(ctx, c.bind(args))
	if err != nil {
		return err
	}
	values := c.takeRow(len(rows.Columns()))
	defer func() { c.row = values }()
	for err == nil {
		if err = rows.Next(values); err == nil {
			err = row(values)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if closed := rows.Close(); err == nil {
		err = closed
	}
	return err
}

// takeRow returns a row of n values.
func (c *conn) takeRow(n int) []driver.Value {
	row := c.row
	c.row = nil
	if cap(row) < n {
		return make([]driver.Value, n)
	}
	return row[:n]
}

// written returns the number of pages that the connection has written into the log since the last
// call.
func (c *conn) written() int64 {
	counters, ok := c.raw.(sqlite.DBStatus)
	if !ok {
		return 0
	}
	pages, _, _ := counters.Status(sqlite.DBStatusCacheWrite, true) // the counter exists
	return int64(pages)
}

func (c *conn) close() error {
	for _, stmt := range c.stmts {
		_ = stmt.Close() // the connection is closed with all of its statements
	}
	return c.raw.Close()
}

// watch has the connection record in t that its transaction was rolled back or committed other than
// by the store. SQLite rolls back by itself when the disk is full or fails. Nil ends that.
func (c *conn) watch(t *transaction) {
	hooks, ok := c.raw.(sqlite.HookRegisterer)
	if !ok {
		return
	}
	if t == nil {
		hooks.RegisterRollbackHook(nil)
		hooks.RegisterCommitHook(nil)
		return
	}
	hooks.RegisterRollbackHook(func() { t.undone.Store(true) })
	hooks.RegisterCommitHook(func() int32 { t.committed.Store(true); return 0 })
}
