package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// Calls succeed under each default isolation level of a host. At the higher levels a
// statement fails because of concurrent writes, where it would otherwise wait.
func TestStore_isolationDefaults(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			u := newTables(t)
			through := u + "&default_transaction_isolation=" + url.QueryEscape(level)
			// Two processes do not share group commits.
			a := mustManager(t, mustNew(t, mustOpen(t, through, 8), nil))
			b := mustManager(t, mustNew(t, mustOpen(t, through, 8), nil))
			r, err := a.Fire(t.Context(), firing)
			if err != nil {
				t.Fatal(err)
			}
			rounds := 5
			if long {
				rounds = 15
			}
			var all sync.WaitGroup
			for worker := range 16 {
				m := a
				if worker%2 == 1 {
					m = b
				}
				all.Go(func() {
					for i := range rounds {
						for name, err := range callEach(t.Context(), m, r.Key(), fmt.Sprint(worker, "-", i)) {
							if err != nil {
								t.Errorf("%s: %v", name, err)
							}
						}
					}
				})
			}
			all.Wait()
		})
	}
}

// callEach makes a call of each kind in the same organization, slot and
// incident.
func callEach(ctx context.Context, m incident.Manager, key incident.Key, tag string) map[string]error {
	f := firing
	f.TriggerID = incident.TriggerID("trigger " + tag)
	user := incident.UserID("user " + tag)
	return map[string]error{
		"Create":    only(m.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Down " + tag})),
		"Fire":      only(m.Fire(ctx, f)),
		"Comment":   only(m.Comment(ctx, key, incident.NewComment{UserID: user, Comment: tag})),
		"MarkSeen":  only(m.MarkSeen(ctx, key, "all")),
		"Subscribe": only(m.Subscribe(ctx, key, user)),
		"Get":       only(m.Get(ctx, key)),
		"Details":   only(m.Details(ctx, key, user)),
		"List":      only(m.List(ctx, incident.IncidentFilter{OrganizationID: "acme"})),
		"SeenBy":    only(m.SeenBy(ctx, key)),
		"InTx": m.InTx(ctx, func(tx incident.Manager) error {
			return only(tx.Comment(ctx, key, incident.NewComment{UserID: user, Comment: "in a transaction"}))
		}),
	}
}

// A keyword of SQL may be the name of a schema.
func TestStore_schemaMayHaveNameOfKeyword(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"user", "order", "table", "select", "_1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := postgres.Options{Schema: name}
			pool := mustOpen(t, pgtest.NewDatabase(t), 8)
			mustMigrate(t, pool, &opts)
			mustMigrate(t, pool, &opts)
			m := mustManager(t, mustNew(t, pool, &opts))
			for _, op := range operations("rule") {
				r, err := op.prepare(t.Context(), m)
				if err == nil && op.name == "EditComment" {
					err = only(m.Comment(t.Context(), r.Key(), incident.NewComment{UserID: "ada", Comment: "Hm"}))
				}
				if err = errors.Join(err, op.call(t.Context(), m, r.Key())); err != nil {
					t.Errorf("%s: %v", op.name, err)
				}
				closeSlot(t.Context(), t, m, "rule")
			}
			if err := postgres.Unmigrate(t.Context(), pool, &opts); err != nil {
				t.Error(err)
			}
		})
	}
}

// Each cause of SQLSTATE 42501 has a remedy of its own.
func TestStore_remediesOfLackingRights(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(pgtest.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	admin := mustOpen(t, u.String(), 1)
	admin.MustExec("CREATE ROLE clerk LOGIN")
	t.Cleanup(func() { admin.MustExec("DROP OWNED BY clerk; DROP ROLE clerk") })
	u.User = url.User("clerk")
	clerk := mustOpen(t, u.String(), 2)
	wantRemedy(t, postgres.Migrate(t.Context(), clerk, nil), incident.ErrUnavailable, "CREATE on schema \"public\", or on the database")
	wantRemedy(t, postgres.Migrate(t.Context(), clerk, &postgres.Options{Schema: "more"}), incident.ErrUnavailable, "CREATE on schema \"more\", or on the database")

	mustMigrate(t, admin, nil)
	admin.MustExec("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk")
	admin.MustExec("ALTER TABLE incident ENABLE ROW LEVEL SECURITY; CREATE POLICY none ON incident FOR INSERT WITH CHECK (false)")
	wantRemedy(t, only(mustManager(t, mustNew(t, clerk, nil)).Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})),
		incident.ErrUnavailable, "row-level")
}

// A host's transaction may have any isolation level. A failure because of the level has a
// remedy.
func TestStore_joinedSerializable(t *testing.T) {
	t.Parallel()
	s, u := newStore(t)
	m := mustManager(t, s)
	key := mustBegin(t, m)
	for _, level := range []string{"REPEATABLE READ", "SERIALIZABLE"} {
		tx := mustOpen(t, u, 4).MustBegin()
		tx.MustExec("SET TRANSACTION ISOLATION LEVEL " + level)
		joined := s.Join(tx)
		if _, err := joined.Activities(t.Context(), key, incident.ActivityQuery{Limit: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Comment(t.Context(), key, comment); err != nil { // later than the snapshot of the transaction
			t.Fatal(err)
		}
		_, err := joined.Load(t.Context(), key)
		wantRemedy(t, err, incident.ErrUnavailable, "READ COMMITTED")
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}
