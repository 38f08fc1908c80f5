package coherence

import (
	"bytes"
	"context"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// crowd returns keys that fill their stripes with doubts one and a half times, and the number of
// these stripes. The short form fills a few stripes of the Engine.
func crowd(c *Engine) (keys []string, stripes int) {
	stripes = 64
	if os.Getenv("INCIDENT_TEST_LONG") != "" {
		stripes = len(c.stripes)
	}
	first := map[*stripe]bool{}
	for i := range stripes {
		first[&c.stripes[i]] = true
	}
	for n := 1; len(keys) < stripes*maxDoubts*3/2; n++ {
		if key := strconv.Itoa(n); first[c.stripe(key)] {
			keys = append(keys, key)
		}
	}
	return keys, stripes
}

// Doubts that are never settled take bounded memory. Beyond the bound, keys are read from the
// store for a day.
func TestDoubt_isBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		var log bytes.Buffer
		c := newEngine(&log, false)
		keys, stripes := crowd(c)
		for _, key := range keys {
			p := c.Begin()
			p.MarkRow(key, 1)
			p.End(ctx)
		}
		held := 0
		for i := range c.stripes {
			held += c.stripes[i].held
		}
		if limit := maxDoubts * stripes; held > limit || held < limit/2 {
			t.Errorf("%d doubts are held, want at most %d", held, limit)
		}
		if n := strings.Count(log.String(), "too many writes"); n != 1 {
			t.Errorf("the log says %d times that there are too many, want once: %s", n, log.String())
		}
		for n := 0; n < len(keys); n += len(keys) / 1000 {
			if cachedAfterLoad(ctx, t, c, keys[n], 1) {
				t.Fatalf("%s is cached at the version that the write may yet change", keys[n])
			}
		}
		time.Sleep(doubtLife)
		if !cachedAfterLoad(ctx, t, c, keys[0], 1) {
			t.Error("after a day the key is not cached")
		}
	})
}

// A key whose writes fail again and again has one doubt.
func TestDoubt_ofOneKeyIsMerged(t *testing.T) {
	c := newEngine(io.Discard, false)
	for range 1000 {
		p := c.Begin()
		p.MarkNew()
		p.MarkClaim("slot")
		p.End(t.Context())
		p = c.Begin()
		p.MarkRow("row", 1)
		p.MarkHeld("slot")
		p.End(t.Context())
	}
	held := 0
	for i := range c.stripes {
		held += c.stripes[i].held
	}
	if held != 3 {
		t.Errorf("%d doubts are held, want those of the row, of the claim, and of the slot on the row", held)
	}
}

// cachedAfterLoad loads a row at a version and reports whether the cache serves it.
func cachedAfterLoad(ctx context.Context, t *testing.T, c *Engine, key string, version int64) bool {
	t.Helper()
	for range 2 {
		if _, _, err := Load(ctx, c, key, time.Hour, func(context.Context) (*row, error) {
			return &row{version}, nil
		}, (*row).entry); err != nil {
			t.Fatal(err)
		}
	}
	_, ok := Get[*row](ctx, c, []byte(key))
	return ok
}

// Transactions of the host whose end is not reported take bounded memory too, and those whose
// end is reported leave nothing behind.
func TestJoint_isBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, told := range []bool{false, true} {
			c := newEngine(io.Discard, false)
			keys, stripes := crowd(c)
			for n, key := range keys {
				p := c.BeginJoint()
				p.MarkRow(key, 1)
				p.Add(key, (&row{2}).entry(), time.Hour)
				if told {
					p.EndJoint()
					if n%stripes == 0 {
						time.Sleep(jointDoubt)
					}
				}
			}
			held := 0
			for i := range c.stripes {
				held += c.stripes[i].held
			}
			if limit := maxDoubts * stripes; held > limit || !told && held < limit/2 || told == c.overflown.Load() {
				t.Errorf("ends told: %t: %d doubts are held, of at most %d", told, held, limit)
			}
			time.Sleep(jointDoubt)
			for n := 0; n < len(keys); n += len(keys) / 300 {
				// A row of a transaction that was rolled back keeps version 1.
				if got := cachedAfterLoad(t.Context(), t, c, keys[n], 1); got != told {
					t.Fatalf("ends told: %t: %s is cached: %t", told, keys[n], got)
				}
			}
		}
	})
}

// A read before the commit leaves the key in doubt, and the first read of the written version
// settles it.
func TestJoint_isSettledByTheCommit(t *testing.T) {
	c := newEngine(io.Discard, false)
	p := c.BeginJoint()
	p.MarkRow("key", 4)
	for _, version := range []int64{4, 5} {
		if cachedAfterLoad(t.Context(), t, c, "key", version) {
			t.Errorf("version %d is cached before the write is made", version)
		}
	}
	p.Add("key", (&row{5}).entry(), time.Hour)
	if cachedAfterLoad(t.Context(), t, c, "key", 4) {
		t.Error("the version before the commit is cached")
	}
	if !cachedAfterLoad(t.Context(), t, c, "key", 5) {
		t.Error("the committed version is not cached")
	}
}
