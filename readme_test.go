package incident_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
