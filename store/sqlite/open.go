package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jmoiron/sqlx"
	driver "modernc.org/sqlite"

	"github.com/incidentkit/incident"
)

// Open opens the database in the file of path, and migrates tables of an older version. It creates
// missing tables and a missing file, which only its owner can read and write. The directory must
// exist. The caller must call [Store.Close].
//
// Open returns [ErrNetworkFileSystem], [ErrNewerSchema] or another error that matches
// [incident.ErrUnavailable] if the file cannot be used, and [incident.ErrInvalid] if the path or an
// option is invalid.
func Open(ctx context.Context, path string, opts *Options) (*Store, error) {
	s, err := open(ctx, path, opts)
	if err == nil {
		err = s.Migrate(ctx)
		if err != nil {
			_ = s.Close() // the first error tells more
		}
	}
	if err != nil {
		return nil, translate(ctx, "open", err)
	}
	return s, nil
}

// New returns a store in the database of a host's pool. The driver of the pool must be
// modernc.org/sqlite, and the database must be a file and have the encoding UTF-8. The store asks
// the pool for the file, opens connections of its own, and puts the database into WAL mode. The host
// owns the pool: the store changes no setting of the pool, and never closes it. The caller must call
// [Store.Close], which closes the connections of the store.
//
// The tables must exist before other calls: see [Store.Migrate].
//
// New returns [incident.ErrInvalid] if the pool has another driver or no file, and otherwise the
// errors of [Open].
func New(ctx context.Context, pool *sqlx.DB, opts *Options) (*Store, error) {
	if pool == nil {
		return nil, fmt.Errorf("sqlite: new: %w", &incident.FieldError{Field: "pool", Problem: "is required"})
	}
	if _, ok := pool.Driver().(*driver.Driver); !ok {
		return nil, fmt.Errorf("sqlite: new: %w", &incident.FieldError{
			Field: "pool", Problem: fmt.Sprintf("has the driver %T; the driver must be that of modernc.org/sqlite", pool.Driver()),
		})
	}
	var path string
	err := pool.GetContext(ctx, &path, `SELECT file FROM pragma_database_list WHERE name = 'main'`)
	if err == nil && path == "" {
		err = &incident.FieldError{Field: "pool", Problem: "has a database without a file; use store/memory instead of a database in memory"}
	}
	if err != nil {
		return nil, translate(ctx, "new", err)
	}
	s, err := open(ctx, path, opts)
	return s, translate(ctx, "new", err)
}

// open opens the file without a look at its tables.
func open(ctx context.Context, path string, opts *Options) (*Store, error) {
	options, err := opts.withDefaults()
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case path == "" || path == ":memory:":
		return nil, &incident.FieldError{Field: "path", Problem: "must name a file; use store/memory for incidents in memory"}
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, &incident.FieldError{Field: "path", Problem: err.Error()}
	}
	if err := checkLocal(path); err != nil {
		return nil, err
	}
	if err := create(path); err != nil {
		return nil, err
	}
	d := &database{options: options}
	if d.file, err = newFile(path); err != nil {
		return nil, err
	}
	d.readers.init(d)
	if err := d.writer.open(ctx, d); err != nil {
		return nil, err
	}
	return &Store{database: d}, nil
}

// create makes the file with the rights of its owner alone, unless it exists. It leaves a file
// that exists closed: to close it would take the locks of other connections of the process.
func create(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		if os.IsExist(err) {
			return nil // another process has just made it
		}
		return fmt.Errorf("%w: the file cannot be made; the directory must exist and be writable: %w", incident.ErrUnavailable, err)
	}
	return f.Close()
}

// open connects, and puts the database into WAL mode. That needs an exclusive lock for a moment.
func (w *writer) open(ctx context.Context, d *database) error {
	connector, err := driver.NewConnector(writerDSN(d.file.path, &d.options))
	if err != nil {
		return err
	}
	w.database = d
	w.pool = sqlx.NewDb(sql.OpenDB(connector), "sqlite")
	w.pool.SetMaxOpenConns(1)
	err = whileBusy(ctx, time.Now().Add(d.options.BusyTimeout), func() error {
		if w.link != nil {
			return w.prepare(ctx)
		}
		link, err := w.pool.Connx(ctx)
		if err != nil {
			return err
		}
		if err := link.Raw(func(raw any) error { return w.adopt(raw) }); err != nil {
			return err
		}
		w.link = link
		return w.prepare(ctx)
	})
	if err != nil {
		_ = w.close() // the first error tells more
	}
	return err
}

// prepare refuses a database in which texts are not in the order of their bytes in UTF-8, and puts
// any other into WAL mode.
func (w *writer) prepare(ctx context.Context) error {
	var encoding string
	if _, err := queryOne(ctx, w.conn, "PRAGMA encoding", nil, text(&encoding)); err != nil {
		return err
	}
	if encoding != "UTF-8" {
		return fmt.Errorf("%w: the database has the encoding %s; give a file of its own, or copy the tables to a database in UTF-8",
			incident.ErrUnavailable, encoding)
	}
	return w.setWAL(ctx)
}

// setWAL puts the database into WAL mode.
func (w *writer) setWAL(ctx context.Context) error {
	var mode string
	if _, err := queryOne(ctx, w.conn, "PRAGMA journal_mode = WAL", nil, text(&mode)); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("%w: the database remains in journal mode %q; its file system has no shared memory, or locking_mode is EXCLUSIVE",
			incident.ErrUnavailable, mode)
	}
	return nil
}
