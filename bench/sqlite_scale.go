package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// sqliteTurns is the number of turns that sqliteScale makes of one: the time of a flush to a shared disk
// drifts within a second, so that sides with long turns meet different disks.
const sqliteTurns = 6

// sqliteScale compares calls on a large file with the same calls on a small file.
func (b *bench) sqliteScale(ctx context.Context) (err error) {
	f, err := newFiles()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	few, err := f.load(ctx, small)
	if err != nil {
		return err
	}
	many, err := f.load(ctx, large)
	if err != nil {
		return err
	}
	b.begin("Size, in SQLite", fmt.Sprintf("1,000,000 incidents beside 10,000, in %s on %s. Each round is %d rounds of a %[3]dth of its length.",
		filepath.Dir(f.folder), fileSystem(f.folder), sqliteTurns))
	defer func(rounds int, length time.Duration) { b.rounds, b.length = rounds, length }(b.rounds, b.length)
	b.rounds, b.length = b.rounds*sqliteTurns, b.length/sqliteTurns
	var all []comparison
	for _, op := range operations {
		for _, s := range []struct {
			suffix     string
			ours, than *loaded
			bar        float64
		}{
			{"on the latest of", many.latest(few.among), few.latest(few.among), 1 / slowest},
			{"on any of", many, few, 0},
		} {
			all = append(all, comparison{
				ours: &side{
					name: fmt.Sprintf("%s %s %d, in SQLite", op.name, s.suffix, large),
					call: func(int, int) error { return op.call(ctx, s.ours) },
				},
				theirs:     &side{name: fmt.Sprintf("of %d", small), call: func(int, int) error { return op.call(ctx, s.than) }},
				goroutines: 1, bar: s.bar,
			})
		}
	}
	return b.measure(all, nil)
}
