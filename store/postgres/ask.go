package postgres

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"
)

// patience is how long an answer is waited for after the context has ended: for
// the server to say that it has cancelled the statement. A server that cannot be
// reached does not make a call last longer.
const patience = 300 * time.Millisecond

// errAbandoned is a statement whose answer was not waited for.
var errAbandoned = errors.New("no answer within the time of the context")

// within runs f, which may block for longer than its context lasts: lib/pq waits
// for the network without a limit. The result of an abandoned f is discarded.
func within[T any](ctx context.Context, f func() (T, error), discard func(T)) (T, error) {
	if ctx.Done() == nil {
		return f()
	}
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
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
func ask[T any](ctx context.Context, s *Store, st *statement, read func(*sqlx.Rows) (T, error)) (v T, err error) {
	if err := ctx.Err(); err != nil {
		return v, err
	}
	if err := s.checkSchema(ctx); err != nil {
		return v, err
	}
	f := st.form()
	v, err = within(ctx, func() (v T, err error) {
		rows, err := s.send(ctx, f, st.args)
		if err != nil {
			return v, err
		}
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
	}, nil)
	if state := sqlState(err); state == undefinedTable || state == undefinedColumn {
		s.recheck() // a migration may have run meanwhile
	}
	if s.tx != nil {
		s.tx.failure = cmp.Or(s.tx.failure, err)
	}
	return v, err
}

// query is ask for a statement that only reads. A failure leaves nothing behind,
// and database/sql may repeat it.
func query[T any](ctx context.Context, s *Store, op string, st *statement, read func(*sqlx.Rows) (T, error)) (T, error) {
	v, err := repeating(ctx, s, func() (T, error) { return ask(ctx, s, st, read) })
	return v, s.translate(ctx, op, err)
}

// each scans every row into dest, and calls then after it.
func each(rows *sqlx.Rows, then func(), dest ...any) error {
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		then()
	}
	return nil
}
