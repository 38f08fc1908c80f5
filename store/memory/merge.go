package memory

// merge walks several lists as one, each place once: from the last place to the
// first or, ascending, from the first to the last.
type merge struct {
	// lists is a heap of cursors by the places that they stand on, the next place
	// of the walk on top.
	lists     []*cursor
	ascending bool
}

// newMerge starts behind a place.
func newMerge(lists []*places, behind place, ascending bool) *merge {
	m := &merge{ascending: ascending}
	for _, list := range lists {
		if c, ok := list.behind(behind, ascending); ok {
			m.lists = append(m.lists, c)
		}
	}
	for i := len(m.lists)/2 - 1; i >= 0; i-- {
		m.sink(i)
	}
	return m
}

func (m *merge) next() (place, bool) {
	if len(m.lists) == 0 {
		return place{}, false
	}
	best := m.lists[0].place()
	for len(m.lists) > 0 && m.lists[0].place() == best {
		if !m.lists[0].step(m.ascending) {
			last := len(m.lists) - 1
			m.lists[0] = m.lists[last]
			m.lists = m.lists[:last]
		}
		m.sink(0)
	}
	return best, true
}

// sink moves the i-th list down the heap to where it belongs.
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

// before reports whether the walk reaches the place of list i before that of list j.
func (m *merge) before(i, j int) bool {
	a, b := m.lists[i].place(), m.lists[j].place()
	return a != b && a.less(b) == m.ascending
}
