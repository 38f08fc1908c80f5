package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// sqliteRetention measures the calls of retention in a SQLite file.
func (b *bench) sqliteRetention(ctx context.Context) (err error) {
	f, err := newFiles()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	l, err := f.load(ctx, b.incidents)
	if err != nil {
		return err
	}
	b.begin("Calls during a purge, in SQLite", fmt.Sprintf(aboutPurge+" The file is in %s, on %s.", b.incidents,
		filepath.Dir(f.folder), fileSystem(f.folder)))
	return b.besidePurge(ctx, l)
}
