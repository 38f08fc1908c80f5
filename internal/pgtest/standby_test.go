package pgtest_test

import (
	"testing"

	"github.com/incidentkit/incident/internal/pgtest"
)

func startTable(t *testing.T) *pgtest.Server {
	t.Helper()
	s, err := pgtest.StartOwn()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	insertInto(t, s, "CREATE TABLE numbers (n int)")
	return s
}

func insertInto(t *testing.T, s *pgtest.Server, command string) {
	t.Helper()
	if _, err := open(t, s.URL()).Exec(command); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Data committed since a backup is gone after Restore.
func TestServer_Restore_losesCommits(t *testing.T) {
	s := startTable(t)
	insertInto(t, s, "INSERT INTO numbers VALUES (1)")
	if err := s.Backup(); err == nil {
		t.Error("copied the data of a running server")
	}
	must(t, s.Shutdown(), s.Backup(), s.Restart())
	insertInto(t, s, "INSERT INTO numbers VALUES (2)")
	must(t, s.Shutdown(), s.Restore(), s.Restart())
	if got := count(t, open(t, s.URL())); got != 1 {
		t.Errorf("%d rows after the backup was restored, want 1", got)
	}
}

// A promoted standby has the data committed before it was detached, and accepts writes.
// Clients reach it through the proxy.
func TestServer_Standby_promoted(t *testing.T) {
	s := startTable(t)
	insertInto(t, s, "INSERT INTO numbers VALUES (1)")
	proxy := pgtest.NewProxy(t, s.URL())
	standby, err := s.Standby()
	must(t, err)
	t.Cleanup(standby.Stop)
	must(t, s.WaitForStandby())
	insertInto(t, s, "INSERT INTO numbers VALUES (2)")
	insertInto(t, s, "ALTER SYSTEM RESET synchronous_standby_names")
	insertInto(t, s, "SELECT pg_reload_conf()")
	must(t, standby.Detach())
	insertInto(t, s, "INSERT INTO numbers VALUES (3)")
	s.Kill()
	must(t, standby.Promote(), proxy.Retarget(standby.URL()))
	db := open(t, proxy.URL())
	if _, err := db.Exec("INSERT INTO numbers VALUES (4)"); err != nil {
		t.Fatal(err)
	}
	if got := count(t, db); got != 3 {
		t.Errorf("%d rows after the failover, want 3: all except the commit after Detach", got)
	}
}
