package incident

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestRule_duplicate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		given, other := genState(t), genState(t)
		other.Incident.Identifier = 2
		before, now := given.clone(), genTime(t, "now")
		d := &Duplicate{Of: 2, UserID: "ada", Comment: "Same cause.", NotificationUUID: uuid.Max}
		got, err := decideDuplicate(given, other, d, now)
		checkUntouched(t, before, given)
		was := before.Incident
		switch {
		case was.DuplicateOf == 2:
			if err != nil {
				t.Fatal(err)
			}
			checkUnchanged(t, given, got)
			return
		case other.Incident.DuplicateOf != 0:
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("a duplicate of a duplicate = %v", err)
			}
			return
		case err != nil:
			t.Fatal(err)
		}
		checkClosed(t, got.after)
		if inc := got.after.Incident; inc.Status != StatusClosed || inc.DuplicateOf != 2 ||
			was.Status == StatusClosed && !equalTimes(inc.DateClosed, was.DateClosed) {
			t.Fatalf("the duplicate is %+v, was %+v", inc, was)
		}
		want := []Activity{{
			Type: ActivityTypeMarkedDuplicate, Field: "duplicateOf", Old: identifierText(was.DuplicateOf), New: "2",
			Comment: "Same cause.", NotificationUUID: uuid.Max,
		}}
		if was.Status.Active() {
			want = append(want, Activity{Type: ActivityTypeStatusChange, PreviousValue: was.Status, Value: StatusClosed})
		}
		for i := range want {
			want[i].Incident, want[i].UserID, want[i].DateAdded = was.Key(), "ada", now
			if len(got.activities) != len(want) || got.activities[i] != want[i] {
				t.Fatalf("activities are %+v, want %+v", got.activities, want)
			}
		}
		if len(got.subscriptions) != 1 || got.subscriptions[0].UserID != "ada" {
			t.Fatalf("subscriptions are %+v", got.subscriptions)
		}
		checkRepeated(t, got, func(s *State) (decision, error) { return decideDuplicate(s, other, d, now) })
	})
}

// Marks and status changes in any order never lead to a circle, and a duplicate is closed.
func TestRule_noCircleOfDuplicates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 4
		all := map[int64]*State{}
		for i := range int64(n) {
			all[i+1] = genState(t)
			all[i+1].Incident.Identifier, all[i+1].Incident.DuplicateOf = i+1, 0
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			i, of := rapid.Int64Range(1, n).Draw(t, "identifier"), rapid.Int64Range(1, n).Draw(t, "of")
			var d decision
			var err error
			if i == of {
				d, err = decideStatus(all[i], StatusUpdate{Status: genStatus().Draw(t, "to")}, ruleEpoch, ruleEpoch)
			} else {
				d, err = decideDuplicate(all[i], all[of], &Duplicate{Of: of}, ruleEpoch)
			}
			if err == nil {
				all[i] = d.after
			}
		}
		for i, s := range all {
			if s.Incident.DuplicateOf != 0 && s.Incident.Status != StatusClosed {
				t.Fatalf("%s is active, and a duplicate", s.Incident.Key())
			}
			steps := 0
			for next := i; next != 0; next = all[next].Incident.DuplicateOf {
				if steps++; steps > n {
					t.Fatalf("the duplicates from %d on form a circle", i)
				}
			}
		}
	})
}
