package managertest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// jitter is a hook that sleeps before and after each call, so that calls interleave in
// every order. Occasionally it loses the answer to a write.
type jitter struct {
	mu     sync.Mutex // guards the fields below
	rng    *rand.Rand
	losses int // answers that may still be lost
}

func newJitter(seed uint64, losses int) *jitter {
	return &jitter{rng: rand.New(rand.NewPCG(seed, 2)), losses: losses}
}

// maxPause is the longest pause. Half of the pauses are zero.
const maxPause = 200 * time.Microsecond

func (j *jitter) pause() {
	j.mu.Lock()
	d := time.Duration(j.rng.Int64N(int64(2*maxPause))) - maxPause
	j.mu.Unlock()
	if d > 0 {
		time.Sleep(d)
	}
}

// loss reports whether the answer to a write is lost, and whether the write itself is
// lost too.
func (j *jitter) loss() (answer, write bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.losses == 0 || j.rng.IntN(50) != 0 {
		return false, false
	}
	j.losses--
	return true, j.rng.IntN(2) == 0
}

// around implements [hook].
func (j *jitter) around(ctx context.Context, isWrite bool, call func(context.Context) error) error {
	j.pause()
	defer j.pause()
	if !isWrite {
		return call(ctx)
	}
	answer, write := j.loss()
	if !write {
		if err := call(ctx); err != nil || !answer {
			return err
		}
	}
	return errWriteUnknown
}

// inTx implements [hook].
func (j *jitter) inTx(ctx context.Context, s incident.Store, fn func(tx incident.Store) error) error {
	return j.around(ctx, true, func(ctx context.Context) error { return s.InTx(ctx, fn) })
}

// jitterCache delays the results of Get and the effects of Put.
type jitterCache struct {
	incident.Cache
	*jitter
}

// Get implements [incident.Cache].
func (c *jitterCache) Get(ctx context.Context, key string) (incident.CacheEntry, bool) {
	e, ok := c.Cache.Get(ctx, key)
	c.pause()
	return e, ok
}

// Put implements [incident.Cache].
func (c *jitterCache) Put(ctx context.Context, key string, e incident.CacheEntry, ttl time.Duration) {
	c.pause()
	c.Cache.Put(ctx, key, e, ttl)
}
