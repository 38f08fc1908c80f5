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
)

// A commit that waits for an absent synchronous standby does not succeed when its context
// ends. Nor does its repetition after a lost reply. Only lib/pq reveals the server's warning.
func TestAbsentStandby(t *testing.T) {
	server, err := pgtest.StartOwn("synchronous_standby_names = 'absent'")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	admin := world{open: openPQ, dsn: "&synchronous_commit=local", conns: 16}.mustMigrate(t, server.URL())
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
		for name, functions := range map[string][]string{
			"waits":       {"abs"},
			"waits again": {"pg_terminate_backend", "abs"},
		} {
			if _, err := m.Get(t.Context(), r.Key()); err != nil {
				t.Fatal(err)
			}
			for n := 1; n > 0; { // the commit of the call before may still wait
				if n, err = meet(t.Context(), admin, application, "pg_terminate_backend"); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			disturbed := make(chan error, 1)
			go func() {
				defer cancel()
				disturbed <- meetWaiting(t.Context(), admin, application, functions)
			}()
			_, err := m.Comment(ctx, r.Key(), incident.NewComment{UserID: "ada", Comment: name})
			if !errors.Is(err, incident.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
				t.Errorf("Comment() that %s until its context ends = %v, want ErrUnknownOutcome and the context's error", name, err)
			}
			if err := <-disturbed; err != nil {
				t.Errorf("Comment() that %s: %v", name, err)
			}
		}
	})
}

// meetWaiting calls functions of the server, one after the other, on the connection of an
// application whose commit waits for the standby.
func meetWaiting(ctx context.Context, admin *sqlx.DB, application string, functions []string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for _, function := range functions {
		for n := 0; n == 0; time.Sleep(5 * time.Millisecond) {
			var err error
			if n, err = meet(ctx, admin, application, function); err != nil {
				return err
			}
		}
	}
	return nil
}

// meet calls a function of the server on the connections of an application whose commits wait for
// the standby, and returns their number.
func meet(ctx context.Context, admin *sqlx.DB, application, function string) (n int, err error) {
	err = admin.GetContext(ctx, &n, "SELECT count("+function+`(pid)) FROM pg_stat_activity
		WHERE wait_event = 'SyncRep' AND application_name = $1`, application)
	return n, err
}
