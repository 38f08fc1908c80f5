package sqlite

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// checkpoints moves the log PATH-wal into the database from time to time, beside the writes. A
// passive checkpoint waits for nobody, and moves only pages that no reader needs. The log begins
// again if all pages were moved before the next commit. Steady writes prevent that; then a
// checkpoint runs between two writes.
type checkpoints struct {
	since   atomic.Int64 // the commits since the last checkpoint
	every   atomic.Int64 // the commits until the next; 0 at the beginning
	running atomic.Bool
	pages   atomic.Int64 // in the log at the last checkpoint, if there were too many; otherwise 0
	most    atomic.Int64 // the number that is too many; 0 for mostPages
	failed  atomic.Int64 // when a reader kept the log, in nanoseconds since 1970
	done    sync.WaitGroup
	conn    *conn // for the goroutine that runs
}

// The log is checkpointed when it has about wantedPages pages, and between two writes when it
// has more than mostPages.
const (
	firstCommits = 32
	maxCommits   = 2048
	wantedPages  = 1000
	mostPages    = 4000
)

// patienceOfLog is how long writes wait for the readers of a long log. They wait again when the log
// is twice as long, or after pauseOfLog.
const (
	patienceOfLog = 20 * time.Millisecond
	pauseOfLog    = time.Second
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
		pages := c.run(d)
		if pages == 0 {
			return
		}
		c.every.Store(min(max(firstCommits, n*wantedPages/pages), maxCommits))
		if c.isLong(pages) {
			c.pages.Store(pages)
		}
	})
}

// isLong reports whether a log is so long that the next write should wait for its readers.
func (c *checkpoints) isLong(pages int64) bool {
	rested := time.Since(time.Unix(0, c.failed.Load())) > pauseOfLog
	return pages > mostPages && (rested || pages > c.most.Load())
}

// close waits for the checkpoint in progress.
func (c *checkpoints) close() error {
	c.done.Wait()
	if c.conn == nil {
		return nil
	}
	return c.conn.close()
}

// run runs a passive checkpoint. It returns the number of pages that were in the log, or 0 after
// a failure. The next checkpoint then moves more.
func (c *checkpoints) run(d *database) (pages int64) {
	if d.file.check() != nil {
		return 0
	}
	if c.conn == nil {
		conn, err := connect(context.Background(), writerDSN(d.file.path, &d.options))
		if err != nil {
			return 0
		}
		c.conn = conn
	}
	pages, _, err := checkpoint(c.conn, "PASSIVE")
	if err != nil {
		return 0
	}
	return pages
}

// checkpoint moves the log, and reports whether others kept a part of it.
func checkpoint(c *conn, mode string) (pages int64, kept bool, err error) {
	var moved int64
	_, err = queryOne(context.Background(), c, "PRAGMA wal_checkpoint("+mode+")", nil, boolean(&kept), integer(&pages), integer(&moved))
	return pages, kept, err
}

// restartLog moves all of a long log while nothing is written, so that the log begins again. It
// waits a little for readers. If a reader keeps the log, the next attempt is at twice the length, or
// after a pause.
func (w *writer) restartLog() {
	c := &w.checkpoints
	pages := c.pages.Swap(0)
	if pages == 0 || w.file.check() != nil {
		return
	}
	if pages > walLimit/pageSize {
		c.done.Wait()
	}
	for start := time.Now(); time.Since(start) < patienceOfLog; time.Sleep(minPause) {
		_, kept, err := checkpoint(w.conn, "RESTART")
		switch {
		case err == nil && !kept:
			c.most.Store(0)
			return
		case err != nil && !isBusy(err):
			return
		}
	}
	c.most.Store(2 * pages)
	c.failed.Store(time.Now().UnixNano())
}

const pageSize = 4096
