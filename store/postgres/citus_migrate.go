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
// It drops the CHECK constraints of the migrations except incident_slot_holders, because each statement would parse
// them for its shard. The store writes only what meets them; statements of your own are no longer checked. It keeps
// constraints of your own.
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

// citusLockID is the advisory lock that runCitusFile takes in each schema of a database. Changes of several
// schemas would deadlock in the tables of Citus.
const citusLockID = 0x696e636974757300

// runCitusFile runs a file under the locks of migrations. It repeats a file that met a migration of another
// schema in the tables of Citus.
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
		for disturbances := 0; ; disturbances++ {
			err := m.runCitusScript(ctx, string(script))
			if !isDisturbed(err) || disturbances == maxDisturbances {
				return none, err
			}
		}
	}, nil)
	return m.translateMigration(ctx, op, err)
}

func (m *migrator) runCitusScript(ctx context.Context, script string) error {
	tx, err := m.pool.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	for _, id := range []int64{citusLockID, m.lockID()} {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(migrationLockSQL, id)); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "SET LOCAL search_path TO "+quoteName(m.options.Schema)+";"+script)
	switch sqlState(err) {
	case "":
		return cmp.Or(err, tx.Commit())
	case undefinedFunction, undefinedTable:
		err = fmt.Errorf("%w: the database lacks the extension citus, or a function of it: %w", incident.ErrUnavailable, err)
	}
	return err
}
