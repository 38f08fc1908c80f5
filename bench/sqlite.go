package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// files makes databases in a folder of its own.
type files struct {
	folder  string
	made    int
	closers []io.Closer
}

func newFiles() (*files, error) {
	folder, err := os.MkdirTemp("", "bench-sqlite-")
	return &files{folder: folder}, err
}

// close closes the databases and removes the folder.
func (f *files) close() error {
	var all error
	for _, c := range f.closers {
		all = errors.Join(all, c.Close())
	}
	return errors.Join(all, os.RemoveAll(f.folder))
}

func (f *files) path(name string) string {
	f.made++
	return filepath.Join(f.folder, fmt.Sprintf("%02d-%s.db", f.made, name))
}

// store opens a database with the tables of the library.
func (f *files) store(ctx context.Context, opts *sqlite.Options) (*sqlite.Store, error) {
	s, err := sqlite.Open(ctx, f.path("incidents"), opts)
	if err == nil {
		f.closers = append(f.closers, s)
	}
	return s, err
}

// manager returns a Manager with a database of its own. The Manager does not run, so it reads
// everything from the store.
func (f *files) manager(ctx context.Context, options *incident.Options) (incident.Manager, *sqlite.Store, error) {
	s, err := f.store(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	m, err := incident.New(s, options)
	return m, s, err
}

// fileSystem returns the type of a folder's file system, as the system lists its mounts.
func fileSystem(folder string) string {
	mounts, _ := os.ReadFile("/proc/mounts")
	kind, longest := "an unknown file system", 0
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 3 || len(f[1]) < longest || !strings.HasPrefix(folder+"/", strings.TrimSuffix(f[1], "/")+"/") {
			continue
		}
		kind, longest = f[2], len(f[1])
	}
	return kind
}

const sqliteAbout = "All files are in %s, on %s, those of the PostgreSQL server too. Each commit is flushed to the disk. " +
	"The bare statements run on the tables and indexes of the store, with its settings and driver: database/sql, prepared, " +
	"with one connection that writes, or with as many readers as the store. SQLite itself moves their log. They do not keep the " +
	"feed, the place of a repeated call, or the order of concurrent writers. " +
	"bbolt has a bucket for each table and index, with the keys of their rows. Reads are not cached, except in the row that says so. " +
	"A turn takes a quarter of the time above."

// sqlite compares the SQLite store with bare statements, with bbolt, and with the other stores.
func (b *bench) sqlite(ctx context.Context) (err error) {
	f, err := newFiles()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	s, err := startServer()
	if err != nil {
		return err
	}
	defer s.Stop()
	b.begin("SQLite", fmt.Sprintf(sqliteAbout, filepath.Dir(f.folder), fileSystem(f.folder)))
	defer func(length time.Duration) { b.length = length }(b.length)
	b.length /= 4
	for _, part := range []func(context.Context, *files, *server) ([]comparison, error){
		sqliteWrites, sqliteNotifier, sqliteDelivers, sqliteReads, sqliteBolt, sqlitePostgres, sqliteCached,
	} {
		all, err := part(ctx, f, s)
		if err := b.measure(all, err); err != nil {
			return err
		}
	}
	return nil
}

// sqliteWrites compares writes with the statements that a host would write by hand.
func sqliteWrites(ctx context.Context, f *files, _ *server) ([]comparison, error) {
	m, _, err := f.manager(ctx, nil)
	if err != nil {
		return nil, err
	}
	bare, err := f.bare(ctx, 1)
	if err != nil {
		return nil, err
	}
	creates := func(goroutines int, bar float64) comparison {
		return comparison{
			ours:       &side{name: "Create, in SQLite", call: func(g, n int) error { return create(ctx, m, orgOf(g*17+n)) }},
			theirs:     &side{name: "bare statements in a transaction", call: func(g, n int) error { return bare.create(orgOf(g*17 + n)) }},
			goroutines: goroutines, bar: bar,
		}
	}
	updates, err := sqliteUpdates(ctx, f)
	return append([]comparison{creates(1, 0.85), creates(16, 1.6)}, updates...), err
}

// sqliteUpdates compares changes of a status with SELECT, UPDATE and INSERT in a transaction.
func sqliteUpdates(ctx context.Context, f *files) ([]comparison, error) {
	const incidents = 1000
	m, _, err := f.manager(ctx, nil)
	if err != nil {
		return nil, err
	}
	bare, err := f.bare(ctx, 1)
	if err != nil {
		return nil, err
	}
	for n := range incidents {
		if err := errors.Join(create(ctx, m, orgOf(n)), bare.create(orgOf(n))); err != nil {
			return nil, err
		}
	}
	// A goroutine has incidents of its own: no change meets another of the same incident.
	on := func(g, n int) (org string, identifier int64, status incident.Status) {
		i := (n*16 + g) % (incidents / 16 * 16)
		turn := (n*16 + g) / (incidents / 16 * 16)
		return orgOf(i), int64(i/organizations) + 1, []incident.Status{incident.StatusWarning, incident.StatusCritical}[turn%2]
	}
	updates := func(goroutines int, bar float64) comparison {
		return comparison{
			ours: &side{name: "UpdateStatus, in SQLite", call: func(g, n int) error {
				org, identifier, status := on(g, n)
				key := incident.Key{OrganizationID: incident.OrganizationID(org), Identifier: identifier}
				return only(m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: status}))
			}},
			theirs: &side{name: "bare SELECT, UPDATE and INSERT in a transaction", call: func(g, n int) error {
				return bare.update(on(g, n))
			}},
			goroutines: goroutines, bar: bar,
		}
	}
	return []comparison{updates(1, 0.75), updates(16, 0)}, nil
}

// sqliteNotifier compares creations whose notifications are queued with creations without a
// notifier.
func sqliteNotifier(ctx context.Context, f *files, _ *server) ([]comparison, error) {
	with, _, err := f.manager(ctx, &incident.Options{Notifier: incident.NotifyElsewhere})
	if err != nil {
		return nil, err
	}
	without, _, err := f.manager(ctx, nil)
	if err != nil {
		return nil, err
	}
	creates := func(goroutines int) comparison {
		return comparison{
			ours:       &side{name: "Create with a notifier, in SQLite", call: func(g, n int) error { return create(ctx, with, orgOf(g*17+n)) }},
			theirs:     &side{name: "Create without", call: func(g, n int) error { return create(ctx, without, orgOf(g*17+n)) }},
			goroutines: goroutines, bar: 0.85,
		}
	}
	return []comparison{creates(1), creates(16)}, nil
}

// sqliteDelivers compares creations in a process that also delivers their notifications with
// creations without a notifier. The backlog of a turn is delivered before the next turn.
func sqliteDelivers(ctx context.Context, f *files, _ *server) ([]comparison, error) {
	with, store, err := f.manager(ctx, &incident.Options{
		Notifier: incident.NotifierFunc(func(context.Context, incident.Notification) error { return nil }),
	})
	if err != nil {
		return nil, err
	}
	without, _, err := f.manager(ctx, nil)
	if err != nil {
		return nil, err
	}
	stop := func() {}
	drain := func() error {
		for {
			backlogs, err := store.Backlog(ctx)
			if err != nil || backlogs[""].Pending == 0 {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	delivers := &side{
		name: "Create with a notifier, while it delivers, in SQLite",
		begin: func() error {
			stop()
			running, cancel := context.WithCancel(ctx)
			var run sync.WaitGroup
			run.Go(func() { _ = with.Run(running) }) // ends with its context
			stop = func() { cancel(); run.Wait() }
			return drain()
		},
		call: func(g, n int) error { return create(ctx, with, orgOf(g*17+n)) },
	}
	return []comparison{{ours: delivers, goroutines: 16, theirs: &side{
		name: "Create without",
		begin: func() error {
			err := drain()
			stop()
			stop = func() {}
			return err
		},
		call: func(g, n int) error { return create(ctx, without, orgOf(g*17+n)) },
	}}}, nil
}
