package pgtest

import (
	"sync"
	"testing"
)

// InTurn returns a factory of values that tests use in turn, such as a store in a schema of
// its own, because creating a schema takes longer than most tests. The factory calls create
// with the number of earlier values when all values are in use. It calls empty at the end of
// each test. A test that asks again gets the same value, emptied.
func InTurn[V any](create func(t *testing.T, number int) V, empty func(t *testing.T, v V)) func(t *testing.T) V {
	var mu sync.Mutex // guards the variables below
	made, free, taken := 0, []V(nil), map[*testing.T]V{}
	return func(t *testing.T) V {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if v, again := taken[t]; again {
			empty(t, v)
			return v
		}
		var v V
		if n := len(free); n > 0 {
			v, free = free[n-1], free[:n-1]
		} else {
			v = create(t, made)
			made++
		}
		taken[t] = v
		t.Cleanup(func() {
			empty(t, v)
			mu.Lock()
			defer mu.Unlock()
			delete(taken, t)
			free = append(free, v)
		})
		return v
	}
}
