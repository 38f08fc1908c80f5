package managertest

import (
	"cmp"
	"flag"
	"fmt"
	"path"
	"runtime"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// Each planted fault of the store must make the check fail.
func TestModel_CatchesStore(t *testing.T) {
	for name, breakStore := range map[string]func(incident.Store) incident.Store{
		"a change without its subscriptions": changing(func(c *incident.Change) { c.Subscriptions = nil }),
		"a change without its last activity": changing(func(c *incident.Change) {
			c.Activities = c.Activities[:max(len(c.Activities)-1, min(len(c.Activities), 2))]
		}),
		"a wrong previous status": changing(func(c *incident.Change) {
			for i := range c.Activities {
				c.Activities[i].PreviousValue = min(c.Activities[i].PreviousValue, incident.StatusOpen)
			}
		}),
		"slots that are not claimed":           changing(func(c *incident.Change) { c.Claim = nil }),
		"slots that are not released":          changing(func(c *incident.Change) { c.Release = nil }),
		"detections that are not recognised":   changing(forgetDetection),
		"notifications that are not known":     changing(forgetNotification),
		"triggers that stay as they are":       changing(func(c *incident.Change) { c.Triggers = nil }),
		"a closing date that stays":            func(s incident.Store) incident.Store { return &keepsClosed{Store: s} },
		"slots read late":                      func(s incident.Store) incident.Store { return &staleSlots{Store: s} },
		"details of another organization":      func(s incident.Store) incident.Store { return &leakyStore{s} },
		"details in shared memory":             func(s incident.Store) incident.Store { return &sharingStore{Store: s} },
		"activities by date":                   func(s incident.Store) incident.Store { return &datedStore{s} },
		"a list without what started together": func(s incident.Store) incident.Store { return &tiedStore{s} },
		"a list that is open without access":   func(s incident.Store) incident.Store { return &openStore{s} },
		"times finer than microseconds":        func(s incident.Store) incident.Store { return &fineStore{s} },
		"transactions that are not undone":     func(s incident.Store) incident.Store { return &noRollback{s} },
		"errors after writing":                 func(s incident.Store) incident.Store { return &lateErrors{Store: s} },
	} {
		t.Run(name, func(t *testing.T) {
			mustFalsify(t, func(uint64) setup { return setup{store: breakStore(memory.New()), cache: incident.NoCache} })
		})
	}
}

// Each planted fault of the cache must make the check fail.
func TestModel_CatchesCache(t *testing.T) {
	for name, breakCache := range map[string]func(incident.Cache) incident.Cache{
		"keys without the organization":     func(c incident.Cache) incident.Cache { return &tenantlessCache{c} },
		"entries that are never replaced":   func(c incident.Cache) incident.Cache { return &firstCache{c} },
		"entries in doubt that are ignored": func(c incident.Cache) incident.Cache { return &trustingCache{c} },
	} {
		t.Run(name, func(t *testing.T) {
			mustFalsify(t, func(uint64) setup {
				return setup{store: memory.New(), cache: breakCache(incident.NewCache(1000))}
			})
		})
	}
}

// Each planted fault of the Manager must make the check fail.
func TestModel_CatchesManager(t *testing.T) {
	for name, breakManager := range map[string]func(incident.Manager) incident.Manager{
		"errors that are remembered":     func(m incident.Manager) incident.Manager { return &errorKeeper{Manager: m} },
		"incidents in shared memory":     func(m incident.Manager) incident.Manager { return &sharingManager{Manager: m} },
		"mentions that are not heard":    func(m incident.Manager) incident.Manager { return &deafManager{m} },
		"no change reported as a change": func(m incident.Manager) incident.Manager { return &eagerManager{m} },
		"firings that lower the status":  func(m incident.Manager) incident.Manager { return &loweringManager{m} },
		"arguments that are sorted":      func(m incident.Manager) incident.Manager { return &sortingManager{m} },
		"cursors that are not checked":   func(m incident.Manager) incident.Manager { return &lenientManager{m} },
		"failures that are committed":    func(m incident.Manager) incident.Manager { return &stubbornManager{m} },
	} {
		t.Run(name, func(t *testing.T) {
			mustFalsify(t, func(uint64) setup {
				return setup{store: memory.New(), cache: incident.NoCache, decorate: breakManager}
			})
		})
	}
}

// recorder is a testing.TB that records failures.
type recorder struct {
	name   string
	mu     sync.Mutex // guards the fields below
	failed bool
	log    []string
}

func (r *recorder) note(failed bool, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = r.failed || failed
	r.log = append(r.log, fmt.Sprint(args...))
}

func (r *recorder) Helper()                           {}
func (r *recorder) Name() string                      { return r.name }
func (r *recorder) Logf(string, ...any)               {}
func (r *recorder) Log(...any)                        {}
func (r *recorder) Skipf(format string, args ...any)  { r.Fatalf(format, args...) }
func (r *recorder) Skip(args ...any)                  { r.Fatal(args...) }
func (r *recorder) SkipNow()                          { r.FailNow() }
func (r *recorder) Errorf(format string, args ...any) { r.note(true, fmt.Sprintf(format, args...)) }
func (r *recorder) Error(args ...any)                 { r.note(true, args...) }
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); r.FailNow() }
func (r *recorder) Fatal(args ...any)                 { r.Error(args...); r.FailNow() }
func (r *recorder) Fail()                             { r.note(true) }

func (r *recorder) FailNow() {
	r.Fail()
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// seeds are from "To reproduce", of the faults that few sequences meet.
var seeds = map[string]string{
	"a clock ahead that silences triggers":       "35",
	"a duplicate of any version":                 "3832",
	"a repetition that renews the status":        "10593",
	"a status that does not fall":                "175",
	"an end that cannot be moved":                "304",
	"an end that is included":                    "707",
	"assignments that last":                      "1132",
	"cancellations of another reminder":          "140",
	"duplicates of duplicates":                   "1330",
	"episodes that are not told":                 "950",
	"incidents that are reopened after any time": "573",
	"incidents that stay closed":                 "561",
	"labels that do not follow":                  "59",
	"last incidents that are not told":           "111",
	"moves that do nothing":                      "1600",
	"reopening what a user has closed":           "634",
	"reopening where a project has left":         "487571",
	"triggers that are resolved without a trace": "37",
	"triggers that end with their incident":      "22",
}

// mustFalsify fails the test, whose name is that of the fault, if the property holds for the setup in
// all sequences. With most seeds each fault shows within 2,000 sequences, and with 4 most show early.
func mustFalsify(t *testing.T, newSetup func(seed uint64) setup) {
	t.Helper()
	seed := cmp.Or(seeds[strings.ReplaceAll(path.Base(t.Name()), "_", " ")], "4")
	for name, value := range map[string]string{
		"rapid.checks": "2000", "rapid.steps": "60", "rapid.seed": seed, "rapid.failfile": "",
		"rapid.nofailfile": "true", "rapid.shrinktime": "1ns",
	} {
		f := flag.Lookup(name)
		before := f.Value.String()
		if err := f.Value.Set(value); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := f.Value.Set(before); err != nil {
				t.Error(err)
			}
		})
	}
	r := &recorder{name: t.Name()}
	done := make(chan struct{})
	go func() { // FailNow exits the goroutine
		defer close(done)
		rapid.Check(r, property(newSetup))
	}()
	<-done
	if !r.Failed() {
		t.Fatal("the fault was not detected")
	}
	t.Log(r.log[0])
}
