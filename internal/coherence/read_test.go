package coherence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"testing"
	"time"
)

// newEngine returns an Engine over a Memory, which logs to w.
func newEngine(w io.Writer, shared bool) *Engine {
	m := NewMemory(10)
	return New(Config{
		Cache: m, Memory: m, Logger: slog.New(slog.NewTextHandler(w, nil)), KeepOut: time.Hour, Shared: shared,
		NotFound: errors.New("not found"), Unavailable: errors.New("unavailable"),
		Panicked: func(p any) error { return fmt.Errorf("panicked: %v", p) },
	})
}

// row is a value of a version.
type row struct{ version int64 }

func (r *row) entry() Entry { return Entry{Version: r.version, Value: r} }

// A version that a load has returned keeps older ones out of service, even where the load
// could not fill the cache and an older entry is there that was not served meanwhile.
func TestLoad_keepsOlderVersionsOut(t *testing.T) {
	ctx := t.Context()
	c := newEngine(io.Discard, true)
	c.NewFeed(FeedConfig{})
	c.off.Store(false) // there is a position, but no entry is served yet
	loads := func(version int64, meanwhile func()) {
		t.Helper()
		r, _, err := Load(ctx, c, "key", time.Hour, func(context.Context) (*row, error) {
			meanwhile()
			return &row{version}, nil
		}, (*row).entry)
		if err != nil || r.version != version {
			t.Fatalf("Load() = %v, %v", r, err)
		}
	}
	loads(3, func() {})
	loads(4, func() { c.Observe(ctx, "key", Entry{Version: 3}) })
	c.served.Store(math.MaxInt64)
	if r, ok := Get[*row](ctx, c, []byte("key")); ok && r.version < 4 {
		t.Errorf("version %d is served after a load has returned version 4", r.version)
	}
	loads(4, func() {})
	if r, ok := Get[*row](ctx, c, []byte("key")); !ok || r.version != 4 {
		t.Errorf("the next load does not fill the cache: %v, %t", r, ok)
	}
}
