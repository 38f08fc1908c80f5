package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// readKind is a kind of reads, such as of an incident.
type readKind[K, V any] struct {
	alone func(s *Store, key K) *statement
	all   func(s *Store, members []*reading[K, V]) *statement
	rows  func(rowSet) (V, error) // reads the rows of a key
}

// read reads the value of key, together with others outside a transaction.
func (r *reads[K, V]) read(ctx context.Context, s *Store, op string, key K) (V, error) {
	if s.tx == nil {
		v, err := r.share(ctx, s, key)
		if !errors.Is(err, errAlone) {
			return v, s.translate(ctx, op, err)
		}
	}
	return query(ctx, s, op, r.alone(s, key), r.rows)
}

// run sends statements until no read waits.
func (r *reads[K, V]) run(s *Store, ln *readLane[K, V]) {
	growStack()
	for ln != nil {
		values, err := r.readMembers(s, ln)
		if ln.members == nil { // the lane got no connection
			r.take(ln)
		}
		if err != nil {
			err = errAlone
		}
		ln = r.end(s, ln, values, err)
	}
}

// readMembers takes a connection, and reads the values of those that wait then.
func (r *reads[K, V]) readMembers(s *Store, ln *readLane[K, V]) (values []V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the driver panicked: %v", p)
		}
	}()
	var t *sqlText
	values, err = onPool(ln.ctx, s, ln.attempt, func(session *session) ([]V, error) {
		if ln.members == nil {
			r.take(ln)
		}
		if len(ln.members) == 0 {
			return nil, nil
		}
		ctx := valuesContext{ln.ctx, context.WithoutCancel(ln.members[0].ctx)}
		if len(ln.members) == 1 {
			st := r.alone(s, ln.members[0].key)
			t = st.sqlText()
			v, err := send(ctx, session, t, st.args, func(rows *driverRows) (V, error) { return r.rows(rows) })
			return []V{v}, err
		}
		st := r.all(s, ln.members)
		return send(ctx, session, st.sqlText(), st.args, func(rows *driverRows) ([]V, error) {
			return readParts(rows, len(ln.members), r.rows)
		})
	})
	if sqlState(err) == featureNotSupported && !isReadOnly(err) {
		r.readApart()
	}
	if err == nil && t != nil {
		err = s.prepareJoined(ln.ctx, t)
	}
	return values, err
}

// readApart has no further reads share a statement.
func (r *reads[K, V]) readApart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.apart = true
}

// parts divides rows into parts. The first column is the number of the part, from 1, and the rows
// are in its order.
type parts struct {
	*driverRows
	number  int64 // of the part that is read
	isAhead bool  // the current row belongs to another part
}

// readParts reads n parts.
func readParts[V any](rows *driverRows, n int, read func(rowSet) (V, error)) ([]V, error) {
	p := &parts{driverRows: rows}
	values := make([]V, n)
	for i := range values {
		p.number++
		var err error
		if values[i], err = read(p); err != nil {
			return nil, err
		}
	}
	if p.isAhead {
		return nil, errors.New("the rows of a read are out of order")
	}
	return values, nil
}

// Next implements [rowSet].
func (p *parts) Next() bool {
	if !p.isAhead && !p.driverRows.Next() {
		return false
	}
	p.isAhead = p.values[0] != driver.Value(p.number)
	return !p.isAhead
}

// Scan implements [rowSet].
func (p *parts) Scan(dest ...any) error {
	return (&driverRows{values: p.values[1:]}).Scan(dest...)
}
