package postgres

import (
	"context"
	"strings"
)

// On Citus, reads of organizations of a server share a call of incident_run_many, which runs the
// statement of a single read for each. The server is that of the list. The reads of each server have
// lanes of their own, as few as can keep the processors of this process busy. If a shard has left the
// server, or is locked by a move for long, the call fails, and each read is repeated alone.
//
// Such a call goes to the worker itself or through the coordinator, as others do.

// at returns the reads that key shares a statement with, or nil if there are none.
func (r *reads[K, V]) at(ctx context.Context, s *Store, key K) *reads[K, V] {
	if s.citus == nil {
		return r
	}
	route := s.route(ctx, string(r.org(key)))
	if !route.isShared() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.servers[route.group]
	if of == nil {
		if r.servers == nil {
			r.servers = map[int64]*reads[K, V]{}
		}
		of = &reads[K, V]{readKind: r.readKind, most: max(1, maxReadLanes()/s.citus.known.servers())}
		r.servers[route.group] = of
	}
	return of
}

// readOnCitus reads the values of those that wait.
func (r *reads[K, V]) readOnCitus(s *Store, ln *readLane[K, V]) ([]V, error) {
	r.take(ln) // before the call takes a connection: the next reads wait for the call, not for the connection
	if len(ln.members) == 0 {
		return nil, nil
	}
	var form *delegated
	var values strings.Builder
	for i, m := range ln.members {
		st := r.alone(s, m.key)
		of, err := argumentTexts(st.args)
		if err != nil {
			return nil, err
		}
		values.WriteByte("{,"[min(i, 1)])
		values.WriteString(of)
		form = st.sqlText().delegated
	}
	values.WriteByte('}')
	organization := string(r.org(ln.members[0].key))
	ctx := valuesContext{ln.ctx, context.WithoutCancel(ln.members[0].ctx)}
	answers, err := runForm(ctx, s, &s.citus.runMany, s.worker(ctx, organization), organization, form, values.String(),
		func(rows rowSet) ([]V, error) {
			return readParts(&memberRows{recordRows: recordRows{rowSet: rows}}, len(ln.members), r.rows)
		})
	if sqlState(err) == undefinedFunction { // MigrateCitus of an earlier version
		r.readApart()
	}
	return answers, err
}

// memberRows reads the rows of incident_run_many.
type memberRows struct {
	recordRows
	number int64
}

func (r *memberRows) part() any { return r.number }

// Next implements [rowSet].
func (r *memberRows) Next() bool {
	if r.err != nil || !r.rowSet.Next() {
		return false
	}
	answer := ""
	if r.err = r.rowSet.Scan(integer(&r.number), text(&answer)); r.err == nil {
		r.fields, r.err = appendFields(r.fields[:0], answer)
	}
	return r.err == nil
}
