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

const schemaVersionSQL = `
SELECT version, current_setting('server_version_num')::integer, current_setting('server_encoding')
FROM @incident_schema
WHERE $1 = $1::text`

type databaseFacts struct {
	schema, server int
	encoding       string
}

// checkSchema refuses a database that the library does not know.
func (s *Store) checkSchema(ctx context.Context) error {
	if s.schema.passed.Load() {
		return nil
	}
	st := s.statement("").add(schemaVersionSQL)
	text := st.form().text
	facts, err := within(ctx, func() (f databaseFacts, err error) {
		var q sqlx.QueryerContext = s.pool
		if s.tx != nil {
			q = s.tx.Tx
		}
		err = q.QueryRowxContext(ctx, text, st.args...).Scan(&f.schema, &f.server, &f.encoding)
		return f, err
	}, nil)
	if err != nil {
		return err
	}
	if err := facts.check(s.options.Schema); err != nil {
		return err
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
