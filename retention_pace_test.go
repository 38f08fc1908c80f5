package incident

import (
	"testing"
	"testing/synctest"
	"time"
)

// The size of a batch follows its time, within bounds.
func TestPace_adapts(t *testing.T) {
	each := 700 * time.Microsecond
	p := newPace(maxPurgeBatch)
	for range 20 {
		p.adapt(time.Duration(p.size)*each, p.size)
	}
	if took := time.Duration(p.size) * each; took > batchTime || took < batchTime/3 {
		t.Errorf("a batch of %d takes %v, want up to %v", p.size, took, batchTime)
	}
	for range 20 {
		p.adapt(time.Microsecond, p.size)
	}
	if p.size != maxPurgeBatch {
		t.Errorf("a fast store gets batches of %d, want %d", p.size, maxPurgeBatch)
	}
	p.adapt(time.Hour, p.size)
	if p.size != 1 {
		t.Errorf("after a batch of an hour the size is %d, want 1", p.size)
	}
	p.adapt(time.Microsecond, 0)
	if p.size != 1 {
		t.Errorf("an empty batch makes the size %d, want it to stay", p.size)
	}
}

func TestPace_rests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(maxPurgeBatch)
		for took, want := range map[time.Duration]time.Duration{
			0: 0, 20 * time.Millisecond: 80 * time.Millisecond, time.Hour: maxPause,
		} {
			began := time.Now()
			if err := p.rest(t.Context(), took, 1); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(began); got != want {
				t.Errorf("after a batch of %v the pause is %v, want %v", took, got, want)
			}
		}
	})
}
