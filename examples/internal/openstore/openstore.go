// Package openstore opens the store that the command line of an example selects.
package openstore

import (
	"context"
	"errors"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/store/postgres"
	"github.com/incidentkit/incident/store/sqlite"
)

// ErrBoth is returned by [Check] if the command line selects two stores.
var ErrBoth = errors.New("-db and -dsn exclude each other")

// Check returns [ErrBoth] if both a file and a DSN are given.
func Check(file, dsn string) error {
	if file != "" && dsn != "" {
		return ErrBoth
	}
	return nil
}

// Open opens the store in the SQLite file or in the PostgreSQL database of dsn. Without both it
// returns a store in memory. It creates missing tables. The caller must call closeStore after the
// last call of the store.
func Open(ctx context.Context, file, dsn string) (s incident.Store, closeStore func(), err error) {
	switch {
	case file != "":
		db, err := sqlite.Open(ctx, file, nil)
		if err != nil {
			return nil, nil, err
		}
		return db, func() { _ = db.Close() }, nil // everything written is committed
	case dsn != "":
		db, err := postgres.Open(ctx, dsn, nil)
		if err != nil {
			return nil, nil, err
		}
		closeStore = func() { _ = db.Close() } // everything written is committed
		if err := db.Migrate(ctx); err != nil {
			closeStore()
			return nil, nil, err
		}
		return db, closeStore, nil
	}
	return memory.New(), func() {}, nil
}
