package pgtest

import (
	"strings"
	"testing"
)

// EnvPrograms names the only folder of programs.
func TestPrograms_onlyInNamedFolder(t *testing.T) {
	t.Setenv(EnvPrograms, "")
	installed, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(EnvPrograms, installed)
	if dir, err := programs(); err != nil || dir != installed {
		t.Errorf("programs() = %s, %v, want %s", dir, err, installed)
	}
	empty := t.TempDir()
	t.Setenv(EnvPrograms, empty)
	if dir, err := programs(); err == nil || !strings.Contains(err.Error(), EnvPrograms) {
		t.Errorf("programs() = %s, %v, want an error that names %s", dir, err, EnvPrograms)
	}
}
