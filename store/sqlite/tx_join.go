package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// Join returns a store whose calls are part of a transaction of the host. The host has begun
// tx on the pool that it passed to [New], and commits it or rolls it back. Pass the store to
// [incident.Manager.Join]:
//
//	tx, done, err := incidents.Join(store.Join(hostTx))
//
// Begin such transactions with BEGIN IMMEDIATE, by _txlock=immediate in the DSN of the pool.
// Otherwise a transaction that reads first fails at its first write if others have written
// meanwhile. A call that fails in the database fails the transaction. The store is not safe for
// concurrent use, and must not be used after the end of the transaction.
func (s *Store) Join(tx *sqlx.Tx) *Store {
	origin := s
	if s.origin != nil {
		origin = s.origin
	}
	return &Store{database: s.database, tx: &transaction{Tx: tx, session: joined{tx}}, origin: origin}
}

// JoinedTo implements [incident.JoinedStore].
func (s *Store) JoinedTo() incident.Store {
	if s.origin == nil || s.tx == nil || s.tx.conn != nil {
		return nil
	}
	return s.origin
}

// Tx returns the database transaction of tx, a Manager that [incident.Manager.InTx] passed to
// its function or that [incident.Manager.Join] returned. The host may run statements in it.
// They are committed together with the calls of tx, or not at all:
//
//	err := incidents.InTx(ctx, func(tx incident.Manager) error {
//		db, err := sqlite.Tx(tx)
//		…
//		_, err = db.ExecContext(ctx, "INSERT INTO orders …")
//		…
//		_, err = tx.Create(ctx, …)
//		return err
//	})
//
// The host must not commit the transaction, roll it back, or use it after the function has
// returned. It may undo a part by a savepoint.
//
// Tx returns [incident.ErrInvalid] if tx is not within a transaction, or belongs to another
// kind of store.
func Tx(tx incident.Manager) (*sqlx.Tx, error) {
	s, err := incident.StoreAs[*Store](tx)
	if err == nil && s.tx == nil {
		err = &incident.FieldError{Field: "tx", Problem: "is not within a transaction; pass the Manager that InTx passed to its function"}
	}
	if err != nil {
		return nil, fmt.Errorf("sqlite: tx: %w", err)
	}
	return s.tx.Tx, nil
}

// joined is a transaction of the host.
type joined struct{ tx *sqlx.Tx }

// exec implements session.
func (j joined) exec(ctx context.Context, text string, args ...any) (int64, error) {
	result, err := j.tx.ExecContext(ctx, text, allBound(args)...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query implements session.
func (j joined) query(ctx context.Context, text string, args []any, row func([]driver.Value) error) error {
	rows, err := j.tx.QueryxContext(ctx, text, allBound(args)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		scanned, err := rows.SliceScan()
		if err != nil {
			return err
		}
		values := make([]driver.Value, len(scanned))
		for i, v := range scanned {
			values[i] = v
		}
		if err := row(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

func allBound(args []any) []any {
	all := make([]any, len(args))
	for i, arg := range args {
		all[i] = bound(arg)
	}
	return all
}

// putJoined runs fn within a savepoint. SQLite may have rolled back the transaction by itself, after
// a statement of the host failed. The savepoint would then be a transaction of its own. Therefore
// BEGIN must fail first.
func putJoined[T any](ctx context.Context, t *transaction, fn func(ctx context.Context, q session) (T, error)) (result T, err error) {
	q := t.session
	if _, err := q.exec(ctx, "BEGIN"); err == nil {
		_, _ = q.exec(ctx, "ROLLBACK") // of the BEGIN
		t.undone.Store(true)
		return result, errUndone
	} else if !isWithinTx(err) {
		return result, t.readError(err)
	}
	const name = "incident_call"
	if _, err := q.exec(ctx, "SAVEPOINT "+name); err != nil {
		return result, t.readError(err)
	}
	result, err = fn(ctx, q)
	if err != nil {
		if undone := undoTo(ctx, q, name); undone != nil || !isAnswer(err) {
			return result, t.readError(err)
		}
		return result, err
	}
	_, err = q.exec(ctx, "RELEASE "+name)
	return result, t.readError(err)
}
