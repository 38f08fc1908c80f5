package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// The identifier of a new incident is filled in everywhere in the change.
func applyFillsInTheIdentifier(t *trial, s incident.Store) {
	mustCreate(t, s, draft(acme))
	c := creation(ruled(acme, api), firing(critical))
	c.Subscriptions = []incident.Subscription{{Incident: c.Key, UserID: ada, DateAdded: t0}}
	applied := mustApply(t, s, c)

	key := incident.Key{OrganizationID: acme, Identifier: 2}
	if got := applied.Incident.Key(); got != key {
		t.Fatalf("Apply() made %s, want %s", got, key)
	}
	wantEqual(t, "the first sequence", applied.Sequence, int64(1))
	wantEqual(t, "the stored activities", mustActivities(t, s, key, incident.ActivityQuery{Limit: everything}), numbered(c, key, 1))
	if got := mustLoad(t, s, key).Triggers; len(got) != 1 || got[0].Incident != key {
		t.Errorf("Load() returns triggers %s, want the trigger of %s", show(got), key)
	}
	if got := mustSubscribers(t, s, key); len(got) != 1 || got[0].Incident != key {
		t.Errorf("Subscribers() = %s, want the subscriber of %s", show(got), key)
	}
}

// Applied has the incident as reads return it, or no incident if the change has none,
// and exactly the slots that the change claims or releases.
func applyReturnsWhatIsStored(t *trial, s incident.Store) {
	applied := mustApply(t, s, creation(ruled(acme, api, db)))
	st := mustLoad(t, s, applied.Incident.Key())
	wantEqual(t, "a new incident's Applied.Incident", applied.Incident, st.Incident)
	wantSlots(t, applied, incident.SlotVersion{Slot: slotOf(acme, api), Version: 1},
		incident.SlotVersion{Slot: slotOf(acme, db), Version: 1})

	applied = mustApply(t, s, reprojecting(st, api, web))
	st = mustLoad(t, s, st.Incident.Key())
	wantEqual(t, "a change's Applied.Incident", applied.Incident, st.Incident)
	wantSlots(t, applied, incident.SlotVersion{Slot: slotOf(acme, db), Version: 2},
		incident.SlotVersion{Slot: slotOf(acme, web), Version: 1})

	applied = mustApply(t, s, comment(st.Incident.Key(), "text"))
	wantEqual(t, "a comment's Applied", applied, incident.Applied{Sequence: 3})
	c := comment(st.Incident.Key(), "one of two")
	c.Activities = append(c.Activities, comment(st.Incident.Key(), "the other").Activities...)
	wantEqual(t, "the Applied of two comments", mustApply(t, s, c), incident.Applied{Sequence: 4})
	subscribes := incident.Change{
		Key:           st.Incident.Key(),
		Subscriptions: []incident.Subscription{{Incident: st.Incident.Key(), UserID: bob, DateAdded: t0}},
	}
	wantEqual(t, "the Applied of a subscription", mustApply(t, s, subscribes), incident.Applied{})
}

// numbered returns the activities of a change as they must be stored, with sequences
// starting at from.
func numbered(c incident.Change, key incident.Key, from int64) []incident.Activity {
	stored := cloneChange(c).Activities
	for i := range stored {
		stored[i].Incident, stored[i].Sequence = key, from+int64(i)
	}
	return stored
}

// wantSlots compares Applied.Slots in any order.
func wantSlots(t *trial, applied incident.Applied, want ...incident.SlotVersion) {
	t.Helper()
	if len(applied.Slots) != len(want) || len(without(want, applied.Slots)) > 0 {
		t.Errorf("Applied.Slots = %v, want %v in any order", applied.Slots, want)
	}
}

// Apply does not write to the caller's change. After an unknown outcome the caller
// repeats the same change.
func applyLeavesTheChangeAlone(t *trial, s incident.Store) {
	c := creation(ruled(acme, api, db), firing(warning), firing(critical))
	c.Subscriptions = []incident.Subscription{{Incident: c.Key, UserID: ada, DateAdded: t0}}
	want := cloneChange(c)
	mustApply(t, s, c)
	wantEqual(t, "the caller's change", c, want)
}

// A change that expects any other version than the stored version writes nothing.
func applyChecksTheVersion(t *trial, s incident.Store) {
	first := mustCreate(t, s, ruled(acme, api), firing(critical))
	second := mustChange(t, s, retitling(first, "Newer"))
	future := second
	future.Incident.Version = 7
	wantUnchanged(t, s, acme, func() {
		for _, stale := range []incident.State{first, future} {
			_, err := s.Apply(t.Context(), everythingOf(stale))
			wantError(t, fmt.Sprintf("Apply() on version %d", stale.Incident.Version), err, incident.ErrVersionConflict)
		}
	})
	mustApply(t, s, everythingOf(second))
}

// everythingOf returns a change of the row, the projects, the slots, the triggers, the
// activities and the subscriptions.
func everythingOf(before incident.State) incident.Change {
	after := before
	after.Incident.Title = "Changed"
	after.Incident.Projects = []incident.ProjectID{db}
	after.Triggers = []incident.Trigger{firing(warning)}
	c := update(before, after)
	c.Activities = comment(c.Key, "This must not be written").Activities
	c.Subscriptions = []incident.Subscription{{Incident: c.Key, UserID: eve, DateAdded: t0}}
	return c
}

// A change without a row does not check the version and does not increase it.
func applyOfACommentNeedsNoVersion(t *trial, s incident.Store) {
	st := mustCreate(t, s, ruled(acme, api), firing(critical))
	c := comment(st.Incident.Key(), "text")
	c.ExpectVersion = 99
	mustApply(t, s, c)
	wantEqual(t, "after a comment, the state", mustLoad(t, s, st.Incident.Key()), st)
}

// Only the first of several changes that expect the same version is applied.
func applyLetsOneOfAVersionWin(t *trial, s incident.Store) {
	const writers, rounds = 8, 4
	st := mustCreate(t, s, draft(acme))
	for range rounds {
		var won atomic.Int32
		t.together(writers, func(i int) {
			c := retitling(st, fmt.Sprint("writer ", i))
			c.Activities = comment(c.Key, c.Incident.Title).Activities
			if _, err := s.Apply(t.Context(), c); err == nil {
				won.Add(1)
			} else {
				wantError(t, "Apply() of a loser", err, incident.ErrVersionConflict)
			}
		})
		before := st.Incident.Version
		st = mustLoad(t, s, st.Incident.Key())
		if won.Load() != 1 || st.Incident.Version != before+1 {
			t.Fatalf("%d of %d changes of version %d were applied, and the version is %d, want 1 and %d",
				won.Load(), writers, before, st.Incident.Version, before+1)
		}
	}
	all := mustActivities(t, s, st.Incident.Key(), incident.ActivityQuery{Limit: everything})
	if want := 2 + rounds; len(all) != want {
		t.Errorf("there are %d activities, want %d: changes that fail must write none", len(all), want)
	}
}

// Concurrent writers that load and decide again after a version conflict lose no status
// change: each starts from the status that the previous change set.
func applyLosesNoUpdate(t *trial, s incident.Store) {
	const writers, each = 6, 5
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	t.together(writers, func(int) {
		for range each {
			if err := keepTrying(t, s, key); err != nil {
				t.Error(err)
			}
		}
	})
	st := mustLoad(t, s, key)
	if want := int64(1 + writers*each); st.Incident.Version != want {
		t.Errorf("after %d changes the version is %d, want %d", writers*each, st.Incident.Version, want)
	}
	status := incident.StatusOpen
	for _, a := range mustActivities(t, s, key, incident.ActivityQuery{After: 2, Limit: everything}) {
		if a.PreviousValue != status {
			t.Errorf("activity %d has the previous status %v, want %v", a.Sequence, a.PreviousValue, status)
		}
		status = a.Value
	}
	if status != st.Incident.Status {
		t.Errorf("the last activity has status %v, but the incident has %v", status, st.Incident.Status)
	}
}

// keepTrying changes the status once, after as many version conflicts as it takes.
func keepTrying(t *trial, s incident.Store, key incident.Key) error {
	cycle := map[incident.Status]incident.Status{
		incident.StatusOpen:    incident.StatusWarning,
		incident.StatusWarning: incident.StatusClosed,
		incident.StatusClosed:  incident.StatusOpen,
	}
	const attempts = 1000
	for range attempts {
		st, err := s.Load(t.Context(), key)
		if err != nil {
			return err
		}
		runtime.Gosched() // for others to get in between
		_, err = s.Apply(t.Context(), transition(st, cycle[st.Incident.Status]))
		if !errors.Is(err, incident.ErrVersionConflict) {
			return err
		}
	}
	return errors.New("each of 1000 changes returned ErrVersionConflict")
}

// A row without DateClosed clears the stored date.
func applyClearsDateClosed(t *trial, s incident.Store) {
	st := mustCreate(t, s, draft(acme))
	st = mustChange(t, s, transition(st, incident.StatusClosed))
	wantEqual(t, "DateClosed", st.Incident.DateClosed, new(at(time.Hour)))
	st = mustChange(t, s, transition(st, incident.StatusWarning))
	if st.Incident.DateClosed != nil {
		t.Errorf("DateClosed of a reopened incident = %v, want none", st.Incident.DateClosed)
	}
}

// Projects are in ascending order after any link and unlink.
func applyLinksAndUnlinks(t *trial, s incident.Store) {
	st := mustCreate(t, s, draft(acme))
	for _, want := range [][]incident.ProjectID{{web}, {api, web}, {api, db, web}, {db}, nil, {api, db}} {
		st = mustChange(t, s, reprojecting(st, want...))
		wantEqual(t, "the projects of the state", st.Incident.Projects, want)
		d := mustLoadDetails(t, s, st.Incident.Key(), "")
		wantEqual(t, "the projects of the details", d.Projects, want)
		list := mustIncidents(t, s, incident.IncidentQuery{OrganizationID: acme, Limit: 1})
		wantEqual(t, "the incidents of the list", list, []incident.Incident{st.Incident})
	}
}

// A trigger is inserted, or replaces the whole trigger of the same name. Other triggers
// stay, and all are ordered by name.
func applyReplacesTriggersByName(t *trial, s incident.Store) {
	st := mustCreate(t, s, draft(acme), firing("m"))
	put := func(ids ...incident.TriggerID) {
		c := retitling(st, fmt.Sprint("with ", ids))
		for i, id := range ids {
			c.Triggers = append(c.Triggers, incident.Trigger{
				Incident:     c.Key,
				TriggerID:    id,
				Status:       incident.TriggerStatusResolved,
				Severity:     incident.StatusWarning,
				DateAdded:    at(time.Duration(10+i) * time.Minute),
				DateModified: at(time.Duration(c.ExpectVersion) * time.Hour),
			})
		}
		want := mergeTriggers(st.Triggers, c.Triggers)
		st = mustChange(t, s, c)
		wantEqual(t, "the triggers of the state", st.Triggers, want)
		wantEqual(t, "the triggers of the details", mustLoadDetails(t, s, c.Key, "").Triggers, want)
	}
	put("z", "a")
	put("m")
	put("n", "a", "B")
}

func mergeTriggers(stored, changed []incident.Trigger) []incident.Trigger {
	merged := slices.Clone(changed)
	for _, trigger := range stored {
		same := func(c incident.Trigger) bool { return c.TriggerID == trigger.TriggerID }
		if !slices.ContainsFunc(changed, same) {
			merged = append(merged, trigger)
		}
	}
	slices.SortFunc(merged, func(a, b incident.Trigger) int { return cmp.Compare(a.TriggerID, b.TriggerID) })
	return merged
}
