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
			DateAdded: ruleEpoch.Add(-time.Hour),
		}
		tr.DateModified = later(genTime(t, "modified"), tr.DateAdded)
		if inc.Status == StatusClosed {
			tr.Status = TriggerStatusResolved
		}
		triggers = append(triggers, tr)
	}
	return &State{Incident: inc, Triggers: triggers}
}

func mustFire(t *rapid.T, before *State, f *Firing, e event) *State {
	d, err := decideFiring(before, f, &e)
	if err != nil {
		t.Fatal(err)
	}
	checkLogged(t, d)
	return d.after
}

func mustResolve(t *rapid.T, before *State, id TriggerID, e event) *State {
	d, err := decideResolution(before, id, &e)
	if err != nil {
		t.Fatal(err)
	}
	checkLogged(t, d)
	return d.after
}

// checkLogged fails unless a decision of a trigger has one activity for its change, and no change
// has none. If it ends an acknowledgement, another activity follows.
func checkLogged(t *rapid.T, d decision) {
	if d.after == d.before {
		if len(d.activities) != 0 {
			t.Fatalf("no change is logged as %+v", d.activities)
		}
		return
	}
	log := d.activities
	if was := d.before.Incident.Response; was != nil && was.DateAcknowledged != nil && d.after.Incident.Status.Active() {
		if is := d.after.Incident.Response; is == nil || is.DateAcknowledged == nil {
			if last := log[len(log)-1]; last.Type != ActivityTypeUnacknowledged || last.TriggerID == "" {
				t.Fatalf("an acknowledgement that ends is logged as %+v", log)
			}
			log = log[:len(log)-1]
		}
	}
	if len(log) != 1 || log[0].TriggerID == "" {
		t.Fatalf("a change is logged as %+v", d.activities)
	}
	isStatus := d.activities[0].Type == ActivityTypeStatusChange
	if isStatus != (d.before.Incident.Status != d.after.Incident.Status) {
		t.Fatalf("the change from %s to %s is logged as %+v", d.before.Incident.Status, d.after.Incident.Status, d.activities)
	}
}

// checkDates fails if a date of a trigger went back, or is ahead of now without having been so.
func checkDates(t *rapid.T, before, after *State, now time.Time) {
	for _, tr := range after.Triggers {
		if tr.DateModified.Before(tr.DateAdded) {
			t.Fatalf("changed before it was added: %+v", tr)
		}
		known := now
		if i, ok := findTrigger(before.Triggers, tr.TriggerID); ok {
			if known = before.Triggers[i].DateModified; tr.DateModified.Before(known) {
				t.Fatalf("a date went back from %s: %+v", known, tr)
			}
			known = later(known, now)
		}
		if tr.DateModified.After(known) {
			t.Fatalf("a date is ahead of %s: %+v", known, tr)
		}
	}
}

// genEvent draws an event with or without a date, which may be ahead of now.
func genEvent(t *rapid.T, label string) event {
	now := genTime(t, label+" now")
	if rapid.Bool().Draw(t, label+" dated") {
		at := genTime(t, label+" date")
		return event{date: earlier(at, now), named: at, now: now, dated: true}
	}
	return event{date: now, named: now, now: now}
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
		at, now, named := genTime(t, "at"), genTime(t, "now"), rapid.Bool().Draw(t, "named")

		after, err := transition(given, to, StatusMethodRuleUpdated, at, now, named)
		checkUntouched(t, before, given)
		if early := to == StatusClosed && named && at.Before(before.Incident.DateStarted); early || err != nil {
			if !early || !errors.Is(err, ErrInvalid) {
				t.Fatalf("transition to %s at %s = %v", to, at, err)
			}
			return
		}
		checkClosed(t, after)
		checkDates(t, before, after, now)
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
		s = mustFire(t, s, &f, event{date: ruleEpoch, named: ruleEpoch, now: ruleEpoch})
		// Without a person's doing, the status is a function of the triggers.
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			if !s.Incident.Status.Active() {
				break
			}
			id := rapid.SampledFrom([]TriggerID{"a", "b", "c"}).Draw(t, "id")
			given, before := s, s.clone()
			e := genEvent(t, "event")
			if rapid.Bool().Draw(t, "fires") {
				severity := rapid.SampledFrom([]Status{StatusWarning, StatusCritical}).Draw(t, "severity")
				f := Firing{TriggerID: id, Severity: severity}
				s = mustFire(t, s, &f, e)
				again := mustFire(t, s, &f, event{date: e.date, named: e.named, now: e.now, dated: true})
				if c := changeOf(decision{before: s, after: again}); !c.empty() {
					t.Fatalf("firing again changes %+v", c)
				}
				i, found := findTrigger(s.Triggers, id)
				if !found || !e.dated && (s.Triggers[i].Status != TriggerStatusActive || s.Triggers[i].Severity != severity) {
					t.Fatalf("firing %s without a date gives %+v", severity, s.Triggers)
				}
			} else {
				s = mustResolve(t, s, id, e)
				if again := mustResolve(t, s, id, event{date: e.date, named: e.named, now: e.now, dated: true}); again != s {
					t.Fatalf("resolving again gives %+v", again)
				}
				if i, found := findTrigger(s.Triggers, id); found && !e.dated && s.Triggers[i].Status == TriggerStatusActive {
					t.Fatalf("resolving without a date gives %+v", s.Triggers)
				}
			}
			checkUntouched(t, before, given)
			checkClosed(t, s)
			checkDates(t, before, s, e.now)
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
		e := event{date: ruleEpoch, named: ruleEpoch, now: ruleEpoch}
		fell := false
		if i, ok := findTrigger(s.Triggers, id); ok {
			fell = s.Triggers[i].Status == TriggerStatusActive && severity < s.Triggers[i].Severity
		}
		fired := mustFire(t, s, &Firing{TriggerID: id, Severity: severity}, e)
		if got := fired.Incident.Status; got < severity || got < s.Incident.Status && !fell {
			if i, ok := findTrigger(s.Triggers, id); !ok || s.Triggers[i].Status != TriggerStatusActive || s.Triggers[i].Severity != severity {
				t.Fatalf("firing %s in %s gives %s", severity, s.Incident.Status, fired.Incident.Status)
			}
		}
		if fell && fired.Incident.Status != highestSeverity(fired.Triggers) {
			t.Fatalf("a severity that falls to %s in %s gives %s", severity, s.Incident.Status, fired.Incident.Status)
		}
		resolved := mustResolve(t, s, id, e)
		if got := resolved.Incident.Status; got != StatusClosed && got > s.Incident.Status {
			t.Fatalf("resolving in %s gives %s", s.Incident.Status, got)
		}
	})
}

func TestRule_slots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := genState(t)
		after, err := transition(before, genStatus().Draw(t, "to"), StatusMethodManual, ruleEpoch, ruleEpoch, false)
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
