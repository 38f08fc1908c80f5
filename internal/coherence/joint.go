package coherence

import (
	"context"
	"sync"
	"time"
)

// jointDoubt is how long a joint transaction is in doubt after the host has reported its end,
// since the reply to the host's commit may have been lost.
const jointDoubt = 5 * time.Second

// joint is the doubts of a publication in a transaction of the host. Nobody reports the
// moment of the host's commit, so that each key is in doubt from before its first write, and
// not from the end only. The first read of the written version settles the doubt.
type joint struct {
	mu     sync.Mutex // guards the fields below: the host may end it in any goroutine
	doubts map[string]*doubt
	ended  bool
}

// mark puts a key in doubt, before it is written.
func (j *joint) mark(c *Engine, key string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	d := j.doubts[key]
	if d == nil {
		d = &doubt{key: key, joint: true}
		if j.doubts == nil {
			j.doubts = map[string]*doubt{}
		}
		j.doubts[key] = d
	}
	life := doubtLife
	if j.ended {
		life = jointDoubt
	}
	d.until.Store(int64(c.now() + life))
	d.setFloor(c, never)
	c.raise(context.Background(), key, d)
}

// wrote notes the version that a key has if the host commits. The transaction holds the lock
// of its row, so that nobody else can write it before the end.
func (j *joint) wrote(c *Engine, key string, version int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if d := j.doubts[key]; d != nil {
		d.setFloor(c, version)
	}
}

// end notes that the host's transaction has ended.
func (j *joint) end(c *Engine) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = true
	for _, d := range j.doubts {
		d.endBy(c.now() + jointDoubt)
	}
}
