package memory

import (
	"cmp"
	"slices"

	"github.com/incidentkit/incident"
)

// record is an incident with its activities, triggers and subscribers. The usual number
// of each fits into the record itself.
type record struct {
	// The fields of [incident.State] are adjacent, for cache locality in a large store.
	incident     incident.Incident
	firstProject [1]incident.ProjectID // initial array of incident.Projects
	triggers     []incident.Trigger    // by TriggerID
	firstTrigger [1]incident.Trigger   // initial array of triggers

	activities      []activity // by Sequence, from 1
	subscribers     userDates
	firstActivities [3]activity // initial array of activities
}

// newIncident initializes the record with a copy of inc.
func (r *record) newIncident(inc *incident.Incident, identifier int64) {
	r.incident = *inc
	r.incident.Identifier = identifier
	r.incident.Projects = append(r.firstProject[:0], inc.Projects...)
	if inc.DateClosed != nil {
		r.incident.DateClosed = new(*inc.DateClosed)
	}
	if inc.Response != nil || inc.Labels != nil || inc.Annotations != nil {
		own := inc.Clone()
		r.incident.Response, r.incident.Labels, r.incident.Annotations = own.Response, own.Labels, own.Annotations
	}
}

// setTriggers inserts or replaces triggers. It replaces the slice and never modifies its
// elements, so the old slice is enough to undo the call.
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

// stateCopy is a copy of a state. The usual number of triggers needs no other memory.
type stateCopy struct {
	incident.State
	firstTrigger [1]incident.Trigger
}

// copyState returns a copy that shares no memory with the record.
func (r *record) copyState() *incident.State {
	c := new(stateCopy)
	copyIncident(&c.Incident, &r.incident, []incident.ProjectID{})
	if len(r.triggers) > 0 {
		c.Triggers = append(c.firstTrigger[:0], r.triggers...)
	}
	return &c.State
}

// copyIncident makes to a copy that shares no memory with inc. Its projects use the given memory,
// an empty slice, if they fit.
func copyIncident(to, inc *incident.Incident, projects []incident.ProjectID) {
	if inc.DateClosed != nil || inc.Response != nil || inc.Labels != nil || inc.Annotations != nil {
		*to = inc.Clone()
		return
	}
	*to = *inc
	if inc.Projects != nil {
		to.Projects = append(projects, inc.Projects...)
	}
}
