package memory

import (
	"slices"
	"time"

	"github.com/tidwall/btree"
)

// listKey orders an incident in a list. It has no pointers, so a large list costs the
// garbage collector nothing.
type listKey struct {
	started    int64 // microseconds
	identifier int64
}

func listKeyOf(started time.Time, identifier int64) listKey {
	return listKey{started: started.UnixMicro(), identifier: identifier}
}

func (k listKey) less(other listKey) bool {
	if k.started != other.started {
		return k.started < other.started
	}
	return k.identifier < other.identifier
}

func (k listKey) compare(other listKey) int {
	switch {
	case k.less(other):
		return -1
	case k == other:
		return 0
	}
	return 1
}

// sortedList is an ordered list of incidents: a slice while it is short, then a tree.
// Each rule has a list, and most rules open few incidents.
type sortedList struct {
	few   []listKey
	first [1]listKey             // initial array of few
	many  *btree.BTreeG[listKey] // replaces few once the list exceeds maxFew
}

const maxFew = 32

func (l *sortedList) set(k listKey) {
	if l.many != nil {
		l.many.Load(k) // as Set, but faster at the end
		return
	}
	if l.few == nil {
		l.few = l.first[:0]
	}
	i, found := slices.BinarySearchFunc(l.few, k, listKey.compare)
	if found {
		return
	}
	if len(l.few) < maxFew {
		l.few = slices.Insert(l.few, i, k)
		return
	}
	l.many = newTree(listKey.less)
	for _, q := range l.few {
		l.many.Set(q)
	}
	l.many.Set(k)
	l.few = nil
}

func (l *sortedList) delete(k listKey) {
	if l.many != nil {
		l.many.Delete(k)
	} else if i, found := slices.BinarySearchFunc(l.few, k, listKey.compare); found {
		l.few = slices.Delete(l.few, i, i+1)
	}
}

func (l *sortedList) length() int {
	if l.many != nil {
		return l.many.Len()
	}
	return len(l.few)
}

func (l *sortedList) min() (listKey, bool) {
	if l.many != nil {
		return l.many.Min()
	}
	if len(l.few) == 0 {
		return listKey{}, false
	}
	return l.few[0], true
}

// listIter iterates over a sortedList. The list must not change meanwhile.
type listIter struct {
	few  []listKey
	i    int
	many *btree.IterG[listKey] // replaces few for a tree
}

// after returns an iterator at the next key after k, if any: the next lower key or, if
// ascending is set, the next higher key.
func (l *sortedList) after(k listKey, ascending bool) (*listIter, bool) {
	if l.many == nil {
		i, found := slices.BinarySearchFunc(l.few, k, listKey.compare)
		it := &listIter{few: l.few, i: i}
		if ascending && !found {
			return it, i < len(l.few)
		}
		return it, it.step(ascending)
	}
	tree := l.many.Iter()
	it := &listIter{many: &tree}
	found := tree.Seek(k) // at k, or at the next higher key
	switch {
	case ascending:
		return it, found && (tree.Item() != k || tree.Next())
	case found:
		return it, tree.Prev()
	}
	return it, tree.Last()
}

func (it *listIter) key() listKey {
	if it.many != nil {
		return it.many.Item()
	}
	return it.few[it.i]
}

// step moves to the next lower key or, if ascending is set, to the next higher. It
// reports whether there is such a key.
func (it *listIter) step(ascending bool) bool {
	switch {
	case it.many != nil && ascending:
		return it.many.Next()
	case it.many != nil:
		return it.many.Prev()
	case ascending:
		it.i++
		return it.i < len(it.few)
	}
	it.i--
	return it.i >= 0
}
