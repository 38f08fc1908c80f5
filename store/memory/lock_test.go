package memory

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// call makes a call that lasts until done is closed, and notes in order when it has the lock.
func call(t *testing.T, l *lock, a access, name string, order *[]string, done <-chan struct{}) {
	t.Helper()
	if err := l.acquire(t.Context(), a); err != nil {
		t.Errorf("acquire() of %s = %v", name, err)
		return
	}
	if a == scan || a == own {
		l.mu.Lock()
		defer l.release(a)
		defer l.mu.Unlock()
	} else {
		defer l.release(a)
	}
	*order = append(*order, name)
	if done != nil {
		l.mu.Unlock()
		<-done
		l.mu.Lock()
	}
}

// checkUnused checks that no call has the lock or waits for it.
func checkUnused(t *testing.T, l *lock) {
	t.Helper()
	if l.scans != 0 || l.owned || l.admitted != 0 || len(l.queue) != 0 {
		t.Errorf("after all calls the lock has %d walks, a transaction: %t, %d admitted and %d waiting calls",
			l.scans, l.owned, l.admitted, len(l.queue))
	}
}

func TestLock_admitsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lock
		var order []string
		ends := map[string]chan struct{}{}
		begin := func(a access, name string) {
			if a.isLong() {
				ends[name] = make(chan struct{})
			}
			go call(t, &l, a, name, &order, ends[name])
			synctest.Wait()
		}
		want := func(names ...string) {
			t.Helper()
			synctest.Wait()
			slices.Sort(order)
			if slices.Sort(names); !slices.Equal(order, names) {
				t.Errorf("the calls %q have the lock, want %q", order, names)
			}
			order = nil
		}
		end := func(name string) { close(ends[name]); synctest.Wait() }

		begin(own, "transaction")
		want("transaction")
		begin(read, "read")
		begin(write, "write")
		begin(scan, "walk")
		begin(own, "next transaction")
		begin(scan, "later walk")
		want()
		end("transaction")
		want("read", "write", "walk")
		begin(read, "read beside the walk") // overtakes the transaction
		want("read beside the walk")
		begin(write, "write after the walk")
		begin(scan, "walk after the transaction")
		want()
		end("walk")
		want("next transaction")
		end("next transaction")
		want("later walk")
		end("later walk")
		want("write after the walk", "walk after the transaction")
		end("walk after the transaction")
		begin(own, "last")
		want("last")
		end("last")
		checkUnused(t, &l)
	})
}

// A call whose context ends leaves the queue, and no longer keeps others waiting.
func TestLock_leavesQueueWithContext(t *testing.T) {
	for name, leaver := range map[string]access{"write": write, "walk": scan, "transaction": own} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l lock
				if err := l.acquire(t.Context(), scan); err != nil {
					t.Fatal(err)
				}
				first, cancelFirst := context.WithCancel(t.Context())
				defer cancelFirst()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				errs := make(chan error, 2)
				go func() { errs <- l.acquire(first, own) }()
				synctest.Wait()
				go func() { errs <- l.acquire(ctx, leaver) }()
				synctest.Wait()
				var order []string
				go call(t, &l, scan, "walk", &order, nil)
				time.Sleep(2 * time.Second)
				if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("acquire() = %v, want DeadlineExceeded", err)
				}
				if len(order) != 0 {
					t.Error("a walk overtook a waiting transaction")
				}
				cancelFirst()
				if err := <-errs; !errors.Is(err, context.Canceled) {
					t.Errorf("acquire() = %v, want Canceled", err)
				}
				synctest.Wait()
				if len(order) != 1 {
					t.Error("a walk waits for calls that have left the queue")
				}
				l.release(scan)
				checkUnused(t, &l)
			})
		})
	}
}

// An admitted call whose context ends at the same time gives the lock back.
func TestLock_givesBackWithContext(t *testing.T) {
	for name, leaver := range map[string]access{"write": write, "walk": scan, "transaction": own} {
		t.Run(name, func(t *testing.T) {
			var l lock
			if err := l.acquire(t.Context(), own); err != nil {
				t.Fatal(err)
			}
			w := &waiter{access: leaver, admitted: make(chan struct{})}
			l.queue = append(l.queue, w)
			l.release(own)
			<-w.admitted
			l.leave(w)
			if err := l.acquire(t.Context(), own); err != nil {
				t.Fatal(err)
			}
			l.release(own)
			checkUnused(t, &l)
		})
	}
}

// A long call does not overtake a short call that was admitted and has not run yet.
func TestLock_longCallsAwaitAdmitted(t *testing.T) {
	for name, long := range map[string]access{"walk": scan, "transaction": own} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := lock{owned: true}
				l.queue = append(l.queue, &waiter{access: write, admitted: make(chan struct{})})
				l.release(own)
				var order []string
				go call(t, &l, long, name, &order, nil)
				synctest.Wait()
				if len(order) != 0 {
					t.Errorf("a %s began before the admitted write", name)
				}
				l.mu.Lock()
				l.admitted-- // as the admitted write does
				l.release(write)
				synctest.Wait()
				if len(order) != 1 {
					t.Errorf("a %s waits after the admitted write", name)
				}
			})
		})
	}
}

// Neither a series of transactions nor overlapping walks keep another call waiting.
func TestLock_starvesNobody(t *testing.T) {
	for name, busy := range map[string]access{"transactions": own, "walks": scan} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l lock
				ctx, cancel := context.WithCancel(t.Context())
				var loops sync.WaitGroup
				for range 3 {
					loops.Go(func() {
						for l.acquire(ctx, busy) == nil {
							time.Sleep(time.Second)
							l.release(busy)
						}
					})
					time.Sleep(time.Second / 3)
				}
				for _, a := range []access{read, write, scan, own} {
					start := time.Now()
					if err := l.acquire(ctx, a); err != nil {
						t.Fatal(err)
					}
					if took := time.Since(start); took > 4*time.Second { // of the synthetic clock
						t.Errorf("a call waited %v for calls of a second each", took)
					}
					l.release(a)
				}
				cancel()
				loops.Wait()
			})
		})
	}
}

// A short call sees a consistent state between all others.
func TestLock_excludes(t *testing.T) {
	var l lock
	var value [2]int // equal, except during a write
	var calls sync.WaitGroup
	for g, a := range []access{read, write, write, scan, scan, own} {
		calls.Go(func() {
			for i := range 200 {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if (g+i)%5 == 0 {
					ctx, cancel = context.WithTimeout(ctx, 20*time.Microsecond)
				}
				if l.acquire(ctx, a) == nil {
					if a == write || a == own {
						value[0]++
						value[1]++
					} else if value[0] != value[1] {
						t.Error("a read saw half of a write")
					}
					l.release(a)
				}
				cancel()
			}
		})
	}
	calls.Wait()
}
