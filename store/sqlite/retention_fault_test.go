//go:build unix

package sqlite_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// deletions are the calls that delete, each until its end.
var deletions = map[string]func(ctx context.Context, s *sqlite.Store) error{
	"purge": func(ctx context.Context, s *sqlite.Store) error {
		_, _, err := purgeAll(ctx, s, "acme")
		return err
	},
	"erase": func(ctx context.Context, s *sqlite.Store) error {
		_, err := eraseAll(ctx, s, "acme", "a former user")
		return err
	},
	"delete": func(ctx context.Context, s *sqlite.Store) error {
		_, err := deleteAll(ctx, s, "acme")
		return err
	},
}

// The n-th operation on the disk fails during a purge, an erasure or a deletion. No incident is
// half deleted or half erased, and a repetition finishes.
func TestStore_retention_faults(t *testing.T) {
	t.Parallel()
	for _, fault := range diskFaults {
		for name, call := range deletions {
			t.Run(fault.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				path := newPath(t)
				d := recordDisk(t, path)
				s := mustOpen(t, path, nil)
				most, step := int64(30), int64(7)
				if fault.kind == diskSync {
					most, step = 3, 1
				}
				if long {
					step = 1
				}
				refused := 0
				for n := int64(1); n <= most; n += step {
					fill(t, s, "acme", 3)
					failNth(d, fault.kind, n, fault.code)
					err := call(t.Context(), s)
					d.setFault(nil)
					if err != nil {
						refused++
						if !errors.Is(err, incident.ErrUnavailable) && !errors.Is(err, incident.ErrUnknownOutcome) || !strings.Contains(err.Error(), fault.remedy) {
							t.Errorf("operation %d: the error is %v, want the remedy %q", n, err, fault.remedy)
						}
					}
					checkLists(t, path)
					checkErased(t, path)
					if err := call(t.Context(), s); err != nil {
						t.Errorf("after operation %d failed, a repetition returned %v, want nil", n, err)
					}
				}
				if refused == 0 {
					t.Error("no call was refused")
				}
			})
		}
	}
}

// A call ends with its context, and without doing anything if the context had ended before.
func TestStore_retention_context(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	fill(t, s, "acme", 3)
	before := rowsOf(t, path, "acme")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range deletions {
		if err := call(ctx, s); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context = %v, want Canceled", name, err)
		}
	}
	if after := rowsOf(t, path, "acme"); after != before {
		t.Errorf("calls with an ended context left\n%s\nof\n%s", after, before)
	}
}

// A call waits for a transaction of another connection until BusyTimeout, and changes nothing.
func TestStore_retention_busy(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, &sqlite.Options{BusyTimeout: 50 * time.Millisecond})
	fill(t, s, "acme", 3)
	before := rowsOf(t, path, "acme")
	tx := mustHostPool(t, path, "_txlock=immediate").MustBegin()
	for name, call := range deletions {
		wantError(t, name+" beside a transaction", call(t.Context(), s), "BusyTimeout", incident.ErrUnavailable)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if after := rowsOf(t, path, "acme"); after != before {
		t.Errorf("refused calls left\n%s\nof\n%s", after, before)
	}
	for _, name := range []string{"erase", "purge", "delete"} {
		// A call whose context may end waits for another goroutine, no longer than BusyTimeout.
		if err := deletions[name](context.Background(), s); err != nil {
			t.Errorf("%s after the transaction = %v, want nil", name, err)
		}
	}
}
