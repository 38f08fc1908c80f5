package sqlite

import (
	"cmp"
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
// anyway. Writes that wait together share a commit. The first write starts a goroutine that leads
// until no write waits. While nothing is written there is no goroutine.
type writer struct {
	*database
	pool *sqlx.DB   // has the one connection
	link *sqlx.Conn // keeps the connection
	conn *conn      // for the goroutine that leads, or that has the turn

	mu      sync.Mutex // guards the fields below
	waiting []*write   // in order of arrival
	led     bool       // a goroutine leads, or a transaction has the turn
	closed  bool

	checkpoints checkpoints
}

// write is a call that waits for its turn.
type write struct {
	apply    func(q session) error // nil for a transaction, which takes the turn itself
	deadline time.Time
	turn     chan struct{} // closed when the transaction has the turn
	done     chan struct{} // closed when err is set
	err      error

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
	return &write{
		apply:    apply,
		deadline: time.Now().Add(w.options.BusyTimeout),
		turn:     make(chan struct{}),
		done:     make(chan struct{}),
	}
}

// enter adds a write to those that wait, and starts a goroutine to lead if there is none.
func (w *writer) enter(j *write) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed
	}
	w.waiting = append(w.waiting, j)
	if !w.led {
		w.led = true
		go w.lead()
	}
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
	if err := w.enter(j); err != nil {
		return err
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

// abandon keeps a write of a batch from being applied, and reports whether it could.
func (w *writer) abandon(j *write) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	j.abandoned = !j.applied
	return j.abandoned
}

// apply applies a write of a batch. The memory of its caller may have changed if the caller has
// left before.
func (w *writer) apply(j *write) error {
	w.mu.Lock()
	abandoned := j.abandoned
	j.applied = !abandoned
	w.mu.Unlock()
	if abandoned {
		return incident.ErrInvalid // nobody reads it
	}
	return recovered(func() error { return j.apply(w.conn) })
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
	w.checkpoints.after(w.database, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.led = len(w.waiting) > 0; w.led {
		go w.lead()
	}
}

// lead runs batches until nothing waits, or gives the turn to a transaction.
func (w *writer) lead() {
	for failed := 0; ; {
		first := w.first()
		switch {
		case first == nil:
			return
		case first.apply == nil:
			close(first.turn)
			return
		}
		w.restartLog()
		err := cmp.Or(w.file.check(), w.begin())
		if isBusy(err) {
			w.expire(err)
			time.Sleep(pauseAfter(failed))
			failed++
			continue
		}
		failed = 0
		batch := w.batch()
		if err != nil {
			conclude(batch, err)
			continue
		}
		w.run(batch)
	}
}

// first returns the first write that waits. Without any, the lead ends. A transaction has begun
// its turn then.
func (w *writer) first() *write {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		w.led = false
		return nil
	}
	first := w.waiting[0]
	if first.apply == nil {
		first.began = true
		w.waiting = w.waiting[1:]
	}
	return first
}

// batch returns the next writes. They can no longer be withdrawn.
func (w *writer) batch() []*write {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < min(len(w.waiting), maxBatch) && w.waiting[n].apply != nil {
		w.waiting[n].began = true
		n++
	}
	batch := slices.Clone(w.waiting[:n])
	w.waiting = slices.Delete(w.waiting, 0, n)
	return batch
}

// expire ends the writes whose deadline has passed.
func (w *writer) expire(err error) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = slices.DeleteFunc(w.waiting, func(j *write) bool {
		expired := j.apply != nil && now.After(j.deadline)
		if expired {
			j.began, j.err = true, err
			close(j.done)
		}
		return expired
	})
}

// conclude answers writes.
func conclude(batch []*write, err error) {
	for _, j := range batch {
		if err != nil {
			j.err = err
		}
		close(j.done)
	}
}

// begin begins the transaction of a batch. It has the right to write.
func (w *writer) begin() error {
	w.conn.batch, w.conn.counted = true, false
	_, err := w.conn.exec(context.Background(), "BEGIN IMMEDIATE")
	return err
}

// commit commits, and reports an unknown outcome if the file was replaced meanwhile.
func (w *writer) commit() error {
	if _, err := w.conn.exec(context.Background(), "COMMIT"); err != nil {
		w.rollBack()
		return commitError(context.Background(), err)
	}
	if err := w.file.check(); err != nil {
		return unknownOutcome(context.Background(), err)
	}
	return nil
}

// rollBack undoes the transaction. SQLite may have undone it by itself.
func (w *writer) rollBack() { _, _ = w.conn.exec(context.Background(), "ROLLBACK") }

// run applies a batch in the transaction that has begun, and commits it. If a write violates a
// constraint or panics, each runs alone. Any other failure ends the whole batch: SQLite may have undone
// the transaction by itself, so that a later statement would be a transaction of its own.
func (w *writer) run(batch []*write) {
	defer w.checkpoints.after(w.database, 1)
	for _, j := range batch {
		j.err = w.apply(j)
		switch {
		case j.err == nil, isAnswer(j.err):
			continue
		}
		err := j.err
		w.rollBack()
		if isOfOne(err) && len(batch) > 1 {
			w.runEach(batch)
			return
		}
		conclude(batch, err)
		return
	}
	conclude(batch, w.commit())
}

// runEach applies each write of a batch in a transaction of its own.
func (w *writer) runEach(batch []*write) {
	for _, j := range batch {
		j.err = whileBusy(context.Background(), j.deadline, w.begin)
		if j.err == nil {
			j.err = w.apply(j)
			if j.err == nil || isAnswer(j.err) {
				j.err = cmp.Or(w.commit(), j.err)
			} else {
				w.rollBack()
			}
		}
		close(j.done)
	}
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
