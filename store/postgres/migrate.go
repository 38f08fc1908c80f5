package postgres

import (
	"context"
	"embed"
	"hash/fnv"
	"io/fs"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Migrations are the numbered SQL files that [Migrate] runs, in the form of
// pressly/goose, for hosts that run them with a tool of their own. They name no
// schema: they work in the first one of the connection's search_path.
func Migrations() fs.FS {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return files
}

// versionTable is where goose keeps which migrations have run.
const versionTable = "incident_migration"

// Migrate makes the tables, or brings those of an earlier version up to date, and
// makes the schema where it does not exist. Each migration runs in a transaction
// of its own. Processes that do it at the same time wait for each other, up to
// five minutes, on a session lock: pool must not lead through a pooler that gives
// each transaction another connection.
func Migrate(ctx context.Context, pool *sqlx.DB, opts *Options) error {
	return migrate(ctx, pool, opts, func(p *goose.Provider) error {
		_, err := p.Up(ctx)
		return err
	})
}

// Unmigrate drops the tables with all that is in them. It leaves the schema.
func Unmigrate(ctx context.Context, pool *sqlx.DB, opts *Options) error {
	return migrate(ctx, pool, opts, func(p *goose.Provider) error {
		_, err := p.DownTo(ctx, 0)
		return err
	})
}

// Migrate is the function [Migrate] for the store's own pool and schema.
func (s *Store) Migrate(ctx context.Context) error { return Migrate(ctx, s.pool, &s.options) }

func migrate(ctx context.Context, pool *sqlx.DB, opts *Options, run func(*goose.Provider) error) error {
	s, err := New(pool, opts)
	if err != nil {
		return err
	}
	if err := s.makeSchema(ctx); err != nil {
		return s.translate(ctx, "migrate", err)
	}
	id := fnv.New64a()
	id.Write([]byte(s.prefix() + versionTable))
	locker, err := lock.NewPostgresSessionLocker(
		lock.WithLockID(int64(id.Sum64())), lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 60))
	if err != nil {
		return s.translate(ctx, "migrate", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, pool.DB, inSchema{Migrations(), s.options.Schema},
		goose.WithTableName(s.options.Schema+"."+versionTable),
		goose.WithSessionLocker(locker),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
	)
	if err != nil {
		return s.translate(ctx, "migrate", err)
	}
	return s.translate(ctx, "migrate", run(p))
}

const schemaExistsSQL = `
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1),
	current_setting('server_version_num')::integer, current_setting('server_encoding')`

// makeSchema refuses a server that the migrations cannot work with, and makes the
// schema where there is none.
func (s *Store) makeSchema(ctx context.Context) error {
	exists, f := false, databaseFacts{schema: schemaVersion}
	err := s.pool.QueryRowContext(ctx, schemaExistsSQL, s.options.Schema).Scan(&exists, &f.server, &f.encoding)
	if err != nil {
		return err
	}
	if err := f.check(s.options.Schema); err != nil || exists {
		return err
	}
	_, err = s.pool.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+quoteName(s.options.Schema))
	if made, ok := asServerError(err); ok && made.state == uniqueViolation {
		return nil // by another process, at the same moment
	}
	return err
}

// inSchema is migrations that work in one schema, whatever the search_path of the
// connection is: each section of a file sets it for its own transaction.
type inSchema struct {
	fs.FS
	schema string
}

// Open implements [fs.FS].
func (m inSchema) Open(name string) (fs.File, error) {
	if !strings.HasSuffix(name, ".sql") {
		return m.FS.Open(name)
	}
	info, err := fs.Stat(m.FS, name)
	if err != nil {
		return nil, err
	}
	content, err := fs.ReadFile(m.FS, name)
	if err != nil {
		return nil, err
	}
	set := "SET LOCAL search_path TO " + quoteName(m.schema) + ";\n"
	sections := strings.NewReplacer("-- +goose Up\n", "-- +goose Up\n"+set, "-- +goose Down\n", "-- +goose Down\n"+set)
	return migration{strings.NewReader(sections.Replace(string(content))), info}, nil
}

// migration is an open file.
type migration struct {
	*strings.Reader
	info fs.FileInfo
}

// Stat implements [fs.File].
func (m migration) Stat() (fs.FileInfo, error) { return m.info, nil }

// Close implements [fs.File].
func (m migration) Close() error { return nil }
