package storetest

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// fault is a store that breaks the contract in one way, and the cases which
// must each reject it.
type fault struct {
	name  string
	plant func(s incident.Store) incident.Store
	cases []string
}

func faults() []fault {
	return slices.Concat(
		readFaults(), listFaults(), identifierFaults(), changeFaults(), replayFaults(), slotFaults(),
		activityFaults(), peopleFaults(), valueFaults(), organizationFaults(), memoryFaults(), contextFaults(), txFaults(),
	)
}

// The suite rejects each broken store by the cases that are about what is
// broken.
func TestRun_RejectsBrokenStores(t *testing.T) {
	byName := casesByName(contract())
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			wantRejected(t, byName, f.cases, func() incident.Store { return f.plant(memory.New()) })
		})
	}
}

// wantRejected checks that each of the named cases fails on a broken store of its own.
func wantRejected[S incident.Store, F ~func(testing.TB, S)](t *testing.T, byName map[string]F, names []string, plant func() S) {
	t.Helper()
	for _, name := range names {
		run, ok := byName[name]
		if !ok {
			t.Errorf("there is no case %s", name)
			continue
		}
		rejected, reason := rejects(t, run, plant())
		if !rejected {
			t.Errorf("%s accepts the store", name)
		}
		t.Logf("%s: %s", name, reason)
	}
}

// Each case rejects some store, so that none is there for nothing.
func TestRun_EachCaseRejectsAStore(t *testing.T) {
	var named []string
	for _, f := range faults() {
		named = append(named, f.cases...)
	}
	wantEachNamed(t, casesByName(contract()), named)
}

func wantEachNamed[F any](t *testing.T, byName map[string]F, named []string) {
	t.Helper()
	for name := range byName {
		if !slices.Contains(named, name) {
			t.Errorf("no broken store is to be rejected by %s", name)
		}
	}
}

func casesByName[S incident.Store](groups []group[S]) map[string]func(testing.TB, S) {
	byName := map[string]func(testing.TB, S){}
	for _, g := range groups {
		for _, c := range g.cases {
			name := g.name + "/" + c.name
			if byName[name] != nil {
				panic("two cases are named " + name)
			}
			byName[name] = c.run
		}
	}
	return byName
}

// rejects reports whether the case fails on the store, and why.
func rejects[S incident.Store](t *testing.T, run func(testing.TB, S), s S) (rejected bool, reason string) {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(r, s)
	}()
	<-done
	return r.failed, r.first
}

// recorder is a testing.TB for a case that is to fail.
type recorder struct {
	testing.TB
	mu     sync.Mutex // guards failed and first
	failed bool
	first  string
}

func (r *recorder) record(message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.failed {
		r.first = message
	}
	r.failed = true
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// Patience is short: what a broken store does not do at once it never does.
func (r *recorder) Patience() time.Duration { return 150 * time.Millisecond }

func (r *recorder) Helper() {}

func (r *recorder) Fail() { r.record("") }

func (r *recorder) Error(args ...any) { r.record(fmt.Sprint(args...)) }

func (r *recorder) Errorf(format string, args ...any) { r.record(fmt.Sprintf(format, args...)) }

func (r *recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}
