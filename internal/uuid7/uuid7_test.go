package uuid7

import "testing"

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
