package incident

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocache "github.com/patrickmn/go-cache"
	"pgregory.net/rapid"
)

func entry(version int64) CacheEntry {
	return CacheEntry{Version: version, value: &slotHolder{Identifier: version}}
}

func TestCache_neverGoesBack(t *testing.T) {
	c := NewCache(10)
	c.Put(t.Context(), "k", entry(2), time.Hour)
	c.Put(t.Context(), "k", entry(1), time.Hour)
	if e, ok := c.Get(t.Context(), "k"); !ok || e.Version != 2 {
		t.Errorf("after versions 2 and 1, Get = %+v, %t", e, ok)
	}
	c.Put(t.Context(), "k", CacheEntry{Version: 2}, time.Hour)
	if e, ok := c.Get(t.Context(), "k"); !ok || e.value != nil {
		t.Errorf("the same version did not replace: %+v, %t", e, ok)
	}
}

func TestCache_neverGoesBackUnderConcurrency(t *testing.T) {
	c := NewCache(10)
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for v := range int64(1000) {
				c.Put(t.Context(), "k", entry(v*4+int64(w)), time.Hour)
			}
		})
	}
	var last int64
	for range 1000 {
		if e, ok := c.Get(t.Context(), "k"); ok {
			if e.Version < last {
				t.Fatalf("version %d after %d", e.Version, last)
			}
			last = e.Version
		}
	}
	writers.Wait()
	if e, _ := c.Get(t.Context(), "k"); e.Version != 3999 {
		t.Errorf("ends with version %d, want 3999", e.Version)
	}
}

func TestCache_expires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(10)
		c.Put(t.Context(), "k", entry(5), time.Minute)
		time.Sleep(time.Minute - time.Nanosecond)
		if _, ok := c.Get(t.Context(), "k"); !ok {
			t.Error("gone before its time")
		}
		time.Sleep(time.Nanosecond)
		if _, ok := c.Get(t.Context(), "k"); ok {
			t.Error("still there after its time")
		}
		c.Put(t.Context(), "k", entry(1), time.Minute)
		if e, ok := c.Get(t.Context(), "k"); !ok || e.Version != 1 {
			t.Errorf("an expired entry keeps others out: %+v, %t", e, ok)
		}
	})
}

// However many keys are put, the cache holds at most its capacity, and keeps
// what is read.
func TestCache_isBounded(t *testing.T) {
	const capacity = 100
	c := NewCache(capacity)
	c.Put(t.Context(), "hot", entry(1), time.Hour)
	for i := range 10 * capacity {
		c.Put(t.Context(), fmt.Sprint(i), entry(1), time.Hour)
		if _, ok := c.Get(t.Context(), "hot"); !ok {
			t.Fatalf("dropped what is read all the time, at %d", i)
		}
	}
	m := c.(*memoryCache)
	if n := m.items.ItemCount(); n != capacity || len(m.keys) != capacity {
		t.Errorf("holds %d entries and %d keys, want %d", n, len(m.keys), capacity)
	}
	NewCache(-1).Put(t.Context(), "k", entry(1), time.Hour) // does not panic
}

// The interval that go-cache is given must make it start no goroutine, which
// nobody could stop. (The leak check of TestMain sees one too.)
func TestCache_hasNoJanitor(t *testing.T) {
	with, without := gocache.New(time.Hour, time.Hour), NewCache(1).(*memoryCache).items
	janitor := func(c *gocache.Cache) bool {
		return !reflect.ValueOf(c).Elem().Field(0).Elem().FieldByName("janitor").IsNil()
	}
	if !janitor(with) || janitor(without) {
		t.Errorf("janitors: %t with an interval, %t without", janitor(with), janitor(without))
	}
}

func TestCacheEntry_binaryForm(t *testing.T) {
	closed := ruleEpoch.Add(time.Hour + 123456*time.Microsecond)
	for name, e := range map[string]CacheEntry{
		"unknown": {Version: 7},
		"free":    {Version: 3, value: &slotHolder{}},
		"held":    {Version: 4, value: &slotHolder{Identifier: 42}},
		"state": {Version: 2, value: &State{
			Incident: Incident{
				OrganizationID: "acme", Identifier: 42, Title: "50% of \"checkout\" \\ is down\n😀", Type: TypeAlertTriggered,
				Status: StatusClosed, StatusMethod: StatusMethodRuleTriggered, AlertRuleID: "rule", QueryID: "query",
				DetectionUUID: [16]byte{1, 2, 3}, Projects: []ProjectID{"a", "b"},
				DateStarted: ruleEpoch, DateDetected: ruleEpoch, DateAdded: ruleEpoch, DateClosed: &closed, Version: 2,
			},
			Triggers: []Trigger{{
				Incident: Key{"acme", 42}, TriggerID: "5%", Status: TriggerStatusResolved, Severity: StatusCritical,
				DateAdded: ruleEpoch, DateModified: closed,
			}},
		}},
	} {
		data, err := e.MarshalBinary()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var back CacheEntry
		if err := back.UnmarshalBinary(data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(e, back) {
			t.Errorf("%s comes back as %+v from %s", name, back, data)
		}
	}
	var e CacheEntry
	for _, bad := range []string{"", "{", `{"state":{},"slot":{}}`, `{"version":"x"}`} {
		if err := e.UnmarshalBinary([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// Different things have different keys, and every key begins with its
// organization.
func TestCacheKey_isUnique(t *testing.T) {
	id := rapid.StringOfN(rapid.SampledFrom([]rune("a1:si|")), 0, 4, -1)
	number := rapid.Int64Range(1, 12)
	rapid.Check(t, func(t *rapid.T) {
		seen := map[string]any{}
		for range rapid.IntRange(2, 40).Draw(t, "n") {
			org := OrganizationID(id.Draw(t, "org"))
			var thing any
			var k string
			if rapid.Bool().Draw(t, "slot") {
				s := Slot{org, AlertRuleID(id.Draw(t, "rule")), ProjectID(id.Draw(t, "project")), QueryID(id.Draw(t, "query"))}
				thing, k = s, s.cacheKey()
			} else {
				i := Key{org, number.Draw(t, "identifier")}
				thing, k = i, i.cacheKey()
			}
			if other, ok := seen[k]; ok && other != thing {
				t.Fatalf("%q is the key of %+v and of %+v", k, thing, other)
			}
			seen[k] = thing
			if !strings.HasPrefix(k, fmt.Sprintf("%d:%s", len(org), org)) {
				t.Fatalf("the key of %+v does not begin with its organization: %q", thing, k)
			}
		}
	})
}
