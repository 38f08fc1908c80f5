package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	driver "modernc.org/sqlite"

	"github.com/incidentkit/incident"
)

// readers is the pool of connections that read. They cannot write.
type readers struct {
	*database
	permits chan struct{} // has a token for each connection that may be in use
	mu      sync.Mutex    // guards idle and closed
	idle    []*conn
	closed  bool

	checkedAt atomic.Int64 // the latest check of the file, since started
}

func (r *readers) init(d *database) {
	r.database = d
	r.permits = make(chan struct{}, d.options.Readers)
}

var errClosed = fmt.Errorf("%w: the store is closed", incident.ErrUnavailable)

// checkedFor is how long reads rely on the last check of the file.
const checkedFor = 20 * time.Millisecond

// checkFile returns an error if the file was replaced or removed.
func (r *readers) checkFile() error {
	now := time.Since(started)
	last := time.Duration(r.checkedAt.Load())
	if last != 0 && now-last < checkedFor {
		return nil
	}
	err := r.file.check()
	if err == nil {
		r.checkedAt.Store(int64(now))
	}
	return err
}

// started is the origin of monotonic times.
var started = time.Now()

// take returns an idle connection, or makes a connection. It returns an error if the file was
// replaced, because the connections of the pool then have the old file.
func (r *readers) take(ctx context.Context) (*conn, error) {
	if err := r.checkFile(); err != nil {
		return nil, err
	}
	select {
	case r.permits <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		<-r.permits
		return nil, errClosed
	}
	if n := len(r.idle); n > 0 {
		c := r.idle[n-1]
		r.idle = r.idle[:n-1]
		return c, nil
	}
	c, err := r.connect(ctx)
	if err != nil {
		<-r.permits
	}
	return c, err
}

func (r *readers) connect(ctx context.Context) (*conn, error) {
	if err := r.file.check(); err != nil {
		return nil, err
	}
	connector, err := driver.NewConnector(readerDSN(r.file.path))
	if err != nil {
		return nil, err
	}
	raw, err := connector.Connect(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	return newConn(raw), nil
}

// put returns a connection. A connection whose last statement failed is closed.
func (r *readers) put(c *conn, failed bool) {
	r.mu.Lock()
	if failed || r.closed {
		_ = c.close() // it has only read
	} else {
		r.idle = append(r.idle, c)
	}
	r.mu.Unlock()
	<-r.permits
}

// close waits for the reads in progress.
func (r *readers) close() error {
	for range cap(r.permits) {
		r.permits <- struct{}{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var all error
	for _, c := range r.idle {
		all = errors.Join(all, c.close())
	}
	r.idle, r.closed = nil, true
	for range cap(r.permits) {
		<-r.permits
	}
	return all
}

// kindOfRead is the isolation of a read.
type kindOfRead int

const (
	// oneStatement is a read with a single statement.
	oneStatement kindOfRead = iota
	// ofOne is oneStatement for a single incident, with which most writes begin. While nothing is
	// written, and no reader is in use, the read borrows the connection of the writer: a commit
	// empties the page caches of all other connections.
	ofOne
	// snapshot is a read with several statements in a transaction.
	snapshot
	// longRead is oneStatement, but the end of the context interrupts it.
	longRead
	// longSnapshot is snapshot, but the end of the context interrupts it.
	longSnapshot
)

// read runs fn on a connection of the readers, or in the transaction of s, and returns the result:
// zero if fn failed. fn may run several times.
func read[T any](ctx context.Context, s *Store, op string, kind kindOfRead, fn func(ctx context.Context, q session) (T, error)) (T, error) {
	result, err := readRaw(ctx, s, kind, fn)
	if err != nil {
		var none T
		return none, translate(ctx, op, err)
	}
	return result, nil
}

func readRaw[T any](ctx context.Context, s *Store, kind kindOfRead, fn func(ctx context.Context, q session) (T, error)) (result T, err error) {
	if err := ctx.Err(); err != nil {
		return result, err
	}
	statements := ctx
	if kind == oneStatement || kind == ofOne || kind == snapshot {
		statements = context.WithoutCancel(ctx) // a short statement need not be watched
	}
	if s.tx != nil {
		q, err := s.tx.begun()
		if err != nil {
			return result, err
		}
		result, err = fn(statements, q)
		return result, s.tx.readError(err)
	}
	if kind == ofOne && len(s.readers.permits) == 0 && s.readers.checkFile() == nil {
		if s.writer.borrow(func(c *conn) { result, err = fn(statements, c) }) && (err == nil || isAnswer(err)) {
			return result, err
		}
	}
	err = whileBusy(ctx, time.Now().Add(s.options.BusyTimeout), func() error {
		c, err := s.readers.take(ctx)
		if err != nil {
			return err
		}
		if kind == snapshot || kind == longSnapshot {
			result, err = inSnapshot(statements, c, fn)
		} else {
			result, err = fn(statements, c)
		}
		s.readers.put(c, err != nil && !isAnswer(err))
		return err
	})
	return result, err
}

// inSnapshot runs fn in a transaction that reads.
func inSnapshot[T any](ctx context.Context, c *conn, fn func(ctx context.Context, q session) (T, error)) (result T, err error) {
	outside := context.WithoutCancel(ctx)
	if _, err := c.exec(outside, "BEGIN"); err != nil {
		return result, err
	}
	result, err = fn(ctx, c)
	if _, ended := c.exec(outside, "COMMIT"); err == nil {
		err = ended
	}
	return result, err
}
