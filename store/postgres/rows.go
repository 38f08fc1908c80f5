package postgres

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
)

// rowSet is the answer of a statement: rows of a driver, or of database/sql in a
// host's transaction.
type rowSet interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// driverRows reads rows of a driver. Each destination of Scan must be a
// [sql.Scanner].
type driverRows struct {
	driver.Rows
	values []driver.Value
	err    error
	closed bool
}

func newDriverRows(rows driver.Rows) *driverRows {
	return &driverRows{Rows: rows, values: make([]driver.Value, len(rows.Columns()))}
}

func (r *driverRows) Next() bool {
	if r.err == nil {
		r.err = r.Rows.Next(r.values)
	}
	return r.err == nil
}

func (r *driverRows) Scan(dest ...any) error {
	if len(dest) != len(r.values) {
		return fmt.Errorf("postgres: %d columns for %d destinations", len(r.values), len(dest))
	}
	for i, d := range dest {
		scanner, ok := d.(sql.Scanner)
		if !ok {
			return fmt.Errorf("postgres: a destination is a %T", d)
		}
		if err := scanner.Scan(r.values[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *driverRows) Err() error {
	if r.err == io.EOF { //nolint:errorlint // a driver returns it as it is
		return nil
	}
	return r.err
}

// Close ends the answer. Drivers need not bear being asked twice.
func (r *driverRows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	return r.Rows.Close()
}
