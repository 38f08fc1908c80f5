package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/incidentkit/incident/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const statuspageSample = "../statuspage/testdata/sample.json"

// historyFiles are the tested files: the samples, and the real history that
// STATUSPAGE_HISTORY names.
func historyFiles() []string {
	files := []string{"sample.json", statuspageSample}
	if name := os.Getenv("STATUSPAGE_HISTORY"); name != "" {
		files = append(files, name)
	}
	return files
}

var timeLine = regexp.MustCompile(`Time           [0-9.]+(ms|s)\n$`)

func TestRun(t *testing.T) {
	const imported = "Import: 2 of 2 incidents and 4 of 4 updates are new; closed 1 incidents, linked 0 components\n"
	for _, test := range []struct {
		name, args     string
		status         int
		stdout, stderr string
	}{
		{"the sample", "", 0, imported + `
Activities     9
Attempts       9, 0 of them failed
Notifications  9 received, of 2 incidents
Repetitions    0, not acted on
Out of order   0
Parked         0
Time           -
`, ""},
		{"a file", statuspageSample, 0, `Import: 6 of 6 incidents and 17 of 17 updates are new; closed 5 incidents, linked 0 components

Activities     34
Attempts       34, 0 of them failed
Notifications  34 received, of 6 incidents
Repetitions    0, not acted on
Out of order   0
Parked         0
Time           -
`, ""},
		{"help", "-help", 0, usage, ""},
		{"no such file", "none.json", 1, "", "webhook: open none.json: no such file or directory\n"},
		{"no history", "main.go", 1, "", "webhook: main.go:1:1: not valid JSON: invalid character '/' looking for beginning of value\n"},
		{"two files", "a b", 2, "", "webhook: at most one file, not 2; -help shows the usage\n"},
		{"all fail", "-fail 1", 2, "", "webhook: -fail must be at least 2, or 0 for none; -help shows the usage\n"},
		{"a negative number", "-fail -3", 2, "", "webhook: -fail must be at least 2, or 0 for none; -help shows the usage\n"},
		{"unknown flag", "-dry", 2, "", "webhook: flag provided but not defined: -dry; -help shows the usage\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := run(t.Context(), strings.Fields(test.args), &stdout, &stderr)
			got := timeLine.ReplaceAllString(stdout.String(), "Time           -\n")
			if status != test.status || got != test.stdout || stderr.String() != test.stderr {
				t.Errorf("run() = %d with output\n%s\nand errors\n%s, want %d,\n%s\nand\n%s", status, &stdout, &stderr, test.status, test.stdout, test.stderr)
			}
		})
	}
}

func TestRun_Interrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr bytes.Buffer
	if status := run(ctx, nil, io.Discard, &stderr); status != 1 || stderr.String() != "webhook: interrupted\n" {
		t.Errorf("run() = %d with errors %q", status, &stderr)
	}
	// The first output interrupts the delivery.
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	stderr.Reset()
	stdout := writerFunc(func(data []byte) (int, error) { cancel(); return len(data), nil })
	if status := run(ctx, []string{statuspageSample}, stdout, &stderr); status != 1 || stderr.String() != "webhook: interrupted\n" {
		t.Errorf("run() = %d with errors %q", status, &stderr)
	}
}

// A report that cannot be written is a failure.
func TestRun_reportsFullDisk(t *testing.T) {
	var stderr bytes.Buffer
	full := writerFunc(func([]byte) (int, error) { return 0, errors.New("no space") })
	if status := run(t.Context(), nil, full, &stderr); status != 1 || stderr.String() != "webhook: no space\n" {
		t.Errorf("run() = %d with errors %q", status, &stderr)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(data []byte) (int, error) { return f(data) }
