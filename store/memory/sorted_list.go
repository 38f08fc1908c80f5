package memory

import (
	"slices"
	"time"

	"github.com/tidwall/btree"
)

// place is an incident's place in a list. It holds no pointers, so that a large
// list costs the garbage collector nothing.
type place struct {
	started    int64 // microseconds
	identifier int64
}

func placeOf(started time.Time, identifier int64) place {
	return place{started: started.UnixMicro(), identifier: identifier}
}

func (p place) less(other place) bool {
	if p.started != other.started {
		return p.started < other.started
	}
	return p.identifier < other.identifier
}

func (p place) compare(other place) int {
	switch {
	case p.less(other):
		return -1
	case p == other:
		return 0
	}
	return 1
}

// places is a list in order. There is one for each rule, and most rules open few
// incidents, so that a short list is a slice.
type places struct {
	few   []place
	first [1]place             // where few begins
	many  *btree.BTreeG[place] // instead of few, once there were more than maxFew
}

const maxFew = 32

func (l *places) set(p place) {
	if l.many != nil {
		l.many.Load(p) // is fast at the end, and elsewhere as Set
		return
	}
	if l.few == nil {
		l.few = l.first[:0]
	}
	i, found := slices.BinarySearchFunc(l.few, p, place.compare)
	if found {
		return
	}
	if len(l.few) < maxFew {
		l.few = slices.Insert(l.few, i, p)
		return
	}
	l.many = newTree(place.less)
	for _, q := range l.few {
		l.many.Set(q)
	}
	l.many.Set(p)
	l.few = nil
}

func (l *places) delete(p place) {
	if l.many != nil {
		l.many.Delete(p)
	} else if i, found := slices.BinarySearchFunc(l.few, p, place.compare); found {
		l.few = slices.Delete(l.few, i, i+1)
	}
}

func (l *places) length() int {
	if l.many != nil {
		return l.many.Len()
	}
	return len(l.few)
}

func (l *places) min() (place, bool) {
	if l.many != nil {
		return l.many.Min()
	}
	if len(l.few) == 0 {
		return place{}, false
	}
	return l.few[0], true
}

// cursor stands on a place of a list, which must not change meanwhile.
type cursor struct {
	few  []place
	i    int
	many *btree.IterG[place] // instead of few
}

// behind returns a cursor on the first place behind the given one, if there is
// one: the next lower or, ascending, the next higher.
func (l *places) behind(p place, ascending bool) (*cursor, bool) {
	if l.many == nil {
		i, found := slices.BinarySearchFunc(l.few, p, place.compare)
		c := &cursor{few: l.few, i: i}
		if ascending && !found {
			return c, i < len(l.few)
		}
		return c, c.step(ascending)
	}
	it := l.many.Iter()
	c := &cursor{many: &it}
	found := it.Seek(p) // stands on it, or on the next one after
	switch {
	case ascending:
		return c, found && (it.Item() != p || it.Next())
	case found:
		return c, it.Prev()
	}
	return c, it.Last()
}

func (c *cursor) place() place {
	if c.many != nil {
		return c.many.Item()
	}
	return c.few[c.i]
}

// step moves to the next lower place or, ascending, to the next higher one. It
// reports whether there is one.
func (c *cursor) step(ascending bool) bool {
	switch {
	case c.many != nil && ascending:
		return c.many.Next()
	case c.many != nil:
		return c.many.Prev()
	case ascending:
		c.i++
		return c.i < len(c.few)
	}
	c.i--
	return c.i >= 0
}
