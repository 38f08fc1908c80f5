package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// wantRemedy checks the category and the remedy of an error.
func wantRemedy(t *testing.T, err, category error, remedy string) {
	t.Helper()
	if !errors.Is(err, category) || !strings.Contains(err.Error(), remedy) {
		t.Errorf("error = %v\nwant %q that says %q", err, category, remedy)
	}
}

// first returns the error of a store's first call.
func first(t *testing.T, pool *sqlx.DB, opts *postgres.Options) error {
	t.Helper()
	m, err := incident.New(mustNew(t, pool, opts), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, readErr := m.Get(t.Context(), incident.Key{OrganizationID: "acme", Identifier: 1})
	_, err = m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
	if readErr == nil || err == nil || errors.Is(readErr, incident.ErrNotFound) {
		t.Errorf("a read and a write end with %v and %v, want both to fail", readErr, err)
	}
	txErr := m.InTx(t.Context(), func(tx incident.Manager) error {
		return only(tx.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"}))
	})
	if txErr == nil {
		t.Error("a transaction succeeds")
	}
	return err
}

func TestOpen_remedies(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	change := func(f func(*url.URL)) string {
		u, err := url.Parse(server.URL())
		if err != nil {
			t.Fatal(err)
		}
		f(u)
		return u.String()
	}
	tests := []struct {
		name, dsn string
		category  error
		remedy    string
	}{
		{"no URL", "postgres://user:secret@ho st/db", incident.ErrInvalid, "it should look like postgres://"},
		{"a bad port", "postgres://user:secret@host:port/db", incident.ErrInvalid, "it should look like postgres://"},
		{"a slash in the password", "postgres://user:secret/x@host/db", incident.ErrInvalid, "it should look like postgres://"},
		{"a space in the password", "user=ada password=very secret host=localhost", incident.ErrInvalid, "it should look like postgres://"},
		{"several hosts with ports", "postgres://user:secret@a:5432,b:5433/db", incident.ErrInvalid, "host=a,b port=1,2"},
		{"several hosts, the last without a port", "postgresql://user:secret@a:1,b/db", incident.ErrInvalid, "host=a,b port=1,2"},
		{"an unknown sslmode", change(func(u *url.URL) { u.RawQuery = "sslmode=often" }), incident.ErrInvalid, "sslmode"},
		{"nobody there", change(func(u *url.URL) { u.Host = "127.0.0.1:1" }), incident.ErrUnavailable, "check that the server runs"},
		{"no such database", change(func(u *url.URL) { u.Path = "/nowhere" }), incident.ErrUnavailable, "create it, or correct the DSN"},
		{"no such user", change(func(u *url.URL) { u.User = url.UserPassword("nobody", "secret") }), incident.ErrUnavailable, "correct the DSN"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := postgres.Open(t.Context(), tt.dsn, nil)
			if s != nil {
				t.Error("Open() returns a store with the error")
			}
			wantRemedy(t, err, tt.category, tt.remedy)
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error contains the password: %v", err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := postgres.Open(ctx, server.URL(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("in a cancelled context Open() = %v", err)
	}
}

// Open connects to the server that accepts writes.
func TestOpen_severalHosts(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(pgtest.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, dsn := range []string{
		"host=127.0.0.1,127.0.0.1 port=1," + u.Port() + " user=postgres dbname=" + u.Path[1:] + " sslmode=disable target_session_attrs=read-write",
		"postgres://postgres@127.0.0.1,127.0.0.1" + u.Path + "?port=1," + u.Port() + "&sslmode=disable&target_session_attrs=read-write",
	} {
		s, err := postgres.Open(t.Context(), dsn, nil)
		if err != nil {
			t.Errorf("Open(%q) = %v", dsn, err)
			continue
		}
		s.Close()
	}
}

// Open adds the parameter that a pooler needs.
func TestOpen_unprepared(t *testing.T) {
	t.Parallel()
	u := newTables(t)
	s, err := postgres.Open(t.Context(), u, &postgres.Options{Unprepared: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := mustManager(t, s).Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"}); err != nil {
		t.Error(err)
	}
	// New does not add it to a host's pool; the first call checks.
	wantRemedy(t, first(t, mustOpen(t, u, 2), &postgres.Options{Unprepared: true}), incident.ErrUnavailable, "add binary_parameters=yes")
}

func TestNew_refusesBadOptions(t *testing.T) {
	if _, err := postgres.New(nil, nil); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("New() without a pool = %v, want ErrInvalid", err)
	}
	pool := mustOpen(t, "postgres://nowhere", 1)
	for _, schema := range []string{"Upper", "with space", `quo"ted`, "1st", "a.b", "é", strings.Repeat("a", 64), "x;drop", "pg_incidents", "pg_"} {
		if _, err := postgres.New(pool, &postgres.Options{Schema: schema}); !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("New() with schema %q = %v, want ErrInvalid", schema, err)
		}
		if err := postgres.Migrate(t.Context(), pool, &postgres.Options{Schema: schema}); !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("Migrate() with schema %q = %v, want ErrInvalid", schema, err)
		}
	}
}

// The first call reports wrong tables and missing rights.
func TestStore_remedies(t *testing.T) {
	t.Parallel()
	u := pgtest.NewDatabase(t)
	pool := mustOpen(t, u, 2)
	wantRemedy(t, first(t, pool, nil), incident.ErrUnavailable, "run postgres.Migrate")
	wantRemedy(t, first(t, pool, &postgres.Options{Schema: "nowhere"}), incident.ErrUnavailable, `"nowhere" are missing, older than the library, or newer; run postgres.Migrate`)

	mustMigrate(t, pool, nil)
	pool.MustExec("UPDATE incident_schema SET version = 999, serves = $1", current+1)
	wantRemedy(t, first(t, pool, nil), incident.ErrUnavailable, "update the library")
	pool.MustExec("UPDATE incident_schema SET version = 0")
	wantRemedy(t, first(t, pool, nil), incident.ErrUnavailable, "run postgres.Migrate")
	pool.MustExec("UPDATE incident_schema SET version = $1, serves = 1", current)

	pool.MustExec("CREATE ROLE powerless LOGIN")
	t.Cleanup(func() { pool.MustExec("DROP OWNED BY powerless; DROP ROLE powerless") })
	weak, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	weak.User = url.User("powerless")
	powerless := mustOpen(t, weak.String(), 2)
	wantRemedy(t, first(t, powerless, nil), incident.ErrUnavailable, "grant it USAGE on the schema")
	err = postgres.Migrate(t.Context(), powerless, &postgres.Options{Schema: "more"})
	wantRemedy(t, err, incident.ErrUnavailable, `grant it CREATE on schema "more", or on the database`)

	reader := mustOpen(t, u+"&default_transaction_read_only=on", 2)
	m := mustManager(t, mustNew(t, reader, nil))
	_, err = m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
	wantRemedy(t, err, incident.ErrUnavailable, "connect to the primary")
}

// Migrate refuses a database that cannot hold every text.
func TestMigrate_refusesOtherEncodings(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(pgtest.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/") + "_latin1"
	admin := mustOpen(t, u.String(), 1)
	admin.MustExec("CREATE DATABASE " + name + " ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
	t.Cleanup(func() { admin.MustExec("DROP DATABASE " + name + " WITH (FORCE)") })
	u.Path = "/" + name
	wantRemedy(t, postgres.Migrate(t.Context(), mustOpen(t, u.String(), 1), nil), incident.ErrUnavailable, "ENCODING 'UTF8'")
}

// An open store reports that its server or its tables have gone.
func TestStore_reportsLostTables(t *testing.T) {
	t.Parallel()
	s, u := newStore(t)
	m := mustManager(t, s)
	key := mustBegin(t, m)
	if err := postgres.Unmigrate(t.Context(), mustOpen(t, u, 1), nil); err != nil {
		t.Fatal(err)
	}
	_, err := m.Comment(t.Context(), key, comment)
	wantRemedy(t, err, incident.ErrUnavailable, "run postgres.Migrate")
}
