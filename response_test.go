package incident

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// genResponse draws a response that rules can produce for a status. Nil for none.
func genResponse(t *rapid.T, status Status) *Response {
	r := &Response{Assignee: rapid.SampledFrom([]UserID{"", "ada", "grace"}).Draw(t, "assignee")}
	if rapid.Bool().Draw(t, "acknowledged") {
		at := genTime(t, "acknowledged at")
		r.AcknowledgedBy = rapid.SampledFrom([]UserID{"", "ada", "grace"}).Draw(t, "acknowledged by")
		r.DateAcknowledged = &at
		r.AcknowledgedStatus = rapid.SampledFrom(ActiveStatuses()).Draw(t, "acknowledged status")
		if status.Active() && rapid.Bool().Draw(t, "with an end") {
			until := genTime(t, "until")
			r.AcknowledgedUntil = &until
		}
	}
	if *r == (Response{}) {
		return nil
	}
	return r
}

// genAcknowledgement draws an acknowledgement that passed its check at now.
func genAcknowledgement(t *rapid.T, now time.Time) Acknowledgement {
	a := Acknowledgement{
		UserID:   rapid.SampledFrom([]UserID{"", "ada", "linus"}).Draw(t, "user"),
		Comment:  rapid.SampledFrom([]string{"", "On it."}).Draw(t, "comment"),
		Withdraw: rapid.Bool().Draw(t, "withdraw"),
	}
	if minutes := rapid.IntRange(0, 3).Draw(t, "until in minutes"); minutes > 0 && !a.Withdraw {
		a.Until = now.Add(time.Duration(minutes) * time.Minute)
	}
	return a
}

// isHeld is the definition of an acknowledgement that has not ended.
func isHeld(r *Response, now time.Time) bool {
	switch {
	case r == nil || r.DateAcknowledged == nil:
		return false
	case r.AcknowledgedUntil == nil:
		return true
	}
	return r.AcknowledgedUntil.After(now)
}

// assigneeOf returns a response with nothing but the assignee. Nil for nobody.
func assigneeOf(r *Response) *Response {
	if r == nil || r.Assignee == "" {
		return nil
	}
	return &Response{Assignee: r.Assignee}
}

func TestRule_acknowledgement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		given := genState(t)
		before, now := given.clone(), genTime(t, "now")
		a := genAcknowledgement(t, now)
		d, err := decideAcknowledgement(given, a, now)
		if err != nil {
			t.Fatal(err)
		}
		checkUntouched(t, before, given)
		was, held := before.Incident.Response, isHeld(before.Incident.Response, now)
		want, activity := was.clone(), Activity{Type: ActivityTypeAcknowledged}
		switch {
		case !before.Incident.Status.Active(), a.Withdraw && !held, held && !a.Withdraw && a.Until.IsZero():
			checkUnchanged(t, given, d)
			return
		case a.Withdraw:
			want, activity.Type = assigneeOf(was), ActivityTypeUnacknowledged
		case held:
			if was.AcknowledgedUntil != nil && was.AcknowledgedUntil.Equal(a.Until) {
				checkUnchanged(t, given, d)
				return
			}
			want.AcknowledgedUntil = &a.Until
			activity.Old = dateText(was.AcknowledgedUntil)
		default:
			want = &Response{AcknowledgedBy: a.UserID, DateAcknowledged: &now, AcknowledgedStatus: before.Incident.Status}
			if was != nil {
				want.Assignee = was.Assignee
			}
			if !a.Until.IsZero() {
				want.AcknowledgedUntil = &a.Until
			}
		}
		if !a.Until.IsZero() {
			activity.Field, activity.New = "acknowledgedUntil", a.Until.Format(time.RFC3339Nano)
		}
		activity.Comment = a.Comment
		checkResponse(t, d, want)
		checkLog(t, d, a.UserID, now, activity)
		checkRepeated(t, d, func(s *State) (decision, error) { return decideAcknowledgement(s, a, now) })
	})
}

func TestRule_assignment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		given := genState(t)
		before, now := given.clone(), genTime(t, "now")
		a := Assignment{
			UserID:   rapid.SampledFrom([]UserID{"", "ada", "linus"}).Draw(t, "user"),
			Assignee: rapid.SampledFrom([]UserID{"", "ada", "grace"}).Draw(t, "to"),
			Comment:  rapid.SampledFrom([]string{"", "Yours."}).Draw(t, "comment"),
		}
		d, err := decideAssignment(given, a, now)
		if err != nil {
			t.Fatal(err)
		}
		checkUntouched(t, before, given)
		want := before.Incident.Response.clone()
		if want == nil {
			want = &Response{}
		}
		was := want.Assignee
		if !before.Incident.Status.Active() || was == a.Assignee {
			checkUnchanged(t, given, d)
			return
		}
		if want.Assignee = a.Assignee; *want == (Response{}) {
			want = nil
		}
		checkResponse(t, d, want)
		if d.mustAdmit != a.Assignee {
			t.Fatalf("the Authorizer must admit %q, want %q", d.mustAdmit, a.Assignee)
		}
		checkLog(t, d, a.UserID, now, Activity{
			Type: ActivityTypeAssigned, Field: "assignee", Old: string(was), New: string(a.Assignee), Comment: a.Comment,
		}, a.Assignee)
		checkRepeated(t, d, func(s *State) (decision, error) { return decideAssignment(s, a, now) })
	})
}

// A status that a person sets ends, keeps or covers the acknowledgement.
func TestRule_responseToStatus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		given := genState(t)
		before := given.clone()
		u := StatusUpdate{Status: genStatus().Draw(t, "to"), Method: StatusMethodManual}
		d, err := decideStatus(given, u, ruleEpoch.Add(time.Hour), ruleEpoch)
		if err != nil {
			t.Fatal(err)
		}
		checkUntouched(t, before, given)
		want := before.Incident.Response.clone()
		switch was := before.Incident.Status; {
		case was == u.Status:
			checkUnchanged(t, given, d)
			return
		case want == nil:
		case u.Status == StatusClosed:
			want.AcknowledgedUntil = nil
		case was == StatusClosed:
			want = assigneeOf(want)
		case want.DateAcknowledged != nil && u.Status > want.AcknowledgedStatus:
			want.AcknowledgedStatus = u.Status
		}
		checkResponse(t, d, want)
		if got := d.after.Incident.DuplicateOf; u.Status.Active() && got != 0 || u.Status == StatusClosed && got != before.Incident.DuplicateOf {
			t.Fatalf("in status %s a duplicate of %d is one of %d", u.Status, before.Incident.DuplicateOf, got)
		}
	})
}

func TestRule_escalation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genState(t)
		before, at, now := s.clone(), genTime(t, "at"), genTime(t, "now")
		log := s.escalate(make([]Activity, 1), "5%", at, now)
		was := before.Incident.Response
		if !isHeld(was, now) || before.Incident.Status <= was.AcknowledgedStatus {
			if checkUntouched(t, before, s); len(log) != 1 {
				t.Fatalf("activities are %+v", log)
			}
			return
		}
		if got, want := s.Incident.Response, assigneeOf(was); !got.equal(want) {
			t.Fatalf("after an escalation the response is %+v, want %+v", got, want)
		}
		want := Activity{Incident: s.Incident.Key(), Type: ActivityTypeUnacknowledged, TriggerID: "5%", DateAdded: at}
		if len(log) != 2 || log[1] != want {
			t.Fatalf("activities are %+v, want %+v at the end", log, want)
		}
	})
}

// The end belongs to the time in which the acknowledgement has ended.
func TestIncident_acknowledgedUntil(t *testing.T) {
	until := ruleEpoch
	inc := Incident{Response: &Response{DateAcknowledged: &until, AcknowledgedUntil: &until}}
	for now, want := range map[time.Time]bool{
		until.Add(-time.Microsecond): true, until: false, until.Add(time.Microsecond): false,
	} {
		if got := inc.Acknowledged(now); got != want {
			t.Errorf("Acknowledged(%v) = %t, want %t, with an end of %v", now, got, want, until)
		}
	}
}

func checkUnchanged(t *rapid.T, given *State, d decision) {
	t.Helper()
	if c := changeOf(d); d.before != given || d.after != given || !c.empty() {
		t.Fatalf("the decision is %+v, want no change", d)
	}
}

// checkResponse fails if a decision changes anything in the incident except the response.
func checkResponse(t *rapid.T, d decision, want *Response) {
	t.Helper()
	if got := d.after.Incident.Response; !got.equal(want) {
		t.Fatalf("the response is %+v, want %+v", got, want)
	}
	after, before := d.after.Incident, d.before.Incident
	after.Response = before.Response
	after.Status, after.StatusMethod, after.DateClosed = before.Status, before.StatusMethod, before.DateClosed
	after.DuplicateOf = before.DuplicateOf
	if !after.equal(&before) {
		t.Fatalf("the decision changes %+v to %+v", before, after)
	}
}

// checkLog fails unless a decision appends an activity of user, and subscribes user and others.
func checkLog(t *rapid.T, d decision, user UserID, now time.Time, want Activity, others ...UserID) {
	t.Helper()
	want.Incident, want.UserID, want.DateAdded = d.after.Incident.Key(), user, now
	if len(d.activities) != 1 || d.activities[0] != want {
		t.Fatalf("activities are %+v, want %+v", d.activities, want)
	}
	var users []UserID
	for _, s := range d.subscriptions {
		users = append(users, s.UserID)
	}
	others = slices.DeleteFunc(append(others, user), func(u UserID) bool { return u == "" })
	slices.Sort(others)
	if others = slices.Compact(others); !slices.Equal(users, others) {
		t.Fatalf("subscribers are %q, want %q", users, others)
	}
}

// checkRepeated fails unless repeating a decision changes nothing.
func checkRepeated(t *rapid.T, d decision, decide func(*State) (decision, error)) {
	t.Helper()
	again, err := decide(d.after)
	if err != nil {
		t.Fatal(err)
	}
	checkUnchanged(t, d.after, again)
}
