package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/incidentkit/incident"
)

// Backup copies a snapshot of the database to a new file. The file appears when it is complete. The
// store remains in use. The copy contains all tables, also those of the host, and is a single file.
//
// To restore a copy, stop all processes, remove PATH-wal and PATH-shm, and move the copy to PATH. The
// copy has a history of its own: a process that followed the original begins with an empty cache.
//
// Backup returns [incident.ErrInvalid] if the path exists.
func (s *Store) Backup(ctx context.Context, path string) error {
	return translate(ctx, "backup", s.backup(ctx, path))
}

func (s *Store) backup(ctx context.Context, path string) error {
	if s.tx != nil {
		return &incident.FieldError{Field: "tx", Problem: "cannot be backed up; call the store outside the transaction"}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if path == "" {
		return &incident.FieldError{Field: "path", Problem: "is required"}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return unavailable(err)
	}
	if _, err := os.Lstat(path); err == nil {
		return errBackupExists
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".incident-backup-")
	if err != nil {
		return unavailable(err)
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, "copy.db")
	if err := s.copyTo(ctx, copied); err != nil {
		return err
	}
	if err := beginHistory(ctx, copied); err != nil {
		return err
	}
	return publish(copied, path)
}

var errBackupExists = &incident.FieldError{Field: "path", Problem: "exists already; give the path of a new file"}

// copyTo copies a snapshot to a new file.
func (s *Store) copyTo(ctx context.Context, path string) error {
	if err := s.file.check(); err != nil {
		return err
	}
	c, err := connect(ctx, writerDSN(s.file.path, &s.options))
	if err != nil {
		return err
	}
	_, err = c.exec(ctx, "VACUUM INTO ?", path)
	return errors.Join(err, c.close())
}

// beginHistory gives a copy a history of its own. The copy is not in WAL mode.
func beginHistory(ctx context.Context, path string) error {
	c, err := connect(ctx, dsn(path, nil))
	if err != nil {
		return err
	}
	n, err := c.exec(ctx, "UPDATE incident_history SET history = randomblob(16)")
	if err == nil && n != 1 {
		err = errNoHistory
	}
	return errors.Join(err, c.close())
}

// publish moves a complete file to a path that does not exist, and waits until it is on disk.
func publish(from, path string) error {
	if err := syncFile(from); err != nil {
		return unavailable(err)
	}
	if err := os.Link(from, path); err != nil {
		if os.IsExist(err) {
			return errBackupExists
		}
		if err := os.Rename(from, path); err != nil { // the file system has no hard links
			return unavailable(err)
		}
	}
	if err := syncFile(filepath.Dir(path)); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("%w: the directory: %w", incident.ErrUnavailable, err)
	}
	return nil
}
