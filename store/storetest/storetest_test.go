package storetest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/leaktest"
	"github.com/incidentkit/incident/store/memory"
)

// plant names the environment variable that has TestPlanted run.
const plant = "STORETEST_PLANT"

func TestMain(m *testing.M) {
	if os.Getenv(plant) != "" {
		os.Exit(m.Run()) // a hung case leaves its goroutines
	}
	leaktest.Main(m)
}

// The broken stores are made of a store that keeps the contract.
func TestRun_Memory(t *testing.T) {
	Run(t, func(*testing.T) incident.Store { return memory.New() })
}

// TestPlanted is the test that TestRun_faultsEndTheirCasesAlone runs.
func TestPlanted(t *testing.T) {
	if os.Getenv(plant) == "" {
		return
	}
	newStore := func(t *testing.T) incident.Store {
		if strings.HasSuffix(t.Name(), "WithoutAStore") {
			panic("no server")
		}
		if strings.HasSuffix(t.Name(), "OfNil") {
			return nil
		}
		return faulty(memory.New())
	}
	runCases(t, plantedCases(), newStore, newLimit(maxLimit))
	runCases(t, hangingCases(), newStore, newLimit(time.Second))
}

func plantedCases() []storeCase {
	all := casesByName(contract())
	return []storeCase{
		{"Panics", all["SeenBy/IsOrderedByTimeThenUser"]},
		{"PanicsInParts", all["MarkSeen/NeverGoesBackUnderConcurrency"]},
		{"WithoutAStore", all["Load/ReturnsTheState"]},
		{"OfNil", all["Load/ReturnsTheState"]},
		{"Passes", all["Load/ReturnsTheState"]},
		{"PassesToo", all["Slots/HaveOneWinner"]},
	}
}

// hangingCases do not end before their limit.
func hangingCases() []storeCase {
	return []storeCase{
		{"Hangs", casesByName(contract())["Subscribers/AreOrderedByUser"]},
		{"FailsLater", func(t *trial, s incident.Store) {
			go func() {
				for range 100 {
					time.Sleep(5 * time.Millisecond)
					t.Errorf("too late")
				}
			}()
			<-t.Context().Done()
		}},
	}
}

// faulty returns a store that hangs in Subscribers and panics in MarkSeen.
func faulty(s incident.Store) incident.Store {
	return &broken{
		Store: s,
		subscribers: func(context.Context, incident.Key) ([]incident.Subscription, error) {
			select {}
		},
		markSeen: func(context.Context, incident.Seen) (incident.Seen, error) {
			panic("markSeen is broken")
		},
	}
}

func TestRun_faultsEndTheirCasesAlone(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPlanted$", "-test.v", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), plant+"=1")
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("the test with planted faults ends with %v, want exit code 1:\n%s", err, out)
	}
	for _, want := range []string{
		"--- FAIL: TestPlanted/Hangs", "--- FAIL: TestPlanted/Panics", "--- FAIL: TestPlanted/PanicsInParts",
		"--- FAIL: TestPlanted/WithoutAStore", "--- FAIL: TestPlanted/OfNil", "--- FAIL: TestPlanted/FailsLater",
		"--- PASS: TestPlanted/Passes", "--- PASS: TestPlanted/PassesToo",
		"did not end within 1s", "markSeen is broken", "newStore panics: no server", "newStore returns nil",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if lines := strings.Count(string(out), "\n"); lines > 60 {
		t.Errorf("the output has %d lines, want at most 60", lines)
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

func TestLimit_isHalvedForEachHungCase(t *testing.T) {
	l := newLimit(time.Minute)
	for _, want := range []time.Duration{time.Minute, 30 * time.Second, 15 * time.Second, 7500 * time.Millisecond} {
		if got := l.max; got != want {
			t.Errorf("the limit is %v, want %v", got, want)
		}
		l.halve()
	}
	for range 9 {
		l.halve()
	}
	if l.max != minLimit {
		t.Errorf("the limit is %v, want at least %v", l.max, minLimit)
	}
}
