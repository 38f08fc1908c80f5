package postgres

import (
	"cmp"
	"context"
	"database/sql/driver"
	"runtime"
	"slices"
)

// On Citus, reads of organizations of a server share a call, which runs the statement of a single read for
// each. The server is that of the list. The reads of each server have lanes of their own, as few as can keep
// the processors of this process busy. A lane lets other callers run before it takes the reads that wait:
// callers of a server are often woken together, and a call costs more than its reads. If a call fails, each of
// its reads is repeated alone.
//
//  1. At a worker the call is of incident_execute, which runs what the session has prepared. It takes no lock:
//     its rows count only if no shard has moved or was divided meanwhile. So reads do not wait while a shard is
//     copied.
//  2. If a statement is not prepared, or if the call must go through the coordinator, it is of
//     incident_read_many, which prepares first.
//  3. If a move begins to commit, or was rolled back after that, this cannot be known. Then the call is of
//     incident_run_many, which locks the shards. It fails if one of them has left, or if a move takes long.

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

// yields is how often a lane yields its processor before it takes the reads that wait: for the callers that are
// ready, and for those that they wake.
const yields = 2

// readOnCitus reads the values of those that wait.
func (r *reads[K, V]) readOnCitus(s *Store, ln *readLane[K, V]) ([]V, error) {
	for range yields {
		runtime.Gosched()
	}
	r.take(ln) // before the call takes a connection: the next reads wait for the call, not for the connection
	if len(ln.members) == 0 {
		return nil, nil
	}
	values, isRead, err := r.readPrepared(s, ln)
	if !isRead && !s.citus.readsLock.Load() {
		values, err = r.readUnlocked(s, ln)
		isRead = sqlState(err) != shardMoves && sqlState(err) != undefinedFunction
		if sqlState(err) == undefinedFunction {
			s.citus.readsLock.Store(true)
		}
	}
	if sqlState(err) == undefinedTable { // what a move or a division has left, and Citus dropped
		s.citus.known.forget()
	}
	if isRead {
		return values, err
	}
	values, err = r.readLocked(s, ln)
	if sqlState(err) == undefinedFunction {
		r.readApart()
	}
	return values, err
}

// readPrepared calls incident_execute at the worker. isRead is false if the reads must be made otherwise.
func (r *reads[K, V]) readPrepared(s *Store, ln *readLane[K, V]) (values []V, isRead bool, err error) {
	ctx := valuesContext{ln.ctx, context.WithoutCancel(ln.members[0].ctx)}
	worker := s.worker(ctx, string(r.org(ln.members[0].key)))
	if worker == nil {
		return nil, false, nil
	}
	shards, err := r.shardsOf(s, ln)
	if err != nil {
		return nil, true, err
	}
	args, err := r.executeArgs(s, ln, shards)
	if err != nil {
		return nil, true, err
	}
	answer, reached, err := runAt(ctx, worker, ln.attempt, func(session *session) (answer executed[V], err error) {
		answer.values, err = send(ctx, session, &s.citus.execute, args, func(rows *driverRows) ([]V, error) {
			answers := newAnswerRows(rows)
			values, err := readParts(answers, len(ln.members), r.rows)
			answer.isUnsure = answers.isUnsure
			return values, err
		})
		if hasForgotten(err) {
			return executed[V]{isUnsure: true}, nil // the session is as good as before
		}
		return answer, err
	})
	if !reached || answer.isUnsure || sqlState(err) == undefinedFunction {
		return nil, false, nil
	}
	return answer.values, true, err
}

// executed is an answer of incident_execute.
type executed[V any] struct {
	values   []V
	isUnsure bool // a statement was not prepared, or a shard has left or perhaps moves
}

// executeArgs returns the arguments of citusExecuteSQL for members with the shards.
func (r *reads[K, V]) executeArgs(s *Store, ln *readLane[K, V], shards []int64) ([]any, error) {
	var failure error
	text := r.alone(s, ln.members[0].key).sqlText().delegated
	w := &arrayWriter{space: make([]byte, 0, 128*len(shards))}
	commands := w.write(len(shards), func(to []byte, i int) []byte {
		return appendAsText(to, func(to []byte) []byte {
			to = append(text.appendPrepared(append(to, "EXECUTE "...), shards[i]), '(')
			to, err := appendLiterals(to, r.args(ln.members[i].key))
			failure = cmp.Or(failure, err)
			return append(to, ')')
		})
	})
	slices.Sort(shards)
	shards = slices.Compact(shards)
	return []any{commands, w.numbers(len(shards), func(i int) int64 { return shards[i] })}, failure
}

// shardsOf returns the shard of each member. The server need not find them: it has them from the list, and fails if
// they are no longer there.
func (r *reads[K, V]) shardsOf(s *Store, ln *readLane[K, V]) ([]int64, error) {
	routes := s.citus.known.routes.Load()
	if routes == nil {
		return nil, errMoved
	}
	shards := make([]int64, len(ln.members))
	first := routes.of(string(r.org(ln.members[0].key)))
	for i, m := range ln.members {
		route := routes.of(string(r.org(m.key)))
		if !route.isShared() || route.group != first.group {
			return nil, errMoved
		}
		shards[i] = route.shard
	}
	return shards, nil
}

// readUnlocked calls incident_read_many.
func (r *reads[K, V]) readUnlocked(s *Store, ln *readLane[K, V]) ([]V, error) {
	shards, err := r.shardsOf(s, ln)
	if err != nil {
		return nil, err
	}
	shardsText := new(arrayWriter).numbers(len(shards), func(i int) int64 { return shards[i] })
	return r.readMany(s, ln, &s.citus.readMany, shardsText, func(rows rowSet) ([]V, error) {
		return readParts(newAnswerRows(rows), len(ln.members), r.rows)
	})
}

// readLocked calls incident_run_many.
func (r *reads[K, V]) readLocked(s *Store, ln *readLane[K, V]) ([]V, error) {
	organizations := new(arrayWriter).texts(len(ln.members), func(i int) string { return string(r.org(ln.members[i].key)) })
	return r.readMany(s, ln, &s.citus.runMany, organizations, func(rows rowSet) ([]V, error) {
		return readParts(&memberRows{recordRows: recordRows{rowSet: rows}}, len(ln.members), r.rows)
	})
}

// readMany calls a function with the statements of single reads. where has their shards or organizations.
func (r *reads[K, V]) readMany(
	s *Store, ln *readLane[K, V], function *citusFunction, where string, read func(rowSet) ([]V, error),
) ([]V, error) {
	of := make([]*statement, len(ln.members))
	for i, m := range ln.members {
		of[i] = r.alone(s, m.key)
	}
	args, err := literalsOf(of)
	if err != nil {
		return nil, err
	}
	organization := string(r.org(ln.members[0].key))
	ctx := valuesContext{ln.ctx, context.WithoutCancel(ln.members[0].ctx)}
	return runForm(ctx, s, &citusCall{
		function: function, worker: s.worker(ctx, organization), organization: organization, form: of[0].sqlText().delegated,
		args: []any{where, args}, attempt: ln.attempt,
	}, read)
}

// answerRows reads the rows of incident_read_many and incident_execute. A row with NULL precedes the answers of
// each read.
type answerRows struct {
	rowSet
	number int64
	answer driverRows // the current row
	err    error

	isUnsure bool // there is a row with unsureMark
}

func newAnswerRows(rows rowSet) *answerRows {
	return &answerRows{rowSet: rows, answer: driverRows{values: make([]driver.Value, 1)}}
}

func (r *answerRows) part() any { return r.number }

// Next implements [rowSet].
func (r *answerRows) Next() bool {
	for r.err == nil && r.rowSet.Next() {
		value := &r.answer.values[0]
		r.err = r.rowSet.Scan(sameValue{value})
		switch {
		case r.err != nil:
			return false
		case *value == nil:
			r.number++
		case isUnsureMark(*value):
			r.isUnsure = true
		default:
			return true
		}
	}
	return false
}

// Scan implements [rowSet].
func (r *answerRows) Scan(dest ...any) error { return r.answer.Scan(dest...) }

// Err implements [rowSet].
func (r *answerRows) Err() error { return cmp.Or(r.err, r.rowSet.Err()) }

func isUnsureMark(value driver.Value) bool {
	switch v := value.(type) {
	case string:
		return v == unsureMark
	case []byte:
		return string(v) == unsureMark
	}
	return false
}

// sameValue is a destination that keeps a value as it is, until the next row.
type sameValue struct{ to *driver.Value }

// Scan implements [sql.Scanner].
func (v sameValue) Scan(src any) error {
	*v.to = src
	return nil
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
