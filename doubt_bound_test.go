package incident

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Doubts that are never settled take bounded memory. Beyond the bound keys are read from
// the store, for a day.
func TestDoubt_bound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		var log bytes.Buffer
		c := newCoherence(NewCache(10), slog.New(slog.NewTextHandler(&log, nil)), false)
		key := func(n int) Key { return Key{OrganizationID: "acme", Identifier: int64(n)} }
		const doubts = 100_000
		for n := range doubts {
			p := c.begin()
			p.markChange(&Change{Key: key(n + 1), Incident: &Incident{}, ExpectVersion: 1}, false)
			p.end(ctx)
		}
		held := 0
		for i := range c.stripes {
			held += c.stripes[i].held
		}
		if limit := maxDoubts * len(c.stripes); held > limit || held < limit/2 {
			t.Errorf("%d doubts are held, want at most %d", held, limit)
		}
		if n := strings.Count(log.String(), "too many writes"); n != 1 {
			t.Errorf("the log says %d times that there are too many, want once: %s", n, log.String())
		}
		for n := range doubts {
			if n%101 == 0 && cachedAfterLoad(ctx, t, c, key(n+1), 1) {
				t.Fatalf("%s is cached at the version that the write may yet change", key(n+1))
			}
		}
		time.Sleep(doubtLife)
		if !cachedAfterLoad(ctx, t, c, key(1), 1) {
			t.Error("after a day the key is not cached")
		}
	})
}

// One key whose writes fail again and again takes the place of one doubt.
func TestDoubt_ofOneKey(t *testing.T) {
	c := newCoherence(NewCache(10), slog.Default(), false)
	slot := Slot{OrganizationID: "acme", AlertRuleID: "rule", ProjectID: "web"}
	for range 1000 {
		for _, k := range []Key{{"acme", 0}, {"acme", 1}} {
			p := c.begin()
			p.markChange(&Change{Key: k, Incident: &Incident{}, ExpectVersion: 1, Claim: []Slot{slot}}, false)
			p.end(t.Context())
		}
	}
	held := 0
	for i := range c.stripes {
		held += c.stripes[i].held
	}
	if held != 3 {
		t.Errorf("%d doubts are held, want those of the incident, of the claim, and of the slot on the incident", held)
	}
}

// cachedAfterLoad loads an incident at a version and reports whether the cache serves it.
func cachedAfterLoad(ctx context.Context, t *testing.T, c *coherence, key Key, version int64) bool {
	t.Helper()
	for range 2 {
		if _, _, err := load(ctx, c, key.cacheKey(), time.Hour, func(context.Context) (*State, error) {
			return &State{Incident: Incident{OrganizationID: key.OrganizationID, Identifier: key.Identifier, Version: version}}, nil
		}, func(s *State) CacheEntry { return CacheEntry{Version: s.Incident.Version, value: s} }); err != nil {
			t.Fatal(err)
		}
	}
	_, ok := get[*State](ctx, c, key.appendCacheKey(nil))
	return ok
}

// Host transactions whose end nobody tells take bounded memory too, and those whose end is
// told leave nothing behind.
func TestJoint_bound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, told := range []bool{false, true} {
			c := newCoherence(NewCache(10), slog.New(slog.DiscardHandler), false)
			key := func(n int) Key { return Key{OrganizationID: "acme", Identifier: int64(n)} }
			const joins = 100_000
			for n := range joins {
				p := c.begin()
				p.joint = &joint{}
				p.markChange(&Change{Key: key(n + 1), Incident: &Incident{}, ExpectVersion: 1}, false)
				p.addState(&State{Incident: Incident{OrganizationID: "acme", Identifier: int64(n + 1), Version: 2}}, time.Hour)
				if told {
					p.joint.end(c)
					if n%1000 == 0 {
						time.Sleep(joinDoubt)
					}
				}
			}
			held := 0
			for i := range c.stripes {
				held += c.stripes[i].held
			}
			if limit := maxDoubts * len(c.stripes); held > limit || !told && held < limit/2 || told == c.overflown.Load() {
				t.Errorf("ends told: %t: %d doubts are held, of at most %d", told, held, limit)
			}
			time.Sleep(joinDoubt)
			for n := range 300 {
				// A rolled back one is at version 1 for ever.
				if got := cachedAfterLoad(t.Context(), t, c, key(n*600+1), 1); got != told {
					t.Fatalf("ends told: %t: %s is cached: %t", told, key(n*600+1), got)
				}
			}
		}
	})
}

// What is read before the commit leaves the doubt, and the first read of what was written
// settles it.
func TestJoint_settles(t *testing.T) {
	c := newCoherence(NewCache(10), slog.Default(), false)
	key := Key{OrganizationID: "acme", Identifier: 1}
	p := c.begin()
	p.joint = &joint{}
	p.markChange(&Change{Key: key, Incident: &Incident{}, ExpectVersion: 4}, false)
	for _, version := range []int64{4, 5} {
		if cachedAfterLoad(t.Context(), t, c, key, version) {
			t.Errorf("version %d is cached before the write is made", version)
		}
	}
	p.addState(&State{Incident: Incident{OrganizationID: "acme", Identifier: 1, Version: 5}}, time.Hour)
	if cachedAfterLoad(t.Context(), t, c, key, 4) {
		t.Error("the version before the commit is cached")
	}
	if !cachedAfterLoad(t.Context(), t, c, key, 5) {
		t.Error("the committed version is not cached")
	}
}
