package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// Load returns the row as it was written last, with its projects, and the triggers in
// order.
func loadReturnsTheState(t *trial, s incident.Store) {
	inc := ruled(acme, api, db)
	got := mustCreate(t, s, inc, firing(warning), firing(critical))
	inc.Identifier, inc.Version = 1, 1
	first, second := firing(critical), firing(warning)
	first.Incident, second.Incident = inc.Key(), inc.Key()
	want := incident.State{Incident: inc, Triggers: []incident.Trigger{first, second}}
	wantEqual(t, "the state of a new incident", got, want)

	c := transition(got, incident.StatusClosed)
	for i := range want.Triggers {
		want.Triggers[i].Status, want.Triggers[i].DateModified = incident.TriggerStatusResolved, at(time.Hour)
	}
	want.Incident = *c.Incident
	wantEqual(t, "the state of a closed incident", mustChange(t, s, c), want)
}

// LoadDetails returns the state, the users who have seen the incident, and whether the
// given user has seen it and is subscribed.
func loadDetailsIsAboutTheUser(t *trial, s incident.Store) {
	w := mustWorld(t, s, acme) // ada is subscribed, bob has seen it
	mustMarkSeen(t, s, incident.Seen{Incident: w.key(), UserID: eve, LastSeen: at(time.Hour)})
	mustSubscribe(t, s, incident.Subscription{Incident: w.key(), UserID: eve, DateAdded: t0})
	tests := []struct {
		user                  incident.UserID
		hasSeen, isSubscribed bool
	}{
		{ada, false, true},
		{bob, true, false},
		{eve, true, true},
		{"stranger", false, false},
		{"", false, false},
	}
	for _, tt := range tests {
		want := incident.Details{
			Incident: w.state.Incident,
			Triggers: w.state.Triggers,
			SeenBy: []incident.Seen{
				{Incident: w.key(), UserID: eve, LastSeen: at(time.Hour)},
				{Incident: w.key(), UserID: bob, LastSeen: at(time.Minute)},
			},
			HasSeen:      tt.hasSeen,
			IsSubscribed: tt.isSubscribed,
		}
		got := mustLoadDetails(t, s, w.key(), tt.user)
		wantEqual(t, fmt.Sprintf("the details for %q", tt.user), got, want)
	}
}

// An incident that nobody has seen has details too.
func loadDetailsOfABareIncident(t *trial, s incident.Store) {
	st := mustCreate(t, s, draft(acme))
	want := incident.Details{Incident: st.Incident}
	wantEqual(t, "the details", mustLoadDetails(t, s, st.Incident.Key(), ada), want)
}

// Load returns the state of a single moment: never the row of a version with the projects
// or triggers of another.
func loadIsOneRead(t *trial, s incident.Store) {
	st := mustCreate(t, s, draft(acme), firing(critical))
	whileStamping(t, s, st, "Load", func(ctx context.Context) (int64, error) {
		got, err := s.Load(ctx, st.Incident.Key())
		if err != nil {
			return 0, err
		}
		return got.Incident.Version, checkStamp(got)
	})
}

func loadDetailsIsOneRead(t *trial, s incident.Store) {
	st := mustCreate(t, s, draft(acme), firing(critical))
	whileStamping(t, s, st, "LoadDetails", func(ctx context.Context) (int64, error) {
		got, err := s.LoadDetails(ctx, st.Incident.Key(), ada)
		if err != nil {
			return 0, err
		}
		return got.Version, checkStamp(incident.State{Incident: got.Incident, Triggers: got.Triggers})
	})
}

// LoadSlot returns a version and its holder of the same moment. In this case both have
// the same version, and the slot is held at odd versions.
func loadSlotIsOneRead(t *trial, s incident.Store) {
	st := mustCreate(t, s, ruled(acme, api), firing(critical))
	whileStamping(t, s, st, "LoadSlot", func(ctx context.Context) (int64, error) {
		got, err := s.LoadSlot(ctx, slotOf(acme, api))
		switch {
		case err != nil:
			return 0, err
		case (got.State != nil) != (got.Version%2 == 1):
			return got.Version, fmt.Errorf("at version %d the slot holds %s", got.Version, show(got.State))
		case got.State == nil:
			return got.Version, nil
		case got.State.Incident.Version != got.Version:
			return got.Version, fmt.Errorf("at version %d the slot holds version %d", got.Version, got.State.Incident.Version)
		}
		return got.Version, checkStamp(*got.State)
	})
}

// stamped returns the next version of a state, with the version in its title, trigger
// and projects. Even versions are closed.
func stamped(before incident.State) incident.State {
	version := before.Incident.Version + 1
	after := before
	after.Incident.Title = fmt.Sprint("version ", version)
	after.Incident.Status, after.Incident.DateClosed = incident.StatusOpen, nil
	if version%2 == 0 {
		after.Incident.Status, after.Incident.DateClosed = incident.StatusClosed, new(at(time.Hour))
	}
	if after.Incident.AlertRuleID == "" {
		after.Incident.Projects = []incident.ProjectID{incident.ProjectID(after.Incident.Title)}
	}
	trigger := before.Triggers[0]
	trigger.DateModified = at(time.Duration(version) * time.Second)
	after.Triggers = []incident.Trigger{trigger}
	return after
}

// checkStamp returns an error if the parts of a state are of different versions.
func checkStamp(got incident.State) error {
	if got.Incident.Version == 1 {
		return nil
	}
	before := got
	before.Incident.Version--
	if len(got.Triggers) != 1 || !equal(got.Triggers, stamped(before).Triggers) {
		return fmt.Errorf("version %d has the triggers of another version: %s", got.Incident.Version, show(got))
	}
	want := stamped(before).Incident
	want.Version = got.Incident.Version
	if !equal(got.Incident, want) {
		return fmt.Errorf("version %d has fields of another version: %s", got.Incident.Version, show(got))
	}
	return nil
}

// whileStamping changes the incident while two readers read it. It reports errors of
// read, and versions that decrease.
func whileStamping(t *trial, s incident.Store, st incident.State, method string, read func(context.Context) (int64, error)) {
	var readers atomic.Int32
	readers.Store(2)
	t.together(3, func(i int) {
		var err error
		if i == 0 {
			err = keepStamping(t.Context(), s, st, &readers)
		} else {
			defer readers.Add(-1)
			err = keepReading(t.Context(), read)
		}
		if err != nil {
			t.Errorf("%s() of an incident that changes: %v", method, err)
		}
	})
}

func keepStamping(ctx context.Context, s incident.Store, st incident.State, readers *atomic.Int32) error {
	for readers.Load() > 0 {
		applied, err := s.Apply(ctx, update(st, stamped(st)))
		if err != nil {
			return fmt.Errorf("Apply() while others read = %w, want no error", err)
		}
		st.Triggers = stamped(st).Triggers
		st.Incident = applied.Incident
	}
	return nil
}

// keepReading reads until the incident has changed often enough.
func keepReading(ctx context.Context, read func(context.Context) (int64, error)) error {
	const atLeast, atMost, versions = 100, 2000, 50
	last := int64(0)
	for i := 0; i < atLeast || i < atMost && last < versions; i++ {
		version, err := read(ctx)
		if err != nil {
			return err
		}
		if version < last {
			return errors.New("a read returned an older version than the read before it")
		}
		last = version
	}
	return nil
}
