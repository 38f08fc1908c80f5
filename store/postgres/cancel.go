package postgres

import (
	"context"
	"database/sql/driver"
	"time"
)

// At the end of a context lib/pq asks the server to cancel the statement, and returns
// its answer. pgx gives the connection up and leaves the server at work, which may
// write what nobody waits for any more. Therefore pgx gets a context that does not
// end, and the store asks the server itself.

// cancelTime is how long asking may take. It leaves time for the answer.
const cancelTime = patience / 2

// watch has the server cancel what runs on the session when ctx ends, until stop is
// called. The driver must be called with the context that watch returns.
func (s *session) watch(ctx context.Context) (calling context.Context, stop func()) {
	pgx := s.kept.link.pgx
	if pgx == nil || ctx.Done() == nil {
		return ctx, func() {}
	}
	done := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		defer close(done)
		defer func() { _ = recover() }() // of the driver, whose connection is not used again
		asking, cancel := context.WithTimeout(context.Background(), cancelTime)
		defer cancel()
		_ = pgx.CancelRequest(asking) // without an answer the call is abandoned
	})
	return context.WithoutCancel(ctx), func() {
		if !unwatch() {
			s.spoiled.Store(true) // the request may reach the server late
			<-done
		}
	}
}

// watchedRows are watched until they are closed.
type watchedRows struct {
	driver.Rows
	stop func()
}

// Close implements [driver.Rows].
func (r *watchedRows) Close() error {
	defer r.stop()
	return r.Rows.Close()
}

// closeNetwork ends the connection under a driver that is in use elsewhere.
func (s *session) closeNetwork() {
	if pgx := s.kept.link.pgx; pgx != nil {
		_ = pgx.Conn().Close() // a read that waits returns
		return
	}
	_ = s.raw.Close()
}

// readOnlyTime is how long connections are taken for read-only because of the
// database, once all of them were.
const readOnlyTime = time.Second

// replaceable returns how many connections may be replaced because they are
// read-only: all that may have outlived a failover and one more, or none if those that were made
// lately are read-only, too.
func (d *database) replaceable() int {
	if time.Now().UnixNano()-d.readOnlyAt.Load() < int64(readOnlyTime) {
		return 0
	}
	return d.pool.Stats().OpenConnections + 1
}

// allReadOnly notes that replacing connections did not help.
func (d *database) allReadOnly() { d.readOnlyAt.Store(time.Now().UnixNano()) }
