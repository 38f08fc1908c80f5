package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// A pooler that assigns a server connection for a single transaction, such as PgBouncer with
// pool_mode=transaction, breaks an assumption of drivers. A statement that is parsed in a
// round trip and executed in the next may be executed on another connection, where its name
// may belong to another statement. The server executes that statement with these arguments
// and reports success. No answer reveals the mistake, so that such a statement must never be
// sent.
//
// The first call of a store examines a connection within a transaction, because a pooler
// keeps a transaction on the same server connection:
//
//   - A pooler invents the process number in the driver's handshake. If another process
//     answers, or the host sets [Options.Unprepared], the store prepares nothing.
//   - Then statements must be parsed and executed in the same round trip. lib/pq does so
//     only with binary_parameters=yes; a parameter in binary format verifies that. pgx does
//     so in some of its modes. Otherwise the call fails and names the setting.

// wire records how statements are sent. The first call decides.
type wire struct {
	decided  atomic.Bool
	pooled   atomic.Bool // a pooler may give each transaction another connection
	prepares atomic.Bool // the store keeps statements prepared
}

// examination is the result of examining a connection of the pool.
type examination struct {
	databaseFacts
	link
	oneTrip bool // lib/pq parses and executes in one round trip
}

// examine examines a connection of the pool.
func (s *Store) examine(ctx context.Context, a *attempt) (x examination, err error) {
	session, err := s.session(ctx)
	if err != nil {
		return x, err
	}
	defer func() { session.release(unfit(err)) }()
	if !a.hold(session) {
		return x, errAbandoned
	}
	x.link = session.state.link
	tx, err := session.conn.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return x, err
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	if x.databaseFacts, err = s.readFacts(ctx, tx); err != nil {
		return x, err
	}
	if x.kind == pqDriver || x.kind == unknownDriver {
		if x.oneTrip, err = parsesBinary(ctx, tx); err != nil && x.kind == pqDriver {
			return x, err
		}
	}
	if x.kind == unknownDriver {
		x.kind = driverOfErrors(ctx, tx)
	}
	return x, nil
}

// parsesBinary reports whether lib/pq sends bytes in binary. It does so only if it sends a
// statement in a single round trip. The bytes are a number in text format and another number in
// binary format.
func parsesBinary(ctx context.Context, tx *sqlx.Tx) (bool, error) {
	var n int64
	err := tx.QueryRowxContext(ctx, "SELECT $1::int2", []byte("05")).Scan(&n)
	return n != 5, err
}

// driverOfErrors recognizes a driver by the error of a failing statement. It leaves the
// transaction failed.
func driverOfErrors(ctx context.Context, tx *sqlx.Tx) driverKind {
	var n int64
	err := tx.QueryRowxContext(ctx, "SELECT 1/0").Scan(&n)
	return kindOfError(err)
}

// decide decides how statements are sent, or refuses the pool.
func (d *database) decide(x examination) error {
	pooled := d.options.Unprepared || x.pid != 0 && x.pid != x.backend
	switch {
	case x.kind == unknownDriver:
		return fmt.Errorf("%w: the driver %T of the pool hides which driver it wraps; %s",
			incident.ErrUnavailable, d.pool.Driver(), supportedDrivers)
	case !pooled:
	case x.kind == pqDriver && !x.oneTrip:
		return fmt.Errorf("%w: %s, and this pool sends a statement in two round trips; add binary_parameters=yes to its DSN",
			incident.ErrUnavailable, why(d.options.Unprepared))
	case x.kind == pgxDriver && !x.mode.oneTrip():
		return fmt.Errorf("%w: %s, and this pool has pgx's mode %s; add default_query_exec_mode=exec to its DSN (or cache_describe or simple_protocol)",
			incident.ErrUnavailable, why(d.options.Unprepared), x.mode)
	}
	d.wire.pooled.Store(pooled)
	// pgx prepares statements and closes them by itself.
	d.wire.prepares.Store(!pooled && x.kind == pqDriver)
	d.wire.decided.Store(true)
	return nil
}

// why explains why a statement must be sent in a single round trip.
func why(unprepared bool) string {
	if unprepared {
		return "Unprepared needs each statement in one round trip"
	}
	return "a pooler in front of the server may give each transaction another connection, " +
		"on which a prepared statement is unknown or a different statement"
}
