package sqlite_test

import (
	"cmp"
	"path/filepath"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
	"github.com/incidentkit/incident/store/storetest"
)

// busyTimeout is the BusyTimeout of tests that set none. With little processor time, stores and processes
// that write together may wait for longer than the default: others have the lock whenever they ask.
const busyTimeout = 5 * time.Minute

// patient returns options with busyTimeout, unless they have a BusyTimeout. nil means the defaults.
func patient(opts *sqlite.Options) *sqlite.Options {
	var o sqlite.Options
	if opts != nil {
		o = *opts
	}
	o.BusyTimeout = cmp.Or(o.BusyTimeout, busyTimeout)
	return &o
}

// mustOpen opens a store that ends with the test.
func mustOpen(t testing.TB, path string, opts *sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, patient(opts))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "incidents.db") }

// The suites show that the store keeps the contract. The plans are those of the statements that
// the suites have run.
func TestStore(t *testing.T) {
	c := &statementTexts{found: map[string]bool{}}
	t.Run("store", func(t *testing.T) { storetest.Run(t, func(t *testing.T) incident.Store { return c.open(t) }) })
	t.Run("feed", func(t *testing.T) { storetest.RunFeed(t, func(t *testing.T) incident.FeedStore { return c.open(t) }) })
	t.Run("outbox", func(t *testing.T) {
		storetest.RunOutbox(t, func(t *testing.T) incident.OutboxStore { return c.open(t) })
	})
	t.Run("retention", func(t *testing.T) {
		storetest.RunRetention(t, func(t *testing.T) incident.RetentionStore { return c.open(t) })
	})
	t.Run("report", func(t *testing.T) {
		storetest.RunReport(t, func(t *testing.T) incident.ReportStore { return c.open(t) })
	})
	t.Run("plans", func(t *testing.T) { testPlans(t, c.all()) })
}

func TestStore_oneReader(t *testing.T) {
	storetest.Run(t, func(t *testing.T) incident.Store {
		return mustOpen(t, newPath(t), &sqlite.Options{Readers: 1, Synchronous: sqlite.SynchronousNormal})
	})
}
