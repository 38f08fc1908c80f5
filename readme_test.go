package incident_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The program in the README compiles and prints the output in the README.
func TestREADME(t *testing.T) {
	t.Parallel() // it waits for the compiler
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```\n\n```\n(.*?)```").FindSubmatch(readme)
	if blocks == nil {
		t.Fatal("the README has no program with its output")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, blocks[1], 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := exec.CommandContext(t.Context(), "go", "run", "-ldflags=-s -w", file).CombinedOutput()
	if err != nil || string(got) != string(blocks[2]) {
		t.Errorf("it prints %q, %v; want %q", got, err, blocks[2])
	}
}

// The recipes of the first screen compile as parts of a host.
func TestREADME_mounts(t *testing.T) {
	t.Parallel() // it waits for the compiler
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "**Mount it.**")
	rest, _, _ = strings.Cut(rest, "| store |")
	var recipes []any
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(rest, -1) {
		recipes = append(recipes, block[1])
	}
	if len(recipes) != 2 {
		t.Fatalf("the README mounts %d handlers, want 2", len(recipes))
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, fmt.Appendf(nil, mounting, recipes...), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

const mounting = `package main

import (
	"net/http"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/alertmanager"
	"github.com/incidentkit/incident/web/console"
)

func mount(incidents incident.Manager, mux *http.ServeMux, viewerOf func(*http.Request) (console.Viewer, error), token string) error {
	%s
	%s
	return err
}

func main() { _ = mount }
`

// The recipes of these sections of the README are parts of the examples.
func TestREADME_recipes(t *testing.T) {
	t.Parallel()
	words := func(text []byte) string { return strings.Join(strings.Fields(string(text)), " ") }
	read := func(name string) []byte {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	readme := read("README.md")
	for title, examples := range map[string][]string{
		"Several notifiers":    {"example_notifiers_test.go"},
		"Reminders":            {"example_reminder_test.go"},
		"The month in numbers": {"example_report_test.go"},
		"Keep 90 days":         {"example_retention_test.go"},
		"Forget a user":        {"example_retention_test.go"},
		"SQLite": {
			"store/sqlite/example_test.go", "store/sqlite/example_new_test.go",
			"store/sqlite/example_tx_test.go", "store/sqlite/example_backup_test.go",
		},
	} {
		section := regexp.MustCompile("(?s)\n## " + title + "\n.*?\n## ").Find(readme)
		blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(section, -1)
		if len(blocks) == 0 {
			t.Errorf("the section %q of the README has no recipe", title)
		}
		var code string
		for _, example := range examples {
			code += words(read(example)) + "\n"
		}
		for _, block := range blocks {
			if !strings.Contains(code, words(block[1])) {
				t.Errorf("%s do not have the recipe\n%s", examples, block[1])
			}
		}
	}
}
