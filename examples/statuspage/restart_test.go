package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/sqlite"
)

// envArgs holds the arguments of a test binary that runs as the program, as JSON.
const envArgs = "STATUSPAGE_TEST_ARGS"

// runAsProgram runs the program if the environment says so. It does not return then.
func runAsProgram() {
	text, is := os.LookupEnv(envArgs)
	if !is {
		return
	}
	var args []string
	if err := json.Unmarshal([]byte(text), &args); err != nil {
		panic(err)
	}
	os.Exit(run(context.Background(), args, os.Stdin, os.Stdout, os.Stderr))
}

// mustRun runs the program in this process and returns its output.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), args, nil, &stdout, &stderr); status != 0 {
		t.Fatalf("run(%v) = %d: %s", args, status, &stderr)
	}
	return stdout.String()
}

// wantNothingNew fails unless the output is that of an import that added nothing, with the report.
func wantNothingNew(t *testing.T, output, report string) {
	t.Helper()
	added, got, _ := strings.Cut(output, "\n\n")
	if !strings.HasPrefix(added, "Import 1: 0 of ") || !strings.Contains(added, " and 0 of ") ||
		!strings.HasSuffix(added, "closed 0 incidents, linked 0 components") || got != report {
		t.Errorf("the program printed\n%s, want nothing new and\n%s", output, report)
	}
}

// A file keeps the incidents between runs, and gives the same report as memory.
func TestRun_SQLite(t *testing.T) {
	for _, file := range historyFiles() {
		db := filepath.Join(t.TempDir(), "incidents.db")
		want := mustRun(t, file)
		if got := mustRun(t, "-db", db, file); got != want {
			t.Errorf("the report of %s from a file is\n%s, want that from memory,\n%s", file, got, want)
		}
		_, report, _ := strings.Cut(want, "\n\n")
		wantNothingNew(t, mustRun(t, "-db", db, file), report)
	}
}

// A program that is killed at any point of an import leaves the incidents of earlier runs, and all or
// none of its own. The next run adds what is missing, and nothing a second time.
func TestRun_killed(t *testing.T) {
	const old, all = 20, 120
	db, history := filepath.Join(t.TempDir(), "incidents.db"), writeHistory(t, all)
	mustRun(t, "-db", db, writeHistory(t, old))
	store, err := sqlite.Open(t.Context(), db, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	incidents, err := incident.New(store, &incident.Options{Cache: incident.NoCache})
	if err != nil {
		t.Fatal(err)
	}
	kept := old
	for after := 10 * time.Millisecond; kept == old; after += after / 2 {
		c := startProgram(t, "-db", db, history)
		time.Sleep(after)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // it was killed, or has just ended
		kept = 0
		for _, err := range incident.All(t.Context(), incidents, incident.IncidentFilter{OrganizationID: "p"}) {
			if err != nil {
				t.Fatal(err)
			}
			kept++
		}
		if kept != old && kept != all {
			t.Fatalf("the file has %d incidents after a kill, want %d or %d", kept, old, all)
		}
	}
	if err := managertest.Audit(t.Context(), incidents, store, "p"); err != nil {
		t.Error(err)
	}
	_, report, _ := strings.Cut(mustRun(t, history), "\n\n")
	wantNothingNew(t, mustRun(t, "-db", db, history), report)
}

// startProgram starts the program in a process of its own.
func startProgram(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), envArgs+"="+string(text))
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() }) // it has ended, unless the test failed
	return c
}

// writeHistory writes a page with n resolved incidents of three updates, and returns the file.
func writeHistory(t *testing.T, n int) string {
	t.Helper()
	var all []string
	for i := range n {
		begun := time.Date(2024, 1, 1, i, 0, 0, 0, time.UTC)
		at := func(minutes int) string { return begun.Add(time.Duration(minutes) * time.Minute).Format(time.RFC3339) }
		all = append(all, fmt.Sprintf(`{"id": "i%d", "name": "Incident %d", "status": "resolved", "impact": "minor",
			"started_at": %q, "resolved_at": %q, "components": [{"name": "API"}], "incident_updates": [
			{"id": "i%da", "body": "Begun.", "display_at": %q}, {"id": "i%db", "body": "Found.", "display_at": %q},
			{"id": "i%dc", "body": "Resolved.", "display_at": %q}]}`,
			i, i, at(0), at(50), i, at(0), i, at(20), i, at(50)))
	}
	file := filepath.Join(t.TempDir(), "history.json")
	text := `{"page": {"id": "p"}, "incidents": [` + strings.Join(all, ",\n") + `]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
