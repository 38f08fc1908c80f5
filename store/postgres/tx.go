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

// transaction is one that the store began, or that the host did. It is for one
// goroutine.
type transaction struct {
	*sqlx.Tx
	session    *session // nil in a host's transaction
	grouped    bool     // a group of creations, each of which can also run alone
	failure    error    // of the first statement that failed, which fails all
	savepoints int      // that there were
	depth      int      // of the savepoints that are open
	broken     error    // of a part that did not return, which dooms what it is a part of
	lent       bool     // the host has got it, and may have had statements fail
}

// use calls f, which uses the connection. It is the only one that does.
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

// query runs a statement of the form: on the driver's connection or, in a host's
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
	return newDriverRows(rows), nil
}

// ended reports whether the transaction was committed or rolled back, by the host
// too. database/sql tells when it is asked for a statement, before it looks at that.
func (t *transaction) ended() bool {
	return errors.Is(t.Tx.Tx.Stmt(&sql.Stmt{}).Close(), sql.ErrTxDone)
}

// queryJoined sends the text of a form that the pool has not prepared: preparing it
// takes a connection of the pool, which may have no other one.
func (t *transaction) queryJoined(ctx context.Context, q *sqlText, args []any) (rowSet, error) {
	if stmt := q.stmt.Load(); stmt != nil {
		return t.StmtxContext(ctx, stmt).QueryxContext(ctx, args...)
	}
	q.joined.Store(true)
	return t.QueryxContext(ctx, q.text, args...)
}

// Join returns a store whose calls are a part of a transaction that the host has begun, and
// will commit or roll back. It must be of the pool that the store was made with. It is for
// [incident.Manager.Join]:
//
//	tx, done, err := incidents.Join(store.Join(hostTx))
//
// A call that fails in the database fails the transaction. The store is for one goroutine,
// and ends with the transaction, which must not be read-only: see [Store.Load].
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

// Tx returns the transaction of the database that the calls of tx are a part of: tx is the
// Manager that [incident.Manager.InTx] passed to its function, or one of
// [incident.Manager.Join]. The host may run statements of its own in it, which are
// committed with the calls or not at all:
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
// The host must not commit it or roll it back, nor use it after the function has returned.
// A statement of it that fails dooms the transaction: InTx then returns an error, also if
// its function returns nil, and nothing is written.
//
// Tx returns [incident.ErrInvalid] for a Manager that is not within a transaction, and for
// one of another store.
func Tx(tx incident.Manager) (*sqlx.Tx, error) {
	store, err := incident.StoreOf(tx)
	if err != nil {
		return nil, fmt.Errorf("postgres: tx: %w", err)
	}
	for {
		outer, wraps := store.(interface{ Unwrap() incident.Store })
		if !wraps {
			break
		}
		store = outer.Unwrap()
	}
	s, ok := store.(*Store)
	if !ok || s.tx == nil {
		return nil, fmt.Errorf("postgres: tx: %w", &incident.FieldError{
			Field:   "tx",
			Problem: "is not within a transaction of this package; pass the Manager that InTx passed to its function",
		})
	}
	s.tx.lent = true
	return s.tx.Tx, nil
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

// begin takes a connection within the context. The transaction itself must
// outlast it: database/sql would roll it back at the context's end, even while a
// commit is on its way.
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

// begin begins a transaction, which writes unless the session is read-only by
// default. lib/pq would override that: it says READ WRITE. Such a session may have
// outlived a failover, and is refused unless it is the last to be had.
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

// commit ends the transaction. Only the server's own refusal says that it was
// not committed.
func (s *Store) commit(ctx context.Context, tx *transaction) error {
	err := tx.commit(ctx)
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

// commit commits the transaction and gives its connection back. A success after the
// end of the context is errLate, for which see there.
func (t *transaction) commit(ctx context.Context) error {
	_, err := within(ctx, &attempt{inTx: true, session: t.session}, func() (struct{}, error) {
		err := t.Commit() // after no statement that was abandoned: that is a failure
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

// rollBack ends the transaction, whatever became of the context of the call. It
// waits for the server, but not for one that does not answer.
func (t *transaction) rollBack() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, _ = within(ctx, &attempt{inTx: true, session: t.session}, func() (struct{}, error) {
		// What cannot be rolled back is so when its connection ends. An abandoned
		// statement ends with it, and database/sql wants to be told in any case.
		err := t.use(ctx, func() error { return nil })
		err = errors.Join(err, t.Rollback())
		t.session.release(err != nil || unfit(t.failure))
		return struct{}{}, err
	}, nil)
}

// checkLent finds out what a host that got the transaction has left of it. The commit of a
// transaction in which a statement has failed does nothing, and not every driver says so.
func (s *Store) checkLent(ctx context.Context) error {
	if !s.tx.lent {
		return nil
	}
	err := s.control(ctx, "SELECT 1")
	if errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("postgres: commit: %w; the transaction was committed or rolled back by the host, which must leave that to InTx",
			incident.ErrUnknownOutcome)
	}
	return s.translate(ctx, "commit", err)
}

// errBrokenOff is the failure of a transaction of which a part panicked or ended its
// goroutine.
var errBrokenOff = fmt.Errorf("%w: a part of the transaction panicked or ended its goroutine", incident.ErrUnavailable)

// nested runs fn as a part of the transaction, and undoes that part alone when fn fails.
// One that does not return dooms what it is a part of, except a host's transaction.
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

// control runs a command of the transaction, which has no arguments.
func (s *Store) control(ctx context.Context, command string) error {
	a := &attempt{inTx: true, session: s.tx.session}
	_, err := within(ctx, a, func() (struct{}, error) {
		return struct{}{}, s.tx.use(ctx, func() error {
			_, err := s.tx.ExecContext(ctx, command)
			return err
		})
	}, nil)
	return err
}
