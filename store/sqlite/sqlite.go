// Package sqlite is an [incident.Store] in a SQLite file, over modernc.org/sqlite. It
// needs no server and no C compiler:
//
//	store, err := sqlite.Open(ctx, "incidents.db", nil)
//	…
//	defer store.Close()
//	incidents, err := incident.New(store, nil)
//
// [Open] makes the file and its tables. A host with a SQLite database of its own passes its pool
// to [New], and has the tables in the same file.
//
// # Durability
//
// A write that has returned is on disk: it survives a crash of the process or the machine, and a
// loss of power. [SynchronousNormal] is faster, and survives a crash of the process only. Concurrent
// writes share a commit.
//
// # Processes
//
// Several processes of a machine may use the file at the same time. The file must be on a local
// file system: [Open] refuses network file systems that it recognizes. The database is in WAL
// mode, with the files PATH-wal and PATH-shm beside it. Do not copy, move or delete any of the
// three while a process uses them; [Store.Backup] makes a copy. The methods of a store return
// [ErrFileReplaced] after its file was replaced or removed.
//
// On Linux the package switches the driver to open file description locks: see OFDLocking of
// modernc.org/sqlite. This affects all databases of the process. The environment variable
// MODERNC_SQLITE_OFD_LOCK=0 prevents it. Without such locks, and always for PATH-shm, a process that
// opens and closes the file loses its locks, for example by [os.ReadFile]. Then another process can
// damage the database.
package sqlite

import (
	"cmp"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// Synchronous is how long a commit waits for the disk.
type Synchronous int

const (
	// SynchronousFull waits until the commit is on disk.
	SynchronousFull Synchronous = iota
	// SynchronousNormal waits for the operating system only. A crash of the process loses
	// nothing. A crash of the machine or a loss of power can lose the last commits, but does
	// not damage the database.
	SynchronousNormal
)

// The defaults of [Options].
const (
	DefaultBusyTimeout = 10 * time.Second
	minReaders         = 4
	maxReaders         = 64
)

// Options tunes a [Store]. The zero value, and nil, are ready to use.
type Options struct {
	// SingleProcess declares that no other process, and no other Manager, writes to the
	// database. Then a Manager answers from its cache without following the changes of
	// others: see [incident.Manager.Run].
	SingleProcess bool

	// Synchronous is how long a commit waits for the disk. Defaults to [SynchronousFull].
	Synchronous Synchronous

	// BusyTimeout bounds how long a call waits for the transactions of other processes, and
	// of the host. A call whose context ends returns earlier.
	//
	// Defaults to [DefaultBusyTimeout].
	BusyTimeout time.Duration

	// Readers is the most reads at a time, 1 to 64. Each has a connection.
	//
	// Defaults to the number of processors, but at least 4.
	Readers int
}

func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	c.BusyTimeout = cmp.Or(c.BusyTimeout, DefaultBusyTimeout)
	c.Readers = cmp.Or(c.Readers, min(max(runtime.GOMAXPROCS(0), minReaders), maxReaders))
	switch {
	case c.BusyTimeout < 0:
		return c, &incident.FieldError{Field: "BusyTimeout", Problem: "must not be negative"}
	case c.Readers < 1 || c.Readers > maxReaders:
		return c, &incident.FieldError{Field: "Readers", Problem: fmt.Sprintf("must be 1 to %d, not %d", maxReaders, c.Readers)}
	case c.Synchronous != SynchronousFull && c.Synchronous != SynchronousNormal:
		return c, &incident.FieldError{Field: "Synchronous", Problem: "must be SynchronousFull or SynchronousNormal"}
	}
	return c, nil
}

// Store is an [incident.Store] in a SQLite database. Many goroutines may use it, and many
// processes with a Store each may use the same file.
type Store struct {
	*database
	tx *transaction // nil outside a transaction

	origin *Store // the store outside the transaction, nil there
}

var (
	_ incident.FeedStore   = (*Store)(nil)
	_ incident.OutboxStore = (*Store)(nil)
	_ incident.UsedOutbox  = (*Store)(nil)
	_ incident.JoinedStore = (*Store)(nil)
)

// database is the state that a store shares with the stores of its transactions.
type database struct {
	options Options
	file    *file
	host    *sqlx.DB // the pool that was passed to New, or nil
	writer  writer
	readers readers
	queued  atomic.Bool // a change has queued activities
}

// Shared implements [incident.Store]. It returns true unless [Options.SingleProcess] is set.
func (s *Store) Shared() bool { return !s.options.SingleProcess }

// Path returns the absolute path of the database file.
func (s *Store) Path() string { return s.file.path }

// Queued implements [incident.UsedOutbox].
func (s *Store) Queued() bool { return s.queued.Load() }

// Close waits for the writes and reads in progress, and closes the file. The store must not be
// used afterwards. The pool that was passed to [New] remains open.
func (s *Store) Close() error {
	err := s.writer.close()
	return cmp.Or(err, s.readers.close())
}
