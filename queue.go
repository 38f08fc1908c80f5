package incident

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// turnPatience is how long a writer waits for another one who has the turn. The
// connection of that one may be silent.
const turnPatience = 1200 * time.Millisecond

// queues makes the writers of one process to one incident, or to one slot, wait
// for each other instead of colliding in the store. Waiting ends with the
// context.
//
// A writer who keeps the turn for longer than turnPatience loses it to one of those
// who wait. Both are at work then, which the store can tell apart: it costs a
// version conflict at most.
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
	turn    chan struct{} // holds a token while a writer has the turn
	number  atomic.Uint64 // changes whenever the turn is taken, lost and given back
	members int           // those who wait, and those at work
}

// maxSpare is how many queues are kept for others to use.
const maxSpare = 64

// turn is a place in at most one queue.
type turn struct {
	queues *queues
	at     place
	queue  *queue // nil outside of any
	number uint64 // of the queue, as long as this writer has its turn
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
		t.number = q.number.Add(1)
	default:
		waited = true
		if t.number, err = q.wait(ctx); err != nil {
			t.queues.quit(at, q)
			return true, err
		}
	}
	t.at, t.queue = at, q
	return waited, nil
}

// wait waits for the turn, or takes it from a writer who keeps it for too long.
func (q *queue) wait(ctx context.Context) (number uint64, err error) {
	timer := time.NewTimer(turnPatience)
	defer timer.Stop()
	for {
		seen := q.number.Load()
		select {
		case q.turn <- struct{}{}:
			return q.number.Add(1), nil
		case <-timer.C:
			if q.number.CompareAndSwap(seen, seen+1) {
				return seen + 1, nil // with the token of who had it
			}
			timer.Reset(turnPatience)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (t *turn) leave() {
	if t.queue == nil {
		return
	}
	if t.queue.number.CompareAndSwap(t.number, t.number+1) {
		<-t.queue.turn
	}
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
