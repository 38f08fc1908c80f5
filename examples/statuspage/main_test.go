package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident/internal/pgtest"
)

// historyFiles are the tested files: the sample, and the real history that
// STATUSPAGE_HISTORY names.
func historyFiles() []string {
	files := []string{"testdata/sample.json"}
	if name := os.Getenv("STATUSPAGE_HISTORY"); name != "" {
		files = append(files, name)
	}
	return files
}

func TestMain(m *testing.M) {
	runAsProgram()
	pgtest.Main(m)
}

func TestRun(t *testing.T) {
	sample, err := os.ReadFile("testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	const (
		first  = "Import 1: 6 of 6 incidents and 17 of 17 updates are new; closed 5 incidents, linked 0 components\n"
		second = "Import 2: 0 of 6 incidents and 0 of 17 updates are new; closed 0 incidents, linked 0 components\n"
	)
	tests := []struct {
		name, args     string
		status         int
		stdout, stderr string
	}{
		{"a file", "testdata/sample.json", 0, first + "\n" + sampleReport, ""},
		{"standard input", "", 0, first + "\n" + sampleReport, ""},
		{"standard input by name", "-", 0, first + "\n" + sampleReport, ""},
		{"twice", "-times 2 testdata/sample.json", 0, first + second + "\n" + sampleReport, ""},
		{"help", "-help", 0, usage, ""},
		{"no such file", "testdata/none.json", 1, "", "open testdata/none.json: no such file or directory\n"},
		{"a directory", "testdata", 1, "", "read testdata: is a directory\n"},
		{"two files", "a b", 2, "", "statuspage: at most one file, not 2; -help shows the usage\n"},
		{"no times", "-times 0", 2, "", "statuspage: -times must be at least 1; -help shows the usage\n"},
		{"a bad DSN", "-dsn postgres://x:y:z/ testdata/sample.json", 1, "", "postgres: open: invalid argument: " +
			"the DSN cannot be understood; it should look like postgres://user:password@host:5432/name\n"},
		{"two stores", "-db a.db -dsn postgres://h/d", 2, "", "statuspage: -db and -dsn exclude each other; -help shows the usage\n"},
		{"a file that is no database", "-db testdata/sample.json testdata/sample.json", 1, "", "sqlite: open: unavailable: the file is not a SQLite database, or is encrypted; " +
			"give another path: file is not a database (26)\n"},
		{"unknown flag", "-dry", 2, "", "statuspage: flag provided but not defined: -dry; -help shows the usage\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := run(t.Context(), strings.Fields(test.args), bytes.NewReader(sample), &stdout, &stderr)
			if status != test.status || stdout.String() != test.stdout || stderr.String() != test.stderr {
				t.Errorf("run() = %d with output\n%s\nand errors\n%s, want %d,\n%s\nand\n%s",
					status, &stdout, &stderr, test.status, test.stdout, test.stderr)
			}
		})
	}
}

// Data in a database persists between runs, and gives the same report as in memory.
func TestRun_Postgres(t *testing.T) {
	for _, file := range historyFiles() {
		dsn := pgtest.NewDatabase(t)
		want := mustRun(t, file)
		if got := mustRun(t, "-dsn", dsn, file); got != want {
			t.Errorf("the report of %s from a database is\n%s, want that from memory,\n%s", file, got, want)
		}
		_, report, _ := strings.Cut(want, "\n\n")
		wantNothingNew(t, mustRun(t, "-dsn", dsn, file), report)
	}
}

// A fault of the file results in a single line with the position, and no report. So does a
// text that the Manager refuses, in strict mode.
func TestRun_HostileFile(t *testing.T) {
	for _, test := range []struct{ args, data, want string }{
		{"", "", "stdin:1:1: the file is empty\n"},
		{"", "{}", "stdin:1:1: page.id is required\n"},
		{"", strings.Repeat(" ", 64<<20+1), "stdin: larger than 64 MiB\n"},
		{"-strict", strings.Replace(unresolved, `"Begun."`, `""`, 1), "stdin:4:3: incident 1 (id \"b\"): update 1 (id \"b1\"): body is required\n"},
		{"-strict", strings.Replace(unresolved, `"minor"`, `"huge"`, 1), "stdin:2:1: incident 1 (id \"b\"): impact \"huge\" is unknown: " +
			"want none, minor, major, critical or maintenance\n"},
	} {
		var stdout, stderr bytes.Buffer
		status := run(t.Context(), strings.Fields(test.args), strings.NewReader(test.data), &stdout, &stderr)
		if status != 1 || stdout.Len() > 0 || stderr.String() != test.want {
			t.Errorf("run(%s) = %d with output %q and errors %q, want %q", test.args, status, &stdout, &stderr, test.want)
		}
	}
}

// Records that cannot be used are listed once, after the report of the others.
func TestRun_leavesOutFaultyRecords(t *testing.T) {
	const faulty = `"incidents": [
{"id": "a", "name": "A", "status": "resolved", "impact": "minor", "started_at": "2024-01-02T00:00:00Z", "resolved_at": "2023-12-01T00:00:00Z"},
{"id": "c", "name": "C"},`
	data := strings.Replace(unresolved, `"incidents": [`, faulty, 1)
	data = strings.Replace(data, `"incident_updates": [`, `"incident_updates": [{"id": "b2", "body": 1},`, 1)
	const faults = `stdin:2:1: incident 1 (id "a"): resolved_at must not be before the start of the incident, 2024-01-02T00:00:00Z
stdin:3:1: incident 2 (id "c"): started_at is required
stdin:5:77: incident 3 (id "b"): update 1 (id "b2"): body must be a string, not a number
`
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), []string{"-times", "2"}, strings.NewReader(data), &stdout, &stderr)
	want := "Import 1: 1 of 1 incidents and 1 of 1 updates are new; closed 0 incidents, linked 0 components\n" +
		"Import 2: 0 of 1 incidents and 0 of 1 updates are new; closed 0 incidents, linked 0 components\n\nIncidents  1, 1 of them unresolved\n"
	if status != 3 || !strings.HasPrefix(stdout.String(), want) || stderr.String() != faults {
		t.Errorf("run() = %d with output\n%s\nand errors\n%s, want 3,\n%s\nand\n%s", status, &stdout, &stderr, want, faults)
	}
}

func TestRun_Interrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	status := run(ctx, []string{"testdata/sample.json"}, nil, &stdout, &stderr)
	if status != 1 || stdout.Len() > 0 || stderr.String() != "statuspage: interrupted\n" {
		t.Errorf("run() = %d with output %q and errors %q", status, &stdout, &stderr)
	}
}

// A report that cannot be written is a failure.
func TestRun_reportsFullDisk(t *testing.T) {
	var stderr bytes.Buffer
	status := run(t.Context(), []string{"testdata/sample.json"}, nil, fullDisk{}, &stderr)
	if status != 1 || stderr.String() != "no space\n" {
		t.Errorf("run() = %d with errors %q", status, &stderr)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space") }

// The line is updated at a bounded rate and removed at the end.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var terminal bytes.Buffer
		p := newProgress(io.Discard, 100)
		p.terminal = &terminal
		for n := range 100 {
			p.show(n + 1)
			time.Sleep(progressInterval / 40)
		}
		p.clear()
		p.clear()
		const want = "\r\x1b[K41 of 100 incidents\r\x1b[K81 of 100 incidents\r\x1b[K"
		if terminal.String() != want {
			t.Errorf("terminal got %q, want %q", &terminal, want)
		}
	})
}

// A file or a pipe gets no progress.
func TestProgress_NoTerminal(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/stderr")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, w := range []io.Writer{file, new(bytes.Buffer)} {
		if p := newProgress(w, 1); p.terminal != nil {
			t.Errorf("progress is shown on a %T", w)
		}
	}
	p := newProgress(file, 1)
	p.changed = time.Time{}
	p.show(1)
	p.clear()
	if text, err := os.ReadFile(file.Name()); err != nil || len(text) > 0 {
		t.Errorf("a file got %q, %v", text, err)
	}
}
