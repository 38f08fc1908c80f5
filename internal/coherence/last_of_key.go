package coherence

// lastOfKey finds the last element of a key in a list that only grows. A long transaction has
// thousands of writes.
type lastOfKey struct {
	index map[string]int // of the first known elements
	known int
}

// fewElements is the length up to which a list is searched one by one, where a map would cost more.
const fewElements = 16

// find returns the index of the last of n elements with the key, or -1.
func (l *lastOfKey) find(key string, n int, keyOf func(i int) string) int {
	if n <= fewElements {
		for i := n - 1; i >= 0; i-- {
			if keyOf(i) == key {
				return i
			}
		}
		return -1
	}
	if l.index == nil {
		l.index = make(map[string]int, n)
	}
	for ; l.known < n; l.known++ {
		l.index[keyOf(l.known)] = l.known
	}
	if i, ok := l.index[key]; ok {
		return i
	}
	return -1
}
