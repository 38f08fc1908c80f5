package memory

// merge iterates over several lists at once, in order: descending or, if ascending is
// set, ascending. A key in several lists is returned once.
type merge struct {
	// lists is a heap of iterators, with the next key on top.
	lists     []*listIter
	ascending bool
}

// newMerge starts after the given key.
func newMerge(lists []*sortedList, after listKey, ascending bool) *merge {
	m := &merge{ascending: ascending}
	for _, list := range lists {
		if it, ok := list.after(after, ascending); ok {
			m.lists = append(m.lists, it)
		}
	}
	for i := len(m.lists)/2 - 1; i >= 0; i-- {
		m.sink(i)
	}
	return m
}

// next returns the next key, or false at the end.
func (m *merge) next() (listKey, bool) {
	if len(m.lists) == 0 {
		return listKey{}, false
	}
	best := m.lists[0].key()
	for len(m.lists) > 0 && m.lists[0].key() == best {
		if !m.lists[0].step(m.ascending) {
			last := len(m.lists) - 1
			m.lists[0] = m.lists[last]
			m.lists = m.lists[:last]
		}
		m.sink(0)
	}
	return best, true
}

// sink moves list i down the heap until the heap order holds.
func (m *merge) sink(i int) {
	for {
		next := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(m.lists); child++ {
			if m.before(child, next) {
				next = child
			}
		}
		if next == i {
			return
		}
		m.lists[i], m.lists[next] = m.lists[next], m.lists[i]
		i = next
	}
}

// before reports whether list i is visited before list j.
func (m *merge) before(i, j int) bool {
	a, b := m.lists[i].key(), m.lists[j].key()
	return a != b && a.less(b) == m.ascending
}
