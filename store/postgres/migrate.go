package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// Migrate creates the tables, or brings tables of an earlier version up to date. It creates
// the schema if it does not exist. It does nothing if the tables have this version, or a later
// version that still serves this library, so that every process can call it at its start.
//
// Each version is made in a transaction of its own, under an advisory lock that ends with the
// transaction. Concurrent calls migrate in turn, also through a pooler in
// transaction mode. The host's processes can write during a migration: a step waits for their
// locks briefly and repeatedly, so that their statements do not wait behind it, and gives up
// after five minutes. The role's statement_timeout must be long enough for a step.
//
// A rolling deployment migrates first and then replaces the processes. The new tables serve
// processes of the previous release, even if these restart. The tables record the versions
// that they serve. A library that is too old or too new for the tables gets
// [incident.ErrUnavailable] from its first call; the error names the side to update.
//
// Migrate inspects the database, so that any tool may have made the tables: see [Migrations].
// If it finds only some of the tables, or other tables with their names, it changes nothing
// and returns [incident.ErrUnavailable] with the names.
func Migrate(ctx context.Context, pool *sqlx.DB, opts *Options) error {
	m, err := newMigrator(pool, opts, migrations)
	if err != nil {
		return err
	}
	return m.run(ctx, "migrate", m.nextUp)
}

// Unmigrate drops the tables with all their data. It keeps the schema. It refuses tables that
// [Migrate] refuses, and tables of a later version than this library's.
func Unmigrate(ctx context.Context, pool *sqlx.DB, opts *Options) error {
	m, err := newMigrator(pool, opts, migrations)
	if err != nil {
		return err
	}
	return m.run(ctx, "unmigrate", m.nextDown)
}

// Migrate calls the function [Migrate] with the store's own pool and options.
func (s *Store) Migrate(ctx context.Context) error { return Migrate(ctx, s.pool, &s.options) }

// migrator changes the version of a database by the known migrations.
type migrator struct {
	*Store
	known []migration
}

func newMigrator(pool *sqlx.DB, opts *Options, known []migration) (*migrator, error) {
	s, err := New(pool, opts)
	if err != nil {
		return nil, err
	}
	return &migrator{Store: s, known: known}, nil
}

// step is a script and the version that it makes.
type step struct {
	script  string
	version int
}

// nextUp returns the step up from the version found, or nil if there is none.
func (m *migrator) nextUp(f found) (*step, error) {
	if f.schema >= len(m.known) {
		return nil, nil
	}
	return &step{m.known[f.schema].up, f.schema + 1}, nil
}

// nextDown returns the step that undoes the version found, or nil if there is none.
func (m *migrator) nextDown(f found) (*step, error) {
	switch {
	case f.schema > len(m.known):
		return nil, fmt.Errorf("%w: the tables in schema %q are of version %d and this library knows %d; unmigrate with the library that made them",
			incident.ErrUnavailable, m.options.Schema, f.schema, len(m.known))
	case f.schema == 0:
		return nil, nil
	}
	return &step{m.known[f.schema-1].down, f.schema - 1}, nil
}

// maxDisturbances bounds the repetitions of steps that failed because of another migration,
// such as that of a tool.
const maxDisturbances = 10

// maxLockWait bounds how long run repeats a step that does not get its locks.
const maxLockWait = 5 * time.Minute

// run takes steps until next returns none.
func (m *migrator) run(ctx context.Context, op string, next func(found) (*step, error)) error {
	_, err := within(ctx, &attempt{}, func() (struct{}, error) { return struct{}{}, m.takeSteps(ctx, next) }, nil)
	return m.translateMigration(ctx, op, err)
}

func (m *migrator) takeSteps(ctx context.Context, next func(found) (*step, error)) error {
	start := time.Now()
	for disturbances := 0; ; {
		more, err := m.takeStep(ctx, next)
		switch {
		case sqlState(err) == lockNotAvailable && time.Since(start) < maxLockWait:
			pause(ctx, 100*time.Millisecond) // the context's end ends the next step
		case disturbsMigration(err) && disturbances < maxDisturbances:
			disturbances++
		case err != nil || !more:
			return err
		}
	}
}

// takeStep takes a step, and reports whether there was a step to take. It first looks without
// the lock, because that is enough to find none. It decides on the step under the lock.
func (m *migrator) takeStep(ctx context.Context, next func(found) (*step, error)) (more bool, err error) {
	conn, err := m.pool.Connx(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	f, err := m.find(ctx, conn)
	if err != nil {
		return false, err
	}
	if m.check(f) == nil {
		if s, err := next(f); s == nil {
			return false, err
		}
	}
	if f.readOnly {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // only this connection may be read-only
		return false, errReadOnly
	}
	tx, err := conn.BeginTxx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if more, err = m.takeLocked(ctx, tx, next); !more || err != nil {
		return false, err
	}
	return true, tx.Commit()
}

// takeLocked takes a step in the transaction. It returns an error if the step did not make
// its complete version.
func (m *migrator) takeLocked(ctx context.Context, tx *sqlx.Tx, next func(found) (*step, error)) (more bool, err error) {
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(migrationLockSQL, m.lockID())); err != nil {
		return false, err
	}
	f, err := m.findSound(ctx, tx)
	if err != nil {
		return false, err
	}
	s, err := next(f)
	if s == nil || err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, m.prologue(f)+s.script); err != nil {
		return false, err
	}
	if f, err = m.findSound(ctx, tx); err == nil && f.schema != s.version {
		err = fmt.Errorf("%w: the migration to version %d made version %d", incident.ErrUnavailable, s.version, f.schema)
	}
	return true, err
}

// findSound is find with an error for a database that cannot be migrated. It refuses only what
// it finds twice in a row, because a tool without the lock may commit a version between find's
// statements, and the next version during the next find.
func (m *migrator) findSound(ctx context.Context, q sqlx.QueryerContext) (f found, err error) {
	for {
		last := f
		if f, err = m.find(ctx, q); err != nil {
			return f, err
		}
		if err = m.check(f); err == nil || f.schema == last.schema && slices.Equal(f.objects, last.objects) {
			return f, err
		}
	}
}

// migrationLockSQL sets the isolation level first. At another level the transaction's snapshot
// would be older than the lock, and hide the work of the lock's previous holder.
const migrationLockSQL = `
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT pg_advisory_xact_lock(%d)`

// lockID returns the advisory lock that all migrations of the schema share.
func (m *migrator) lockID() int64 {
	id := fnv.New64a()
	id.Write([]byte("incident_schema " + m.options.Schema))
	return int64(id.Sum64())
}

// prologueSQL directs a script to a schema, and bounds its waits for locks.
//
// Transactions of writers lock tables in another order than a script. A script that waits for
// its second table can therefore deadlock with a writer, and PostgreSQL would make either
// fail. It must be the script:
//
//   - A writer that waits for the script looks for a deadlock after deadlock_timeout.
//   - The script waits for each lock at most a twentieth of that time. It takes its locks
//     first, at most ten, so that after half the time it has them all or has failed.
//   - run repeats a script that failed.
//
// Other statements wait no longer than that behind the script's lock requests.
const prologueSQL = `
SET LOCAL search_path TO %s;
SELECT set_config('lock_timeout', greatest(setting::integer / 20, 1)::text, true)
FROM pg_settings WHERE name = 'deadlock_timeout';
`

// prologue returns the statements before a script. They create the schema if it does not
// exist.
func (m *migrator) prologue(f found) string {
	name := quoteName(m.options.Schema)
	text := fmt.Sprintf(prologueSQL, name)
	if f.exists {
		return text
	}
	return "CREATE SCHEMA IF NOT EXISTS " + name + ";" + text
}

var errReadOnly = fmt.Errorf("%w: the database is a standby, or read-only for this connection (default_transaction_read_only); "+
	"connect to the primary server, with a role that may write", incident.ErrUnavailable)

// disturbsMigration reports whether a step failed because another process was at work, for
// example created or dropped the same objects.
func disturbsMigration(err error) bool {
	switch sqlState(err) {
	case duplicateSchema, duplicateTable, duplicateObject, duplicateColumn, undefinedTable, undefinedColumn:
		return true
	}
	return isDisturbed(err)
}

func (m *migrator) translateMigration(ctx context.Context, op string, err error) error {
	if sqlState(err) == insufficientPrivilege && ctx.Err() == nil {
		err = fmt.Errorf("%w: the role of the connection lacks a right; grant it CREATE on schema %q, or on the database "+
			"if the schema does not exist, and let it own the tables that it changes: %w",
			incident.ErrUnavailable, m.options.Schema, err)
	}
	return m.translate(ctx, op, err)
}
