package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/incidentkit/incident"
)

// Errors that a host can tell apart. They come with [incident.ErrUnavailable].
var (
	// ErrFileReplaced means that the file was replaced, moved or removed while the store
	// used it. Close the store and open it again. A write that was in progress may be in the
	// old file only: its error matches [incident.ErrUnknownOutcome] instead.
	ErrFileReplaced = errors.New("the file was replaced, moved or removed while it was in use")

	// ErrNetworkFileSystem means that the file is on a network file system. Such file
	// systems lack the shared memory and the locks that SQLite needs. Move the file to a local disk.
	ErrNetworkFileSystem = errors.New("the file is on a network file system; move it to a local disk")

	// ErrNewerSchema means that a newer library has migrated the tables. Update the library.
	ErrNewerSchema = errors.New("the tables were made by a newer version of the library; update the library")
)

// resultCode returns the extended result code of SQLite, or 0 for any other error.
func resultCode(err error) int {
	if e, ok := errors.AsType[*driver.Error](err); ok {
		return e.Code()
	}
	return 0
}

// primary returns the primary code of an extended result code.
func primary(code int) int { return code & 0xff }

// isBusy reports whether a statement failed because of another transaction, changed nothing and
// may be repeated.
func isBusy(err error) bool {
	switch code := resultCode(err); primary(code) {
	case lib.SQLITE_BUSY, lib.SQLITE_PROTOCOL:
		return code != lib.SQLITE_BUSY_SNAPSHOT
	}
	return false
}

// isConstraint reports whether a constraint was violated. SQLite then undoes the statement, and
// leaves the transaction as it is.
func isConstraint(err error) bool { return primary(resultCode(err)) == lib.SQLITE_CONSTRAINT }

// isAnswer reports whether err is an answer of a method that has changed nothing.
func isAnswer(err error) bool {
	return errors.Is(err, incident.ErrNotFound) || errors.Is(err, incident.ErrConflict) || errors.Is(err, incident.ErrInvalid)
}

// translate turns errors of the driver into errors of package incident, and adds op to both
// kinds. Only translate does so.
func translate(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	for _, known := range []error{
		incident.ErrNotFound, incident.ErrConflict, incident.ErrInvalid, incident.ErrUnavailable, incident.ErrUnknownOutcome,
	} {
		if errors.Is(err, known) {
			return fmt.Errorf("sqlite: %s: %w", op, err)
		}
	}
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("sqlite: %s: %w", op, ended)
	}
	if errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("sqlite: %s: %w: the transaction has ended: %w", op, incident.ErrInvalid, err)
	}
	remedy, category := classify(resultCode(err))
	return fmt.Errorf("sqlite: %s: %w: %s: %w", op, category, remedy, err)
}

// classify returns the remedy for a result code, and the category of the error.
func classify(code int) (remedy string, category error) {
	switch code {
	case lib.SQLITE_BUSY_SNAPSHOT:
		return "the transaction has read before it wrote, and others have written since; roll it back and repeat it, " +
			"and begin such transactions with BEGIN IMMEDIATE (_txlock=immediate in the DSN)", incident.ErrUnavailable
	case lib.SQLITE_READONLY_DBMOVED:
		return "the file was replaced, moved or removed; close the store and open it again", incident.ErrUnavailable
	case lib.SQLITE_IOERR_FSYNC, lib.SQLITE_IOERR_DIR_FSYNC:
		return "the disk did not confirm a write; check the disk", incident.ErrUnavailable
	case lib.SQLITE_CONSTRAINT_CHECK, lib.SQLITE_CONSTRAINT_NOTNULL, lib.SQLITE_CONSTRAINT_DATATYPE:
		return "the database cannot keep a value", incident.ErrInvalid
	case lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY:
		return "another row has the same UUID or key", incident.ErrConflict
	}
	if remedy := remedies[primary(code)]; remedy != "" {
		return remedy, incident.ErrUnavailable
	}
	return "the database failed", incident.ErrUnavailable
}

// remedies has the remedies by primary result code.
var remedies = map[int]string{
	lib.SQLITE_BUSY:     "other transactions kept the database busy for longer than BusyTimeout; repeat the call, and look for a transaction that is left open",
	lib.SQLITE_LOCKED:   "another statement of the connection is in the way; close its rows first",
	lib.SQLITE_FULL:     "the disk is full, or the database has reached max_page_count; free space",
	lib.SQLITE_READONLY: "the file or its directory is read-only; give the process the right to write both",
	lib.SQLITE_CANTOPEN: "the file cannot be opened; the directory must exist, and the process needs the right to write the file and the directory",
	lib.SQLITE_PERM:     "the process lacks a right; it must be able to write the file and its directory",
	lib.SQLITE_NOTADB:   "the file is not a SQLite database, or is encrypted; give another path",
	lib.SQLITE_CORRUPT:  "the file is damaged; restore a backup, or recover what is readable with .recover of the sqlite3 program",
	lib.SQLITE_IOERR:    "the disk failed to read or write; check the disk and the limits of the process",
	lib.SQLITE_NOMEM:    "there is no memory left",
	lib.SQLITE_PROTOCOL: "other processes kept the locks of the database; repeat the call",
	lib.SQLITE_ERROR:    "the tables are missing or changed; run Migrate",
	lib.SQLITE_MISUSE:   "the store is closed",
}

// unknownOutcome returns the error of a write that may have been committed.
func unknownOutcome(ctx context.Context, cause error) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("%w: %w", incident.ErrUnknownOutcome, ended)
	}
	return fmt.Errorf("%w (%w)", incident.ErrUnknownOutcome, hidden{cause})
}

// hidden has the text of an error, and hides the error from [errors.Is] and [errors.As].
type hidden struct{ err error }

func (h hidden) Error() string { return h.err.Error() }

// commitError returns the error of a failed COMMIT. A transaction counts once its last frame is in
// the log, and a full disk refuses that frame. After any other failure of the disk, a restart may
// find the transaction in the log.
func commitError(ctx context.Context, err error) error {
	switch primary(resultCode(err)) {
	case lib.SQLITE_IOERR, lib.SQLITE_CORRUPT:
		remedy, _ := classify(resultCode(err))
		return unknownOutcome(ctx, fmt.Errorf("%s: %w", remedy, err))
	}
	return err
}

// isWithinTx reports whether BEGIN failed because a transaction has begun already.
func isWithinTx(err error) bool {
	e, ok := errors.AsType[*driver.Error](err)
	return ok && primary(e.Code()) == lib.SQLITE_ERROR && strings.Contains(e.Error(), "within a transaction")
}
