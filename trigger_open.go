package incident

import (
	"errors"
	"slices"

	"github.com/google/uuid"
)

// errStale refuses a view that is not fresh: the last holder of the slot must be known.
var errStale = errors.New("the last incident of the slot is not known")

// draft is the memory for a decision that opens an incident, in one allocation.
type draft struct {
	state    State
	projects [1]ProjectID
	triggers [1]Trigger
	log      [3]Activity
	slots    [1]Slot
	expect   SlotVersion
}

// decide is the rule for a firing in a free slot: it opens an incident, reopens the last
// incident of the slot, or changes nothing. A decision on the last incident is right only for
// the version of the slot that the view has.
func (d *draft) decide(v *view, f *Firing, e *event) (decision, error) {
	if !e.dated && f.ReopenWithin == 0 && f.DetectionUUID == uuid.Nil {
		return d.open(f, e), nil
	}
	if !v.fresh {
		return decision{}, errStale
	}
	var opened decision
	switch {
	case v.last == nil:
		opened = d.open(f, e)
	case v.last.outdates(f, e):
		return unchanged(v.last), nil
	case !v.blocked && v.last.reopensFor(f, e):
		var err error
		if opened, err = reopen(v.last, f, e); err != nil {
			return decision{}, err
		}
	default:
		opened = d.open(f, e)
	}
	d.expect = SlotVersion{Slot: f.Slot, Version: v.slotVersion}
	opened.expectSlot = &d.expect
	return opened, nil
}

// open opens an incident.
func (d *draft) open(f *Firing, e *event) decision {
	d.projects[0] = f.ProjectID
	d.state = State{Triggers: d.triggers[:0], Incident: Incident{
		OrganizationID: f.OrganizationID,
		Title:          f.Title,
		Type:           TypeAlertTriggered,
		Status:         StatusOpen,
		StatusMethod:   StatusMethodRuleTriggered,
		AlertRuleID:    f.AlertRuleID,
		QueryID:        f.QueryID,
		DetectionUUID:  f.DetectionUUID,
		Projects:       d.projects[:],
		DateStarted:    e.named,
		DateDetected:   e.named,
		DateAdded:      e.now,
		Labels:         f.Labels,
		Annotations:    f.Annotations,
	}}
	after := &d.state
	log, opened := opening(d.log[:0], &after.Incident, ""), after.Incident.Status
	after.activate(0, false, f, e.date)
	after.raise()
	log = after.triggerActivity(log, opened, false, Activity{TriggerID: f.TriggerID, DateAdded: e.date})
	return decision{after: after, activities: log, slots: d.slots[:0]}
}

// reopensFor reports whether a firing reopens the incident, which was the last in the slot of
// the firing: see [Firing.ReopenWithin]. A firing that is older than the incident must be as
// close to its start.
func (s *State) reopensFor(f *Firing, e *event) bool {
	inc := &s.Incident
	if f.ReopenWithin == 0 || inc.Status != StatusClosed || inc.StatusMethod != StatusMethodRuleTriggered ||
		inc.DuplicateOf != 0 || !slices.Contains(inc.Projects, f.ProjectID) {
		return false
	}
	if _, found := findTrigger(s.Triggers, f.TriggerID); !found && len(s.Triggers) >= MaxTriggers {
		return false
	}
	started, closed := earlier(inc.DateStarted, e.now), earlier(*inc.DateClosed, e.now)
	return e.date.Sub(closed) < f.ReopenWithin && started.Sub(e.date) < f.ReopenWithin
}

// reopen is the rule for a firing that reopens the last incident of its slot.
func reopen(last *State, f *Firing, e *event) (decision, error) {
	after, err := transition(last, f.Severity, StatusMethodRuleTriggered, e.date, e.now, false)
	if err != nil {
		return decision{}, err
	}
	i, found := findTrigger(after.Triggers, f.TriggerID)
	at := e.date
	if found {
		at, _ = e.follow(after.Triggers[i].DateModified) // outdates has refused an outdated firing
	}
	after.activate(i, found, f, at)
	after.startBy(e.date)
	log := after.triggerActivity(nil, last.Incident.Status, false, Activity{TriggerID: f.TriggerID, DateAdded: at})
	return decision{before: last, after: after, activities: after.update(log, f, at)}, nil
}
