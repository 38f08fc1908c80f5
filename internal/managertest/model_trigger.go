package managertest

import (
	"time"

	"github.com/incidentkit/incident"
)

// worst returns the highest severity of the active triggers, or Closed if there are none.
func (r *record) worst() incident.Status {
	worst := incident.StatusClosed
	for _, t := range r.triggers {
		if t.Status == incident.TriggerStatusActive {
			worst = max(worst, t.Severity)
		}
	}
	return worst
}

// rank orders the statuses by severity.
var rank = map[incident.Status]int{
	incident.StatusClosed: 0, incident.StatusOpen: 1, incident.StatusWarning: 2, incident.StatusCritical: 3,
}

func (w *world) fire(f incident.Firing) (any, error) {
	at := w.orNow(f.Date)
	r := w.holder(f.Slot)
	if r == nil {
		r = w.blank(incident.Incident{
			OrganizationID: f.OrganizationID,
			Title:          f.Title,
			Type:           incident.TypeAlertTriggered,
			Status:         incident.StatusOpen,
			StatusMethod:   incident.StatusMethodRuleTriggered,
			AlertRuleID:    f.AlertRuleID,
			QueryID:        f.QueryID,
			Projects:       []incident.ProjectID{f.ProjectID},
			DateStarted:    at,
			DateDetected:   at,
			DateAdded:      w.now,
		})
		w.open(r, "")
	}
	t, known := r.triggers[f.TriggerID]
	if known && t.Status == incident.TriggerStatusActive && t.Severity == f.Severity {
		return unchanged(r), nil
	}
	if !known {
		t = incident.Trigger{Incident: r.key(), TriggerID: f.TriggerID, DateAdded: at}
	}
	t.Status, t.Severity, t.DateModified = incident.TriggerStatusActive, f.Severity, at
	r.triggers[f.TriggerID] = t
	if to := r.worst(); rank[to] > rank[r.incident.Status] {
		w.setStatusByRule(r, to, at)
	}
	return changed(r), nil
}

func (w *world) resolve(res incident.Resolution) (any, error) {
	r := w.holder(res.Slot)
	if r == nil {
		return incident.Result{}, nil
	}
	t, known := r.triggers[res.TriggerID]
	if !known || t.Status != incident.TriggerStatusActive {
		return unchanged(r), nil
	}
	at := w.orNow(res.Date)
	t.Status, t.DateModified = incident.TriggerStatusResolved, at
	r.triggers[res.TriggerID] = t
	if to := r.worst(); rank[to] < rank[r.incident.Status] {
		w.setStatusByRule(r, to, at)
	}
	return changed(r), nil
}

func (w *world) setStatusByRule(r *record, to incident.Status, at time.Time) {
	w.setStatus(r, to, incident.StatusMethodRuleTriggered, incident.Activity{DateAdded: at})
}

func (r *record) triggerList() []incident.Trigger {
	list := []incident.Trigger{}
	for _, id := range sortedKeys(r.triggers) {
		list = append(list, r.triggers[id])
	}
	return list
}

func (w *world) triggersOf(key incident.Key) (any, error) {
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	return r.triggerList(), nil
}
