//go:build unix

package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

func init() {
	// The process may make no file longer than the log will be after some transactions: with one
	// write each or four, they take 40 to 60 kB. The limit is lifted later.
	tasks["limited"] = func(_ context.Context, t task) error {
		ctx := context.Background()
		signal.Ignore(syscall.SIGXFSZ)
		s, err := sqlite.Open(ctx, t.Path, &t.Options)
		if err != nil {
			return err
		}
		if _, err := create(ctx, s, "before"); err != nil {
			return err
		}
		info, err := os.Stat(t.Path + "-wal")
		if err != nil {
			return err
		}
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		limited := limit
		limited.Cur = uint64(info.Size()) + 200_000
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limited); err != nil {
			return err
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for i := range 20 {
					n, err := create(ctx, s, fmt.Sprintf("%d %s", i, strings.Repeat("x", 500)))
					switch {
					case err == nil:
						fmt.Println("acknowledged", n)
					case errors.Is(err, incident.ErrUnavailable), errors.Is(err, incident.ErrUnknownOutcome):
						fmt.Println("refused", err)
					default:
						fmt.Println("other", err)
					}
				}
			})
		}
		all.Wait()
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		n, err := create(ctx, s, "after")
		fmt.Println("acknowledged", n)
		return errors.Join(err, s.Close())
	}
}

// A disk that refuses writes refuses the calls, with the remedy. What was acknowledged is there,
// what was refused is not, and the store goes on when the disk does.
func TestWriter_diskFails(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	lines := startChild(t, task{Name: "limited", Path: path}).stop(t)
	acknowledged, refused := 1, 0 // with the first
	for _, line := range lines {
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "acknowledged":
			acknowledged++
		case "refused":
			if refused++; !strings.Contains(rest, "check the disk") && !strings.Contains(rest, "free space") {
				t.Errorf("a refused write has no remedy: %s", rest)
			}
		default:
			t.Error(line)
		}
	}
	if acknowledged < 3 || refused == 0 {
		t.Errorf("%d writes were acknowledged and %d refused, want some of each", acknowledged, refused)
	}
	if n := count(t, path, "SELECT count(*) FROM incident"); n != acknowledged {
		t.Errorf("there are %d incidents, want the %d that were acknowledged", n, acknowledged)
	}
	if n := count(t, path, "SELECT incidents FROM incident_organization"); n != acknowledged {
		t.Errorf("the last identifier is %d, want %d: refused writes use none", n, acknowledged)
	}
	if result := textOf(t, path, "PRAGMA integrity_check"); result != "ok" {
		t.Errorf("integrity_check = %s", result)
	}
}
