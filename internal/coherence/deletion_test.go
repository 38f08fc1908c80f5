package coherence

import (
	"context"
	"testing"
	"time"
)

// mute is a Memory that answers nothing for a while.
type mute struct {
	*Memory
	silent bool
}

func (m *mute) Get(ctx context.Context, key string) (Entry, bool) {
	if m.silent {
		return Entry{}, false
	}
	return m.Memory.Get(ctx, key)
}

// Once a read has found no row, no later read finds an entry, even if the cache did not answer in
// between.
func TestEngine_Absent_outlivesASilentCache(t *testing.T) {
	ctx := t.Context()
	cache := &mute{Memory: NewMemory(10)}
	c := newEngineOver(cache)
	_, _, err := Load(ctx, c, "key", time.Hour, func(context.Context) (*row, error) { return &row{3}, nil }, (*row).entry)
	if _, ok := Get[*row](ctx, c, []byte("key")); err != nil || !ok {
		t.Fatalf("the entry is not in the cache: %v", err)
	}
	cache.silent = true
	c.Absent(ctx, "key")
	cache.silent = false
	if r, ok := Get[*row](ctx, c, []byte("key")); ok {
		t.Errorf("version %d is served after a read has found no row", r.version)
	}
}
