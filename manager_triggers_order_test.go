package incident_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// source reports the triggers of a slot, at the times of a clock that the test sets.
type source struct {
	t      *testing.T
	m      incident.Manager
	clock  time.Time
	firing incident.Firing // the fields of each firing
}

func newSource(t *testing.T) *source {
	t.Helper()
	return newSourceOf(t, memory.New())
}

func newSourceOf(t *testing.T, store incident.Store) *source {
	t.Helper()
	s := &source{t: t, clock: now}
	m, err := incident.New(store, &incident.Options{
		Now: func() time.Time { return s.clock }, Notifier: incident.NotifyElsewhere,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.m = m
	s.firing = incident.Firing{Slot: slot, TriggerID: "5%", Severity: incident.StatusWarning, Title: "Error rate"}
	return s
}

// at returns the time of a minute.
func at(minute int) time.Time { return now.Add(time.Duration(minute) * time.Minute) }

// undated is no date, for fire and resolve.
const undated = -1

func date(minute int) time.Time {
	if minute == undated {
		return time.Time{}
	}
	return at(minute)
}

func (s *source) fire(id incident.TriggerID, severity incident.Status, minute int) incident.Result {
	s.t.Helper()
	f := s.firing
	f.TriggerID, f.Severity, f.Date = id, severity, date(minute)
	r, err := s.m.Fire(s.t.Context(), f)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *source) resolve(id incident.TriggerID, minute int) incident.Result {
	s.t.Helper()
	r, err := s.m.Resolve(s.t.Context(), incident.Resolution{Slot: s.firing.Slot, TriggerID: id, Date: date(minute)})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *source) close(key incident.Key, minute int) incident.Result {
	s.t.Helper()
	r, err := s.m.UpdateStatus(s.t.Context(), key, incident.StatusUpdate{Status: incident.StatusClosed, Date: date(minute)})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// trigger returns a trigger of an incident.
func (s *source) trigger(key incident.Key, id incident.TriggerID) incident.Trigger {
	s.t.Helper()
	triggers, err := s.m.Triggers(s.t.Context(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, t := range triggers {
		if t.TriggerID == id {
			return t
		}
	}
	s.t.Fatalf("no trigger %q among %+v", id, triggers)
	return incident.Trigger{}
}

// want fails unless r has the identifier, the status and Changed.
func (s *source) want(r incident.Result, identifier int64, status incident.Status, changed bool) {
	s.t.Helper()
	if r.Identifier != identifier || r.Status != status || r.Changed != changed {
		s.t.Fatalf("incident %d is %v, changed %v, want %d, %v, %v", r.Identifier, r.Status, r.Changed, identifier, status, changed)
	}
}

const (
	ended    = incident.StatusClosed
	warning  = incident.StatusWarning
	critical = incident.StatusCritical
)

func TestResolve_repeatedLateClosesNoNewIncident(t *testing.T) {
	s := newSource(t)
	s.clock = at(30)
	s.want(s.fire("5%", warning, 0), 1, warning, true)
	s.want(s.resolve("5%", 10), 1, ended, true)
	s.want(s.fire("5%", warning, 20), 2, warning, true)
	s.want(s.resolve("5%", 10), 2, warning, false)
	s.want(s.resolve("5%", 30), 2, ended, true)
}

func TestFire_repeatedLateOpensNothing(t *testing.T) {
	s := newSource(t)
	s.clock = at(30)
	s.fire("5%", warning, 0)
	s.resolve("5%", 10)
	s.want(s.fire("5%", warning, 0), 1, ended, false)
	s.want(s.fire("5%", critical, 9), 1, ended, false)
	s.want(s.fire("20%", critical, 5), 1, ended, false) // another trigger within its time
	s.want(s.fire("20%", critical, 10), 2, critical, true)
}

// An incident that ended before it was closed by its triggers covers no later firing, but its
// triggers know their dates.
func TestFire_olderThanItsTriggerOpensNothing(t *testing.T) {
	s := newSource(t)
	s.clock = at(30)
	r := s.fire("5%", warning, 20)
	s.clock = at(40)
	s.close(r.Key(), 25)
	s.want(s.fire("5%", warning, 10), 1, ended, false)   // before its start
	s.want(s.fire("20%", warning, 10), 2, warning, true) // of another trigger
}

func TestFire_lateReturnsATriggerNoSeverity(t *testing.T) {
	s := newSource(t)
	s.clock = at(30)
	s.fire("5%", warning, 0)
	s.want(s.fire("5%", critical, 20), 1, critical, true)
	s.want(s.fire("5%", warning, 10), 1, critical, false)
	if got := s.trigger(key, "5%"); got.Severity != critical || !got.DateModified.Equal(at(20)) {
		t.Errorf("the trigger is %+v", got)
	}
}

func TestResolve_datedBeforeItsFiringChangesNothing(t *testing.T) {
	s := newSource(t)
	s.clock = at(30)
	s.fire("5%", warning, 20)
	s.want(s.resolve("5%", 10), 1, warning, false)
	s.want(s.resolve("5%", 20), 1, ended, true) // at the same time
}

func TestUpdateStatus_closingEarlierMovesNoTriggerBack(t *testing.T) {
	s := newSource(t)
	s.clock = at(30)
	s.fire("5%", warning, 0)
	s.fire("20%", warning, 20)
	r := s.close(key, 10)
	if s.want(r, 1, ended, true); !r.DateClosed.Equal(at(10)) {
		t.Errorf("closed at %v, want %v", r.DateClosed, at(10))
	}
	for id, want := range map[incident.TriggerID]time.Time{"5%": at(10), "20%": at(20)} {
		if got := s.trigger(key, id); !got.DateModified.Equal(want) || got.DateModified.Before(got.DateAdded) {
			t.Errorf("trigger %s is %+v, want a change at %v", id, got, want)
		}
	}
}

func TestUpdateStatus_closingAheadOfNowSilencesNoTrigger(t *testing.T) {
	s := newSource(t)
	s.fire("5%", warning, undated)
	r := s.close(key, 60)
	if got := s.trigger(key, "5%"); !r.DateClosed.Equal(at(60)) || !got.DateModified.Equal(now) {
		t.Errorf("closed at %v, the trigger is %+v", r.DateClosed, got)
	}
	s.clock = at(10)
	s.want(s.fire("5%", warning, 10), 2, warning, true)
}

// Events that follow one of a clock ahead count, and dates do not go back.
func TestFire_clockThatRanAheadSilencesNobody(t *testing.T) {
	for name, minute := range map[string]int{"undated": undated, "dated": 2} {
		t.Run(name, func(t *testing.T) {
			s := newSource(t)
			s.clock = at(60) // ahead
			s.fire("5%", warning, undated)
			s.clock = at(2)
			s.want(s.fire("5%", critical, minute), 1, critical, true)
			r := s.resolve("5%", minute)
			if s.want(r, 1, ended, true); !r.DateClosed.Equal(at(60)) {
				t.Errorf("closed at %v, before it started at %v", r.DateClosed, r.DateStarted)
			}
			if got := s.trigger(key, "5%"); !got.DateModified.Equal(at(60)) {
				t.Errorf("the trigger is %+v, want a change at %v", got, at(60))
			}
			s.want(s.fire("5%", warning, minute), 2, warning, true)
		})
	}
}

// The incident keeps a start ahead of now. Its trigger knows no such date.
func TestFire_dateAheadOfNowCountsAsNow(t *testing.T) {
	s := newSource(t)
	r := s.fire("5%", warning, 60)
	if got := s.trigger(key, "5%"); !r.DateStarted.Equal(at(60)) || !got.DateAdded.Equal(now) || !got.DateModified.Equal(now) {
		t.Errorf("started at %v, the trigger is %+v", r.DateStarted, got)
	}
	s.clock = at(5)
	r = s.resolve("5%", 4)
	if s.want(r, 1, ended, true); !r.DateClosed.Equal(at(60)) {
		t.Errorf("closed at %v, want the start", r.DateClosed)
	}
	s.want(s.fire("5%", warning, 5), 2, warning, true)
}

func TestFire_severityThatFallsLowersTheStatus(t *testing.T) {
	s := newSource(t)
	s.fire("5%", critical, undated)
	s.want(s.fire("5%", warning, undated), 1, warning, true)
	s.fire("20%", critical, undated)
	s.fire("5%", critical, undated)
	s.want(s.fire("5%", warning, undated), 1, critical, true) // the other is still critical
	s.want(s.resolve("20%", undated), 1, warning, true)
	want := []incident.Activity{
		{Type: incident.ActivityTypeDetected},
		{Type: incident.ActivityTypeCreated, Value: incident.StatusOpen},
		{Type: incident.ActivityTypeStatusChange, PreviousValue: incident.StatusOpen, Value: critical, TriggerID: "5%"},
		{Type: incident.ActivityTypeStatusChange, PreviousValue: critical, Value: warning, TriggerID: "5%"},
		{Type: incident.ActivityTypeStatusChange, PreviousValue: warning, Value: critical, TriggerID: "20%"},
		{Type: incident.ActivityTypeTriggerFired, PreviousValue: warning, Value: critical, TriggerID: "5%"},
		{Type: incident.ActivityTypeTriggerFired, PreviousValue: critical, Value: warning, TriggerID: "5%"},
		{Type: incident.ActivityTypeStatusChange, PreviousValue: critical, Value: warning, TriggerID: "20%"},
	}
	wantHistory(t, s.m, key, want)
}

func wantHistory(t *testing.T, m incident.Manager, key incident.Key, want []incident.Activity) {
	t.Helper()
	got := history(t, m, key)
	if len(got) != len(want) {
		t.Fatalf("the history has %d entries, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("activity %d is %+v, want %+v", i+1, got[i], want[i])
		}
	}
}

func TestResolve_withoutTheStatusIsInTheHistory(t *testing.T) {
	s := newSource(t)
	s.fire("5%", warning, undated)
	s.fire("20%", warning, undated)
	s.want(s.resolve("5%", undated), 1, warning, true)
	s.want(s.fire("5%", warning, undated), 1, warning, true)
	got := history(t, s.m, key)[3:]
	want := []incident.Activity{
		{Type: incident.ActivityTypeTriggerFired, Value: warning, TriggerID: "20%"},
		{Type: incident.ActivityTypeTriggerResolved, PreviousValue: warning, TriggerID: "5%"},
		{Type: incident.ActivityTypeTriggerFired, Value: warning, TriggerID: "5%"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the history has %+v, want %+v", got, want)
	}
}

// The start follows an earlier firing that makes a trigger active, and no other.
func TestFire_earlierMovesTheStart(t *testing.T) {
	s := newSource(t)
	s.clock = at(30)
	s.fire("5%", warning, 20)
	s.fire("5%", warning, 10) // is active already
	r := s.fire("20%", warning, 10)
	if s.want(r, 1, warning, true); !r.DateStarted.Equal(at(10)) || !r.DateDetected.Equal(at(20)) {
		t.Errorf("started at %v, detected at %v, want %v, %v", r.DateStarted, r.DateDetected, at(10), at(20))
	}
	if got := s.trigger(key, "20%"); !got.DateAdded.Equal(at(10)) {
		t.Errorf("the trigger is %+v", got)
	}
}

// The incident ends when its last trigger did, whatever the order of the reports.
func TestResolve_closesAtTheLatestDate(t *testing.T) {
	s := newSource(t)
	s.clock = at(30)
	s.fire("5%", warning, 0)
	s.fire("20%", warning, 0)
	s.resolve("5%", 20)
	r := s.resolve("20%", 10)
	if s.want(r, 1, ended, true); !r.DateClosed.Equal(at(20)) {
		t.Errorf("closed at %v, want %v", r.DateClosed, at(20))
	}
	if got := s.trigger(key, "20%"); !got.DateModified.Equal(at(10)) {
		t.Errorf("the trigger is %+v", got)
	}
}

func TestFire_keepsLabelsUnlessTheyFollow(t *testing.T) {
	s := newSource(t)
	labels := map[string]string{"service": "checkout", "team": "payments"}
	s.firing.Labels, s.firing.Annotations = labels, map[string]string{"runbook": "https://example.com/1"}
	s.fire("5%", warning, undated)
	labels["service"] = "spoilt"

	s.firing.Labels, s.firing.Annotations = map[string]string{"service": "search", "zone": "eu"}, nil
	s.want(s.fire("5%", warning, undated), 1, warning, false)
	r := s.fire("5%", critical, undated)
	if want := map[string]string{"service": "checkout", "team": "payments"}; !maps.Equal(r.Labels, want) || len(r.Annotations) != 1 {
		t.Errorf("labels are %v, annotations %v, want those of the first firing", r.Labels, r.Annotations)
	}
	before := len(history(t, s.m, key))
	s.firing.Update = true
	s.clock = at(1)
	r = s.fire("5%", critical, undated)
	if s.want(r, 1, critical, true); !maps.Equal(r.Labels, s.firing.Labels) || len(r.Annotations) != 0 {
		t.Errorf("labels are %v, annotations %v, want those of the last firing", r.Labels, r.Annotations)
	}
	if got := s.trigger(key, "5%"); !got.DateModified.Equal(at(1)) {
		t.Errorf("the trigger is %+v", got)
	}
	got, edited := history(t, s.m, key)[before:], incident.ActivityTypeEdited
	want := []incident.Activity{
		{Type: edited, TriggerID: "5%", Field: "labels.service", Old: "checkout", New: "search"},
		{Type: edited, TriggerID: "5%", Field: "labels.team", Old: "payments"},
		{Type: edited, TriggerID: "5%", Field: "labels.zone", New: "eu"},
		{Type: edited, TriggerID: "5%", Field: "annotations.runbook", Old: "https://example.com/1"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the history has %+v\nwant %+v", got, want)
	}
	s.want(s.fire("5%", critical, undated), 1, critical, false)
	s.firing.Labels = labels
	s.want(s.fire("5%", critical, 0), 1, critical, false) // is older
}

func TestFire_knownDetectionOpensNothing(t *testing.T) {
	s := newSource(t)
	s.firing.DetectionUUID = uuid.New()
	r := s.fire("5%", warning, undated)
	if s.want(r, 1, warning, true); r.DetectionUUID != s.firing.DetectionUUID {
		t.Errorf("the detection is %v", r.DetectionUUID)
	}
	s.want(s.fire("5%", warning, undated), 1, warning, false)
	s.close(key, undated)
	s.want(s.fire("5%", warning, undated), 1, ended, false)
	s.want(s.fire("5%", warning, 0), 1, ended, false)

	repeated := s.firing
	s.firing.DetectionUUID = uuid.New()
	s.want(s.fire("5%", warning, undated), 2, warning, true)
	s.resolve("5%", undated)
	s.firing.ReopenWithin = time.Hour
	s.want(s.fire("5%", warning, undated), 2, ended, false) // does not reopen what it has opened
	s.firing = repeated
	s.want(s.fire("5%", warning, undated), 1, ended, false)
	s.firing.DetectionUUID = uuid.Nil
	s.want(s.fire("5%", critical, undated), 3, critical, true)
	s.firing = repeated
	s.want(s.fire("20%", warning, undated), 3, critical, true) // an active incident is joined
}

func TestFire_newFieldsAreChecked(t *testing.T) {
	m, _ := fixture(t)
	for field, change := range map[string]func(*incident.Firing){
		"reopenWithin": func(f *incident.Firing) { f.ReopenWithin = -1 },
		"labels":       func(f *incident.Firing) { f.Labels = map[string]string{"a\nb": "x"} },
		"annotations":  func(f *incident.Firing) { f.Annotations = map[string]string{"a": "\x00"} },
	} {
		var bad *incident.FieldError
		if err := fire(change)(t.Context(), m); !errors.As(err, &bad) || bad.Field != field || !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("%s: %v, want a FieldError", field, err)
		}
	}
}
