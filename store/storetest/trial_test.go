package storetest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// wantReport checks that a case on a store fails, and that its report has all parts.
func wantReport(t *testing.T, name string, s incident.Store, limit time.Duration, parts ...string) {
	t.Helper()
	trial := newTrial(t.Context(), t.Name(), briefPatience)
	trial.run(limit, func() { casesByName(contract())[name](trial, s) })
	report := trial.report()
	for _, part := range parts {
		if !strings.Contains(report, part) {
			t.Errorf("the report of %s is %q, want %q in it", name, report, part)
		}
	}
	if lines := strings.Count(report, "\n") + 1; lines > maxReport {
		t.Errorf("the report of %s has %d lines, want at most %d:\n%s", name, lines, maxReport, report)
	}
}

// In the bubble the limit is reached when all goroutines of the case hang.
func TestTrial_hungCaseNamesTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		hanging := &broken{
			Store: memory.New(),
			subscribers: func(context.Context, incident.Key) ([]incident.Subscription, error) {
				<-release
				return nil, nil
			},
			markSeen: func(ctx context.Context, _ incident.Seen) (incident.Seen, error) {
				<-ctx.Done()
				return incident.Seen{}, ctx.Err()
			},
		}
		const limit = 300 * time.Millisecond
		wantReport(t, "Subscribers/AreOrderedByUser", hanging, limit,
			"did not end within 300ms", "Subscribers", "called at subscriptions.go:")
		wantReport(t, "MarkSeen/NeverGoesBackUnderConcurrency", hanging, limit,
			"did not end within 300ms", "16 goroutine(s)", "MarkSeen", "called at seen.go:")
	})
}

// A panic fails the case, whichever of its goroutines panics.
func TestTrial_panicNamesTheCall(t *testing.T) {
	s := memory.New()
	panicking := &broken{
		Store: s,
		markSeen: func(context.Context, incident.Seen) (incident.Seen, error) {
			var none *incident.Seen
			return *none, nil
		},
		subscribers: func(context.Context, incident.Key) ([]incident.Subscription, error) { panic("not today") },
	}
	wantReport(t, "MarkSeen/NeverGoesBack", panicking, maxLimit, "nil pointer", "MarkSeen", "called at seen.go:")
	wantReport(t, "MarkSeen/NeverGoesBackUnderConcurrency", panicking, maxLimit, "nil pointer", "MarkSeen", "more failures")
	wantReport(t, "Subscribers/AreOrderedByUser", panicking, maxLimit, "not today", "Subscribers", "called at subscriptions.go:")
	inTx := withTx(panicsAreReplaced(s), func(tx incident.Store) incident.Store {
		return &broken{Store: tx, subscribers: panicking.subscribers}
	})
	wantReport(t, "InTx/Commits", inTx, maxLimit, "in a transaction: not today", "called at tx.go:")
}

func TestTrial_exitedGoroutineFailsTheCase(t *testing.T) {
	exiting := &broken{Store: memory.New(), load: func(context.Context, incident.Key) (incident.State, error) {
		runtime.Goexit()
		return incident.State{}, nil
	}}
	wantReport(t, "Load/ReturnsTheState", exiting, maxLimit, "runtime.Goexit")
}

func TestTrial_ignoresFailuresAfterItsEnd(t *testing.T) {
	trial := newTrial(t.Context(), t.Name(), briefPatience)
	release := make(chan struct{})
	var left <-chan struct{}
	trial.run(maxLimit, func() {
		left = trial.start(func() {
			<-release
			trial.Helper()
			trial.Errorf("too late")
			defer trial.Error("much too late")
			trial.Fatal("too late to end the case")
		})
	})
	if err := trial.Context().Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("after the case Context().Err() = %v, want %v", err, context.Canceled)
	}
	close(release)
	<-left
	if report := trial.report(); report != "" {
		t.Errorf("the report is %q, want none", report)
	}
}

func TestTrial_reportsTheLineOfTheCase(t *testing.T) {
	wantReport(t, "SeenBy/IsOrderedByTimeThenUser", wrongOrder(memory.New()), maxLimit, "seen.go:")
}

func wrongOrder(s incident.Store) incident.Store {
	return &broken{Store: s, seenBy: func(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
		seen, err := s.SeenBy(ctx, key)
		if len(seen) > 0 {
			seen[0], seen[len(seen)-1] = seen[len(seen)-1], seen[0]
		}
		return seen, err
	}}
}

func TestTrial_printsFewLines(t *testing.T) {
	trial := newTrial(t.Context(), t.Name(), briefPatience)
	trial.run(maxLimit, func() {
		for range 100 {
			trial.Errorf("%s", strings.Repeat(strings.Repeat("x", 1000)+"\n", 100))
		}
	})
	report := trial.report()
	if lines := strings.Count(report, "\n") + 1; lines > maxReport || len(report) > 5_000 {
		t.Errorf("the report of 100 failures has %d lines and %d bytes, want at most %d and 5000", lines, len(report), maxReport)
	}
	if want := "and 99 more failures"; !strings.Contains(report, want) {
		t.Errorf("the report is %q, want %q in it", report, want)
	}
}

func TestWantEqual_showsLongValuesAroundTheDifference(t *testing.T) {
	trial := newTrial(t.Context(), t.Name(), briefPatience)
	text := strings.Repeat("a", 5000)
	wantEqual(trial, "the comment", incident.Activity{Comment: text + "b" + text}, incident.Activity{Comment: text + "c" + text})
	if report := trial.report(); len(report) > 1500 || !strings.Contains(report, "aaab") || !strings.Contains(report, "aaac") {
		t.Errorf("the report is %q, want the difference in at most 1500 bytes", report)
	}
}
