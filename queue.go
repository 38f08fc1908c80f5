package incident

import (
	"context"
	"sync"
)

// queues makes the writers of one process to one incident, or to one slot, wait
// for each other instead of colliding in the store. Waiting ends with the
// context.
type queues struct {
	mu    sync.Mutex // guards byKey and the members in it
	byKey map[string]*queue
}

type queue struct {
	turn    chan struct{} // holds a token while a writer is at work
	members int           // those who wait, and the one at work
}

// turn is a place in at most one queue.
type turn struct {
	queues *queues
	key    string
	queue  *queue // nil outside of any
}

// take leaves the queue that the turn is in, if it is another one, and waits for
// its turn in that of key. It reports whether it had to wait.
func (t *turn) take(ctx context.Context, key string) (waited bool, err error) {
	if t.queue != nil && t.key == key {
		return false, nil
	}
	t.leave()
	k := t.queues.join(key)
	select {
	case k.turn <- struct{}{}:
	default:
		waited = true
		select {
		case k.turn <- struct{}{}:
		case <-ctx.Done():
			t.queues.quit(key, k)
			return true, ctx.Err()
		}
	}
	t.key, t.queue = key, k
	return waited, nil
}

func (t *turn) leave() {
	if t.queue == nil {
		return
	}
	<-t.queue.turn
	t.queues.quit(t.key, t.queue)
	t.queue = nil
}

func (q *queues) join(key string) *queue {
	q.mu.Lock()
	defer q.mu.Unlock()
	k := q.byKey[key]
	if k == nil {
		if q.byKey == nil {
			q.byKey = map[string]*queue{}
		}
		k = &queue{turn: make(chan struct{}, 1)}
		q.byKey[key] = k
	}
	k.members++
	return k
}

func (q *queues) quit(key string, k *queue) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if k.members--; k.members == 0 {
		delete(q.byKey, key)
	}
}
