package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// A pooler that lends a server connection for one transaction only, such as
// PgBouncer with pool_mode=transaction, breaks what drivers take for granted: a
// statement parsed in one round trip and executed in the next is executed on
// another connection, where the same name may mean another statement. The server
// then executes that one, with these arguments, and reports success. No answer
// tells it apart, so that such a statement must never be sent.
//
// The first call of a store examines the connections, within one transaction,
// which a pooler cannot tear apart:
//
//   - A pooler makes up the backend that greets the driver. If it is not the one
//     that answers, or the host says [Options.Unprepared], nothing is prepared.
//   - Statements must then be parsed and executed in one round trip. lib/pq does so
//     with binary_parameters=yes only, which a parameter of its own verifies; pgx
//     does so in some of its modes. Otherwise the call fails and names the setting.

// wire is how statements are sent, once the first call has found out.
type wire struct {
	decided  atomic.Bool
	pooled   atomic.Bool // a pooler may give each transaction another connection
	prepares atomic.Bool // the store prepares what it sends often
}

// examination is what the first call learns about the connections of a pool.
type examination struct {
	databaseFacts
	link
	oneTrip bool // lib/pq parses and executes in one round trip
}

// examine looks at one connection of the pool.
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

// parsesBinary reports whether lib/pq sends bytes in binary, which it does only
// where it sends a statement in one round trip. The bytes are a number in either
// format.
func parsesBinary(ctx context.Context, tx *sqlx.Tx) (bool, error) {
	var n int64
	err := tx.QueryRowxContext(ctx, "SELECT $1::int2", []byte("05")).Scan(&n)
	return n != 5, err
}

// driverOfErrors makes a statement fail, to see whose error it is. It ends the
// transaction.
func driverOfErrors(ctx context.Context, tx *sqlx.Tx) driverKind {
	var n int64
	err := tx.QueryRowxContext(ctx, "SELECT 1/0").Scan(&n)
	return kindOfError(err)
}

// decide settles how statements are sent, or refuses the pool.
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
		return fmt.Errorf("%w: %s, and this pool has pgx's mode %s; add default_query_exec_mode=exec to its DSN (cache_describe and simple_protocol will do, too)",
			incident.ErrUnavailable, why(d.options.Unprepared), x.mode)
	}
	d.wire.pooled.Store(pooled)
	// pgx prepares, and forgets, by itself.
	d.wire.prepares.Store(!pooled && x.kind == pqDriver)
	d.wire.decided.Store(true)
	return nil
}

// why says why a statement must be sent in one round trip.
func why(unprepared bool) string {
	if unprepared {
		return "Unprepared needs each statement in one round trip"
	}
	return "a pooler stands before the server and may give each transaction another connection, " +
		"where a statement that was prepared is unknown or another one"
}
