package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/incidentkit/incident"
)

// turns is the number of values of the label that turned sets.
const turns = 3

// turned returns the next version of a state, with a label and a start that depend on the version.
func turned(before incident.State) incident.State {
	version := before.Incident.Version + 1
	after := before
	after.Incident.Labels = map[string]string{"turn": fmt.Sprint(version % turns), "team": "shop"}
	after.Incident.DateStarted = minute(int(version) % 5)
	return after
}

func turnQuery(turn int, projects ...incident.ProjectID) incident.IncidentQuery {
	return incident.IncidentQuery{
		OrganizationID: acme,
		Labels:         []incident.Label{{Name: "team", Value: "shop"}, {Name: "turn", Value: fmt.Sprint(turn)}},
		Projects:       projects,
		Limit:          everything,
	}
}

// While writers change the label and the start of an incident, a list of a label has the incident
// at most once, and only with that label. After all changes it is in one list.
func incidentsFollowLabelsUnderConcurrency(t *trial, s incident.Store) {
	const writers, readers = 2, 2
	key := mustCreate(t, s, turned(incident.State{Incident: labelled(acme, nil)}).Incident).Incident.Key()
	var reading atomic.Int32
	reading.Store(readers)
	t.together(writers+readers, func(i int) {
		var err error
		if i < writers {
			err = keepTurning(t.Context(), s, key, &reading)
		} else {
			defer reading.Add(-1)
			err = keepListing(t.Context(), s, i)
		}
		if err != nil {
			t.Error(err)
		}
	})
	st := mustLoad(t, s, key)
	for turn := range turns {
		var want []incident.Incident
		if int64(turn) == st.Incident.Version%turns {
			want = append(want, st.Incident)
		}
		wantEqual(t, fmt.Sprint("the incidents of turn ", turn), mustIncidents(t, s, turnQuery(turn)), want)
		wantEqual(t, fmt.Sprint("the incidents of turn ", turn, " and a project"), mustIncidents(t, s, turnQuery(turn, api, db)), want)
	}
}

// keepTurning changes the incident while others read. A version conflict is another writer's change.
func keepTurning(ctx context.Context, s incident.Store, key incident.Key, reading *atomic.Int32) error {
	for reading.Load() > 0 {
		st, err := s.Load(ctx, key)
		if err != nil {
			return fmt.Errorf("Load() = %w, want no error", err)
		}
		if _, err := s.Apply(ctx, update(st, turned(st))); err != nil && !errors.Is(err, incident.ErrVersionConflict) {
			return fmt.Errorf("Apply() = %w, want no error", err)
		}
	}
	return nil
}

func keepListing(ctx context.Context, s incident.Store, reader int) error {
	const rounds = 60
	for n := range rounds {
		turn := (n + reader) % turns
		q := turnQuery(turn)
		if n%2 == 0 {
			q = turnQuery(turn, api, db)
		}
		got, err := s.Incidents(ctx, q)
		if err != nil {
			return fmt.Errorf("Incidents() = %w, want no error", err)
		}
		if len(got) > 1 {
			return fmt.Errorf("a list of a label has an incident that changes %d times", len(got))
		}
		for _, inc := range got {
			if !hasLabels(inc, q.Labels) || inc.Version%turns != int64(turn) {
				return fmt.Errorf("the list of turn %d has %s", turn, show(inc))
			}
		}
	}
	return nil
}
