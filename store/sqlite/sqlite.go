// Package sqlite is an [incident.Store] in a SQLite file, over modernc.org/sqlite. It
// needs no server and no C compiler:
//
//	store, err := sqlite.Open(ctx, "incidents.db", nil)
//	…
//	defer store.Close()
//	incidents, err := incident.New(store, nil)
//
// [Open] creates the file and its tables. A host with a SQLite database of its own passes its pool
// to [New], and has the tables in the same file.
//
// # Durability
//
// A write that has returned without an error is on disk: it survives a crash of the process or
// the machine, and a loss of power. With [SynchronousNormal] a write is faster, and survives a
// crash of the process only. Concurrent writes share a commit.
//
// A call ends with its context, except a write whose commit is in progress. Such a write waits for
// its outcome for a second, and then returns [incident.ErrUnknownOutcome].
//
// # Transactions
//
// Statements of the host and calls of the library commit together in two ways: [Tx] returns the
// transaction of [incident.Manager.InTx], and [Store.Join] takes part in a transaction of the host.
// Other writes wait while InTx runs, and while a transaction of the host has the right to write.
//
// # Processes
//
// Several processes of a machine may use the file at the same time. The file must be on a local
// file system: on Linux, [Open] refuses network file systems that it recognizes. The database is in
// WAL mode, with the files PATH-wal and PATH-shm beside it. Do not copy, move or delete any of the
// three while a process uses them; [Store.Backup] makes a copy. After the file was replaced or
// removed, writes return [ErrFileReplaced], and so do reads at most 20 ms later.
//
// On Linux the package switches the driver to open file description locks: see OFDLocking of
// modernc.org/sqlite. This affects all databases of the process. The environment variable
// MODERNC_SQLITE_OFD_LOCK=0 prevents it. Without such locks, and always for PATH-shm, a process that
// opens and closes the file loses its locks, for example by [os.ReadFile]. Then another process can
// damage the database.
//
// # Deleting
//
// A deleted row is overwritten with zeros (PRAGMA secure_delete = FAST), so that the file keeps few
// traces of erased users. Creations take about 1 % more processor time for it. Copies of deleted and
// erased data remain for a while: in pages that SQLite has freed or split, in PATH-wal, and in older
// backups. VACUUM removes the copies in pages, and a new backup has none.
//
// The file does not become smaller: later writes use the free pages first. VACUUM shrinks it. A host
// runs VACUUM in a pool of its own. Reads continue meanwhile. Writes wait, at most for BusyTimeout,
// and the disk needs space for two copies of the database.
//
// A process with an older library does not hear of deletions. Update all processes before the first
// Purge or DeleteOrganization. It excludes older libraries from opening the file: [ErrNewerSchema].
//
// # Errors
//
// Errors of the file match [incident.ErrUnavailable]. Their text has the remedy, for example for
// a full disk, for a file that is read-only, damaged or not a database, and for a database that stays
// busy. [ErrFileReplaced], [ErrNetworkFileSystem] and [ErrNewerSchema] can be told apart.
package sqlite

import (
	"cmp"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// Synchronous selects the event that a commit waits for.
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

	// Synchronous selects the event that a commit waits for. Defaults to [SynchronousFull].
	Synchronous Synchronous

	// BusyTimeout bounds how long a call waits for the transactions of other processes, and
	// of the host. A call whose context ends returns earlier. For a transaction of
	// [Store.InTx] in the same process, a call waits until its context ends.
	//
	// Defaults to [DefaultBusyTimeout].
	BusyTimeout time.Duration

	// Readers bounds the number of concurrent reads, 1 to 64. Each uses a connection.
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
	_ incident.FeedStore      = (*Store)(nil)
	_ incident.OutboxStore    = (*Store)(nil)
	_ incident.UsedOutbox     = (*Store)(nil)
	_ incident.JoinedStore    = (*Store)(nil)
	_ incident.RetentionStore = (*Store)(nil)
)

// database is the state that a store shares with the stores of its transactions.
type database struct {
	options Options
	file    *file
	writer  writer
	readers readers
	queued  atomic.Bool // a change has queued activities
	closing sync.Mutex  // lets one call of Close run
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
	s.closing.Lock()
	defer s.closing.Unlock()
	err := s.writer.close()
	return cmp.Or(err, s.readers.close())
}
