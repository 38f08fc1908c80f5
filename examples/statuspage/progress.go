package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progressInterval is the least time between two changes of the line.
const progressInterval = 100 * time.Millisecond

// progress is a line on a terminal that counts incidents. Where there is no
// terminal it shows nothing.
type progress struct {
	terminal io.Writer // nil for none
	total    int
	changed  time.Time
	visible  bool
}

func newProgress(w io.Writer, total int) *progress {
	p := &progress{total: total, changed: time.Now()} // nothing for a short import
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

// clear takes the line away, if there is one.
func (p *progress) clear() {
	if p.visible {
		fmt.Fprint(p.terminal, "\r\x1b[K")
		p.visible = false
	}
}
