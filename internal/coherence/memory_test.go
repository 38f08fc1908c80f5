package coherence

import (
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocache "github.com/patrickmn/go-cache"
	"go.uber.org/goleak"

	"github.com/incidentkit/incident/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func entry(version int64) Entry {
	return Entry{Version: version, Value: &Holder{Identifier: version}}
}

func TestMemory_neverGoesBack(t *testing.T) {
	c := NewMemory(10)
	c.Put(t.Context(), "k", entry(2), time.Hour)
	c.Put(t.Context(), "k", entry(1), time.Hour)
	if e, ok := c.Get(t.Context(), "k"); !ok || e.Version != 2 {
		t.Errorf("after versions 2 and 1, Get = %+v, %t", e, ok)
	}
	c.Put(t.Context(), "k", Entry{Version: 2}, time.Hour)
	if e, ok := c.Get(t.Context(), "k"); !ok || e.Value != nil {
		t.Errorf("the same version did not replace: %+v, %t", e, ok)
	}
}

func TestMemory_neverGoesBackUnderConcurrency(t *testing.T) {
	c := NewMemory(10)
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

func TestMemory_expires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewMemory(10)
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

// However many keys are put, the cache holds at most its capacity, and keeps the keys that
// are read.
func TestMemory_isBounded(t *testing.T) {
	const capacity = 100
	c := NewMemory(capacity)
	c.Put(t.Context(), "hot", entry(1), time.Hour)
	for i := range 10 * capacity {
		c.Put(t.Context(), fmt.Sprint(i), entry(1), time.Hour)
		if _, ok := c.Get(t.Context(), "hot"); !ok {
			t.Fatalf("the key that is always read was dropped at %d", i)
		}
	}
	if n := c.items.ItemCount(); n != capacity || len(c.keys) != capacity {
		t.Errorf("holds %d entries and %d keys, want %d", n, len(c.keys), capacity)
	}
	NewMemory(-1).Put(t.Context(), "k", entry(1), time.Hour) // does not panic
}

// go-cache must be given an interval for which it starts no goroutine, since nobody could
// stop one.
func TestMemory_hasNoJanitor(t *testing.T) {
	with, without := gocache.New(time.Hour, time.Hour), NewMemory(1).items
	janitor := func(c *gocache.Cache) bool {
		return !reflect.ValueOf(c).Elem().Field(0).Elem().FieldByName("janitor").IsNil()
	}
	if !janitor(with) || janitor(without) {
		t.Errorf("janitors: %t with an interval, %t without", janitor(with), janitor(without))
	}
	with = nil
	runtime.GC() // its finalizer stops the janitor
	for deadline := time.Now().Add(20 * time.Second); goleak.Find() != nil && time.Now().Before(deadline); {
		runtime.GC()
	}
}
