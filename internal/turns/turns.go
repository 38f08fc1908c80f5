// Package turns makes the writers of a process wait for each other when they write to the same
// key.
//
// Without it, n writers that load the same version of a row and write it back cost up to n²
// attempts: a single writer wins each round, and all others collide in the store and begin
// again. A mutex for each key would prevent that. But a writer whose connection has gone
// silent would keep the mutex from every other writer of the key for as long as the network
// takes to give up.
//
// So a turn is a hint, and not a lock:
//
//  1. A writer takes the turn of its key. It waits while another writer has it, or until
//     its context ends.
//  2. Leave gives the turn back, and a waiting writer gets it.
//  3. A writer that has waited for [Patience] while the turn did not change hands takes it
//     over. The next writers wait for the new owner.
//  4. When the old owner leaves at last, it notices by the number of the turn that the turn
//     is no longer its own, and gives nothing back.
//
// After step 3 two writers are at work on the key. That is safe because the store refuses a
// write of an outdated version: a takeover costs a version conflict at most.
package turns

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Patience is how long a writer waits for the same owner of the turn.
const Patience = 1200 * time.Millisecond

// maxSpare is how many unused lines are kept for reuse.
const maxSpare = 64

// Lines has a line of waiting writers for each key that is being written. The zero value is
// ready to use. Its methods are safe for use by many goroutines.
type Lines[K comparable] struct {
	mu    sync.Mutex // guards the fields below and the members of all lines
	byKey map[K]*line
	spare []*line // without members
}

// line is where the writers of a key wait.
type line struct {
	turn    chan struct{} // holds a token while a writer has the turn
	number  atomic.Uint64 // changes whenever the turn is taken, taken over and given back
	members int           // writers that wait or are at work
}

// Turn is the turn of a writer, of a single key at a time. It is for one goroutine.
type Turn[K comparable] struct {
	lines  *Lines[K]
	key    K
	line   *line  // nil while the writer has no turn
	number uint64 // the number of the line while the turn is this writer's
}

// Turn returns a Turn without a key. The caller must call Leave when its writing ends.
func (l *Lines[K]) Turn() Turn[K] { return Turn[K]{lines: l} }

// Take waits for the turn of key, and first leaves the turn of any other key. It reports
// whether it had to wait: another writer may have changed the key meanwhile. If the writer
// already has the turn of key, Take returns at once.
//
// It returns the context's error if ctx ends first, and the writer then has no turn.
func (t *Turn[K]) Take(ctx context.Context, key K) (waited bool, err error) {
	if t.line != nil && t.key == key {
		return false, nil
	}
	t.Leave()
	l := t.lines.join(key)
	select {
	case l.turn <- struct{}{}:
		t.number = l.number.Add(1)
	default:
		waited = true
		if t.number, err = l.wait(ctx); err != nil {
			t.lines.quit(key, l)
			return true, err
		}
	}
	t.key, t.line = key, l
	return waited, nil
}

// Leave gives the turn back. It does nothing if the writer has none.
func (t *Turn[K]) Leave() {
	if t.line == nil {
		return
	}
	if t.line.number.CompareAndSwap(t.number, t.number+1) {
		<-t.line.turn
	}
	t.lines.quit(t.key, t.line)
	t.line = nil
}

// wait waits for the turn, or takes it over from an owner that keeps it for too long. It
// returns the number of the turn.
func (l *line) wait(ctx context.Context) (number uint64, err error) {
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	for {
		seen := l.number.Load()
		select {
		case l.turn <- struct{}{}:
			return l.number.Add(1), nil
		case <-timer.C:
			if l.number.CompareAndSwap(seen, seen+1) {
				return seen + 1, nil // the token in the channel is now this writer's
			}
			timer.Reset(Patience)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// join makes the caller a member of the line of key.
func (l *Lines[K]) join(key K) *line {
	l.mu.Lock()
	defer l.mu.Unlock()
	joined := l.byKey[key]
	if joined == nil {
		joined = l.unused()
		l.byKey[key] = joined
	}
	joined.members++
	return joined
}

// unused returns a line without members. The caller holds mu.
func (l *Lines[K]) unused() *line {
	if l.byKey == nil {
		l.byKey = map[K]*line{}
	}
	n := len(l.spare)
	if n == 0 {
		return &line{turn: make(chan struct{}, 1)}
	}
	free := l.spare[n-1]
	l.spare = l.spare[:n-1]
	return free
}

// quit ends a membership, and keeps the line for reuse when it was the last.
func (l *Lines[K]) quit(key K, left *line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if left.members--; left.members > 0 {
		return
	}
	delete(l.byKey, key)
	if len(l.spare) < maxSpare {
		l.spare = append(l.spare, left)
	}
}
