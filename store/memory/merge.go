package memory

// merge walks several lists as one, each place once: from the last place to the
// first or, ascending, from the first to the last.
type merge struct {
	lists     []*cursor // each stands on its next place
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
	return m
}

func (m *merge) next() (place, bool) {
	if len(m.lists) == 0 {
		return place{}, false
	}
	best := m.lists[0].place()
	for _, c := range m.lists[1:] {
		if p := c.place(); p.less(best) == m.ascending {
			best = p
		}
	}
	kept := m.lists[:0]
	for _, c := range m.lists {
		if c.place() != best || c.step(m.ascending) {
			kept = append(kept, c)
		}
	}
	m.lists = kept
	return best, true
}
