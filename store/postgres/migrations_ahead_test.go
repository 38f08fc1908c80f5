package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
	"github.com/incidentkit/incident/store/storetest"
)

// The schema versions of the tests: the library's own and two later versions.
const (
	current = postgres.SchemaVersion
	next    = current + 1 // additive
	last    = current + 2 // breaking
)

// end is the last statement of a migration.
func end(from, to, serves int) string {
	return fmt.Sprintf("UPDATE incident_schema SET version = CASE version WHEN %d THEN %d END, serves = %d;", from, to, serves)
}

// additive serves the library's version: it adds nullable columns and columns with a
// default, a table, and an index.
func additive() postgres.Migration {
	return postgres.Migration{
		Up: `
LOCK TABLE incident, incident_activity, incident_outbox, incident_slot;
ALTER TABLE incident ADD COLUMN severity smallint NOT NULL DEFAULT 3;
ALTER TABLE incident_activity ADD COLUMN source text;
ALTER TABLE incident_outbox ADD COLUMN lane smallint NOT NULL DEFAULT 0;
ALTER TABLE incident_slot ADD COLUMN note text NOT NULL DEFAULT '';
CREATE TABLE incident_note (organization_id text COLLATE "C" NOT NULL, note text NOT NULL);
CREATE INDEX incident_severity ON incident (organization_id, severity);
` + end(current, next, current),
		Down: `
LOCK TABLE incident, incident_activity, incident_outbox, incident_slot;
DROP INDEX incident_severity;
DROP TABLE incident_note;
ALTER TABLE incident_slot DROP COLUMN note;
ALTER TABLE incident_outbox DROP COLUMN lane;
ALTER TABLE incident_activity DROP COLUMN source;
ALTER TABLE incident DROP COLUMN severity;
` + end(next, current, current),
		Objects: append(postgres.Embedded()[current-1].Objects,
			"table incident_note", "index incident_severity", "column incident.severity smallint NOT NULL"),
	}
}

// breaking serves no library before its own version.
func breaking() postgres.Migration {
	objects := additive().Objects
	i := slices.Index(objects, "column incident.title text NOT NULL")
	objects[i] = "column incident.summary text NOT NULL"
	return postgres.Migration{
		Up:      "ALTER TABLE incident RENAME COLUMN title TO summary; " + end(next, last, last),
		Down:    "ALTER TABLE incident RENAME COLUMN summary TO title; " + end(last, next, current),
		Objects: objects,
	}
}

// knownTo returns the migrations of a library with the given version.
func knownTo(version int) []postgres.Migration {
	return append(postgres.Embedded(), additive(), breaking())[:version]
}

func mustMigrateTo(t *testing.T, pool *sqlx.DB, opts *postgres.Options, version int) {
	t.Helper()
	if err := postgres.MigrateBy(t.Context(), pool, opts, knownTo(version)); err != nil {
		t.Fatal(err)
	}
}

// ahead makes a database that is an additive migration ahead of the library.
var ahead = kind{conns: 16, migrate: func(t *testing.T, pool *sqlx.DB, opts *postgres.Options) {
	mustMigrateTo(t, pool, opts, next)
	mustMigrate(t, pool, opts) // by this library, without a change
}}

// The suites pass on a database that is an additive migration ahead. Random suites are
// part of the long form only.
func TestStore_ahead(t *testing.T) {
	storetest.Run(t, emptyStores(t, ahead))
	if long {
		managertest.Model(t, emptyStores(t, ahead))
		managertest.Linearizable(t, emptyStores(t, ahead))
	}
}

// A library accepts a database of its version, and a later version that serves it. For any
// other, the error names the side to update.
func TestStore_versions(t *testing.T) {
	t.Parallel()
	const update, migrate = "update the library", "run postgres.Migrate with this library"
	tests := []struct {
		databaseVersion, codeVersion int
		remedy                       string
	}{
		{current, current, ""},
		{next, current, ""},
		{next, next, ""},
		{last, last, ""},
		{current, next, migrate},
		{next, last, migrate},
		{last, current, update},
		{last, next, update},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("database %d, library %d", tt.databaseVersion, tt.codeVersion), func(t *testing.T) {
			t.Parallel()
			pool := mustOpen(t, pgtest.NewDatabase(t), 2)
			mustMigrateTo(t, pool, nil, tt.databaseVersion)
			before := describe(t, pool, "public")
			s := mustNew(t, pool, nil)
			s.SetLibraryVersion(tt.codeVersion)
			_, readErr := mustManager(t, s).Triggers(t.Context(), incident.Key{OrganizationID: "acme", Identifier: 1})
			txErr := s.InTx(t.Context(), func(incident.Store) error { return nil })
			for name, err := range map[string]error{"a read": readErr, "a transaction": txErr} {
				if tt.remedy == "" {
					// This library does not have the statements of the last version.
					if err != nil && !errors.Is(err, incident.ErrNotFound) && tt.codeVersion < last {
						t.Errorf("%s ends with %v", name, err)
					}
					continue
				}
				wantRemedy(t, err, incident.ErrUnavailable, tt.remedy)
				wantRemedy(t, err, incident.ErrUnavailable, fmt.Sprintf("of version %d", tt.databaseVersion))
			}
			err := postgres.MigrateBy(t.Context(), pool, nil, knownTo(tt.codeVersion))
			switch {
			case tt.remedy == update:
				wantRemedy(t, err, incident.ErrUnavailable, update)
			case err != nil:
				t.Errorf("Migrate() = %v", err)
			}
			if after := describe(t, pool, "public"); tt.codeVersion <= tt.databaseVersion && after != before {
				t.Errorf("Migrate() changes the tables to\n%s\nwant\n%s", after, before)
			}
			if tt.codeVersion < tt.databaseVersion {
				err := postgres.UnmigrateBy(t.Context(), pool, nil, knownTo(tt.codeVersion))
				if err == nil || !strings.Contains(err.Error(), "library") {
					t.Errorf("Unmigrate() of the older library = %v", err)
				}
				if after := describe(t, pool, "public"); after != before {
					t.Errorf("Unmigrate() changes the tables to\n%s\nwant\n%s", after, before)
				}
			}
		})
	}
}

// A process that runs during a breaking migration gets the error that it is too old.
func TestStore_failsAfterBreakingMigration(t *testing.T) {
	t.Parallel()
	s, u := newStore(t)
	m := mustManager(t, s)
	key := mustBegin(t, m)
	pool := mustOpen(t, u, 1)
	mustMigrateTo(t, pool, nil, next)
	if _, err := m.Comment(t.Context(), key, comment); err != nil {
		t.Errorf("after an additive migration Comment() = %v", err)
	}
	mustMigrateTo(t, pool, nil, last)
	_, err := m.Get(t.Context(), key)
	wantRemedy(t, err, incident.ErrUnavailable, "update the library")
	_, err = m.Comment(t.Context(), key, comment)
	wantRemedy(t, err, incident.ErrUnavailable, fmt.Sprintf("are of version %d, which serves libraries of version %d and later", last, last))
}
