//go:build citus

package postgres_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// A host with incidents moves to Citus, repeats that, and removes all.
func TestCitus_migrate(t *testing.T) {
	ctx, pool := t.Context(), mustOpen(t, citusURL(t), 4)
	schema := fmt.Sprintf("incident_%d_migrate", os.Getpid())
	t.Cleanup(func() { pool.MustExec("DROP SCHEMA " + schema + " CASCADE") })
	plain := postgres.Options{Schema: schema}
	mustMigrate(t, pool, &plain)
	m := mustManager(t, mustNew(t, pool, &plain))
	inc, err := m.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Before"})
	if err != nil {
		t.Fatal(err)
	}
	pool.MustExec("ALTER TABLE " + schema + ".incident ADD CONSTRAINT host_check CHECK (title <> '')")
	spread := postgres.Options{Schema: schema, Citus: true}
	mustRefuse := func(opts postgres.Options) {
		t.Helper()
		_, err := mustNew(t, pool, &opts).Load(ctx, inc.Key())
		if !errors.Is(err, incident.ErrUnavailable) || !strings.Contains(err.Error(), "Citus") {
			t.Errorf("with %+v Load() = %v, want a refusal", opts, err)
		}
	}
	mustRefuse(spread)
	for repeated := range 2 {
		if repeated > 0 {
			pool.MustExec("DROP FUNCTION " + schema + ".incident_run(text, uuid, text, text)")
			_, err := mustManager(t, mustNew(t, pool, &spread)).Comment(ctx, inc.Key(), incident.NewComment{UserID: "ada", Comment: "During"})
			if !errors.Is(err, incident.ErrUnavailable) || !strings.Contains(err.Error(), "run postgres.MigrateCitus") {
				t.Errorf("without a function Comment() = %v, want ErrUnavailable with the remedy", err)
			}
			for _, function := range []string{ // of an earlier commit
				"incident_read_many(organization text, form uuid, query text, shards bigint[], args text[])", "incident_execute(commands text[])",
			} {
				pool.MustExec("CREATE FUNCTION " + schema + "." + function + " RETURNS SETOF text LANGUAGE sql AS 'SELECT NULL::text'")
			}
		}
		if err := postgres.MigrateCitus(ctx, pool, &spread); err != nil {
			t.Fatal(err)
		}
		checks := ""
		mustDo(t, pool.Get(&checks, `SELECT coalesce(string_agg(DISTINCT conname, ' '), '') FROM pg_constraint
			WHERE contype = 'c' AND connamespace = $1::regnamespace AND conname NOT LIKE 'incident\_schema%'`, schema))
		if checks != "host_check incident_slot_holders" {
			t.Errorf("the tables have the checks %q, want those of the host and of slots", checks)
		}
		pool.MustExec("ALTER TABLE " + schema + ".incident ADD CONSTRAINT incident_version_check CHECK (version >= 1)") // of an earlier commit
	}
	mustRefuse(plain)
	m = mustManager(t, mustNew(t, pool, &spread))
	if _, err := m.Comment(ctx, inc.Key(), incident.NewComment{UserID: "ada", Comment: "After"}); err != nil {
		t.Error(err)
	}
	if got, err := m.Get(ctx, inc.Key()); err != nil || got.Title != "Before" {
		t.Errorf("after the migration Get() = %+v, %v, want the incident", got, err)
	}
	if err := postgres.UnmigrateCitus(ctx, pool, &spread); err != nil {
		t.Fatal(err)
	}
	left := 0
	if err := pool.Get(&left, `SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = $1::regnamespace)
		+ (SELECT count(*) FROM pg_proc WHERE pronamespace = $1::regnamespace)`, schema); err != nil || left != 0 {
		t.Errorf("%d objects are left, %v, want none", left, err)
	}
}

// Migrations of several schemas at once do not fail each other.
func TestCitus_migrateTogether(t *testing.T) {
	pool := mustOpen(t, fmt.Sprintf("%s&options=-ccitus.shard_count%%3D%d", citusURL(t), citusShards), 16)
	var all sync.WaitGroup
	for n := range 4 {
		opts := postgres.Options{Schema: fmt.Sprintf("incident_%d_together_%d", os.Getpid(), n), Citus: true}
		t.Cleanup(func() { pool.MustExec("DROP SCHEMA " + opts.Schema + " CASCADE") })
		for range 2 { // the same schema, too
			all.Go(func() {
				if err := postgres.MigrateCitus(t.Context(), pool, &opts); err != nil {
					t.Errorf("%s: %v", opts.Schema, err)
				}
			})
		}
	}
	all.Wait()
}
