package storetest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// fault is a store that breaks the contract in one way, with the cases that must reject
// it.
type fault struct {
	name  string
	plant func(s incident.Store) incident.Store
	cases []string
}

func faults() []fault {
	return slices.Concat(
		readFaults(), incidentsFaults(), identifierFaults(), applyFaults(), replayFaults(), slotFaults(),
		labelFaults(), peopleFaults(), movedFaults(), countFaults(), lastHolderFaults(), expectedSlotFaults(),
		labelRoundTripFaults(), responseFaults(), labelMemoryFaults(), operationTxFaults(), combinationFaults(),
		activityFaults(), seenAndSubscriptionFaults(), roundTripFaults(), organizationFaults(), callerMemoryFaults(), contextFaults(), txFaults(),
	)
}

// Each broken store is rejected by the cases about the broken promise.
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
func wantRejected[S incident.Store, F ~func(*trial, S)](t *testing.T, byName map[string]F, names []string, plant func() S) {
	t.Helper()
	for _, name := range names {
		run, ok := byName[name]
		if !ok {
			t.Errorf("there is no case %s", name)
			continue
		}
		wantRejectedBy(t, name, run, plant)
	}
}

// attemptsToReject is how often a case may accept a broken store before that is a failure. On a busy
// machine some faults do not show, such as a reminder that is due 25 ms early.
const attemptsToReject = 5

// wantRejectedBy checks that a case fails on a broken store. Each attempt has a store of its own.
func wantRejectedBy[S incident.Store](t *testing.T, name string, run func(*trial, S), plant func() S) {
	t.Helper()
	for range attemptsToReject {
		if rejected, reason := rejects(t, name, run, plant()); rejected {
			t.Logf("%s: %s", name, reason)
			return
		}
	}
	t.Errorf("%s accepts the store", name)
}

// Each case rejects some store.
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

func casesByName[S incident.Store](groups []group[S]) map[string]func(*trial, S) {
	byName := map[string]func(*trial, S){}
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

// briefPatience is enough for broken stores: an event that does not happen at once never
// happens.
const briefPatience = 150 * time.Millisecond

// rejects reports whether the case fails on the store, and what it prints.
func rejects[S incident.Store](t *testing.T, name string, run func(*trial, S), s S) (rejected bool, report string) {
	t.Helper()
	return rejectsWithin(t, briefPatience, name, run, s)
}

func rejectsWithin[S incident.Store](
	t *testing.T, patience time.Duration, name string, run func(*trial, S), s S,
) (rejected bool, report string) {
	t.Helper()
	trial := newTrial(t.Context(), t.Name()+" "+name, patience)
	if hung := trial.run(maxLimit, func() { run(trial, s) }); hung {
		t.Errorf("%s hangs", name)
	}
	report = trial.report()
	if lines := strings.Count(report, "\n") + 1; lines > maxReport {
		t.Errorf("%s prints %d lines, want at most %d:\n%s", name, lines, maxReport, report)
	}
	return report != "", report
}

// maxReport is the number of lines that a case may print.
const maxReport = 10
