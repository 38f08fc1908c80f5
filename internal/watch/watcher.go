package watch

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Watcher receives the changes of a topic. It is for one goroutine.
type Watcher[T, K cmp.Ordered, V any] struct {
	hub   *Hub[T, K, V]
	name  T
	topic *topic[K, V]
	place place
}

// Change is a key that has changed.
type Change[K, V any] struct {
	Key   K
	Value V
}

// Close ends the watcher.
func (w *Watcher[T, K, V]) Close() { w.hub.leave(w) }

// Next waits for changes, and returns them in order of their keys. missed reports that other keys
// may have changed too; then there are no changes. ok is false if ctx has ended.
//
// At each tick, Next asks blind whether changes may be missed. A nil tick means never.
func (w *Watcher[T, K, V]) Next(ctx context.Context, tick <-chan time.Time, blind func() bool) (changes []Change[K, V], missed, ok bool) {
	select {
	case <-tick: // also if changes never cease
		missed = blind()
	default:
	}
	for ctx.Err() == nil {
		changes, dropped, wake := w.take()
		switch {
		case missed || dropped:
			return nil, true, true
		case len(changes) > 0:
			return changes, false, true
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-w.topic.stir:
			w.topic.wakeAll()
		case <-tick:
			missed = blind()
		}
	}
	return nil, false, false
}

// take returns the changes since the last call, or the channel that is closed after the next
// change.
func (w *Watcher[T, K, V]) take() (changes []Change[K, V], dropped bool, wake <-chan struct{}) {
	t := w.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	since := w.place.number
	w.place.number = t.number
	if since < t.dropped {
		return nil, true, nil
	}
	for at := t.order.Back(); at != nil; at = at.Prev() {
		c := at.Value.(*change[K, V])
		if c.number <= since {
			break
		}
		changes = append(changes, Change[K, V]{c.key, c.value})
	}
	slices.SortFunc(changes, func(a, b Change[K, V]) int { return cmp.Compare(a.Key, b.Key) })
	return changes, false, t.wake
}
