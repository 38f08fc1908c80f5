package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progressInterval is the minimum time between two updates of the line.
const progressInterval = 100 * time.Millisecond

// progress shows a counter of incidents on a terminal. Without a terminal it shows
// nothing.
type progress struct {
	terminal io.Writer // nil for none
	total    int
	changed  time.Time
	visible  bool
}

func newProgress(w io.Writer, total int) *progress {
	p := &progress{total: total, changed: time.Now()} // a short import shows nothing
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			p.terminal = f
		}
	}
	return p
}

func (p *progress) show(done int) {
	if p.terminal == nil || time.Since(p.changed) < progressInterval {
		return
	}
	p.changed, p.visible = time.Now(), true
	fmt.Fprintf(p.terminal, "\r\x1b[K%d of %d incidents", done, p.total)
}

// clear removes the line, if it is shown.
func (p *progress) clear() {
	if p.visible {
		fmt.Fprint(p.terminal, "\r\x1b[K")
		p.visible = false
	}
}
