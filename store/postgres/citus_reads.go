package postgres

import (
	"cmp"
	"context"
	"runtime"
)

// On Citus, reads of organizations of a server share a call, which runs statements on their shards. The server is
// that of the list. The reads of each server have lanes of their own, as few as can keep the processors of this
// process busy. A lane lets other callers run before it takes the reads that wait: callers of a server are often
// woken together, and a call costs more than its reads. If a call fails, each of its reads is repeated alone.
//
//  1. At a worker the call is of incident_execute, which runs what the session has prepared. Two reads of a shard
//     share a statement there. It takes no lock: its rows count only if no shard has moved or was divided meanwhile.
//     So reads do not wait while a shard is copied.
//  2. If a statement is not prepared, or if the call must go through the coordinator, it is of
//     incident_read_shards, which prepares first.
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
	all, err := r.inShards(s, ln)
	if err != nil {
		return nil, true, err
	}
	args, err := r.executeArgs(s, all)
	if err != nil {
		return nil, true, err
	}
	answer, reached, err := runAt(ctx, worker, ln.attempt, func(session *session) (answer executed[V], err error) {
		answer.values, err = send(ctx, session, &s.citus.execute, args, func(rows *driverRows) ([]V, error) {
			answers, values := newAnswerRows(rows), make([]V, len(all))
			err := readPartsTo(answers, len(all), r.rows, func(i int) *V { return &values[all[i].member] })
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

// readUnlocked calls incident_read_shards, which takes a single text. At a worker it calls it again for the reads in
// pairs, so that the session has both texts prepared.
func (r *reads[K, V]) readUnlocked(s *Store, ln *readLane[K, V]) ([]V, error) {
	all, err := r.inShards(s, ln)
	if err != nil {
		return nil, err
	}
	lone, paired := all, shardReads[K](nil)
	if s.worker(ln.ctx, string(r.org(all[0].key))) != nil {
		lone, paired = all.divide()
	}
	values := make([]V, len(all))
	if err = r.readText(s, ln, lone, 1, values); err == nil {
		err = r.readText(s, ln, paired, 2, values)
	}
	return values, err
}

// readText calls incident_read_shards with the text for n reads of a shard, and puts what it reads into values.
func (r *reads[K, V]) readText(s *Store, ln *readLane[K, V], all shardReads[K], n int, values []V) error {
	if len(all) == 0 {
		return nil
	}
	var failure error
	w, space := new(arrayWriter), make([]any, 0, 10)
	shards := w.numbers(len(all)/n, func(i int) int64 { return all[i*n].shard })
	args := w.write(len(all)/n, func(to []byte, i int) []byte {
		return appendAsText(to, func(to []byte) []byte {
			to, err := r.appendArgs(to, space, i*n+1, all[i*n:(i+1)*n])
			failure = cmp.Or(failure, err)
			return to
		})
	})
	if failure != nil {
		return failure
	}
	text := r.shared(s, all[:n].keys()...).sqlText().delegated
	read, err := r.readMany(s, ln, &s.citus.readShards, text, []any{shards, args}, func(rows rowSet) ([]V, error) {
		return readParts(newAnswerRows(rows), len(all), r.rows)
	})
	for i, value := range read {
		values[all[i].member] = value
	}
	return err
}

// readLocked calls incident_run_many.
func (r *reads[K, V]) readLocked(s *Store, ln *readLane[K, V]) ([]V, error) {
	organizations := new(arrayWriter).texts(len(ln.members), func(i int) string { return string(r.org(ln.members[i].key)) })
	of := make([]*statement, len(ln.members))
	for i, m := range ln.members {
		of[i] = r.alone(s, m.key)
	}
	args, err := literalsOf(of)
	if err != nil {
		return nil, err
	}
	return r.readMany(s, ln, &s.citus.runMany, of[0].sqlText().delegated, []any{organizations, args}, func(rows rowSet) ([]V, error) {
		return readParts(&memberRows{recordRows: recordRows{rowSet: rows}}, len(ln.members), r.rows)
	})
}

// readMany calls a function with a text for reads.
func (r *reads[K, V]) readMany(
	s *Store, ln *readLane[K, V], function *citusFunction, text *delegated, args []any, read func(rowSet) ([]V, error),
) ([]V, error) {
	organization := string(r.org(ln.members[0].key))
	ctx := valuesContext{ln.ctx, context.WithoutCancel(ln.members[0].ctx)}
	return runForm(ctx, s, &citusCall{
		function: function, worker: s.worker(ctx, organization), organization: organization, form: text, args: args, attempt: ln.attempt,
	}, read)
}
