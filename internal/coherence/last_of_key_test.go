package coherence

import (
	"strconv"
	"testing"
)

// Lists of all lengths around fewElements have the result of a search one by one, also while they
// grow.
func TestLastOfKey_findsTheLast(t *testing.T) {
	var list []string
	var l lastOfKey
	for n := range 3 * fewElements {
		list = append(list, strconv.Itoa(n*n%11))
		for key := range 12 {
			want := -1
			for i, k := range list {
				if k == strconv.Itoa(key) {
					want = i
				}
			}
			if got := l.find(strconv.Itoa(key), len(list), func(i int) string { return list[i] }); got != want {
				t.Fatalf("the last %d of %q is at %d, want %d", key, list, got, want)
			}
		}
	}
}
