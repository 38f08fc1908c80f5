package coherence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"
)

// recorder is a Memory that records the versions of the values that are put.
type recorder struct {
	*Memory
	put []int64
}

func (r *recorder) Put(ctx context.Context, key string, e Entry, ttl time.Duration) {
	if e.Value != nil {
		r.put = append(r.put, e.Version)
	}
	r.Memory.Put(ctx, key, e, ttl)
}

// newEngineOver returns an Engine over a cache of the host.
func newEngineOver(cache Cache) *Engine {
	return New(Config{
		Cache: cache, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), KeepOut: time.Hour,
		NotFound: errors.New("not found"), Unavailable: errors.New("unavailable"),
		Panicked: func(p any) error { return fmt.Errorf("panicked: %v", p) },
	})
}

// A reader that found no mark before the transaction may ask the cache while its End is in
// progress. Versions that another write of the transaction replaced are never there.
func TestPublication_storesCommittedVersionsAlone(t *testing.T) {
	ctx := t.Context()
	cache := &recorder{Memory: NewMemory(10)}
	c := newEngineOver(cache)
	p := c.Begin()
	for _, write := range []struct {
		key     string
		version int64
	}{{"a", 2}, {"b", 12}, {"a", 3}, {"a", 4}, {"b", 13}} {
		p.MarkRow(write.key, write.version-1)
		p.Add(write.key, (&row{write.version}).entry(), time.Hour)
	}
	p.Applied()
	p.End(ctx)
	slices.Sort(cache.put)
	if want := []int64{4, 13}; !slices.Equal(cache.put, want) {
		t.Errorf("the cache received versions %d, want %d", cache.put, want)
	}
	for key, want := range map[string]int64{"a": 4, "b": 13} {
		if r, ok := Get[*row](ctx, c, []byte(key)); !ok || r.version != want {
			t.Errorf("Get(%s) = %v, %t, want version %d", key, r, ok, want)
		}
	}
}
