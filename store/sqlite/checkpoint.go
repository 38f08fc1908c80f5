package sqlite

import (
	"context"
	"sync/atomic"
	"time"
)

// checkpoints moves the log PATH-wal into the database from time to time, beside the writes. A
// passive checkpoint waits for nobody, and moves only pages that no reader needs. The log begins
// again if all pages were moved before the next commit. Steady writes prevent that; then a
// checkpoint runs between two writes. If writes are so fast that a checkpoint is left behind, they
// wait for it.
type checkpoints struct {
	since  atomic.Int64                  // the pages written since the last checkpoint began
	ended  atomic.Pointer[chan struct{}] // closed at the end of the last checkpoint; nil before the first
	pages  atomic.Int64                  // at most in the log at the end of the last checkpoint if too many, otherwise 0
	most   atomic.Int64                  // the number that is too many; 0 for mostPages
	failed atomic.Int64                  // when a reader kept the log, in nanoseconds since 1970
	conn   *conn                         // for the goroutine that runs
	before func()                        // if not nil, runs before each checkpoint, in a test
}

// The log is checkpointed after wantedPages more pages, and between two writes when it has more than
// mostPages. Writes wait for a checkpoint in progress after mostPages.
const (
	wantedPages = 1000
	mostPages   = 4000
)

// patienceOfLog is how long writes wait for the readers of a long log. They wait again when the log
// is twice as long, or after pauseOfLog. A process without processor time makes fewestAttempts.
const (
	patienceOfLog  = 20 * time.Millisecond
	pauseOfLog     = time.Second
	fewestAttempts = 10
)

// patienceOfCheckpoint is how long a batch waits for a checkpoint in progress.
const patienceOfCheckpoint = time.Second

// after counts the pages that c has written, and starts a checkpoint if there were enough. The caller
// has the turn. A long log is left to the next batch.
func (p *checkpoints) after(d *database, c *conn) {
	if p.since.Add(c.written()) < wantedPages || p.pages.Load() != 0 || !p.wait(0) {
		return
	}
	p.since.Store(0)
	ended := make(chan struct{})
	p.ended.Store(&ended)
	go func() {
		defer close(ended)
		if p.before != nil {
			p.before()
		}
		pages := p.run(d)
		if pages == 0 {
			return
		}
		if pages += p.since.Load(); p.isLong(pages) { // some pages may count twice
			p.pages.Store(pages)
		}
	}()
}

// isLong reports whether a log is so long that the next write should wait for its readers.
func (p *checkpoints) isLong(pages int64) bool {
	rested := time.Since(time.Unix(0, p.failed.Load())) > pauseOfLog
	return pages > mostPages && (rested || pages > p.most.Load())
}

// wait waits for the checkpoint in progress, and reports whether it has ended.
func (p *checkpoints) wait(patience time.Duration) bool {
	ended := p.ended.Load()
	if ended == nil {
		return true
	}
	select {
	case <-*ended:
		return true
	default:
	}
	if patience == 0 {
		return false
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-*ended:
		return true
	case <-late.C:
		return false
	}
}

// close waits for the checkpoint in progress.
func (p *checkpoints) close() error {
	if ended := p.ended.Load(); ended != nil {
		<-*ended
	}
	if p.conn == nil {
		return nil
	}
	return p.conn.close()
}

// run runs a passive checkpoint. It returns the number of pages that were in the log, or 0 after
// a failure. The next checkpoint then moves more.
func (p *checkpoints) run(d *database) (pages int64) {
	if d.file.check() != nil {
		return 0
	}
	if p.conn == nil {
		conn, err := connect(context.Background(), writerDSN(d.file.path, &d.options))
		if err != nil {
			return 0
		}
		p.conn = conn
	}
	pages, _, err := checkpoint(p.conn, "PASSIVE")
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

// boundLog waits for a checkpoint that the writes have left behind. It then moves all of a long
// log while nothing is written, so that the log begins again, and waits a little for readers. If a
// reader keeps the log, the next attempt is at twice the length, or after a pause.
func (w *writer) boundLog() {
	c := &w.checkpoints
	if c.since.Load() > mostPages && !c.wait(patienceOfCheckpoint) {
		return
	}
	pages := c.pages.Load()
	if pages == 0 || w.file.check() != nil || !c.wait(patienceOfCheckpoint) {
		return
	}
	c.pages.Store(0)
	c.since.Store(0)
	start := time.Now()
	for n := 0; n < fewestAttempts || time.Since(start) < patienceOfLog; n++ {
		if n > 0 {
			time.Sleep(minPause)
		}
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
