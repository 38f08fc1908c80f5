// Package storetest checks that a store keeps the contract of [incident.Store], and those of
// [incident.FeedStore], [incident.OutboxStore] and [incident.RetentionStore], which have the
// suites [RunFeed], [RunOutbox] and [RunRetention]. The whole test of a store is a call:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) incident.Store { return memory.New() })
//	}
//
// Each "must" of the contract is a case of its own, and a failed case names the promise
// that the store breaks:
//
//	--- FAIL: TestStore/Apply/ChecksTheVersion
//	    apply.go:123: Apply() on version 1 = <nil>, want an error that matches "incident: version conflict"
//
// # Writing a store case by case
//
// Begin with Apply and Load, which nearly all cases use:
//
//	go test -run 'TestStore/(Load|Apply)/'
//
// A method that is not written yet returns [errors.ErrUnsupported] or panics with a text
// such as "not implemented". Its own cases fail and name it. The other cases run, and can
// pass unless they need the method.
//
// # Faults
//
// A case ends alone. A panic in it is reported with the function that panicked. A case
// that does not end within two minutes, or within half of the time that go test's
// -timeout leaves, fails with the functions in which its goroutines are. The bound is
// halved with every case that hangs, down to two seconds, so that a store that always
// hangs gets its report in time. Only a panic in a goroutine that the store has started
// ends the whole run, as it would end any program.
package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// Run checks the contract of [incident.Store]. Each case is a subtest named after the
// promise, such as "Apply/ChecksTheVersion". Run returns after all cases have ended.
//
// newStore returns an empty store. It is called once for each case, concurrently, and no
// other case uses the store. It can release the store's resources with t.Cleanup.
//
// Cases call the store from several goroutines at once. They expect a healthy store: an
// [incident.ErrUnavailable] fails a case.
func Run(t *testing.T, newStore func(t *testing.T) incident.Store) {
	t.Helper()
	runGroups(t, contract(), newStore)
}

func runGroups[S incident.Store](t *testing.T, groups []group[S], newStore func(t *testing.T) S) {
	t.Helper()
	limit := newLimit(maxLimit)
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) { runCases(t, g.cases, newStore, limit) })
	}
}

func runCases[S incident.Store](t *testing.T, cases []testCase[S], newStore func(t *testing.T) S, limit *limit) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.runOn(t, newStore, limit)
		})
	}
}

// group is the cases about a method or a subject.
type group[S incident.Store] struct {
	name  string
	cases []testCase[S]
}

// testCase checks a promise on an empty store.
type testCase[S incident.Store] struct {
	name string
	run  func(t *trial, s S)
}

type (
	storeCase  = testCase[incident.Store]
	feedCase   = testCase[incident.FeedStore]
	outboxCase = testCase[incident.OutboxStore]

	caseFunc = func(t *trial, s incident.Store)
)

func (c testCase[S]) runOn(t *testing.T, newStore func(t *testing.T) S, limit *limit) {
	defer func() {
		if value := recover(); value != nil {
			t.Errorf("newStore panics: %v", value)
		}
	}()
	s := newStore(t)
	if any(s) == nil {
		t.Fatal("newStore returns nil, want a store")
	}
	trial := newTrial(t.Context(), t.Name(), patience)
	hung := trial.run(limit.of(t), func() { c.run(trial, s) })
	if hung {
		limit.halve()
	}
	if report := trial.report(); report != "" {
		_, _ = fmt.Fprintln(t.Output(), report)
		t.Fail()
	}
}

const (
	maxLimit = 2 * time.Minute
	minLimit = 2 * time.Second
)

// limit bounds the time that a case of a run may take.
type limit struct {
	mu  sync.Mutex // guards max
	max time.Duration
}

func newLimit(most time.Duration) *limit { return &limit{max: most} }

// of returns the limit of a case that begins now.
func (l *limit) of(t *testing.T) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if deadline, ok := t.Deadline(); ok {
		return min(l.max, time.Until(deadline)/2)
	}
	return l.max
}

func (l *limit) halve() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.max = max(l.max/2, minLimit)
}
