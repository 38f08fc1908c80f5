package incident

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// loadTimeout bounds a read that several callers wait for, which none of
	// their contexts ends.
	loadTimeout = 30 * time.Second

	// loadPatience is how long a load of another caller is waited for before the next
	// one begins. The connection of that one may be silent. It doubles with each load
	// that is waited for in vain, so that a slow store is not asked ever more often.
	loadPatience = 1200 * time.Millisecond
)

// flights are loads in progress, each for all callers who ask for its key meanwhile.
// A load ends when it has an answer, or when nobody waits for it any more.
type flights struct {
	mu sync.Mutex // guards by, and the waiters of all in it
	by map[string]*flight
}

type flight struct {
	key     string
	waiters int
	cancel  context.CancelFunc

	// What is below is for those who have received from done.
	done  chan struct{}
	value any
	err   error
}

// join waits for the load of a key from now on, until leave. If none is in progress
// it begins one, which is the caller's own.
func (f *flights) join(ctx context.Context, key string, load func(context.Context) (any, error)) (l *flight, own bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.by[key]; l != nil {
		l.waiters++
		return l, false
	}
	if f.by == nil {
		f.by = map[string]*flight{}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
	l = &flight{key: key, waiters: 1, cancel: cancel, done: make(chan struct{})}
	f.by[key] = l
	go func() {
		defer cancel()
		defer close(l.done)
		defer f.drop(l)
		// A panic here would end the process: nobody could recover it.
		defer func() {
			if p := recover(); p != nil {
				l.err = fmt.Errorf("%w: the store panicked: %v", ErrUnavailable, p)
			}
		}()
		l.value, l.err = load(ctx)
	}()
	return l, true
}

// leave ends waiting for a load.
func (f *flights) leave(l *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l.waiters--; l.waiters > 0 {
		return
	}
	l.cancel()
	if f.by[l.key] == l {
		delete(f.by, l.key)
	}
}

// drop lets nobody else join a load.
func (f *flights) drop(l *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by[l.key] == l {
		delete(f.by, l.key)
	}
}

// Forget lets nobody else join the present load of a key.
func (f *flights) Forget(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.by, key)
}

// wait returns a load of a key with its answer. It waits for those of others with
// patience, and for its own until the context ends.
func (f *flights) wait(ctx context.Context, key string, load func(context.Context) (any, error)) (l *flight, own bool, err error) {
	for patience := loadPatience; ; patience *= 2 {
		l, own = f.join(ctx, key, load)
		answered, err := l.answer(ctx, patience, own)
		if !answered && err == nil {
			f.drop(l)
		}
		f.leave(l)
		if answered || err != nil {
			return l, own, err
		}
	}
}

// answer waits for the answer, and reports whether there is one.
func (l *flight) answer(ctx context.Context, patience time.Duration, own bool) (bool, error) {
	var impatient <-chan time.Time
	if !own {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		impatient = timer.C
	}
	select {
	case <-l.done:
		return true, nil
	case <-impatient:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
