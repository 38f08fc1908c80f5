package incident

import (
	"context"
	"sync"
)

// queues makes the writers of one process to one incident, or to one slot, wait
// for each other instead of colliding in the store. Waiting ends with the
// context.
type queues struct {
	mu    sync.Mutex // guards what is below, and the members of all queues
	by    map[place]*queue
	spare []*queue // without members
}

// place is an incident or a slot.
type place struct {
	key  Key
	slot Slot
}

type queue struct {
	turn    chan struct{} // holds a token while a writer is at work
	members int           // those who wait, and the one at work
}

// maxSpare is how many queues are kept for others to use.
const maxSpare = 64

// turn is a place in at most one queue.
type turn struct {
	queues *queues
	at     place
	queue  *queue // nil outside of any
}

// take leaves the queue that the turn is in, if it is another one, and waits for
// its turn in that of a place. It reports whether it had to wait.
func (t *turn) take(ctx context.Context, at place) (waited bool, err error) {
	if t.queue != nil && t.at == at {
		return false, nil
	}
	t.leave()
	q := t.queues.join(at)
	select {
	case q.turn <- struct{}{}:
	default:
		waited = true
		select {
		case q.turn <- struct{}{}:
		case <-ctx.Done():
			t.queues.quit(at, q)
			return true, ctx.Err()
		}
	}
	t.at, t.queue = at, q
	return waited, nil
}

func (t *turn) leave() {
	if t.queue == nil {
		return
	}
	<-t.queue.turn
	t.queues.quit(t.at, t.queue)
	t.queue = nil
}

func (s *queues) join(at place) *queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.by[at]
	if q == nil {
		q = s.unused()
		s.by[at] = q
	}
	q.members++
	return q
}

// unused returns a queue without members. It is called with mu held.
func (s *queues) unused() *queue {
	if s.by == nil {
		s.by = map[place]*queue{}
	}
	n := len(s.spare)
	if n == 0 {
		return &queue{turn: make(chan struct{}, 1)}
	}
	q := s.spare[n-1]
	s.spare = s.spare[:n-1]
	return q
}

func (s *queues) quit(at place, q *queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.members--; q.members > 0 {
		return
	}
	delete(s.by, at)
	if len(s.spare) < maxSpare {
		s.spare = append(s.spare, q)
	}
}
