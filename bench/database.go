package main

import (
	"context"
	"fmt"
	"os"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// conns is the size of every pool. All connections stay open.
const conns = 16

// server is the database server of a run.
type server struct {
	*pgtest.Server
	schemas int
}

// startServer starts a server that flushes each commit to the disk of the temporary files. The
// servers of tests do not flush, and keep their files in memory where they can.
func startServer(settings ...string) (*server, error) {
	if err := os.Setenv("TMPDIR", os.TempDir()); err != nil {
		return nil, err
	}
	s, err := pgtest.Start(append([]string{"fsync = on"}, settings...)...)
	return &server{Server: s}, err
}

// open opens a pool.
func (s *server) open(ctx context.Context) (*sqlx.DB, error) {
	db, err := sqlx.ConnectContext(ctx, "postgres", s.URL())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// schema creates the library's tables in a new schema.
func (s *server) schema(ctx context.Context, db *sqlx.DB) (*postgres.Options, error) {
	s.schemas++
	opts := &postgres.Options{Schema: fmt.Sprintf("bench_%d_%d", os.Getpid(), s.schemas)}
	return opts, postgres.Migrate(ctx, db, opts)
}

// manager returns a Manager on a schema of its own, with its pool. The Manager does not
// run, so it reads everything from the store.
func (s *server) manager(ctx context.Context) (incident.Manager, *sqlx.DB, *postgres.Options, error) {
	return s.managerOf(ctx, nil)
}

// managerOf is manager with options.
func (s *server) managerOf(ctx context.Context, options *incident.Options) (incident.Manager, *sqlx.DB, *postgres.Options, error) {
	db, err := s.open(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	opts, err := s.schema(ctx, db)
	if err != nil {
		return nil, nil, nil, err
	}
	store, err := postgres.New(db, opts)
	if err != nil {
		return nil, nil, nil, err
	}
	m, err := incident.New(store, options)
	return m, db, opts, err
}
