package postgres

import (
	"context"
	"database/sql/driver"
	"sync"
	"time"
)

// At the end of a context lib/pq asks the server to cancel the statement, and returns
// the server's answer. pgx drops the connection instead, and the server continues: it may
// write after the call has returned. Therefore pgx gets a context that does not end, and
// the store asks the server itself.

// cancelWait is how long a call outside a transaction waits for the request to cancel. It leaves time for
// the statement's answer.
const cancelWait = patience / 2

// cancelTimeout bounds the request itself. PgBouncer 1.18.0 and 1.19.0 may crash if the connection of a
// request is closed before they have passed the request on (pgbouncer/pgbouncer#846).
const cancelTimeout = 10 * time.Second

// cancelAfter asks the server to cancel the session's statement when ctx ends, until stop
// is called. The driver must be called with the returned context. stop is nil if there is nothing
// to do.
func (s *session) cancelAfter(ctx context.Context) (calling context.Context, stop func()) {
	pgx := s.state.link.pgx
	if pgx == nil || ctx.Done() == nil {
		return ctx, nil
	}
	wait := cancelWait
	if s.busy != nil { // the transaction continues: a late request would cancel a later statement
		wait = cancelTimeout
	}
	over := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		end := sync.OnceFunc(func() { close(over) })
		defer time.AfterFunc(wait, end).Stop()
		defer end()
		defer func() { _ = recover() }() // from the driver, whose connection is not used again
		asking, cancel := context.WithTimeout(context.Background(), cancelTimeout)
		defer cancel()
		_ = pgx.CancelRequest(asking) // without an answer the call is abandoned
	})
	return context.WithoutCancel(ctx), func() {
		if !unwatch() {
			s.spoiled.Store(true) // the request may reach the server late
			<-over
		}
	}
}

// valuesContext ends as Context does, and has the values of the context of a caller. A statement for
// several callers can have those of one of them only.
type valuesContext struct {
	context.Context
	caller context.Context // without its end
}

// Value implements [context.Context].
func (c valuesContext) Value(key any) any {
	if v := c.caller.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

// cancellableRows can be cancelled until Close.
type cancellableRows struct {
	driver.Rows
	stop func()
}

// Close implements [driver.Rows].
func (r *cancellableRows) Close() error {
	defer r.stop()
	return r.Rows.Close()
}

// closeNetwork ends the connection while another goroutine uses the driver.
func (s *session) closeNetwork() {
	if pgx := s.state.link.pgx; pgx != nil {
		_ = pgx.Conn().Close() // a blocked read returns
		return
	}
	_ = s.raw.Close()
}
