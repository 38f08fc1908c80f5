package postgres

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"slices"
)

// rowSet is the answer to a statement: rows of a driver, or of database/sql in a host's
// transaction.
type rowSet interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// readAll passes rows to read, and returns its result once the last row has arrived.
func readAll[T any](rows rowSet, read func(rowSet) (T, error)) (v T, err error) {
	defer rows.Close()
	if v, err = read(rows); err != nil {
		return v, err
	}
	for rows.Next() {
	}
	if err = rows.Err(); err == nil {
		err = rows.Close()
	}
	return v, err
}

// scanEach scans every row into dest, and calls then after each.
func scanEach(rows rowSet, then func(), dest ...any) error {
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		then()
	}
	return nil
}

// scanOne scans the only row into dest. Without a row it leaves dest as it is.
func scanOne(rows rowSet, dest ...any) error { return scanEach(rows, func() {}, dest...) }

// driverRows reads rows of a driver. Each destination of Scan must be a
// [sql.Scanner].
type driverRows struct {
	driver.Rows
	values []driver.Value
	err    error
	closed bool
}

// newDriverRows returns rows that use the memory of space for their values, if it suffices.
func newDriverRows(rows driver.Rows, space []driver.Value) *driverRows {
	n := len(rows.Columns())
	return &driverRows{Rows: rows, values: slices.Grow(space[:0], n)[:n]}
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
	if r.err == io.EOF { //nolint:errorlint // drivers return it unwrapped
		return nil
	}
	return r.err
}

// Close closes the rows once: a driver need not tolerate a second call.
func (r *driverRows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	return r.Rows.Close()
}
