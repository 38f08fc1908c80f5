package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/incidentkit/incident"
)

// readKind is a kind of reads, such as of an incident.
type readKind[K, V any] struct {
	org      func(K) incident.OrganizationID
	one      string                      // the text for a read alone
	args     func(to []any, key K) []any // appends its arguments
	numbered [2]string                   // the texts for one read and for two: see shared
	all      func(s *Store, members []*reading[K, V]) *statement
	rows     func(rowSet) (V, error) // reads the rows of a key
}

// alone returns the statement for a read alone.
func (k *readKind[K, V]) alone(s *Store, key K) *statement {
	args := k.args(make([]any, 0, 4), key)
	return s.small(args[0]).add(k.one, args[1:]...)
}

// shared returns a statement for one read or two, whose rows begin with the number of their read. The number of the
// first read is 1.
func (k *readKind[K, V]) shared(s *Store, keys ...K) *statement {
	args := make([]any, 0, 10)
	for i, key := range keys {
		args = k.appendNumbered(args, i+1, key)
	}
	return s.small(args[0]).add(k.numbered[len(keys)-1], args[1:]...)
}

// appendNumbered appends the arguments of a read with a number: its organization, the number, and the others.
func (k *readKind[K, V]) appendNumbered(to []any, number int, key K) []any {
	n := len(to)
	return slices.Insert(k.args(to, key), n+1, any(int64(number)))
}

// read reads the value of key, together with others outside a transaction.
func (r *reads[K, V]) read(ctx context.Context, s *Store, op string, key K) (V, error) {
	if s.tx == nil {
		if shared := r.at(ctx, s, key); shared != nil {
			v, err := shared.share(ctx, s, key)
			if !errors.Is(err, errAlone) {
				return v, s.translate(ctx, op, err)
			}
		}
	}
	return query(ctx, s, op, r.alone(s, key), r.rows)
}

// numberColumn is the first column of the rows of shared reads.
const numberColumn = "?::bigint, "

// allSQL returns the text of a look-up for the keys k, whose arrays are subqueries. Its plan depends on no
// array, and the OFFSET leaves it no choice: otherwise the server would plan each statement, or read the
// whole table if it is small.
func allSQL(keys, lookUp string) string { return pairSQL(keys, lookUp) + " ORDER BY k.number" }

// pairSQL is allSQL for keys of two reads, which are VALUES, because few callers usually meet in twos:
// VALUES take less of the server's processor time than arrays and a sort. Its rows are in the order of the
// VALUES, since the look-up depends on k.
func pairSQL(keys, lookUp string) string {
	return "\nSELECT k.number, x.* FROM " + keys + ",\nLATERAL (" + lookUp + "\n\tOFFSET 0\n) x"
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
	if s.citus != nil {
		return r.readOnCitus(s, ln)
	}
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
		var st *statement
		if len(ln.members) == 2 {
			st = r.shared(s, ln.members[0].key, ln.members[1].key)
		} else {
			st = r.all(s, ln.members)
		}
		return send(ctx, session, st.sqlText(), st.args, func(rows *driverRows) ([]V, error) {
			return readParts(partRows{rows}, len(ln.members), r.rows)
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

// numberedRows are rows that tell to which part they belong. Scan leaves the number out.
type numberedRows interface {
	rowSet
	part() any // an int64, from 1
}

// partRows are rows of a driver. The first column is the number of the part.
type partRows struct{ *driverRows }

func (r partRows) part() any { return r.values[0] }

// Scan implements [rowSet].
func (r partRows) Scan(dest ...any) error { return (&driverRows{values: r.values[1:]}).Scan(dest...) }

// parts divides rows, which are in the order of their parts.
type parts struct {
	numberedRows
	number  int64 // of the part that is read
	isAhead bool  // the current row belongs to another part
}

// readParts reads n parts.
func readParts[V any](rows numberedRows, n int, read func(rowSet) (V, error)) ([]V, error) {
	values := make([]V, n)
	return values, readPartsTo(rows, n, read, func(i int) *V { return &values[i] })
}

// readPartsTo reads n parts, and puts each to where at says.
func readPartsTo[V any](rows numberedRows, n int, read func(rowSet) (V, error), at func(i int) *V) error {
	p := &parts{numberedRows: rows}
	for i := range n {
		p.number++
		var err error
		if *at(i), err = read(p); err != nil {
			return err
		}
	}
	if p.isAhead {
		return errors.New("the rows of a read are out of order")
	}
	return nil
}

// Next implements [rowSet].
func (p *parts) Next() bool {
	if !p.isAhead && !p.numberedRows.Next() {
		return false
	}
	p.isAhead = p.part() != any(p.number)
	return !p.isAhead
}
