package postgres

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"
)

// patience is how long a call waits for its answer after its context has ended,
// which is when the driver has asked the server to cancel the statement. A server
// that cannot be reached does not make a call last longer.
const patience = 300 * time.Millisecond

// errAbandoned is the error of a statement whose answer was not waited for.
var errAbandoned = errors.New("no answer within the time of the context")

// errLate is the error of a write that succeeded after its context had ended. By
// then the driver has asked the server to cancel it, and a commit that is cancelled
// while it waits for a synchronous standby succeeds without one.
var errLate = errors.New("the answer came after the context had ended")

// attempt is one try to get something done on a connection.
type attempt struct {
	inTx bool

	mu        sync.Mutex // guards what is below
	session   *session   // nil while there is none
	abandoned bool
}

// hold notes the session that the attempt works with from now on, nil for none. It
// reports false if nobody waits for the attempt any more.
func (a *attempt) hold(s *session) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.session = s
	return !a.abandoned
}

// abandon ends the attempt's connection, and with it the attempt.
func (a *attempt) abandon() {
	a.mu.Lock()
	a.abandoned = true
	s := a.session
	a.mu.Unlock()
	if s != nil {
		s.kill(a.inTx)
	}
}

// within runs f, which may block for longer than its context lasts: lib/pq waits
// for the network without a limit. An attempt that has no answer soon after the
// context has ended is abandoned, and what it still returns goes to discard. A
// panic of f is an error: nobody could recover it.
func within[T any](ctx context.Context, a *attempt, f func() (T, error), discard func(T)) (T, error) {
	if ctx.Done() == nil {
		return f()
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

// ask runs a statement and returns what read makes of all its rows. Rows arrive
// before the commit, so that nothing is known before the last of them. Errors are
// those of the driver.
func ask[T any](ctx context.Context, s *Store, st *statement, read func(rowSet) (T, error)) (v T, err error) {
	if err := ctx.Err(); err != nil {
		return v, err
	}
	if err := s.checkSchema(ctx); err != nil {
		return v, err
	}
	v, err = run(ctx, s, st, read)
	if state := sqlState(err); state == undefinedTable || state == undefinedColumn {
		s.recheck() // a migration may have run meanwhile
	}
	if s.tx != nil {
		s.tx.failure = cmp.Or(s.tx.failure, err)
	}
	return v, err
}

// run is ask without the conditions.
func run[T any](ctx context.Context, s *Store, st *statement, read func(rowSet) (T, error)) (T, error) {
	f := st.form()
	if s.tx != nil {
		a := &attempt{inTx: true, session: s.tx.session}
		return within(ctx, a, func() (v T, err error) {
			err = s.tx.use(ctx, func() error {
				rows, err := s.tx.query(ctx, f, st.args)
				if err == nil {
					v, err = readAll(rows, read)
				}
				return err
			})
			return v, err
		}, nil)
	}
	a := &attempt{}
	return within(ctx, a, func() (v T, err error) {
		if err := s.prepareJoined(ctx, f); err != nil {
			return v, err
		}
		// A connection that the server has closed meanwhile says so when it is used.
		for left := -1; ; left-- {
			v, err = runOnce(ctx, s, a, f, st.args, read)
			if !errors.Is(err, driver.ErrBadConn) || left == 0 || ctx.Err() != nil {
				return v, err
			}
			if left < 0 {
				left = s.pool.Stats().Idle + 2
			}
		}
	}, nil)
}

// runOnce runs a form on some connection of the pool.
func runOnce[T any](
	ctx context.Context, s *Store, a *attempt, f *form, args []any, read func(rowSet) (T, error),
) (v T, err error) {
	session, err := s.session(ctx)
	if err != nil {
		return v, err
	}
	bad := true // also when the driver panics
	defer func() {
		a.hold(nil)
		session.release(bad)
	}()
	if !a.hold(session) {
		bad = false
		return v, errAbandoned
	}
	rows, err := session.query(ctx, f, args)
	if err == nil {
		v, err = readAll(newDriverRows(rows), read)
	}
	if err == nil {
		err = session.kept.standby.err()
	}
	bad = unfit(err)
	return v, err
}

// readAll returns what read makes of rows, once the last of them has arrived.
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

// query is ask for a statement that only reads. A failure leaves nothing behind,
// and it may be repeated.
func query[T any](ctx context.Context, s *Store, op string, st *statement, read func(rowSet) (T, error)) (T, error) {
	v, err := repeating(ctx, s, func() (T, error) { return ask(ctx, s, st, read) })
	return v, s.translate(ctx, op, err)
}

// each scans every row into dest, and calls then after it.
func each(rows rowSet, then func(), dest ...any) error {
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		then()
	}
	return nil
}
