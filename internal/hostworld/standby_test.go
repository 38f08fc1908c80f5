package hostworld_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// A commit that waits for an absent synchronous standby does not succeed when its context
// ends. Nor does its repetition after a lost reply. Only lib/pq reveals the server's warning.
func TestAbsentStandby(t *testing.T) {
	server, err := pgtest.StartOwn("synchronous_standby_names = 'absent'")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	admin := world{open: openPQ, dsn: "&synchronous_commit=local", conns: 16}.mustOpen(t, server.URL())
	if err := postgres.Migrate(t.Context(), admin, nil); err != nil {
		t.Fatal(err)
	}
	past := mustManager(t, mustNew(t, admin, nil))
	inEach(t, func(t *testing.T, w world) {
		if w.bouncer != nil {
			return // its connections belong to another server
		}
		t.Parallel()
		w.conns = 2
		r, err := past.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
		if err != nil {
			t.Fatal(err)
		}
		application := fmt.Sprint("world", r.Identifier)
		m := mustManager(t, mustNew(t, w.mustOpen(t, server.URL()+"&application_name="+application), nil))
		for name, during := range map[string]func(context.Context) error{
			"waits": func(context.Context) error { return nil },
			"waits again": func(ctx context.Context) error {
				return terminateWaiting(ctx, admin, application)
			},
		} {
			if _, err := m.Get(t.Context(), r.Key()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
			disturbed := make(chan error, 1)
			go func() { disturbed <- during(ctx) }()
			_, err := m.Comment(ctx, r.Key(), incident.NewComment{UserID: "ada", Comment: name})
			cancel()
			if !errors.Is(err, incident.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Comment() that %s until its context ends = %v, want ErrUnknownOutcome and the context's error", name, err)
			}
			if err := <-disturbed; err != nil {
				t.Errorf("Comment() that %s: %v", name, err)
			}
		}
	})
}

// terminateWaiting ends the connection of an application whose commit waits for the standby.
func terminateWaiting(ctx context.Context, admin *sqlx.DB, application string) error {
	for n := 0; n == 0; time.Sleep(5 * time.Millisecond) {
		err := admin.GetContext(ctx, &n, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE wait_event = 'SyncRep' AND application_name = $1`, application)
		if err != nil {
			return err
		}
	}
	return nil
}
