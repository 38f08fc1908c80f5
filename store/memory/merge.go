package memory

import "github.com/tidwall/btree"

// merge walks several lists as one, each place once: from the last place to the
// first or, ascending, from the first to the last.
type merge struct {
	lists     []*btree.IterG[place] // each stands on its next place
	ascending bool
}

// newMerge starts behind a place.
func newMerge(lists []*btree.BTreeG[place], behind place, ascending bool) *merge {
	m := &merge{ascending: ascending}
	for _, list := range lists {
		it := list.Iter()
		if seek(&it, behind, ascending) {
			m.lists = append(m.lists, &it)
		}
	}
	return m
}

// seek moves to the first place behind the given one.
func seek(it *btree.IterG[place], behind place, ascending bool) bool {
	found := it.Seek(behind) // stands on it, or on the next one after
	switch {
	case ascending:
		return found && (it.Item() != behind || it.Next())
	case found:
		return it.Prev()
	default:
		return it.Last()
	}
}

func (m *merge) next() (place, bool) {
	if len(m.lists) == 0 {
		return place{}, false
	}
	best := m.lists[0].Item()
	for i := range m.lists[1:] {
		if p := m.lists[i+1].Item(); p.less(best) == m.ascending {
			best = p
		}
	}
	kept := m.lists[:0]
	for _, it := range m.lists {
		if it.Item() != best || m.step(it) {
			kept = append(kept, it)
		}
	}
	m.lists = kept
	return best, true
}

func (m *merge) step(it *btree.IterG[place]) bool {
	if m.ascending {
		return it.Next()
	}
	return it.Prev()
}
