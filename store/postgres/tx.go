package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// transaction is one that the store began, or that the host did. It is for one
// goroutine.
type transaction struct {
	*sqlx.Tx
	conn       *sqlx.Conn // nil in a host's transaction
	joint      bool       // of creations that share a commit, each of which could be made alone
	failure    error      // of the first statement that failed, which fails all
	unprepared []*form    // those that the pool is to prepare
	savepoints int
}

// prepareLater notes a form that was sent unprepared.
func (t *transaction) prepareLater(f *form) { t.unprepared = append(t.unprepared, f) }

// Join returns a store whose calls are a part of the host's transaction, which
// must be of the pool that the store was made with:
//
//	incidents, err := incident.New(store.Join(tx), nil)
//
// The host commits or rolls back. A call that fails in the database fails the
// transaction. The store, and a Manager of it, are for one goroutine, and end
// with the transaction, which must not be read-only: see [Store.Load].
func (s *Store) Join(tx *sqlx.Tx) *Store {
	return &Store{database: s.database, tx: &transaction{Tx: tx}}
}

// InTx implements [incident.Store]. The transaction is READ COMMITTED and locks the
// incidents that it loads. In a joined transaction it is a savepoint. Where two
// transactions wait for each other one fails with [incident.ErrUnavailable], and
// may be repeated.
func (s *Store) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	if err := ctx.Err(); err != nil {
		return s.translate(ctx, "begin", err)
	}
	if s.tx != nil {
		return s.nested(ctx, fn)
	}
	if err := s.checkSchema(ctx); err != nil {
		return s.translate(ctx, "begin", err)
	}
	tx, err := s.begin(ctx)
	if err != nil {
		return s.translate(ctx, "begin", err)
	}
	ended := false
	defer func() {
		if !ended {
			tx.rollBack()
		}
		s.prepareAll(ctx, tx.unprepared)
	}()
	if err := fn(&Store{database: s.database, tx: tx}); err != nil {
		return err
	}
	if tx.failure != nil {
		return s.translate(ctx, "commit", tx.failure)
	}
	if err := ctx.Err(); err != nil {
		return s.translate(ctx, "commit", err)
	}
	ended = true
	return s.commit(ctx, tx)
}

// begin takes a connection within the context. The transaction itself must
// outlast it: database/sql would roll it back at the context's end, even while a
// commit is on its way.
func (s *Store) begin(ctx context.Context) (*transaction, error) {
	conn, err := s.pool.Connx(ctx)
	if err != nil {
		return nil, err
	}
	return within(ctx, func() (*transaction, error) {
		tx, err := conn.BeginTxx(context.WithoutCancel(ctx), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		return &transaction{Tx: tx, conn: conn}, nil
	}, (*transaction).rollBack)
}

// commit ends the transaction. Only the server's own refusal says that it was
// not committed.
func (s *Store) commit(ctx context.Context, tx *transaction) error {
	_, err := within(ctx, func() (struct{}, error) {
		err := tx.Commit()
		_ = tx.conn.Close()
		return struct{}{}, err
	}, nil)
	switch {
	case err == nil:
		return nil
	case isRefusal(err), errors.Is(err, sql.ErrTxDone):
		return s.translate(ctx, "commit", err)
	}
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("postgres: commit: %w: %w", incident.ErrUnknownOutcome, ended)
	}
	return fmt.Errorf("postgres: commit: %w (%w)", incident.ErrUnknownOutcome, hidden{err})
}

// rollBack ends the transaction, whatever became of the context of the call. It
// waits for the server, but not for one that does not answer.
func (t *transaction) rollBack() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, _ = within(ctx, func() (struct{}, error) {
		err := t.Rollback() // what cannot be rolled back is so when its connection ends
		_ = t.conn.Close()
		return struct{}{}, err
	}, nil)
}

// prepareAll prepares what the transaction could not, so that the next one finds
// it prepared.
func (s *Store) prepareAll(ctx context.Context, unprepared []*form) {
	if !s.wire.prepares.Load() {
		return
	}
	for _, f := range unprepared {
		if f.prepared.Load() != nil {
			continue
		}
		_, err := within(ctx, func() (*sqlx.Stmt, error) { return f.prepare(ctx, s.pool) }, nil)
		if err != nil {
			return // it costs the next transaction a round trip
		}
	}
}

// nested runs fn as a part of the transaction, and undoes that part alone when
// fn fails.
func (s *Store) nested(ctx context.Context, fn func(tx incident.Store) error) error {
	s.tx.savepoints++
	name := "incident_" + strconv.Itoa(s.tx.savepoints)
	if err := s.control(ctx, "SAVEPOINT "+name); err != nil {
		return s.translate(ctx, "savepoint", err)
	}
	done := false
	defer func() {
		if done {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if s.control(ctx, "ROLLBACK TO SAVEPOINT "+name) == nil {
			s.tx.failure = nil
		}
	}()
	if err := fn(s); err != nil {
		return err
	}
	if s.tx.failure != nil {
		return s.translate(ctx, "savepoint", s.tx.failure)
	}
	if err := ctx.Err(); err != nil {
		return s.translate(ctx, "savepoint", err)
	}
	if err := s.control(ctx, "RELEASE SAVEPOINT "+name); err != nil {
		return s.translate(ctx, "savepoint", err)
	}
	done = true
	return nil
}

// control runs a command of the transaction, which has no arguments.
func (s *Store) control(ctx context.Context, command string) error {
	_, err := within(ctx, func() (sql.Result, error) { return s.tx.ExecContext(ctx, command) }, nil)
	return err
}
