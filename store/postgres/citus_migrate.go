package postgres

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

//go:embed citus/*.sql
var citusFiles embed.FS

// CitusMigration returns the SQL file that [MigrateCitus] runs after the migrations, for hosts that
// run it with a tool of their own: incident_citus.up.sql, and incident_citus.down.sql, which drops the tables.
// Run a file in a transaction on the coordinator, in the first schema of the search_path. The up
// file may run again, and must run again after a migration that creates a table.
func CitusMigration() fs.FS {
	files, err := fs.Sub(citusFiles, "citus")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return files
}

// MigrateCitus calls [Migrate], and then spreads the tables over the servers of Citus by
// organization, for stores with [Options.Citus]. Where that is done it changes nothing. The pool
// leads to the coordinator, which must be known to the workers (citus_set_coordinator_host). The
// setting citus.shard_count of the role or the database is the number of shards; 32 by default.
//
// The role must own the tables, also later: it locks their shards.
func MigrateCitus(ctx context.Context, pool *sqlx.DB, opts *Options) error {
	if err := Migrate(ctx, pool, opts); err != nil {
		return err
	}
	return runCitusFile(ctx, pool, opts, "migrate", "incident_citus.up.sql")
}

// UnmigrateCitus drops the tables with all their data. It keeps the schema. [Unmigrate] is not for
// Citus.
func UnmigrateCitus(ctx context.Context, pool *sqlx.DB, opts *Options) error {
	return runCitusFile(ctx, pool, opts, "unmigrate", "incident_citus.down.sql")
}

// runCitusFile runs a file under the lock of migrations.
func runCitusFile(ctx context.Context, pool *sqlx.DB, opts *Options, op, name string) error {
	m, err := newMigrator(pool, opts, migrations)
	if err != nil {
		return err
	}
	script, err := citusFiles.ReadFile("citus/" + name)
	if err != nil {
		panic(err) // the file is embedded
	}
	_, err = within(ctx, &attempt{}, func() (none struct{}, err error) {
		tx, err := m.pool.BeginTxx(ctx, nil)
		if err != nil {
			return none, err
		}
		defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(migrationLockSQL, m.lockID())); err != nil {
			return none, err
		}
		_, err = tx.ExecContext(ctx, "SET LOCAL search_path TO "+quoteName(m.options.Schema)+";"+string(script))
		switch sqlState(err) {
		case "":
			return none, cmp.Or(err, tx.Commit())
		case undefinedFunction, undefinedTable:
			err = fmt.Errorf("%w: the database lacks the extension citus, or a function of it: %w", incident.ErrUnavailable, err)
		}
		return none, err
	}, nil)
	return m.translateMigration(ctx, op, err)
}
