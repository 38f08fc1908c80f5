package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// transaction is a transaction of the store or, after Join, of the host. It is not safe for
// concurrent use.
type transaction struct {
	*sqlx.Tx
	session    session
	conn       *conn       // nil in a host's transaction
	ended      atomic.Bool // InTx has returned
	undone     atomic.Bool // SQLite or the host has ended the transaction
	committed  atomic.Bool // the host has committed it, which it must leave to InTx
	failure    error       // of the first failed statement; the transaction cannot be committed
	savepoints int         // the number of savepoints so far
	depth      int         // the number of open savepoints
	broken     error       // set if a part did not return; the enclosing part cannot be committed
}

var (
	errNoTx      = &incident.FieldError{Field: "tx", Problem: "is nil; pass the transaction that the host has begun to Join"}
	errEnded     = fmt.Errorf("%w: the transaction has ended", incident.ErrInvalid)
	errCommitted = fmt.Errorf("%w: the transaction was committed or rolled back by the host, which must leave that to InTx",
		incident.ErrUnknownOutcome)
	errUndone = fmt.Errorf("%w: SQLite has rolled the transaction back, as it does when the disk is full or fails; repeat it", incident.ErrUnavailable)
)

// begun returns the session of the transaction, and an error after its end.
func (t *transaction) begun() (session, error) {
	switch {
	case t.Tx == nil:
		return nil, errNoTx
	case t.ended.Load():
		return nil, errEnded
	case t.committed.Load():
		return nil, errCommitted
	case t.undone.Load():
		return nil, errUndone
	}
	return t.session, nil
}

// readError records the failure of a read.
func (t *transaction) readError(err error) error {
	if err != nil && !isAnswer(err) {
		t.failure = cmp.Or(t.failure, err)
	}
	return err
}

// putInTx runs fn in the transaction. A failure can leave a part of a write behind, so that the
// transaction can no longer be committed.
func putInTx[T any](ctx context.Context, t *transaction, fn func(ctx context.Context, q session) (T, error)) (result T, err error) {
	q, err := t.begun()
	if err != nil {
		return result, err
	}
	if t.conn == nil {
		return putJoined(ctx, t, fn)
	}
	result, err = fn(ctx, q)
	return result, t.readError(err)
}

// InTx implements [incident.Store]. Other writes wait until the transaction ends. Within a
// transaction InTx makes a savepoint.
func (s *Store) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	if err := ctx.Err(); err != nil {
		return translate(ctx, "begin", err)
	}
	if s.tx != nil {
		return s.nested(ctx, fn)
	}
	w := &s.writer
	if err := w.takeTurn(ctx); err != nil {
		return translate(ctx, "begin", err)
	}
	defer w.endTurn()
	tx, err := w.beginTx(ctx)
	if err != nil {
		return translate(ctx, "begin", err)
	}
	committed := false
	defer func() {
		tx.ended.Store(true)
		if !committed {
			w.conn.watch(nil)
			_ = tx.Rollback() // it may have been rolled back
			w.rollBack()
		}
	}()
	if err := fn(&Store{database: s.database, tx: tx, origin: s}); err != nil {
		return err
	}
	if err := cmp.Or(tx.failure, tx.broken, ctx.Err()); err != nil {
		return translate(ctx, "commit", err)
	}
	committed = true
	return translate(ctx, "commit", w.commitTx(ctx, tx))
}

// beginTx begins a transaction that the host may use too. It must outlast the context:
// database/sql would roll it back at the end, even during a commit.
func (w *writer) beginTx(ctx context.Context) (*transaction, error) {
	t := &transaction{conn: w.conn, session: w.conn}
	err := whileBusy(ctx, time.Now().Add(w.options.BusyTimeout), func() (err error) {
		if err := w.file.check(); err != nil {
			return err
		}
		t.Tx, err = w.link.BeginTxx(context.WithoutCancel(ctx), nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	w.conn.batch = false
	w.conn.watch(t)
	return t, nil
}

// commitTx commits the transaction.
func (w *writer) commitTx(ctx context.Context, t *transaction) error {
	w.conn.watch(nil)
	if _, err := t.begun(); err != nil {
		_ = t.Rollback() // there is nothing left
		return err
	}
	err := t.Commit()
	switch {
	case errors.Is(err, sql.ErrTxDone):
		return errCommitted
	case err != nil:
		w.rollBack()
		return commitError(ctx, err)
	}
	if err := w.file.check(); err != nil {
		return unknownOutcome(ctx, err)
	}
	return nil
}

// nested runs fn as a part of the transaction, and undoes only that part if fn fails. If fn
// does not return, the enclosing part cannot be committed either, unless that is a host's
// transaction.
func (s *Store) nested(ctx context.Context, fn func(tx incident.Store) error) error {
	t := s.tx
	q, err := t.begun()
	if err != nil {
		return translate(ctx, "savepoint", err)
	}
	t.savepoints++
	name := "incident_" + strconv.Itoa(t.savepoints)
	outside := context.WithoutCancel(ctx)
	if _, err := q.exec(outside, "SAVEPOINT "+name); err != nil {
		return translate(ctx, "savepoint", t.readError(err))
	}
	returned, done := false, false
	alone := t.conn == nil && t.depth == 0
	t.depth++
	defer func() {
		t.depth--
		if done {
			return
		}
		switch {
		case alone:
			t.broken = nil
		case !returned:
			t.broken = errBrokenOff
		}
		if undoTo(outside, q, name) == nil {
			t.failure = nil
		}
	}()
	err = fn(s)
	returned = true
	if err != nil {
		return err
	}
	if err := cmp.Or(t.failure, t.broken, ctx.Err()); err != nil {
		return translate(ctx, "savepoint", err)
	}
	if _, err := q.exec(outside, "RELEASE "+name); err != nil {
		return translate(ctx, "savepoint", err)
	}
	done = true
	return nil
}

// undoTo undoes the writes since a savepoint, and removes the savepoint.
func undoTo(ctx context.Context, q session, name string) error {
	_, err := q.exec(ctx, "ROLLBACK TO "+name)
	if err == nil {
		_, err = q.exec(ctx, "RELEASE "+name)
	}
	return err
}
