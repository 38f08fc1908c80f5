package memory

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

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

// activity is an [incident.Activity] without what its place tells, and with times
// in microseconds.
type activity struct {
	user                   incident.UserID
	comment                string
	notification           uuid.UUID
	added, edited, deleted int64 // edited and deleted may be never
	revision               int64
	kind, value, previous  int16
}

// never is no time that anything has.
const never = math.MinInt64

func newActivity(a *incident.Activity) activity {
	return activity{
		user:         a.UserID,
		comment:      a.Comment,
		notification: a.NotificationUUID,
		added:        a.DateAdded.UnixMicro(),
		edited:       microOf(a.DateEdited),
		deleted:      microOf(a.DateDeleted),
		revision:     a.Revision,
		kind:         int16(a.Type),
		value:        int16(a.Value),
		previous:     int16(a.PreviousValue),
	}
}

// activity returns the activity of a sequence that exists.
func (r *record) activity(sequence int64) incident.Activity {
	a := &r.activities[sequence-1]
	return incident.Activity{
		Incident:         r.incident.Key(),
		Sequence:         sequence,
		Type:             incident.ActivityType(a.kind),
		UserID:           a.user,
		Value:            incident.Status(a.value),
		PreviousValue:    incident.Status(a.previous),
		Comment:          a.comment,
		NotificationUUID: a.notification,
		DateAdded:        timeOf(a.added),
		DateEdited:       optionalTimeOf(a.edited),
		DateDeleted:      optionalTimeOf(a.deleted),
		Revision:         a.revision,
	}
}

func (r *record) appendActivity(a activity) {
	if r.activities == nil {
		r.activities = r.firstActivities[:0]
	}
	r.activities = append(r.activities, a)
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

func microOf(t *time.Time) int64 {
	if t == nil {
		return never
	}
	return t.UnixMicro()
}

func timeOf(micro int64) time.Time { return time.UnixMicro(micro).UTC() }

func optionalTimeOf(micro int64) *time.Time {
	if micro == never {
		return nil
	}
	t := timeOf(micro)
	return &t
}
