package sqlite

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// leadApart leads in a goroutine of its own.
func (w *writer) leadApart() {
	growStack()
	w.lead(nil)
}

// stackOfLead is about the stack that a commit needs, in bytes.
const stackOfLead = 16 << 10

// growStack grows the stack of a new goroutine at once. The stack would otherwise be copied at each
// doubling.
//
//go:noinline
func growStack() {
	var space [stackOfLead]byte
	runtime.KeepAlive(&space)
}

// lead runs batches until nothing waits, or gives the turn to a transaction. The caller of own, if
// not nil, leads until own is done, and then leaves the rest to a goroutine.
func (w *writer) lead(own *write) {
	for failed := 0; ; {
		if own != nil && own.isDone() {
			w.pass()
			return
		}
		first := w.first()
		switch {
		case first == nil:
			return
		case first.apply == nil:
			close(first.turn)
			return
		}
		w.boundLog()
		err := cmp.Or(w.file.check(), w.begin())
		if isBusy(err) {
			w.expire(err)
			time.Sleep(pauseAfter(failed))
			failed++
			continue
		}
		failed = 0
		batch := w.batch(maxBatch)
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

// batch returns up to most of the next writes. They can no longer be withdrawn.
func (w *writer) batch(most int) []*write {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < min(len(w.waiting), most) && w.waiting[n].apply != nil {
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

// run applies a batch in the transaction that has begun, and commits it. Writes that arrive before the
// commit join the batch: their callers would wait for the commit anyway. If a write violates a constraint
// or panics, each runs alone. Any other failure ends the whole batch: SQLite may have undone the
// transaction by itself, so that a later statement would be a transaction of its own.
func (w *writer) run(batch []*write) {
	defer w.checkpoints.after(w.database, w.conn)
	for n := 0; n < len(batch); n++ {
		j := batch[n]
		w.behind = len(batch) - n - 1
		j.err = w.apply(j)
		if j.err == nil || isAnswer(j.err) {
			if w.behind == 0 {
				batch = append(batch, w.batch(maxBatch-len(batch))...)
			}
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
	for n, j := range batch {
		w.behind = len(batch) - n - 1
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

// isAwaited reports whether other writes wait for the end of the write that calls it.
func (w *writer) isAwaited() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.behind > 0 || len(w.waiting) > 0
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

func (j *write) isDone() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}
