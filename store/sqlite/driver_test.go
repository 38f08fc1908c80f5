package sqlite_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// The driver's translation of SQLite belongs to an exact version of modernc.org/libc. Another
// one compiles, and can behave differently.
func TestDriver_libc(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-m", "-json", "modernc.org/sqlite", "modernc.org/libc").Output()
	if err != nil {
		t.Fatalf("go list, which knows the versions: %v", err)
	}
	type module struct{ Path, Version, Dir string }
	modules := map[string]module{}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var m module
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		modules[m.Path] = m
	}
	content, err := os.ReadFile(filepath.Join(modules["modernc.org/sqlite"].Dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	wanted := regexp.MustCompile(`modernc\.org/libc (v\S+)`).FindSubmatch(content)
	if wanted == nil || string(wanted[1]) != modules["modernc.org/libc"].Version {
		t.Errorf("the build has modernc.org/libc %s, want %s as in the go.mod of the driver", modules["modernc.org/libc"].Version, wanted[1])
	}
}
