package sqlite

import (
	"context"
	"sync"
	"sync/atomic"

	driver "modernc.org/sqlite"
)

// checkpoints moves the log PATH-wal into the database from time to time, beside the writes. A
// passive checkpoint waits for nobody: it moves what no reader needs.
type checkpoints struct {
	since   atomic.Int64 // the commits since the last checkpoint
	every   atomic.Int64 // the commits until the next; 0 at the beginning
	running atomic.Bool
	done    sync.WaitGroup
}

// The log is checkpointed when it has about wantedPages pages.
const (
	firstCommits = 32
	maxCommits   = 2048
	wantedPages  = 1000
)

// after counts commits, and starts a checkpoint if there were enough.
func (c *checkpoints) after(d *database, commits int64) {
	n := c.since.Add(commits)
	every := c.every.Load()
	if every == 0 {
		every = firstCommits
	}
	if n < every || !c.running.CompareAndSwap(false, true) {
		return
	}
	c.since.Store(0)
	c.done.Go(func() {
		defer c.running.Store(false)
		if pages := checkpoint(d); pages > 0 {
			c.every.Store(min(max(firstCommits, n*wantedPages/pages), maxCommits))
		}
	})
}

func (c *checkpoints) wait() { c.done.Wait() }

// checkpoint returns the number of pages that were in the log, or 0 after a failure. A failure
// leaves the log longer, and the next checkpoint repeats it.
func checkpoint(d *database) (pages int64) {
	connector, err := driver.NewConnector(writerDSN(d.file.path, &d.options))
	if err != nil || d.file.check() != nil {
		return 0
	}
	raw, err := connector.Connect(context.Background())
	if err != nil {
		return 0
	}
	c := newConn(raw)
	defer c.close()
	var busy, moved int64
	_, err = queryOne(context.Background(), c, "PRAGMA wal_checkpoint(PASSIVE)", nil, integer(&busy), integer(&pages), integer(&moved))
	if err != nil {
		return 0
	}
	return pages
}
