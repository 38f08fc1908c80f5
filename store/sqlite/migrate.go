package sqlite

import (
	"context"
	"fmt"

	"github.com/incidentkit/incident"
)

// Migrate creates the tables of the library, or updates older tables. It changes nothing if the
// tables are current. Processes may migrate at the same time: the transaction that migrates has
// the right to write before it reads the version. [Open] calls Migrate.
func (s *Store) Migrate(ctx context.Context) error {
	if s.tx != nil {
		return fmt.Errorf("sqlite: migrate: %w", errMigrateTx)
	}
	_, err := readRaw(ctx, s, oneStatement, isCurrent)
	if err == nil {
		return nil
	}
	_, err = put(ctx, s, "migrate", migrate)
	return err
}

var errMigrateTx = &incident.FieldError{Field: "tx", Problem: "cannot migrate; call the store outside the transaction"}

var errOlderSchema = fmt.Errorf("%w: the tables are missing or older; run Migrate", incident.ErrUnavailable)

// isCurrent returns an error unless the tables fit the library.
func isCurrent(ctx context.Context, q session) (struct{}, error) {
	version, serves, err := schemaVersion(ctx, q)
	switch {
	case err != nil:
	case serves > len(migrations):
		err = unavailable(ErrNewerSchema)
	case version < len(migrations):
		err = errOlderSchema
	}
	return struct{}{}, err
}

// schemaVersion returns version 0 if the tables are missing.
func schemaVersion(ctx context.Context, q session) (version, serves int, err error) {
	var tables int
	if _, err := queryOne(ctx, q, `SELECT count(*) FROM sqlite_schema WHERE name = 'incident_schema'`, nil, integer(&tables)); err != nil || tables == 0 {
		return 0, 0, err
	}
	_, err = queryOne(ctx, q, `SELECT version, serves FROM incident_schema`, nil, integer(&version), integer(&serves))
	return version, serves, err
}

// migrate runs the missing migrations.
func migrate(ctx context.Context, q session) (struct{}, error) {
	var none struct{}
	version, serves, err := schemaVersion(ctx, q)
	switch {
	case err != nil:
		return none, err
	case serves > len(migrations):
		return none, unavailable(ErrNewerSchema)
	}
	for ; version < len(migrations); version++ {
		for _, statement := range statementsOf(migrations[version]) {
			if _, err := q.exec(ctx, statement); err != nil {
				return none, fmt.Errorf("version %d: %w", version+1, err)
			}
		}
	}
	return none, nil
}
