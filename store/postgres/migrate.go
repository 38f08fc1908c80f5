package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// Migrate makes the tables, or brings those of an earlier version up to date. It makes
// the schema if there is none. It does nothing if the tables are of this version, or of a
// later one that still serves this library, so that every process can call it when it
// starts.
//
// Each version is made in a transaction of its own, under an advisory lock that ends
// with the transaction: processes that migrate at the same time take turns, also through
// a pooler in transaction mode. Processes of the host can write meanwhile: a step waits for
// them in short turns, so that they do not queue behind it, and gives up after five
// minutes. The role's statement_timeout must be long enough for a step.
//
// A rolling deployment migrates first and then replaces the processes: the new tables
// serve processes of the release before, which may also start again. Tables say which
// versions they serve. A library that is too old for them, or too new, gets
// [incident.ErrUnavailable] from its first call, with what to update.
//
// What is there decides, whichever tool made it: see [Migrations]. Migrate changes
// nothing and returns [incident.ErrUnavailable] if it finds part of the tables, or
// others that have their names. The error says what it found.
func Migrate(ctx context.Context, pool *sqlx.DB, opts *Options) error {
	m, err := newMigrator(pool, opts, migrations)
	if err != nil {
		return err
	}
	return m.run(ctx, "migrate", m.nextUp)
}

// Unmigrate drops the tables with all data in them. It leaves the schema. It refuses
// tables that [Migrate] refuses, and those of a later version than this library's.
func Unmigrate(ctx context.Context, pool *sqlx.DB, opts *Options) error {
	m, err := newMigrator(pool, opts, migrations)
	if err != nil {
		return err
	}
	return m.run(ctx, "unmigrate", m.nextDown)
}

// Migrate calls the function [Migrate] with the store's own pool and options.
func (s *Store) Migrate(ctx context.Context) error { return Migrate(ctx, s.pool, &s.options) }

// migrator changes the version of a database by the migrations that it knows.
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

// step is a script, and the version that it makes.
type step struct {
	script  string
	version int
}

// nextUp returns the step to take from what was found, or nil if there is none.
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

// maxDisturbances bounds how often run repeats steps that failed because of others, such
// as a tool that makes the same tables.
const maxDisturbances = 10

// lockPatience bounds how long run repeats a step that does not get its locks.
const lockPatience = 5 * time.Minute

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
		case sqlState(err) == lockNotAvailable && time.Since(start) < lockPatience:
			pause(ctx, 100*time.Millisecond) // the context's end ends the next step
		case disturbsMigration(err) && disturbances < maxDisturbances:
			disturbances++
		case err != nil || !more:
			return err
		}
	}
}

// takeStep takes one step, and reports whether there was one. Without the lock it only
// finds out that there is none; it acts on what it finds under the lock.
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
	if m.judge(f) == nil {
		if s, err := next(f); s == nil {
			return false, err
		}
	}
	if f.readOnly {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // the setting may be the connection's own
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

// takeLocked takes one step in the transaction, and refuses one that did not make its
// version whole.
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

// findSound is find, and an error for what cannot be migrated. It looks twice before it
// refuses, because a tool without the lock may have committed between find's statements.
func (m *migrator) findSound(ctx context.Context, q sqlx.QueryerContext) (f found, err error) {
	for range 2 {
		if f, err = m.find(ctx, q); err != nil {
			return f, err
		}
		if err = m.judge(f); err == nil {
			break
		}
	}
	return f, err
}

// migrationLockSQL sets the level first: on any other the transaction's snapshot, from
// before the wait for the lock, would hide what its last holder has made.
const migrationLockSQL = `
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT pg_advisory_xact_lock(%d)`

// lockID is the same for all processes that migrate the schema.
func (m *migrator) lockID() int64 {
	id := fnv.New64a()
	id.Write([]byte("incident_schema " + m.options.Schema))
	return int64(id.Sum64())
}

// prologueSQL sends a script to a schema.
//
// Writers in transactions lock tables in an order of their own, so that a script that
// waits for its second table can be in a deadlock with one of them, and PostgreSQL makes
// either of them fail. The script must be the one: it gives up early, and run repeats it.
// A writer that waits for the script looks for a deadlock after deadlock_timeout. By then
// the script has its locks or has ended, since up to ten waits are half of that time, and
// each script begins with its locks. Meanwhile other statements wait no longer than that
// behind the script's place in the queue.
const prologueSQL = `
SET LOCAL search_path TO %s;
SELECT set_config('lock_timeout', greatest(setting::integer / 20, 1)::text, true)
FROM pg_settings WHERE name = 'deadlock_timeout';
`

// prologue makes the schema if there is none.
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

// disturbsMigration reports whether a step failed because of others, who may have made
// the same objects in the same moment.
func disturbsMigration(err error) bool {
	switch sqlState(err) {
	case duplicateSchema, duplicateTable, duplicateObject:
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
