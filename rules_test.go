package incident

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/incidentkit/incident/internal/uuid7"
)

var ruleEpoch = time.Date(2026, 3, 14, 2, 31, 0, 0, time.UTC)

func genTime(t *rapid.T, label string) time.Time {
	return ruleEpoch.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, label)) * time.Minute)
}

func genStatus() *rapid.Generator[Status] {
	return rapid.SampledFrom([]Status{StatusOpen, StatusClosed, StatusWarning, StatusCritical})
}

// genState draws a state that rules can produce: with DateClosed if and only if it is closed,
// and with sorted triggers, all resolved if it is closed.
func genState(t *rapid.T) *State {
	inc := Incident{
		OrganizationID: "acme",
		Identifier:     1,
		Status:         genStatus().Draw(t, "status"),
		StatusMethod:   StatusMethodManual,
		AlertRuleID:    AlertRuleID(rapid.SampledFrom([]string{"", "rule"}).Draw(t, "rule")),
		Projects:       []ProjectID{"checkout", "search"},
		DateStarted:    ruleEpoch,
		Version:        3,
		Title:          "Down",
		Labels:         genLabels(t, "labels before", false),
		Annotations:    genLabels(t, "annotations before", false),
	}
	inc.Response = genResponse(t, inc.Status)
	if inc.Status == StatusClosed {
		closed := ruleEpoch.Add(time.Hour)
		inc.DateClosed = &closed
		inc.DuplicateOf = rapid.SampledFrom([]int64{0, 0, 2, 9}).Draw(t, "duplicate of")
	}
	var triggers []Trigger
	for _, id := range []TriggerID{"a", "b", "c"} {
		if !rapid.Bool().Draw(t, "has") {
			continue
		}
		tr := Trigger{
			Incident:  inc.Key(),
			TriggerID: id,
			Status:    rapid.SampledFrom([]TriggerStatus{TriggerStatusActive, TriggerStatusResolved}).Draw(t, "trigger"),
			Severity:  rapid.SampledFrom([]Status{StatusWarning, StatusCritical}).Draw(t, "severity"),
		}
		if inc.Status == StatusClosed {
			tr.Status = TriggerStatusResolved
		}
		triggers = append(triggers, tr)
	}
	return &State{Incident: inc, Triggers: triggers}
}

func mustFire(t *rapid.T, before *State, f *Firing, at time.Time) *State {
	after, err := activateTrigger(before, f, at)
	if err != nil {
		t.Fatal(err)
	}
	return after
}

// checkUntouched fails if a rule changed its input.
func checkUntouched(t *rapid.T, before, given *State) {
	if !before.Incident.equal(&given.Incident) || !slices.Equal(before.Triggers, given.Triggers) {
		t.Fatalf("the rule changed its input: %+v, was %+v", given, before)
	}
}

func checkClosed(t *rapid.T, s *State) {
	inc := s.Incident
	if (inc.DateClosed != nil) != (inc.Status == StatusClosed) {
		t.Fatalf("status %s with DateClosed %v", inc.Status, inc.DateClosed)
	}
	if inc.DateClosed != nil && inc.DateClosed.Before(inc.DateStarted) {
		t.Fatalf("closed at %s, before the start at %s", inc.DateClosed, inc.DateStarted)
	}
	if inc.Status == StatusClosed && highestSeverity(s.Triggers) != 0 {
		t.Fatalf("closed with active triggers: %+v", s.Triggers)
	}
}

func TestRule_transition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		given := genState(t)
		before := given.clone()
		to := genStatus().Draw(t, "to")
		at, named := genTime(t, "at"), rapid.Bool().Draw(t, "named")

		after, err := transition(given, to, StatusMethodRuleUpdated, at, named)
		checkUntouched(t, before, given)
		if early := to == StatusClosed && named && at.Before(before.Incident.DateStarted); early || err != nil {
			if !early || !errors.Is(err, ErrInvalid) {
				t.Fatalf("transition to %s at %s = %v", to, at, err)
			}
			return
		}
		checkClosed(t, after)
		if after.Incident.Status != to || after.Incident.StatusMethod != StatusMethodRuleUpdated {
			t.Fatalf("status is %s by %s, want %s", after.Incident.Status, after.Incident.StatusMethod, to)
		}
		if to != StatusClosed && !slices.Equal(after.Triggers, before.Triggers) {
			t.Fatalf("triggers changed without closing: %+v", after.Triggers)
		}
	})
}

func TestRule_severity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &State{Incident: Incident{OrganizationID: "acme", Identifier: 1, Status: StatusOpen, DateStarted: ruleEpoch}}
		f := Firing{TriggerID: "a", Severity: StatusWarning}
		s = mustFire(t, s, &f, ruleEpoch)
		// Without a person's doing, the status is a function of the triggers.
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			if !s.Incident.Status.Active() {
				break
			}
			id := rapid.SampledFrom([]TriggerID{"a", "b", "c"}).Draw(t, "id")
			given, before := s, s.clone()
			if rapid.Bool().Draw(t, "fires") {
				// A trigger keeps its severity here: lowering it lowers nothing.
				severity := map[TriggerID]Status{"a": StatusWarning, "b": StatusCritical, "c": StatusWarning}[id]
				f := Firing{TriggerID: id, Severity: severity}
				s = mustFire(t, s, &f, genTime(t, "at"))
				again := mustFire(t, s, &f, genTime(t, "again"))
				if c := changeOf(decision{before: s, after: again}); !c.empty() {
					t.Fatalf("firing again changes %+v", c)
				}
			} else {
				var err error
				if s, err = resolveTrigger(s, id, genTime(t, "at")); err != nil {
					t.Fatal(err)
				}
				if again, err := resolveTrigger(s, id, genTime(t, "again")); err != nil || !again.Incident.equal(&s.Incident) {
					t.Fatalf("resolving again gives %+v, %v", again, err)
				}
			}
			checkUntouched(t, before, given)
			checkClosed(t, s)
			want := highestSeverity(s.Triggers)
			if want == 0 {
				want = StatusClosed
			}
			if s.Incident.Status != want {
				t.Fatalf("status %s with triggers %+v", s.Incident.Status, s.Triggers)
			}
		}
	})
}

func TestRule_fireNeverLowersResolveNeverRaises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genState(t)
		if s.Incident.Status == StatusClosed {
			s.Incident.Status, s.Incident.DateClosed = StatusOpen, nil
		}
		id := rapid.SampledFrom([]TriggerID{"a", "b", "c"}).Draw(t, "id")
		severity := rapid.SampledFrom([]Status{StatusWarning, StatusCritical}).Draw(t, "severity")
		if fired := mustFire(t, s, &Firing{TriggerID: id, Severity: severity}, ruleEpoch); fired.Incident.Status < max(s.Incident.Status, severity) {
			if i, ok := findTrigger(s.Triggers, id); !ok || s.Triggers[i].Status != TriggerStatusActive || s.Triggers[i].Severity != severity {
				t.Fatalf("firing %s in %s gives %s", severity, s.Incident.Status, fired.Incident.Status)
			}
		}
		resolved, err := resolveTrigger(s, id, ruleEpoch)
		if err != nil {
			t.Fatal(err)
		}
		if got := resolved.Incident.Status; got != StatusClosed && got > s.Incident.Status {
			t.Fatalf("resolving in %s gives %s", s.Incident.Status, got)
		}
	})
}

func TestRule_slots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := genState(t)
		after, err := transition(before, genStatus().Draw(t, "to"), StatusMethodManual, ruleEpoch, false)
		if err != nil {
			t.Fatal(err)
		}
		c := changeOf(decision{before: before, after: after})
		if c.Incident == nil {
			if after.Incident.Version != before.Incident.Version {
				t.Fatalf("version %d without a change", after.Incident.Version)
			}
			return
		}
		if c.Incident.Version != c.ExpectVersion+1 || c.ExpectVersion != before.Incident.Version {
			t.Fatalf("version %d expects %d, from %d", c.Incident.Version, c.ExpectVersion, before.Incident.Version)
		}
		held := slotsOf(&before.Incident)
		held = append(without(held, c.Release), c.Claim...)
		if want := slotsOf(&after.Incident); !slices.Equal(held, want) {
			t.Fatalf("claims %v, releases %v: holds %v, want %v", c.Claim, c.Release, held, want)
		}
	})
}

func TestRule_statusChangeHasThePreviousStatus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		previous, now := genStatus().Draw(t, "previous"), genStatus().Draw(t, "now")
		log := statusChange(nil, previous, &Incident{OrganizationID: "acme", Identifier: 1, Status: now}, ruleEpoch)
		if previous == now {
			if len(log) != 0 {
				t.Fatalf("no change is logged as %+v", log)
			}
			return
		}
		if len(log) != 1 || log[0].PreviousValue != previous || log[0].Value != now {
			t.Fatalf("%s to %s is logged as %+v", previous, now, log)
		}
	})
}

func TestRule_subscribers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		user := rapid.SampledFrom([]UserID{"ada", "grace", "linus"})
		actor := rapid.OneOf(user, rapid.Just(UserID(""))).Draw(t, "actor")
		mentions := rapid.SliceOf(user).Draw(t, "mentions")
		given := slices.Clone(mentions)
		got := subscribersOf(actor, mentions)
		if !slices.Equal(given, mentions) {
			t.Fatalf("the rule changed its input: %v", mentions)
		}
		want := map[UserID]bool{}
		for _, u := range append(given, actor) {
			if u != "" {
				want[u] = true
			}
		}
		if len(got) != len(want) || !slices.IsSorted(got) {
			t.Fatalf("subscribersOf(%q, %v) = %v", actor, mentions, got)
		}
		for _, u := range got {
			if !want[u] {
				t.Fatalf("subscribersOf(%q, %v) = %v", actor, mentions, got)
			}
		}
	})
}

func TestNameActivities(t *testing.T) {
	var source uuid7.Source
	ids, given := source.Series(), source.Series()
	named := newActivities(3)
	nameActivities(&given, named[:1])
	a, b := newActivities(3), newActivities(2)
	a[1].NotificationUUID = named[0].NotificationUUID
	nameActivities(&ids, a)
	nameActivities(&ids, b)
	if a[1].NotificationUUID != named[0].NotificationUUID {
		t.Error("a given UUID was replaced")
	}
	if a[0] != b[0] {
		t.Error("deciding again gives another UUID")
	}
	if a[0].NotificationUUID == a[2].NotificationUUID || a[2].NotificationUUID == named[0].NotificationUUID {
		t.Error("a UUID was given twice")
	}
}

func newActivities(n int) []Activity { return make([]Activity, n) }
