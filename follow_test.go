package incident

import (
	"context"
	"log/slog"
	"math"
	"testing"
	"time"
)

// A version that a load has returned keeps older ones out of service, also where it could
// not fill the cache and an older one lies there that was not served meanwhile.
func TestCoherence_loadKeepsOlderVersionsOut(t *testing.T) {
	ctx := t.Context()
	c := newCoherence(NewCache(10), slog.Default(), true)
	c.follows(time.Hour)
	c.off.Store(false) // there is a position, but no entry is served yet
	key := Key{OrganizationID: "acme", Identifier: 1}
	loads := func(version int64, meanwhile func()) {
		t.Helper()
		s, _, err := load(ctx, c, key.cacheKey(), time.Hour, func(context.Context) (*State, error) {
			meanwhile()
			return &State{Incident: Incident{OrganizationID: "acme", Identifier: 1, Version: version}}, nil
		}, func(s *State) CacheEntry { return CacheEntry{Version: s.Incident.Version, value: s} })
		if err != nil || s.Incident.Version != version {
			t.Fatalf("load() = %v, %v", s, err)
		}
	}
	loads(3, func() {})
	loads(4, func() { c.observe(ctx, key.cacheKey(), 3) })
	c.serveUntil(math.MaxInt64)
	if s, ok := get[*State](ctx, c, key.appendCacheKey(nil)); ok && s.Incident.Version < 4 {
		t.Errorf("version %d is served after a load has returned version 4", s.Incident.Version)
	}
	loads(4, func() {})
	if s, ok := get[*State](ctx, c, key.appendCacheKey(nil)); !ok || s.Incident.Version != 4 {
		t.Errorf("the next load does not fill the cache: %v, %t", s, ok)
	}
}
