// Package watch reports changed keys to the watchers of a topic, without making a writer wait.
//
// The obvious way is a queue for each watcher. It fails in two ways:
//
//   - A slow watcher fills its queue. Then the writer waits, the queue grows, or changes are lost.
//   - A write costs as much as there are watchers.
//
// So the watchers of a topic share one record of the newest change of each key:
//
//  1. A writer moves the key to the end of the record, under a short lock, and leaves a token
//     for the watchers. Its cost does not depend on their number.
//  2. The first idle watcher that takes the token wakes the others.
//  3. Each watcher reads the record backwards, to the place where it last read. A key that has
//     changed several times since is there once.
//  4. The record drops changes that all watchers have read, and beyond a limit the oldest
//     changes. A watcher that has not read a dropped change learns that it has missed changes.
//
// A watcher begins with missed changes. Its user reads the truth after the registration, so that
// no change falls between.
package watch

import (
	"cmp"
	"container/list"
	"sync"
	"sync/atomic"
)

// Hub passes changes from writers to watchers by topic. Its methods are safe for use by many
// goroutines, and none waits for a watcher.
type Hub[T, K cmp.Ordered, V any] struct {
	merge func(older, newer V) V
	limit int

	watched atomic.Int64 // number of watchers

	mu     sync.RWMutex // guards topics
	topics map[T]*topic[K, V]
}

// New returns a Hub that records the changes of at most limit keys for each topic. merge returns
// the value of a key that changes again while its change is recorded.
func New[T, K cmp.Ordered, V any](limit int, merge func(older, newer V) V) *Hub[T, K, V] {
	return &Hub[T, K, V]{merge: merge, limit: limit, topics: map[T]*topic[K, V]{}}
}

// Watched reports whether there is any watcher. A writer calls it after its commit: a watcher that
// registers later reads the truth after the commit.
func (h *Hub[T, K, V]) Watched() bool { return h.watched.Load() > 0 }

// Changed records the change of a key.
func (h *Hub[T, K, V]) Changed(name T, key K, value V) {
	if t := h.topic(name); t != nil {
		t.changed(key, value, h.merge, h.limit)
	}
}

// Missed records that unknown keys of a topic may have changed. Values recorded before are not
// merged into later values, since they may no longer be true.
func (h *Hub[T, K, V]) Missed(name T) {
	if t := h.topic(name); t != nil {
		t.missed()
	}
}

// MissedAll calls Missed for all topics.
func (h *Hub[T, K, V]) MissedAll() {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, t := range h.topics {
		t.missed()
	}
}

// topic returns a topic, or nil if nobody watches it.
func (h *Hub[T, K, V]) topic(name T) *topic[K, V] {
	if !h.Watched() {
		return nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.topics[name]
}

// Watch registers a watcher of a topic. The caller must call Close.
func (h *Hub[T, K, V]) Watch(name T) *Watcher[T, K, V] {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[name]
	if t == nil {
		t = newTopic[K, V]()
		h.topics[name] = t
	}
	w := &Watcher[T, K, V]{hub: h, name: name, topic: t}
	t.add(&w.place)
	h.watched.Add(1)
	return w
}

// leave removes a watcher, and its topic if that has no other.
func (h *Hub[T, K, V]) leave(w *Watcher[T, K, V]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watched.Add(-1)
	if w.topic.remove(&w.place) == 0 {
		delete(h.topics, w.name)
	}
}

// topic is the record of the newest changes of a topic's keys.
type topic[K comparable, V any] struct {
	mu      sync.Mutex          // guards the fields below, and the places
	number  uint64              // of the last change
	dropped uint64              // the highest number of a change that is no longer in order
	order   *list.List          // of *change, by number
	byKey   map[K]*list.Element // the elements of order
	prune   int                 // the length of order at which changes that all have read are dropped
	places  map[*place]struct{} // of the watchers
	wake    chan struct{}       // closed to wake all idle watchers, and replaced

	// stir holds a token if there is a change that no idle watcher has noticed.
	stir chan struct{}
}

// change is the newest change of a key.
type change[K, V any] struct {
	key    K
	value  V
	number uint64
}

// place is the number of the last change that a watcher has read. 0 for none.
type place struct{ number uint64 }

// leastPrune is the least length at which a record is pruned.
const leastPrune = 64

func newTopic[K comparable, V any]() *topic[K, V] {
	return &topic[K, V]{
		number: 1, dropped: 1, // so that a watcher begins by having missed changes
		order: list.New(), byKey: map[K]*list.Element{}, prune: leastPrune,
		places: map[*place]struct{}{}, wake: make(chan struct{}), stir: make(chan struct{}, 1),
	}
}

func (t *topic[K, V]) changed(key K, value V, merge func(older, newer V) V, limit int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.number++
	if at, ok := t.byKey[key]; ok {
		c := at.Value.(*change[K, V])
		c.value, c.number = merge(c.value, value), t.number
		t.order.MoveToBack(at)
	} else {
		t.byKey[key] = t.order.PushBack(&change[K, V]{key: key, value: value, number: t.number})
		t.makeRoom(limit)
	}
	t.signal()
}

// makeRoom drops the changes that all watchers have read, once in so many changes that its cost
// does not matter, and the oldest changes beyond the limit. The caller holds mu.
func (t *topic[K, V]) makeRoom(limit int) {
	if t.order.Len() > min(t.prune, limit) {
		read := t.number
		for p := range t.places {
			read = min(read, p.number)
		}
		for at := t.order.Front(); at != nil && at.Value.(*change[K, V]).number <= read; at = t.order.Front() {
			t.drop(at)
		}
		t.prune = max(leastPrune, 2*t.order.Len())
	}
	for t.order.Len() > limit {
		t.drop(t.order.Front())
	}
}

// drop removes the oldest change. The caller holds mu.
func (t *topic[K, V]) drop(oldest *list.Element) {
	c := t.order.Remove(oldest).(*change[K, V])
	delete(t.byKey, c.key)
	t.dropped = c.number
}

func (t *topic[K, V]) missed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.number++
	t.dropped = t.number
	t.order.Init()
	clear(t.byKey)
	t.signal()
}

func (t *topic[K, V]) signal() {
	select {
	case t.stir <- struct{}{}:
	default:
	}
}

// wakeAll wakes all idle watchers.
func (t *topic[K, V]) wakeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.wake)
	t.wake = make(chan struct{})
}

func (t *topic[K, V]) add(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.places[p] = struct{}{}
}

// remove returns the number of the other watchers.
func (t *topic[K, V]) remove(p *place) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.places, p)
	return len(t.places)
}
