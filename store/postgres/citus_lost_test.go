//go:build citus && unix

package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// Servers of Citus crash in turn under writers, followers and a relay: the coordinator, and each
// worker. The test must run on the machine of the servers, as a user who may kill their processes.
func TestCitus_serversKilled(t *testing.T) {
	underCrashes(t, "crash", crashAt)
}

// The same with SIGKILL of a whole server, by the host's command: it kills the postmaster of the server at
// an address, and restarts it. Without a command in INCIDENT_TEST_CITUS_KILL a process of the server is killed again.
func TestCitus_postmastersKilled(t *testing.T) {
	command := os.Getenv("INCIDENT_TEST_CITUS_KILL")
	if command == "" {
		t.Log("INCIDENT_TEST_CITUS_KILL is not set: a process of each server is killed, and no postmaster")
		underCrashes(t, "killed", crashAt)
		return
	}
	underCrashes(t, "killed", func(t *testing.T, server string) {
		t.Helper()
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		before := postmasterOf(t, server)
		if output, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", command+` "$1"`, "sh", u.Host).CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v: %s", command, u.Host, err, output)
		}
		if after := postmasterOf(t, server); after == before {
			t.Fatalf("the postmaster of %s was not killed", u.Host)
		}
	})
}

// postmasterOf returns when the postmaster of a server was started.
func postmasterOf(t *testing.T, server string) (started string) {
	t.Helper()
	if err := mustOpen(t, server, 1).Get(&started, "SELECT pg_postmaster_start_time()"); err != nil {
		t.Fatal(err)
	}
	return started
}

// underCrashes has servers crash while withoutLoss works.
func underCrashes(t *testing.T, name string, crash func(t *testing.T, server string)) {
	for way, workers := range map[string]func(string) *sqlx.DB{"coordinator": nil, "workers": openCitusWorkers(t, 16)} {
		t.Run(way, func(t *testing.T) {
			withoutLoss(t, name, workers, func(*sqlx.DB, string) {
				urls := []string{citusURL(t)}
				for _, url := range citusWorkerURLs(t) {
					urls = append(urls, url)
				}
				for _, url := range append(urls, urls...) {
					time.Sleep(500 * time.Millisecond) // the writers go on between two crashes
					crash(t, url)
				}
			})
		})
	}
}

// crashAt kills a process of a server, which ends all its others and recovers.
func crashAt(t *testing.T, url string) {
	t.Helper()
	pool, pid, started := mustOpen(t, url, 1), 0, ""
	if err := pool.QueryRow("SELECT pg_backend_pid(), (SELECT max(backend_start) FROM pg_stat_activity WHERE backend_type = 'checkpointer')::text").Scan(&pid, &started); err != nil {
		t.Fatal(err)
	}
	if pid < 2 {
		t.Fatalf("the server has the process %d", pid)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		now := ""
		err := pool.Get(&now, "SELECT max(backend_start)::text FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
		if err == nil && now != started {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server has not crashed and recovered: %v", err)
		}
	}
}

// A worker commits, and its answer does not reach the coordinator: Citus then reports an error. The
// outcome of a transaction is unknown, and a single write is repeated and found.
func TestCitus_commitLost(t *testing.T) {
	s := mustRoute(t, "commit", citusURL(t), nil)
	m := mustManager(t, s)
	inc, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
	if err == nil {
		_, err = m.Comment(t.Context(), inc.Key(), incident.NewComment{UserID: "ada", Comment: "before"})
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = loseCommit(t, func() error {
		return m.InTx(ctx, func(tx incident.Manager) error {
			_, err := tx.Comment(ctx, inc.Key(), incident.NewComment{UserID: "ada", Comment: "in a transaction"})
			return err
		})
	})
	if !errors.Is(err, incident.ErrUnknownOutcome) {
		t.Errorf("InTx() = %v, want ErrUnknownOutcome", err)
	}
	err = loseCommit(t, func() error {
		_, err := m.Comment(ctx, inc.Key(), incident.NewComment{UserID: "ada", Comment: "alone"})
		return err
	})
	if err != nil {
		t.Errorf("Comment() = %v, want success", err)
	}
	page, err := m.Activities(t.Context(), inc.Key(), incident.ActivityFilter{})
	found := map[string]int{}
	for _, a := range page.Activities {
		found[a.Comment]++
	}
	if err != nil || found["in a transaction"] != 1 || found["alone"] != 1 {
		t.Errorf("the comments are %v, %v, want each once", found, err)
	}
}

// loseCommit has the workers commit without an answer during a call. A commit waits for a standby
// that does not exist, and its connection ends meanwhile.
func loseCommit(t *testing.T, call func() error) error {
	t.Helper()
	var admins []*sqlx.DB
	for _, url := range citusWorkerURLs(t) {
		admins = append(admins, mustOpen(t, url, 1))
	}
	standby := func(name string) {
		for _, admin := range admins {
			admin.MustExec("ALTER SYSTEM SET synchronous_standby_names TO '" + name + "'")
			admin.MustExec("SELECT pg_reload_conf()")
		}
		for _, admin := range admins {
			for got, deadline := "?", time.Now().Add(30*time.Second); got != name; time.Sleep(10 * time.Millisecond) {
				if err := admin.Get(&got, "SHOW synchronous_standby_names"); err != nil || time.Now().After(deadline) {
					t.Fatalf("synchronous_standby_names is %q, %v, want %q", got, err, name)
				}
			}
		}
	}
	standby("nobody")
	defer standby("")
	done := make(chan error, 1)
	go func() { done <- call() }()
	for ended, deadline := 0, time.Now().Add(30*time.Second); ended == 0; time.Sleep(10 * time.Millisecond) {
		for _, admin := range admins {
			n := 0
			err := admin.Get(&n, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND (query LIKE 'COMMIT%' OR query LIKE '%incident_run%')")
			if err != nil {
				t.Fatal(err)
			}
			ended += n
		}
		if time.Now().After(deadline) {
			t.Fatal("no commit waits for a standby")
		}
	}
	standby("")
	return <-done
}
