package uuid7

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestSource_New(t *testing.T) {
	const several = 3 * supplySize / 8 // UUIDs, more than a supply is enough for
	var source Source
	tails := map[uuid.UUID]bool{}
	var last uuid.UUID
	for range several {
		id := source.New()
		if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("%v has version %d and variant %v", id, id.Version(), id.Variant())
		}
		if bytes.Compare(id[:], last[:]) <= 0 {
			t.Fatalf("%v follows %v", id, last)
		}
		last = id
		clear(id[:8])
		tails[id] = true
	}
	if len(tails) != several {
		t.Errorf("%d UUIDs have %d random parts", several, len(tails))
	}
	sec, nano := last.Time().UnixTime()
	if d := time.Since(time.Unix(sec, nano)).Abs(); d > time.Hour {
		t.Errorf("the time of %v is %v from now", last, d)
	}
}

func TestSource_New_concurrently(t *testing.T) {
	const goroutines, each = 4, 500
	var source Source
	var series [goroutines][each]uuid.UUID
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range each {
				series[g][i] = source.New()
			}
		})
	}
	all.Wait()
	seen := map[[8]byte]bool{} // the times
	for g := range goroutines {
		for i, id := range series[g] {
			seen[[8]byte(id[:8])] = true
			if i > 0 && bytes.Compare(id[:], series[g][i-1][:]) <= 0 {
				t.Fatalf("%v follows %v", id, series[g][i-1])
			}
		}
	}
	if len(seen) != goroutines*each {
		t.Errorf("%d UUIDs have %d times", goroutines*each, len(seen))
	}
}

func TestSeries_At(t *testing.T) {
	var source Source
	a, b := source.Series(), source.Series()
	if first, again := a.At(1), a.At(1); first != again {
		t.Errorf("At(1) = %v, and then %v", first, again)
	}
	seen := map[[16]byte]bool{}
	for i := range 3 {
		seen[a.At(i)], seen[b.At(i)] = true, true
	}
	if len(seen) != 6 {
		t.Errorf("6 indexes of 2 series have %d UUIDs", len(seen))
	}
	if v := a.At(0).Version(); v != 7 {
		t.Errorf("the version is %d", v)
	}
}
