package storetest

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// patience is how long a case waits for an event that must happen.
	patience = 30 * time.Second

	// grace is how long a case that was given up may take to notice that its
	// context has ended.
	grace = time.Second

	// maxFailures is the number of failures of a case that are printed, of different
	// lines. Further failures are counted.
	maxFailures = 3
)

// trial is a run of a case. It has the methods of [testing.TB] that cases use.
//
// A case runs in goroutines of its own, and leaves them behind if it hangs. If they
// had the testing.T, they would use it after its test, which panics and ends the whole
// process. A trial records failures instead. The goroutine of the test prints them after
// the case has ended or was given up, and the trial ignores all that happens later.
type trial struct {
	name     string // of the test, to find the goroutines of the case by
	ctx      context.Context
	cancel   context.CancelFunc
	patience time.Duration

	mu       sync.Mutex      // guards the fields below
	helpers  map[string]bool // functions that called Helper
	lines    map[string]bool // lines of the case that have failed
	failures []string        // the first maxFailures, of different lines
	failed   int             // the number of all failures
	stopped  bool            // Fatal has been called
	over     bool            // nothing is recorded any more
}

func newTrial(ctx context.Context, name string, patience time.Duration) *trial {
	t := &trial{name: name, patience: patience, helpers: map[string]bool{}, lines: map[string]bool{}}
	t.ctx, t.cancel = context.WithCancel(ctx)
	return t
}

// run calls fn in a goroutine and returns when the goroutine has ended. If it does not
// end within limit, run cancels the context of the case, reports the call in which the
// case hangs, and leaves the goroutine behind.
func (t *trial) run(limit time.Duration, fn func()) (hung bool) {
	defer t.cancel()
	done := t.start(func() {
		returned := false
		defer func() {
			if !returned && !t.isStopped() {
				t.record("", "runtime.Goexit ended the goroutine of the case")
			}
		}()
		defer t.recoverPanic(&returned)
		fn()
		returned = true
	})
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		hung = true
		t.record("", fmt.Sprintf("the case did not end within %v%s", limit.Round(time.Millisecond), whereabouts(t.name)))
		t.cancel()
		select {
		case <-done:
		case <-time.After(grace):
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	return hung
}

// start calls fn in a new goroutine, which belongs to the case. A panic in fn is a
// failure of the case.
func (t *trial) start(fn func()) (done <-chan struct{}) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(caseLabel, t.name)))
		defer t.recoverPanic(nil)
		fn()
	}()
	return ended
}

// together calls fn n times at once, and returns when all calls have returned. A call
// that ends its goroutine does not end the case.
func (t *trial) together(n int, fn func(i int)) {
	begin := make(chan struct{})
	calls := make([]<-chan struct{}, n)
	for i := range n {
		calls[i] = t.start(func() {
			<-begin
			fn(i)
		})
	}
	close(begin)
	for _, done := range calls {
		<-done
	}
}

// recoverPanic records a panic. It sets handled, which may be nil, to true.
func (t *trial) recoverPanic(handled *bool) {
	value := recover()
	if value == nil {
		return
	}
	if handled != nil {
		*handled = true
	}
	frames := callers(2)
	for i, f := range slices.Backward(frames) {
		if f.Function == "runtime.gopanic" {
			frames = frames[i+1:]
			break
		}
	}
	site := max(slices.IndexFunc(frames, func(f runtime.Frame) bool { return !isWait(f) }), 0)
	line := position(frames[site])
	t.record(line, fmt.Sprintf("panic at %s%s: %v", line, callIn(frames), value))
}

// Context returns the context of the case.
func (t *trial) Context() context.Context { return t.ctx }

// Helper has failures in the calling function reported at the line of its caller.
func (t *trial) Helper() {
	var pc [1]uintptr
	runtime.Callers(2, pc[:])
	f, _ := runtime.CallersFrames(pc[:]).Next()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.helpers[f.Function] = true
}

// Error records a failure. The case continues.
func (t *trial) Error(args ...any) { t.recordHere(fmt.Sprint(args...)) }

// Errorf records a failure. The case continues.
func (t *trial) Errorf(format string, args ...any) { t.recordHere(fmt.Sprintf(format, args...)) }

// Fatal records a failure and ends the calling goroutine.
func (t *trial) Fatal(args ...any) {
	t.recordHere(fmt.Sprint(args...))
	t.stop()
}

// Fatalf records a failure and ends the calling goroutine.
func (t *trial) Fatalf(format string, args ...any) {
	t.recordHere(fmt.Sprintf(format, args...))
	t.stop()
}

func (t *trial) stop() {
	t.mu.Lock()
	t.stopped = true
	t.mu.Unlock()
	runtime.Goexit()
}

func (t *trial) isStopped() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stopped
}

// recordHere records a failure with the line of the case.
func (t *trial) recordHere(message string) {
	line := ""
	for _, f := range callers(3) {
		if !t.isHelper(f.Function) {
			line = position(f)
			break
		}
	}
	t.record(line, line+": "+message)
}

func (t *trial) isHelper(function string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.helpers[function]
}

// record records a failure. Further failures of the same line are counted.
func (t *trial) record(line, message string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	t.failed++
	if len(t.failures) < maxFailures && !t.lines[line] {
		t.lines[line] = true
		t.failures = append(t.failures, shorten(message))
	}
}

// report returns a few lines about the failures. It is empty if there was none.
func (t *trial) report() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	report := strings.Join(t.failures, "\n")
	if more := t.failed - len(t.failures); more > 0 {
		report += fmt.Sprintf("\n... and %d more failures of this case", more)
	}
	return report
}

func position(f runtime.Frame) string { return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line) }
