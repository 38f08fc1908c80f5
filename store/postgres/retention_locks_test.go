package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// closedBy has a closed incident for each rule, without queued notifications.
func closedBy(t *testing.T, s *postgres.Store, rules ...string) (keys []incident.Key) {
	t.Helper()
	m, err := incident.New(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules {
		key := mustBeginAnew(t, m, rule)
		if _, err := m.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func everythingDue() incident.PurgeQuery {
	return incident.PurgeQuery{OrganizationID: "acme", ClosedBefore: inYears, Limit: 100}
}

// A purge waits for no transaction of a host. It holds back an incident that the transaction has
// changed, whose comment it has edited, or that it has only read.
func TestStore_purgeWaitsForNoTransaction(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	for name, change := range map[string]func(tx *postgres.Store, key incident.Key) error{
		"read": func(tx *postgres.Store, key incident.Key) error { return only(tx.Load(ctx, key)) },
		"edited a comment": func(tx *postgres.Store, key incident.Key) error {
			a, err := tx.Activity(ctx, key, 4)
			if err == nil {
				a.Revision, a.Comment = a.Revision+1, "edited"
				err = tx.ReviseActivity(ctx, a)
			}
			return err
		},
	} {
		keys := closedBy(t, s, name, name+" too")
		host := s.Pool().MustBegin()
		defer host.Rollback()
		if err := change(s.Join(host), keys[0]); err != nil {
			t.Fatal(err)
		}
		b, err := s.Purge(ctx, everythingDue())
		if err != nil || len(b.Purged) != 1 || b.Purged[0].Key != keys[1] || b.Held != 1 {
			t.Errorf("%s: Purge = %+v, %v, want %v purged and one held", name, b, err, keys[1])
		}
		if err := host.Commit(); err != nil {
			t.Fatal(err)
		}
		if b, err = s.Purge(ctx, everythingDue()); err != nil || len(b.Purged) != 1 || b.Held != 0 {
			t.Errorf("%s: after the commit Purge = %+v, %v, want the other incident", name, b, err)
		}
	}
}

// A view that commits after its incident was deleted is not visible, and is deleted with the
// record of the deletion. The purge does not wait for it.
func TestStore_purgeLeavesLockedViewsToForget(t *testing.T) {
	s, _ := newStore(t)
	ctx := t.Context()
	key := closedBy(t, s, "a rule")[0]
	host := s.Pool().MustBegin()
	defer host.Rollback()
	joined := s.Join(host)
	_, err := joined.MarkSeen(ctx, incident.Seen{Incident: key, UserID: "ada", LastSeen: clock()})
	if err == nil {
		_, err = joined.Subscribe(ctx, incident.Subscription{Incident: key, UserID: "bob", DateAdded: clock()})
	}
	if err != nil {
		t.Fatal(err)
	}
	if b, err := s.Purge(ctx, everythingDue()); err != nil || len(b.Purged) != 1 {
		t.Fatalf("Purge = %+v, %v, want one purged", b, err)
	}
	if err := host.Commit(); err != nil {
		t.Fatal(err)
	}
	if all, err := s.SeenBy(ctx, key); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("SeenBy of a deleted incident = %v, %v", all, err)
	}
	s.Pool().MustExec("UPDATE incident_deleted SET date_deleted = now() - interval '1 hour'")
	if _, err := s.Purge(ctx, everythingDue()); err != nil {
		t.Fatal(err)
	}
	for table, n := range rowsOf(t, s) {
		if n > 0 && table != "incident_slot" && table != "incident_organization" {
			t.Errorf("%s keeps %d rows of the deleted incident", table, n)
		}
	}
}

// rowsOf counts the rows of each table that has organizations.
func rowsOf(t *testing.T, s *postgres.Store) map[string]int {
	t.Helper()
	var tables []string
	err := s.Pool().Select(&tables, `SELECT table_name FROM information_schema.columns
		WHERE table_schema = $1 AND column_name = 'organization_id'`, s.Schema())
	if err != nil || len(tables) < 12 {
		t.Fatalf("the tables are %v, %v", tables, err)
	}
	rows := map[string]int{}
	for _, table := range tables {
		n := 0
		if err := s.Pool().Get(&n, "SELECT count(*) FROM "+table); err != nil {
			t.Fatal(err)
		}
		rows[table] = n
	}
	return rows
}

// EraseUser waits for a transaction that has locked an incident, and holds no other lock
// meanwhile: the transaction can lock the other incidents.
func TestStore_eraseUserWaitsWithoutLocks(t *testing.T) {
	s, _ := newStore(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	keys := closedBy(t, s, "a rule", "another rule", "a third rule")
	host := s.Pool().MustBegin()
	defer host.Rollback()
	joined := s.Join(host)
	if _, err := joined.Load(ctx, keys[1]); err != nil {
		t.Fatal(err)
	}
	erased := make(chan error, 1)
	go func() {
		b, err := s.EraseUser(ctx, incident.EraseQuery{OrganizationID: "acme", UserID: "ada", As: "eve", Limit: 100})
		if err == nil && len(b.Changed) != len(keys) {
			err = errors.New("not all incidents are changed")
		}
		erased <- err
	}()
	awaitLockWait(t, s)
	for _, key := range keys {
		if _, err := joined.Load(ctx, key); err != nil {
			t.Errorf("the host's transaction meets %v", err)
		}
	}
	if err := host.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-erased; err != nil {
		t.Error(err)
	}
	if found := textsWith(t, s, "ada"); len(found) > 0 {
		t.Errorf("the user is in %v", found)
	}
}

// awaitLockWait waits until a statement waits for a lock.
func awaitLockWait(t *testing.T, s *postgres.Store) {
	t.Helper()
	mustWait(t, func() (bool, error) {
		n := 0
		err := s.Pool().Get(&n, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
		return n > 0, err
	})
}

// awaitQuiet waits until no other connection of the database has a transaction. The statement of a
// call whose context has ended may end later, and even commit.
func awaitQuiet(t *testing.T, pool *sqlx.DB) {
	t.Helper()
	mustWait(t, func() (bool, error) { return isQuiet(pool) })
}

func isQuiet(pool *sqlx.DB) (bool, error) {
	n := 0
	err := pool.Get(&n, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
		AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND (state <> 'idle' OR backend_xid IS NOT NULL)`)
	return n == 0, err
}

// Of concurrent writes, purges, replays and deletions of the organization, each ends, and nothing
// is left that is not visible.
func TestStore_retentionBesideWriters(t *testing.T) {
	s, _ := newStore(t)
	m, err := incident.New(s, &incident.Options{Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	f := with(firing, "busy")
	var all sync.WaitGroup
	run := func(name string, call func() error) {
		all.Go(func() {
			for ctx.Err() == nil {
				err := call()
				if err != nil && ctx.Err() == nil && !errors.Is(err, incident.ErrNotFound) && !errors.Is(err, incident.ErrConflict) {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	for range 3 {
		run("fire and resolve", func() error {
			r, err := m.Fire(ctx, f)
			if err == nil {
				_, err = m.Comment(ctx, r.Key(), incident.NewComment{UserID: "ada", Comment: "Hm"})
			}
			if err == nil {
				_, err = m.MarkSeen(ctx, r.Key(), "ada")
			}
			if err == nil {
				_, err = m.Resolve(ctx, incident.Resolution{Slot: f.Slot, TriggerID: f.TriggerID})
			}
			return err
		})
	}
	run("deliver", func() error {
		claims, err := s.Claim(ctx, incident.ClaimQuery{Limit: 10, PerOrganization: 10, Lease: time.Minute})
		var ends []incident.Settlement
		for i, c := range claims {
			ends = append(ends, incident.Settlement{Ticket: c.Ticket, Outcome: []incident.Outcome{incident.OutcomeDelivered, incident.OutcomePark}[i%2]})
		}
		if err == nil && len(ends) > 0 {
			_, err = s.Settle(ctx, ends)
		}
		return err
	})
	run("replay", func() error { return only(s.Replay(ctx, incident.ParkedQuery{OrganizationID: "acme", Limit: 10})) })
	run("purge", func() error { return only(s.Purge(ctx, everythingDue())) })
	run("erase", func() error {
		return only(s.EraseUser(ctx, incident.EraseQuery{OrganizationID: "acme", UserID: "ada", As: "eve", Limit: 100}))
	})
	run("delete the organization", func() error { return only(s.DeleteOrganization(ctx, "acme", 3)) })
	all.Wait()
	awaitQuiet(t, s.Pool())
	for done := false; !done; {
		b, err := s.DeleteOrganization(t.Context(), "acme", 100)
		if err != nil {
			t.Fatal(err)
		}
		done = b.Done
	}
	for table, n := range rowsOf(t, s) {
		if n > 0 && table != "incident_organization" {
			t.Errorf("%s keeps %d rows of the deleted organization", table, n)
		}
	}
}
