package incident_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

func TestFire_reopensTheLastIncident(t *testing.T) {
	s := newSource(t)
	s.firing.ReopenWithin = 10 * time.Minute
	s.fire("5%", warning, undated)
	respond(t, s.m, key)
	s.clock = at(5)
	s.resolve("5%", undated)
	s.clock = at(14)
	r := s.fire("5%", critical, undated)
	if s.want(r, 1, critical, true); r.DateClosed != nil || !r.DateStarted.Equal(now) || r.StatusMethod != incident.StatusMethodRuleTriggered {
		t.Errorf("reopened is %+v", r.Incident)
	}
	if r.Response == nil || r.Response.Assignee != "ada" || r.Acknowledged(s.clock) {
		t.Errorf("the response is %+v, want the assignee alone", r.Response)
	}
	if got := s.trigger(key, "5%"); !got.DateAdded.Equal(now) || !got.DateModified.Equal(at(14)) || got.Severity != critical {
		t.Errorf("the trigger is %+v", got)
	}
	log := history(t, s.m, key)
	want := incident.Activity{Type: incident.ActivityTypeStatusChange, PreviousValue: ended, Value: critical, TriggerID: "5%"}
	if last := log[len(log)-1]; last != want || log[len(log)-2].Value != ended {
		t.Errorf("the history ends with %+v, want %+v", log[len(log)-2:], want)
	}
	if inc, ok, err := s.m.Active(t.Context(), slot); err != nil || !ok || inc.Identifier != 1 {
		t.Errorf("Active() = %+v, %v, %v", inc, ok, err)
	}
	s.clock = at(20)
	s.want(s.resolve("5%", undated), 1, ended, true)
	s.clock = at(30)
	s.want(s.fire("5%", warning, undated), 2, warning, true) // exactly ReopenWithin later
}

// respond acknowledges an incident and makes ada responsible for it.
func respond(t *testing.T, m incident.Manager, key incident.Key) {
	t.Helper()
	if _, err := m.Acknowledge(t.Context(), key, incident.Acknowledgement{UserID: "ada"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Assign(t.Context(), key, incident.Assignment{Assignee: "ada"}); err != nil {
		t.Fatal(err)
	}
}

// The date of the firing counts, not the time of its report.
func TestFire_reopensByDate(t *testing.T) {
	s := newSource(t)
	s.firing.ReopenWithin = 10 * time.Minute
	s.clock = at(100)
	s.fire("5%", warning, 20)
	s.resolve("5%", 30)
	s.want(s.fire("5%", warning, 25), 1, ended, false) // covered
	r := s.fire("20%", warning, 11)                    // near its start
	if s.want(r, 1, warning, true); !r.DateStarted.Equal(at(11)) {
		t.Errorf("started at %v, want %v", r.DateStarted, at(11))
	}
	if r = s.resolve("20%", 12); !r.DateClosed.Equal(at(30)) {
		t.Errorf("closed at %v, want %v", r.DateClosed, at(30))
	}
	s.want(s.fire("50%", warning, 1), 2, warning, true) // too long before its start
	s.resolve("50%", 2)
	s.want(s.fire("5%", warning, 11), 2, warning, true)
	s.resolve("5%", 12)
	s.want(s.fire("5%", warning, 22), 3, warning, true)
}

func TestFire_reopensNotWhatStaysClosed(t *testing.T) {
	for name, prepare := range map[string]func(s *source){
		"closed by a user": func(s *source) { s.close(key, undated) },
		"a duplicate": func(s *source) {
			other, err := s.m.Create(s.t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Other"})
			if err != nil {
				s.t.Fatal(err)
			}
			s.resolve("5%", undated)
			if _, err := s.m.MarkDuplicate(s.t.Context(), key, incident.Duplicate{Of: other.Identifier}); err != nil {
				s.t.Fatal(err)
			}
		},
		"without the project": func(s *source) {
			s.link("search")
			s.resolve("5%", undated)
			if _, err := s.m.UnlinkProject(s.t.Context(), key, slot.ProjectID); err != nil {
				s.t.Fatal(err)
			}
		},
		"active in another slot": func(s *source) {
			s.link("search")
			if _, err := s.m.UnlinkProject(s.t.Context(), key, slot.ProjectID); err != nil {
				s.t.Fatal(err)
			}
		},
		"without room for the trigger": func(s *source) {
			for i := 1; i < incident.MaxTriggers; i++ {
				s.fire(incident.TriggerID(fmt.Sprint(i)), warning, undated)
			}
			s.resolve("5%", undated)
			for i := 1; i < incident.MaxTriggers; i++ {
				s.resolve(incident.TriggerID(fmt.Sprint(i)), undated)
			}
		},
		"long ago": func(s *source) {
			s.resolve("5%", undated)
			s.clock = at(60)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSource(t)
			s.firing.ReopenWithin = time.Hour
			s.fire("5%", warning, undated)
			prepare(s)
			if r := s.fire("20%", warning, undated); r.Identifier == 1 || !r.Changed {
				t.Errorf("fires in incident %d, changed %v, want a new incident", r.Identifier, r.Changed)
			}
		})
	}
}

func (s *source) link(project incident.ProjectID) {
	s.t.Helper()
	if _, err := s.m.LinkProject(s.t.Context(), key, project); err != nil {
		s.t.Fatal(err)
	}
}

// An incident is not reopened while another is active in a slot of another of its projects.
func TestFire_opensWhereTheLastCannotBeReopened(t *testing.T) {
	inTx := func(s *source, fire func(m incident.Manager) error) error {
		return s.m.InTx(s.t.Context(), fire)
	}
	alone := func(s *source, fire func(m incident.Manager) error) error { return fire(s.m) }
	for name, run := range map[string]func(*source, func(incident.Manager) error) error{"alone": alone, "transaction": inTx} {
		t.Run(name, func(t *testing.T) {
			s := newSource(t)
			s.firing.ReopenWithin = time.Hour
			s.fire("5%", warning, undated)
			s.link("search")
			s.resolve("5%", undated)
			other := s.firing
			other.ProjectID, other.ReopenWithin = "search", 0
			if r, err := s.m.Fire(t.Context(), other); err != nil || r.Identifier != 2 {
				t.Fatalf("Fire() in the other slot = %+v, %v", r, err)
			}
			fire := func(m incident.Manager) error {
				r, err := m.Fire(t.Context(), s.firing)
				if err == nil && (r.Identifier != 3 || !r.Changed) {
					t.Errorf("fires in incident %d, changed %v, want a new incident", r.Identifier, r.Changed)
				}
				return err
			}
			if err := run(s, fire); err != nil {
				t.Fatal(err)
			}
			if _, err := s.m.Resolve(t.Context(), incident.Resolution{Slot: other.Slot, TriggerID: "5%"}); err != nil {
				t.Fatal(err)
			}
			s.resolve("5%", undated)
			s.want(s.fire("5%", warning, undated), 3, warning, true)
		})
	}
}

// A target that flaps each second for a minute has one incident with ReopenWithin, and 30
// without.
func TestFire_flappingTarget(t *testing.T) {
	for _, c := range []struct {
		within                   time.Duration
		incidents, notifications int
	}{
		{0, 30, 120},
		{5 * time.Second, 1, 4 + 29*2},
	} {
		s := newSource(t)
		s.firing.ReopenWithin = c.within
		for range 30 {
			s.fire("5%", warning, undated)
			s.clock = s.clock.Add(time.Second)
			s.resolve("5%", undated)
			s.clock = s.clock.Add(time.Second)
		}
		list, err := s.m.List(t.Context(), incident.IncidentFilter{OrganizationID: "acme", Limit: incident.MaxPageSize})
		if err != nil {
			t.Fatal(err)
		}
		notifications := 0
		for _, inc := range list.Incidents {
			notifications += len(history(t, s.m, inc.Key()))
		}
		if len(list.Incidents) != c.incidents || notifications != c.notifications {
			t.Errorf("within %v: %d incidents with %d notifications, want %d with %d",
				c.within, len(list.Incidents), notifications, c.incidents, c.notifications)
		}
	}
}

// Of 10,000 triggers of a slot the first 1,000 are accepted.
func TestFire_refusesTooManyTriggers(t *testing.T) {
	s := newSource(t)
	refused, first := 0, 0
	for i := 1; i <= 2*incident.MaxTriggers; i++ {
		f := s.firing
		f.TriggerID, f.Date, f.ReopenWithin = incident.TriggerID(fmt.Sprintf("t%05d", i)), now, time.Hour
		switch r, err := s.m.Fire(t.Context(), f); {
		case err != nil && first == 0:
			first = i
			fallthrough
		case err != nil:
			refused++
		case !r.Changed || r.Identifier != 1:
			t.Fatalf("trigger %d: incident %d, changed %v", i, r.Identifier, r.Changed)
		}
	}
	if refused != incident.MaxTriggers || first != incident.MaxTriggers+1 {
		t.Errorf("%d are refused, the first is %d, want %d and %d", refused, first, incident.MaxTriggers, incident.MaxTriggers+1)
	}
}

// interrupted is a store in which other calls take effect before the next LoadSlot, or before the
// next Apply.
type interrupted struct {
	*memory.Store
	beforeLoad, beforeApply func()
}

func (s *interrupted) LoadSlot(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
	call(&s.beforeLoad)
	return s.Store.LoadSlot(ctx, slot)
}

func (s *interrupted) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	call(&s.beforeApply)
	return s.Store.Apply(ctx, c)
}

func call(f *func()) {
	if before := *f; before != nil {
		*f = nil
		before()
	}
}

// A late firing knows what others have written since it began: also if their dates are ahead of
// its beginning, and if they write after it has read the slot.
func TestFire_lateKnowsWhatOthersWriteMeanwhile(t *testing.T) {
	for name, interrupt := range map[string]func(*interrupted, func()){
		"before the read":  func(s *interrupted, f func()) { s.beforeLoad = f },
		"before the write": func(s *interrupted, f func()) { s.beforeApply = f },
	} {
		t.Run(name, func(t *testing.T) {
			store := &interrupted{Store: memory.New()}
			s := newSourceOf(t, store)
			interrupt(store, func() {
				s.clock = at(2)
				s.fire("5%", warning, 1)
				s.clock = at(3)
				s.resolve("5%", 2)
			})
			s.want(s.fire("5%", warning, 0), 1, ended, false)
		})
	}
}

// Of two firings at once in the slot of a closed incident, whichever is second joins.
func TestFire_reopensOrOpensOnce(t *testing.T) {
	for name, within := range map[string][2]time.Duration{
		"open, then reopen":   {time.Hour, 0},
		"reopen, then open":   {0, time.Hour},
		"reopen, then reopen": {time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			store := &interrupted{Store: memory.New()}
			s := newSourceOf(t, store)
			s.fire("5%", warning, undated)
			s.resolve("5%", undated)
			var first incident.Result
			store.beforeApply = func() {
				s.firing.ReopenWithin = within[1]
				first = s.fire("5%", warning, undated)
			}
			s.firing.ReopenWithin = within[0]
			second := s.fire("20%", critical, undated)
			if !first.Changed || !second.Changed || first.Identifier != second.Identifier || second.Status != critical {
				t.Errorf("fire in %v %v and %v %v, want the same incident", first.Key(), first.Status, second.Key(), second.Status)
			}
		})
	}
}
