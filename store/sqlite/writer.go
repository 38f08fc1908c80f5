package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// writer runs the writes of the process on a single connection, since SQLite has a single writer
// anyway. Writes that wait together, or arrive before the commit of those, share it. The first write
// starts a goroutine that leads until no write waits. While nothing is written there is no goroutine.
//
// If the context of the first write cannot end, its caller leads until that write is done, which saves
// two switches of goroutines. A caller whose context can end does not lead: it could not leave a
// hanging disk.
type writer struct {
	*database
	pool   *sqlx.DB   // has the one connection
	link   *sqlx.Conn // keeps the connection
	conn   *conn      // for the goroutine that leads, has the turn or borrows
	behind int        // the writes of the batch after the one being applied, for the goroutine that leads

	mu      sync.Mutex // guards the fields below
	waiting []*write   // in order of arrival
	led     bool       // a goroutine leads or borrows, or a transaction has the turn
	closed  bool

	checkpoints checkpoints
}

// write is a call that waits for its turn.
type write struct {
	apply    func(q session) error // nil for a transaction, which takes the turn itself
	deadline time.Time
	turn     chan struct{} // of a transaction, closed when it has the turn
	done     chan struct{} // of any other write, closed when err is set
	err      error

	leads     bool // its caller leads, unless somebody leads already
	began     bool // it is part of a batch, and cannot be withdrawn any more
	applied   bool // apply was called
	abandoned bool // its caller has left before apply was called
}

// maxBatch is the most writes that share a commit.
const maxBatch = 64

// patience is how long a call waits for the outcome of its write after the end of its context.
const patience = time.Second

// adopt takes the driver's connection.
func (w *writer) adopt(raw any) error {
	c, ok := raw.(driver.Conn)
	if !ok {
		return fmt.Errorf("sqlite: the connection has the type %T", raw)
	}
	w.conn = newConn(c)
	return nil
}

func (w *writer) newWrite(apply func(q session) error) *write {
	j := &write{apply: apply, deadline: time.Now().Add(w.options.BusyTimeout)}
	if apply == nil {
		j.turn = make(chan struct{})
	} else {
		j.done = make(chan struct{})
	}
	return j
}

// enter adds a write to those that wait. If nobody leads, enter starts a goroutine to lead, unless the
// caller wants to lead. Afterwards, j.leads reports whether the caller must.
func (w *writer) enter(j *write) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed
	}
	w.waiting = append(w.waiting, j)
	j.leads = j.leads && !w.led
	if !w.led && !j.leads {
		go w.leadApart()
	}
	w.led = true
	return nil
}

// withdraw removes a write that has not begun, and reports whether it could.
func (w *writer) withdraw(j *write) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if j.began {
		return false
	}
	w.waiting = slices.DeleteFunc(w.waiting, func(other *write) bool { return other == j })
	return true
}

// do runs apply in a transaction, perhaps with other writes, and returns after the commit. apply
// may run several times, and must change nothing if it returns an error that isAnswer.
func (w *writer) do(ctx context.Context, apply func(q session) error) error {
	j := w.newWrite(apply)
	j.leads = ctx.Done() == nil
	if err := w.enter(j); err != nil {
		return err
	}
	if j.leads {
		w.lead(j)
		return j.result()
	}
	select {
	case <-j.done:
		return j.result()
	case <-ctx.Done():
	}
	if w.withdraw(j) {
		return ctx.Err()
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-j.done:
		return j.result()
	case <-late.C:
		if w.abandon(j) {
			return ctx.Err()
		}
		return unknownOutcome(ctx, ctx.Err())
	}
}

// takeTurn waits until the caller may use the connection alone. The caller must call endTurn.
func (w *writer) takeTurn(ctx context.Context) error {
	j := w.newWrite(nil)
	if err := w.enter(j); err != nil {
		return err
	}
	select {
	case <-j.turn:
		return nil
	case <-ctx.Done():
	}
	if w.withdraw(j) {
		return ctx.Err()
	}
	<-j.turn // it is closed at once
	w.endTurn()
	return ctx.Err()
}

// endTurn lets the next writes begin.
func (w *writer) endTurn() {
	w.checkpoints.after(w.database, w.conn)
	w.pass()
}

// pass lets the next writes begin, and ends the lead of the caller.
func (w *writer) pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.led = len(w.waiting) > 0; w.led {
		go w.leadApart()
	}
}

// borrow lets fn read on the connection if nothing is written, and reports whether fn was called.
// Writes wait until fn returns.
func (w *writer) borrow(fn func(c *conn)) bool {
	w.mu.Lock()
	if w.led || w.closed {
		w.mu.Unlock()
		return false
	}
	w.led = true
	w.mu.Unlock()
	defer w.pass()
	fn(w.conn)
	return true
}

// close waits for the writes in progress and closes the connection.
func (w *writer) close() error {
	w.mu.Lock()
	alreadyClosed := w.closed
	w.closed = true
	w.mu.Unlock()
	if alreadyClosed {
		return nil
	}
	for w.leads() {
		time.Sleep(time.Millisecond)
	}
	err := w.checkpoints.close()
	if w.conn != nil {
		for _, stmt := range w.conn.stmts {
			_ = stmt.Close() // the connection is closed with all of its statements
		}
	}
	if w.link != nil {
		err = errors.Join(err, w.link.Close())
	}
	return errors.Join(err, w.pool.Close())
}

func (w *writer) leads() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.led
}

// put runs fn in a transaction and returns its result after the commit. fn may run several
// times, and must change nothing if it returns an error that isAnswer.
func put[T any](ctx context.Context, s *Store, op string, fn func(ctx context.Context, q session) (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, translate(ctx, op, err)
	}
	statements := context.WithoutCancel(ctx)
	if s.tx != nil {
		result, err := putInTx(statements, s.tx, fn)
		return result, translate(ctx, op, err)
	}
	result := new(T) // a write whose caller has left may still set it
	err := s.writer.do(ctx, func(q session) (err error) {
		*result, err = fn(statements, q)
		return err
	})
	if err != nil {
		return none, translate(ctx, op, err)
	}
	return *result, nil
}

var errBrokenOff = fmt.Errorf("%w: a part of the transaction panicked or ended its goroutine", incident.ErrUnavailable)
