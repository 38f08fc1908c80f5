package postgres

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// schemaVersion is that of the newest migration.
const schemaVersion = 1

// minServerVersion is in the form of server_version_num.
const minServerVersion = 150000

// schemaCheck remembers that the database was found to be as it must be. It is
// asked for with the first statement.
type schemaCheck struct{ passed atomic.Bool }

// schemaVersionSQL has no parameters, so that every driver can send it in one round
// trip.
const schemaVersionSQL = `
SELECT version, current_setting('server_version_num')::integer, current_setting('server_encoding'), pg_backend_pid()
FROM @incident_schema`

type databaseFacts struct {
	schema, server int
	encoding       string
	backend        int64 // the process that answers
}

func (d *database) readFacts(ctx context.Context, q sqlx.QueryerContext) (f databaseFacts, err error) {
	err = q.QueryRowxContext(ctx, d.complete(schemaVersionSQL)).Scan(&f.schema, &f.server, &f.encoding, &f.backend)
	return f, err
}

// checkSchema refuses a database that the library does not know, and a pool that
// statements must not be sent through. A call in a transaction that is the first of
// all does not see the pool, which it leaves to the next one.
func (s *Store) checkSchema(ctx context.Context) error {
	if s.wire.decided.Load() || s.tx != nil && s.schema.passed.Load() {
		return nil
	}
	x, err := within(ctx, func() (x examination, err error) {
		if s.tx == nil {
			return s.examine(ctx)
		}
		x.databaseFacts, err = s.readFacts(ctx, s.tx)
		return x, err
	}, nil)
	if err != nil {
		return err
	}
	if err := x.check(s.options.Schema); err != nil {
		return err
	}
	if s.tx == nil {
		if err := s.decide(x); err != nil {
			return err
		}
	}
	s.schema.passed.Store(true)
	return nil
}

func (f databaseFacts) check(schema string) error {
	switch {
	case f.server < minServerVersion:
		return fmt.Errorf("%w: the server is PostgreSQL %d; use 15 or later", incident.ErrUnavailable, f.server/10000)
	case f.encoding != "UTF8":
		return fmt.Errorf("%w: the database's encoding is %s; create one with ENCODING 'UTF8'", incident.ErrUnavailable, f.encoding)
	case f.schema < schemaVersion:
		return fmt.Errorf("%w: the tables in schema %q are of version %d and must be of %d; run postgres.Migrate",
			incident.ErrUnavailable, schema, f.schema, schemaVersion)
	case f.schema > schemaVersion:
		return fmt.Errorf("%w: the tables in schema %q are of version %d and this library knows %d; update the library",
			incident.ErrUnavailable, schema, f.schema, schemaVersion)
	}
	return nil
}
