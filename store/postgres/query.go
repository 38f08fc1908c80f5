package postgres

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// A statement passes through these functions, from the outside in:
//
//   - query (of a read) repeats it; queryCounted (of a write) counts its answer
//   - queryOnce checks the schema
//   - runStatement chooses the server, and runText the connection
//   - within bounds the wait
//
// Reads of an incident or a slot have another way, outside a transaction: see reads.

// patience is how long a call waits for its answer after its context has ended. At that
// time the server is asked to cancel the statement. An unreachable server does not prolong
// a call any further.
const patience = 300 * time.Millisecond

// errAbandoned is the error of a statement without an answer within patience.
var errAbandoned = errors.New("no answer within the time of the context")

// errLate is the error of a write that succeeded after its context had ended. The server
// was asked to cancel the statement by then, and a commit that is cancelled while it waits
// for a synchronous standby succeeds without the standby.
var errLate = errors.New("the answer came after the context had ended")

// query runs a statement and repeats it while other writers disturb it. It does not repeat
// a statement whose reply was lost.
func query[T any](ctx context.Context, s *Store, op string, st *statement, read func(rowSet) (T, error)) (T, error) {
	v, err := repeating(ctx, s, func() (T, error) { return queryOnce(ctx, s, st, read) })
	return v, s.translate(ctx, op, err)
}

// queryCounted runs a statement of a write, and counts its answer. It returns errLate for a
// success after the end of the context, except in a transaction. The statement's first
// argument must be counted.
func queryCounted[T any](ctx context.Context, s *Store, c *call, st *statement, read func(rowSet) (T, error)) (T, error) {
	v, err := queryOnce(ctx, s, st, read)
	if err == nil && s.tx == nil && ctx.Err() != nil {
		return v, errLate
	}
	if err == nil || isRefusal(err) && !isUnsent(err) {
		c.answered.Add(1)
	}
	return v, err
}

// unsentError is an error from before the statement was sent. It answers no attempt, even if it is a
// refusal: an earlier attempt may have been sent.
type unsentError struct{ error }

func (e unsentError) Unwrap() error { return e.error }

func isUnsent(err error) bool {
	_, is := errors.AsType[unsentError](err)
	return is
}

// queryOnce runs a statement and passes its rows to read. It returns only after the last
// row: rows arrive before the commit. It returns the errors of the driver.
func queryOnce[T any](ctx context.Context, s *Store, st *statement, read func(rowSet) (T, error)) (v T, err error) {
	if err := ctx.Err(); err != nil {
		return v, err
	}
	if err := s.checkSchema(ctx); err != nil {
		return v, unsentError{err}
	}
	v, err = runStatement(ctx, s, st, read)
	if state := sqlState(err); state == undefinedTable || state == undefinedColumn {
		s.recheck() // a migration may have run since the check
	}
	if s.tx != nil {
		s.tx.failure = cmp.Or(s.tx.failure, err)
	}
	return v, err
}

// runStatement runs a statement, on the server of its organization if the tables are spread over
// several servers.
func runStatement[T any](ctx context.Context, s *Store, st *statement, read func(rowSet) (T, error)) (T, error) {
	if s.citus != nil && (!st.isOfAll || st.owner != "") {
		return runDelegated(ctx, s, st, read)
	}
	return runText(ctx, s, st.sqlText(), st.args, read)
}

// runText runs a text in the transaction or on a connection of the pool.
func runText[T any](ctx context.Context, s *Store, t *sqlText, args []any, read func(rowSet) (T, error)) (T, error) {
	return runAttempt(ctx, s, &attempt{}, t, args, read)
}

// runAttempt is runText in an attempt, if it is not in a transaction.
func runAttempt[T any](ctx context.Context, s *Store, a *attempt, t *sqlText, args []any, read func(rowSet) (T, error)) (T, error) {
	if s.tx != nil {
		a := &attempt{inTx: true, session: s.tx.session}
		return within(ctx, a, func() (v T, err error) {
			err = s.tx.use(ctx, func() error {
				rows, err := s.tx.query(ctx, t, args)
				if err == nil {
					v, err = readAll(rows, read)
				}
				return err
			})
			return v, err
		}, nil)
	}
	return within(ctx, a, func() (v T, err error) {
		if err := s.prepareJoined(ctx, t); err != nil {
			return v, unsentError{err}
		}
		return onPool(ctx, s, a, func(session *session) (T, error) {
			return send(ctx, session, t, args, func(rows *driverRows) (T, error) { return read(rows) })
		})
	}, nil)
}

// onPool calls run with a connection of the pool, and again if the connection has ended.
func onPool[T any](ctx context.Context, s *Store, a *attempt, run func(*session) (T, error)) (v T, err error) {
	// Only use reveals that the server has closed a connection. Connections that are in
	// use now may be dead too, and idle at the next attempt.
	for left := -1; ; left-- {
		v, err = onSession(ctx, s, a, run)
		if !errors.Is(err, driver.ErrBadConn) || left == 0 || ctx.Err() != nil {
			return v, err
		}
		if left < 0 {
			left = s.pool.Stats().OpenConnections + 2
		}
	}
}

// onSession calls run with a connection of the pool.
func onSession[T any](ctx context.Context, s *Store, a *attempt, run func(*session) (T, error)) (v T, err error) {
	session, err := s.session(ctx)
	if err != nil {
		return v, unsentError{err}
	}
	bad := true // also if the driver panics
	defer func() {
		a.hold(nil)
		session.release(bad)
	}()
	if !a.hold(session) {
		bad = false
		return v, errAbandoned
	}
	v, err = run(session)
	bad = unfit(err)
	return v, err
}

// send runs a statement, and passes its rows to read.
func send[T any](ctx context.Context, session *session, t *sqlText, args []any, read func(*driverRows) (T, error)) (v T, err error) {
	answer, err := session.query(ctx, t, args)
	if err != nil {
		return v, err
	}
	rows := newDriverRows(answer, session.state.space)
	session.state.space = rows.values
	defer clear(rows.values)
	v, err = readAll(rows, func(rowSet) (T, error) { return read(rows) })
	if err == nil {
		err = session.state.standby.err()
	}
	return v, err
}

// attempt is an attempt to use a connection.
type attempt struct {
	inTx    bool
	watched bool // the caller of within abandons the attempt itself

	mu        sync.Mutex // guards the fields below
	session   *session   // nil without a connection
	abandoned bool
}

// hold records the session that the attempt uses from now on, or nil. It returns false if
// the attempt was abandoned.
func (a *attempt) hold(s *session) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.session = s
	return !a.abandoned
}

func (a *attempt) isAbandoned() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.abandoned
}

// abandon ends the attempt by ending its connection.
func (a *attempt) abandon() {
	a.mu.Lock()
	a.abandoned = true
	s := a.session
	a.mu.Unlock()
	if s != nil {
		s.kill(a.inTx)
	}
}

// within runs f. It bounds the wait for f, because lib/pq waits for the network without a
// limit. If f has not returned within patience after the end of ctx, within
// abandons the attempt and returns errAbandoned; a later result of f goes to discard.
// A panic of f becomes an error, because no caller could recover it. If the caller watches the attempt,
// f runs in its goroutine.
func within[T any](ctx context.Context, a *attempt, f func() (T, error), discard func(T)) (T, error) {
	if ctx.Done() == nil || a.watched {
		v, err := f()
		if err != nil && a.isAbandoned() {
			err = errAbandoned
		}
		return v, err
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("the driver panicked: %v", p)
			}
			done <- r
		}()
		growStack()
		r.v, r.err = f()
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.v, r.err
	case <-timer.C:
		go a.abandon()
		if discard != nil {
			go func() {
				if r := <-done; r.err == nil {
					discard(r.v)
				}
			}()
		}
		var none T
		return none, errAbandoned
	}
}

// growStack gives a new goroutine, whose stack is small, the stack that a statement needs. Otherwise the
// stack would grow in several steps within the driver's calls, and each step copies their frames.
//
//go:noinline
func growStack() {
	var space [6 << 10]byte
	runtime.KeepAlive(&space)
}
