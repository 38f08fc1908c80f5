package memory

import (
	"cmp"
	"slices"

	"github.com/incidentkit/incident"
)

// record is one incident with everything that hangs on it. What most incidents
// have lies in the record itself.
type record struct {
	// What makes up the state of the incident lies together, for the sake of
	// lookups in a large store.
	incident     incident.Incident
	firstProject [1]incident.ProjectID // where the incident's projects begin
	triggers     []incident.Trigger    // by TriggerID
	firstTrigger [1]incident.Trigger   // where triggers begins

	activities      []activity // by Sequence, from 1
	subscribers     users
	firstActivities [3]activity // where activities begins
}

// newIncident fills the record in.
func (r *record) newIncident(inc *incident.Incident, identifier int64) {
	r.incident = *inc
	r.incident.Identifier = identifier
	r.incident.Projects = append(r.firstProject[:0], inc.Projects...)
	if inc.DateClosed != nil {
		r.incident.DateClosed = new(*inc.DateClosed)
	}
}

// setTriggers replaces the list, and never its elements, so that the old list is
// what undoes it.
func (r *record) setTriggers(triggers []incident.Trigger) {
	after := r.firstTrigger[:0]
	if r.triggers != nil || len(triggers) > 1 {
		after = slices.Clone(r.triggers)
	}
	for _, t := range triggers {
		t.Incident = r.incident.Key()
		i, found := slices.BinarySearchFunc(after, t.TriggerID, func(e incident.Trigger, id incident.TriggerID) int {
			return cmp.Compare(e.TriggerID, id)
		})
		if found {
			after[i] = t
		} else {
			after = slices.Insert(after, i, t)
		}
	}
	r.triggers = after
}

func (r *record) state() incident.State {
	return incident.State{Incident: r.incident.Clone(), Triggers: slices.Clone(r.triggers)}
}
