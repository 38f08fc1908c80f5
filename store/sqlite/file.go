package sqlite

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	driver "modernc.org/sqlite"

	"github.com/incidentkit/incident"
)

// POSIX locks of a process on a file vanish when any code of the process closes the file.
// The kind of locks must be chosen before the driver's first lock. On other systems than Linux
// there is no choice, and the error says so.
func init() {
	if os.Getenv("MODERNC_SQLITE_OFD_LOCK") == "" {
		_, _ = driver.OFDLocking(true)
	}
}

// file is the database file as it was opened.
type file struct {
	path string // absolute
	id   fileID
}

// newFile returns the file of an existing path.
func newFile(path string) (*file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, unavailable(err)
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%w: %s is a directory; give the path of a file in it", incident.ErrInvalid, path)
	}
	id, err := fileIDOf(path)
	if err != nil {
		return nil, unavailable(err)
	}
	return &file{path: path, id: id}, nil
}

// check returns an error if the path has another file, or none. It opens nothing.
func (f *file) check() error {
	if f.id.has(f.path) {
		return nil
	}
	return fmt.Errorf("%w: %s: %w; close the store and open it again", incident.ErrUnavailable, f.path, ErrFileReplaced)
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", incident.ErrUnavailable, err) }

// fileSystemOf is networkFileSystem. Tests replace it.
var fileSystemOf = networkFileSystem

// checkLocal refuses a path on a network file system.
func checkLocal(path string) error {
	if name := fileSystemOf(filepath.Dir(path)); name != "" {
		return fmt.Errorf("%w: %s is on %s: %w", incident.ErrUnavailable, path, name, ErrNetworkFileSystem)
	}
	return nil
}

// dsn returns the driver's name of the file with settings.
func dsn(path string, settings url.Values) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // of Windows, which begins with a drive
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: settings.Encode()}
	return u.String()
}

// walLimit bounds PATH-wal after a checkpoint, in bytes.
const walLimit = 64 << 20

// writerDSN returns the settings of the connection that writes.
func writerDSN(path string, o *Options) string {
	synchronous := "FULL"
	if o.Synchronous == SynchronousNormal {
		synchronous = "NORMAL"
	}
	return dsn(path, url.Values{
		"_txlock": {"immediate"},
		"_dqs":    {"0"},
		"_pragma": {
			"busy_timeout(0)", "synchronous(" + synchronous + ")", "wal_autocheckpoint(0)",
			fmt.Sprintf("journal_size_limit(%d)", walLimit), "temp_store(MEMORY)", "cache_size(-16384)", "secure_delete(FAST)",
		},
	})
}

// readerDSN returns the settings of a connection that reads.
func readerDSN(path string) string {
	return dsn(path, url.Values{
		"_dqs":    {"0"},
		"_pragma": {"busy_timeout(0)", "query_only(1)", "wal_autocheckpoint(0)", "temp_store(MEMORY)", "cache_size(-8192)"},
	})
}

// Pauses between attempts at a busy database. A process that writes all the time leaves gaps of
// microseconds, so that others must ask often.
const (
	minPause = 200 * time.Microsecond
	maxPause = 2 * time.Millisecond
)
