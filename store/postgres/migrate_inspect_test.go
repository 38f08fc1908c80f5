package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// Migrate refuses foreign tables and incomplete tables. It changes nothing, and the error
// names the findings and the remedy.
func TestMigrate_refuses(t *testing.T) {
	t.Parallel()
	whole := allUp(t)
	cut := func(before string) string {
		script, _, found := strings.Cut(whole, before)
		if !found {
			t.Fatalf("no migration has %q", before)
		}
		return script
	}
	const drop, rename = "drop", "name another schema in Options.Schema"
	tests := []struct {
		name, sql string
		want      []string
	}{
		{"a table of the host's", "CREATE TABLE incident (id int)", []string{"table incident;", rename}},
		{"a view of the host's", "CREATE VIEW incident_activity AS SELECT 1 AS x", []string{"view incident_activity", rename}},
		{"an index of the host's", "CREATE TABLE mine (a int); CREATE INDEX incident_list ON mine (a)", []string{"index incident_list", rename}},
		{"an enumeration of the host's", "CREATE TYPE incident AS ENUM ('open')", []string{"type incident", rename}},
		{"another tool's version table", "CREATE TABLE incident_schema (version bigint, dirty boolean)", []string{"table incident_schema", rename}},
		{
			"the version of no table", "CREATE TABLE incident_schema (version integer NOT NULL); INSERT INTO incident_schema VALUES (1)",
			[]string{"table incident_schema", rename},
		},
		{"a migration cut in a table", cut("CREATE TABLE incident_slot"), []string{"table incident_activity,", "more", drop}},
		{"a migration cut before its end", cut("INSERT INTO incident_schema"), []string{"table incident,", "more", drop}},
		{"a table dropped", whole + "DROP TABLE incident_seen", []string{fmt.Sprint("version ", current), "table incident_seen", drop}},
		{"an index dropped", whole + "DROP INDEX incident_changed", []string{"index incident_changed", drop}},
		{"a column dropped", whole + "ALTER TABLE incident DROP COLUMN title", []string{"column incident.title text", drop}},
		{
			"a column changed", whole + "ALTER TABLE incident ALTER COLUMN query_id TYPE text COLLATE \"POSIX\"",
			[]string{`column incident.query_id text COLLATE C`, drop},
		},
		{
			"a constraint dropped", whole + "ALTER TABLE incident_slot DROP CONSTRAINT incident_slot_holders",
			[]string{"constraint incident_slot.incident_slot_holders", drop},
		},
		{
			"a check dropped", whole + "ALTER TABLE incident DROP CONSTRAINT incident_status_check",
			[]string{"constraint incident.incident_status_check", drop},
		},
		{
			"a script that went on after the host's table", "CREATE TABLE incident_trigger (id int);" +
				strings.Replace(whole, "CREATE TABLE incident_trigger (", "CREATE TABLE elsewhere (", 1),
			[]string{"column incident_trigger.organization_id", rename},
		},
		{"no row of the version", whole + "DELETE FROM incident_schema", []string{"table incident,", "more", drop}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pool := mustOpen(t, pgtest.NewDatabase(t), 2)
			pool.MustExec(tt.sql)
			before := describe(t, pool, "public")
			for name, err := range map[string]error{
				"Migrate":   postgres.Migrate(t.Context(), pool, nil),
				"Unmigrate": postgres.Unmigrate(t.Context(), pool, nil),
			} {
				for _, want := range tt.want {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%s() = %v, want an error with %q", name, err, want)
					}
				}
				wantRemedy(t, err, incident.ErrUnavailable, `schema "public"`)
			}
			if after := describe(t, pool, "public"); after != before {
				t.Errorf("the objects are\n%s\nwant\n%s", after, before)
			}
			mustMigrate(t, pool, &postgres.Options{Schema: "another"}) // the error may propose it
		})
	}
}

// Additions of a host to the tables, and tables beside them, are tolerated.
func TestMigrate_toleratesAdditions(t *testing.T) {
	t.Parallel()
	pool := mustOpen(t, pgtest.NewDatabase(t), 1)
	pool.MustExec("CREATE TABLE incidents (id int); CREATE TABLE incident_migration (version_id int)")
	mustMigrate(t, pool, nil)
	pool.MustExec(`CREATE INDEX mine ON incident (title); ALTER TABLE incident ADD COLUMN mine text;
		ALTER TABLE incident ADD CONSTRAINT mine CHECK (title <> 'mine'); ALTER TABLE incident_seen SET UNLOGGED`)
	mustMigrate(t, pool, nil)
	mustBegin(t, mustManager(t, mustNew(t, pool, nil)))
	if err := postgres.Unmigrate(t.Context(), pool, nil); err != nil {
		t.Error(err)
	}
}

// A step whose script does not make its version is undone.
func TestMigrate_undoesAWrongStep(t *testing.T) {
	t.Parallel()
	pool := mustOpen(t, pgtest.NewDatabase(t), 1)
	mustMigrate(t, pool, nil)
	before := describe(t, pool, "public")
	for name, change := range map[string]func(*postgres.Migration){
		"no version": func(m *postgres.Migration) { m.Up = "CREATE TABLE incident_note (n int)" },
		"no object":  func(m *postgres.Migration) { m.Objects = append(m.Objects, "table incident_forgotten") },
		"a bad end":  func(m *postgres.Migration) { m.Up += "; SELECT nothing" },
		"not its own": func(m *postgres.Migration) {
			m.Up = strings.ReplaceAll(m.Up, fmt.Sprint("WHEN ", current), fmt.Sprint("WHEN ", next))
		},
	} {
		m := additive()
		change(&m)
		if err := postgres.MigrateBy(t.Context(), pool, nil, append(postgres.Embedded(), m)); err == nil {
			t.Errorf("%s: MigrateBy() succeeds", name)
		}
		if after := describe(t, pool, "public"); after != before {
			t.Errorf("%s: the objects are\n%s\nwant\n%s", name, after, before)
		}
	}
}
