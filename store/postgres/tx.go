package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// transaction is a transaction of the store or, after Join, of the host. It is not safe for
// concurrent use.
type transaction struct {
	*sqlx.Tx
	session    *session // nil in a host's transaction
	grouped    bool     // a group of creations, each of which can also run alone
	failure    error    // of the first failed statement; the transaction cannot be committed
	savepoints int      // the number of savepoints so far
	depth      int      // the number of open savepoints
	broken     error    // set if a part did not return; the enclosing part cannot be committed
	lent       bool     // the host has the transaction, and statements of the host may have failed
}

// use calls f while it has the transaction's connection to itself.
func (t *transaction) use(ctx context.Context, f func() error) error {
	if t.session == nil {
		return f()
	}
	if err := t.session.enter(ctx); err != nil {
		return err
	}
	defer t.session.leave()
	return f()
}

// query runs a statement with the text: on the driver's connection or, in a host's
// transaction, through database/sql.
func (t *transaction) query(ctx context.Context, q *sqlText, args []any) (rowSet, error) {
	if t.session == nil {
		return t.queryJoined(ctx, q, args)
	}
	if t.ended() {
		return nil, sql.ErrTxDone
	}
	rows, err := t.session.query(ctx, q, args)
	if err != nil {
		return nil, err
	}
	return newDriverRows(rows, nil), nil
}

// ended reports whether the transaction was committed or rolled back, by the store or the
// host. database/sql reports it when asked for a statement, before it uses the statement.
func (t *transaction) ended() bool {
	return errors.Is(t.Tx.Tx.Stmt(&sql.Stmt{}).Close(), sql.ErrTxDone)
}

// queryJoined sends the text, prepared if the pool has prepared it already. It does not
// prepare the text itself: that takes another connection, and the pool may have none.
func (t *transaction) queryJoined(ctx context.Context, q *sqlText, args []any) (rowSet, error) {
	if t.Tx == nil {
		return nil, errNoTx
	}
	if stmt := q.stmt.Load(); stmt != nil {
		return t.StmtxContext(ctx, stmt).QueryxContext(ctx, args...)
	}
	q.joined.Store(true)
	return t.QueryxContext(ctx, q.text, args...)
}

// errNoTx is returned if the host passed nil to Join.
var errNoTx = &incident.FieldError{Field: "tx", Problem: "is nil; pass the transaction that the host has begun to Join"}

// Join returns a store whose calls are part of a transaction of the host. The host has begun
// tx on the pool of s, and commits it or rolls it back. Pass the store to
// [incident.Manager.Join]:
//
//	tx, done, err := incidents.Join(store.Join(hostTx))
//
// A call that fails in the database fails the transaction. The store is not safe for
// concurrent use, and must not be used after the end of the transaction. The transaction must
// not be read-only, because [Store.Load] locks.
func (s *Store) Join(tx *sqlx.Tx) *Store {
	origin := s
	if s.origin != nil {
		origin = s.origin
	}
	return &Store{database: s.database, tx: &transaction{Tx: tx}, origin: origin}
}

// JoinedTo implements [incident.JoinedStore].
func (s *Store) JoinedTo() incident.Store {
	if s.origin == nil || s.tx == nil || s.tx.session != nil {
		return nil
	}
	return s.origin
}

// Tx returns the database transaction of tx, a Manager that [incident.Manager.InTx] passed to
// its function or that [incident.Manager.Join] returned. The host may run statements in it.
// They are committed together with the calls of tx, or not at all:
//
//	err := incidents.InTx(ctx, func(tx incident.Manager) error {
//		db, err := postgres.Tx(tx)
//		…
//		_, err = db.ExecContext(ctx, "INSERT INTO orders …")
//		…
//		_, err = tx.Create(ctx, …)
//		return err
//	})
//
// The host must not commit the transaction, roll it back, or use it after the function has
// returned. It may undo a part by a savepoint. If a statement of the host fails, nothing is
// written, and InTx returns an error even if its function returns nil.
//
// Tx returns [incident.ErrInvalid] if tx is not within a transaction, or belongs to another
// kind of store.
func Tx(tx incident.Manager) (*sqlx.Tx, error) {
	s, err := incident.StoreAs[*Store](tx)
	if err == nil && s.tx == nil {
		err = &incident.FieldError{Field: "tx", Problem: "is not within a transaction; pass the Manager that InTx passed to its function"}
	}
	if err != nil {
		return nil, fmt.Errorf("postgres: tx: %w", err)
	}
	s.tx.lent = true
	return s.tx.Tx, nil
}

// InTx implements [incident.Store]. The transaction is READ COMMITTED, and locks the
// incidents that it loads. Within a transaction InTx makes a savepoint. If two transactions
// deadlock, the server fails either with [incident.ErrUnavailable], and it may be repeated.
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
	}()
	inner := &Store{database: s.database, tx: tx, origin: s}
	if err := fn(inner); err != nil {
		return err
	}
	if err := cmp.Or(tx.failure, tx.broken, ctx.Err()); err != nil {
		return s.translate(ctx, "commit", err)
	}
	if err := inner.checkLent(ctx); err != nil {
		return err
	}
	ended = true
	return s.commit(ctx, tx)
}

// begin takes a connection within the context. The transaction itself must outlast the
// context: database/sql would roll it back at the end, even during a commit.
func (s *Store) begin(ctx context.Context) (*transaction, error) {
	a := &attempt{inTx: true}
	return within(ctx, a, func() (*transaction, error) {
		for left := s.replaceable(); ; left-- {
			session, err := s.session(ctx)
			if err != nil {
				return nil, err
			}
			if !a.hold(session) {
				session.release(false)
				return nil, errAbandoned
			}
			session.busy = make(chan struct{}, 1)
			tx, err := session.begin(context.WithoutCancel(ctx), left <= 0)
			if err == nil {
				return &transaction{Tx: tx, session: session}, nil
			}
			a.hold(nil)
			session.release(true)
			if refused := isRefusal(err) && !isReadOnly(err); refused || left <= 0 || ctx.Err() != nil {
				return nil, err
			}
		}
	}, (*transaction).rollBack)
}

// begin begins a transaction that writes, or that only reads if the session is read-only by
// default. Without that check lib/pq would override the default, because it begins READ
// WRITE. A read-only session may have outlived a failover: begin refuses it unless it is the
// last session to try.
func (s *session) begin(ctx context.Context, last bool) (*sqlx.Tx, error) {
	readOnly, err := s.readOnly(ctx)
	if err != nil {
		return nil, err
	}
	opts := sql.TxOptions{Isolation: sql.LevelReadCommitted, ReadOnly: readOnly}
	if readOnly {
		if !last {
			return nil, errBeginsReadOnly
		}
		s.database.allReadOnly()
	}
	return s.conn.BeginTxx(ctx, &opts)
}

// commit commits the transaction. Only a refusal by the server proves that nothing was
// committed; after any other error the outcome is unknown.
func (s *Store) commit(ctx context.Context, tx *transaction) error {
	err := tx.commit(ctx)
	switch {
	case err == nil:
		return nil
	case isRefusal(err), errors.Is(err, sql.ErrTxDone):
		return s.translate(ctx, "commit", err)
	}
	if ended := endOf(ctx); ended != nil {
		return fmt.Errorf("postgres: commit: %w: %w", incident.ErrUnknownOutcome, ended)
	}
	return fmt.Errorf("postgres: commit: %w (%w)", incident.ErrUnknownOutcome, hidden{err})
}

// commit commits the transaction and releases its connection. It returns errLate for a
// success after the end of the context.
func (t *transaction) commit(ctx context.Context) error {
	_, err := within(ctx, &attempt{inTx: true, session: t.session}, func() (struct{}, error) {
		err := t.Commit() // no statement was abandoned: that would be a failure
		if err == nil {
			err = t.session.state.standby.err()
		}
		t.session.release(unfit(err))
		return struct{}{}, err
	}, nil)
	if err == nil && ctx.Err() != nil {
		return errLate
	}
	return err
}

// rollBack ends the transaction, even after the call's context has ended. It waits at most
// twice patience for the server.
func (t *transaction) rollBack() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, _ = within(ctx, &attempt{inTx: true, session: t.session}, func() (struct{}, error) {
		// The end of the connection rolls back too, and ends an abandoned statement.
		// database/sql needs the call of Rollback in any case, after the driver has returned.
		err := t.use(ctx, func() error { return nil })
		if ctx.Err() != nil {
			late, cancel := context.WithTimeout(context.Background(), driverPatience)
			err = t.use(late, func() error { return nil })
			cancel()
		}
		err = errors.Join(err, t.Rollback())
		t.session.release(err != nil || unfit(t.failure))
		return struct{}{}, err
	}, nil)
}

// checkLent returns an error if the host ended a lent transaction, or if a statement of the
// host failed in it. The commit of a failed transaction rolls back, and not every driver
// reports that.
func (s *Store) checkLent(ctx context.Context) error {
	if !s.tx.lent {
		return nil
	}
	err := s.control(ctx, "SAVEPOINT incident_end") // outside a transaction an error, unlike COMMIT
	if errors.Is(err, sql.ErrTxDone) || sqlState(err) == noActiveTransaction {
		return fmt.Errorf("postgres: commit: %w; the transaction was committed or rolled back by the host, which must leave that to InTx",
			incident.ErrUnknownOutcome)
	}
	return s.translate(ctx, "commit", err)
}

// errBrokenOff is the error of a transaction if a part of it panicked or ended its goroutine.
var errBrokenOff = fmt.Errorf("%w: a part of the transaction panicked or ended its goroutine", incident.ErrUnavailable)

// nested runs fn as a part of the transaction, and undoes only that part if fn fails. If fn
// does not return, the enclosing part cannot be committed either, unless that is a host's
// transaction.
func (s *Store) nested(ctx context.Context, fn func(tx incident.Store) error) error {
	s.tx.savepoints++
	name := "incident_" + strconv.Itoa(s.tx.savepoints)
	if err := s.control(ctx, "SAVEPOINT "+name); err != nil {
		return s.translate(ctx, "savepoint", err)
	}
	returned, done := false, false
	alone := s.tx.session == nil && s.tx.depth == 0
	s.tx.depth++
	defer func() {
		s.tx.depth--
		if done {
			return
		}
		switch {
		case alone:
			s.tx.broken = nil
		case !returned:
			s.tx.broken = errBrokenOff
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if s.control(ctx, "ROLLBACK TO SAVEPOINT "+name) == nil {
			s.tx.failure = nil
		}
	}()
	err := fn(s)
	returned = true
	if err != nil {
		return err
	}
	if err := cmp.Or(s.tx.failure, s.tx.broken, ctx.Err()); err != nil {
		return s.translate(ctx, "savepoint", err)
	}
	if err := s.control(ctx, "RELEASE SAVEPOINT "+name); err != nil {
		return s.translate(ctx, "savepoint", err)
	}
	done = true
	return nil
}

// control runs a command without arguments in the transaction.
func (s *Store) control(ctx context.Context, command string) error {
	a := &attempt{inTx: true, session: s.tx.session}
	_, err := within(ctx, a, func() (struct{}, error) {
		return struct{}{}, s.tx.use(ctx, func() error {
			if s.tx.Tx == nil {
				return errNoTx
			}
			_, err := s.tx.ExecContext(ctx, command)
			return err
		})
	}, nil)
	return err
}
