package postgres

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// schemaVersion is the version that the newest migration makes.
const schemaVersion = 5

// minServerVersion has the form of server_version_num.
const minServerVersion = 150000

// schemaCheck remembers that the database can be used. The first statement checks it, and so
// does the next statement after a table or a column was missing.
type schemaCheck struct {
	expected int  // the schema version that the statements are written for
	isSpread bool // the tables must be spread over the servers of Citus
	passed   atomic.Bool
}

// schemaVersionSQL has no parameters, so that every driver sends it in a single round trip. The tables of
// Citus are recognized by a trigger, because other databases lack the table that lists them.
const schemaVersionSQL = `
SELECT version, serves, current_setting('server_version_num')::integer, current_setting('server_encoding'), pg_backend_pid(), EXISTS (
	SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
	WHERE t.tgrelid = '@incident'::regclass AND p.proname = 'citus_truncate_trigger'
)
FROM @incident_schema`

type databaseFacts struct {
	schema   int // the version of the tables
	serves   int // the oldest version whose library can use them
	server   int
	encoding string
	backend  int64 // the server process that answered
	spread   bool  // the tables are spread over the servers of Citus
}

func (d *database) readFacts(ctx context.Context, q sqlx.QueryerContext) (f databaseFacts, err error) {
	err = q.QueryRowxContext(ctx, d.qualify(schemaVersionSQL)).Scan(&f.schema, &f.serves, &f.server, &f.encoding, &f.backend, &f.spread)
	return f, err
}

// checkSchema refuses a database that does not fit the library, and a pool that must not be
// used. A first call within a transaction checks the database only, and leaves the pool to
// the next call outside.
func (s *Store) checkSchema(ctx context.Context) error {
	if s.wire.decided.Load() || s.tx != nil && s.schema.passed.Load() {
		return nil
	}
	a := &attempt{inTx: true}
	if s.tx != nil {
		a.session = s.tx.session
	}
	x, err := within(ctx, a, func() (x examination, err error) {
		if s.tx == nil {
			return s.examine(ctx, a)
		}
		x.databaseFacts, err = s.readFacts(ctx, s.tx)
		return x, err
	}, nil)
	if err != nil {
		return err
	}
	if err := x.check(s.options.Schema, s.schema.expected); err != nil {
		return err
	}
	if err := x.checkSpread(s.options.Schema, s.schema.isSpread); err != nil {
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

// recheck makes the next statement check the database again.
func (d *database) recheck() {
	d.schema.passed.Store(false)
	d.wire.decided.Store(false)
}

func (f databaseFacts) check(schema string, library int) error {
	if err := f.checkServer(); err != nil {
		return err
	}
	return f.checkVersion(schema, library)
}

func (f databaseFacts) checkServer() error {
	switch {
	case f.server < minServerVersion:
		return fmt.Errorf("%w: the server is PostgreSQL %d; use 15 or later", incident.ErrUnavailable, f.server/10000)
	case f.encoding != "UTF8":
		return fmt.Errorf("%w: the database's encoding is %s; create one with ENCODING 'UTF8'", incident.ErrUnavailable, f.encoding)
	}
	return nil
}

// checkVersion refuses tables that are older than the library, and newer tables that no
// longer serve it.
func (f databaseFacts) checkVersion(schema string, library int) error {
	switch {
	case f.schema < library:
		return fmt.Errorf("%w: the tables in schema %q are of version %d and this library needs %d; run postgres.Migrate with this library",
			incident.ErrUnavailable, schema, f.schema, library)
	case f.serves > library:
		return fmt.Errorf("%w: the tables in schema %q are of version %d, which serves libraries of version %d and later, "+
			"and this library is of %d; update the library", incident.ErrUnavailable, schema, f.schema, f.serves, library)
	}
	return nil
}

// checkSpread refuses tables of Citus without [Options.Citus], which would miss changes, and the reverse.
func (f databaseFacts) checkSpread(schema string, expected bool) error {
	switch {
	case f.spread && !expected:
		return fmt.Errorf("%w: the tables in schema %q are spread over the servers of Citus; set Options.Citus", incident.ErrUnavailable, schema)
	case !f.spread && expected:
		return fmt.Errorf("%w: Options.Citus is set and the tables in schema %q are not spread over the servers of Citus; run postgres.MigrateCitus",
			incident.ErrUnavailable, schema)
	}
	return nil
}
