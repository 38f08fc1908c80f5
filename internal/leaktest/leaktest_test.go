package leaktest

import (
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

// A goroutine that ends later than goleak waits is no leak. A goroutine that remains is named.
func TestAwait(t *testing.T) {
	end := make(chan struct{})
	go remains(end)
	if err := await(time.Millisecond); err == nil || !strings.Contains(err.Error(), "leaktest.remains") {
		t.Errorf("await() = %v, want an error that names the goroutine", err)
	}
	time.AfterFunc(600*time.Millisecond, func() { close(end) })
	if err := Await(); err != nil {
		t.Errorf("Await() of a goroutine that ends = %v, want nil", err)
	}
}

func remains(end chan struct{}) { <-end }
