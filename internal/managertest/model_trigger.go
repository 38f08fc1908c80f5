package managertest

import (
	"maps"
	"slices"
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

// order returns the date that an event gives to a trigger, and false for an event that is older
// than what the trigger knows.
func (w *world) order(r *record, id incident.TriggerID, date time.Time) (time.Time, bool) {
	at := w.capped(w.orNow(date))
	t, known := r.triggers[id]
	switch {
	case !known || t.DateModified.Compare(at) <= 0:
		return at, true
	case date.IsZero(), w.now.Compare(t.DateModified) < 0:
		return t.DateModified, true
	}
	return time.Time{}, false
}

// capped returns the time, or the clock's time if that is earlier.
func (w *world) capped(t time.Time) time.Time {
	if w.now.Before(t) {
		return w.now
	}
	return t
}

func (w *world) fire(f incident.Firing) (any, error) {
	r := w.holder(f.Slot)
	if r == nil {
		return w.fireInFreeSlot(f)
	}
	t, known := r.triggers[f.TriggerID]
	isActive := known && t.Status == incident.TriggerStatusActive
	before := incident.Status(0)
	if isActive {
		before = t.Severity
	}
	begins := isActive && w.begins(t, f)
	if before == f.Severity && !begins && (!f.Update || sameLabels(r.incident, f)) {
		return unchanged(r), nil
	}
	at, isNews := w.order(r, f.TriggerID, f.Date)
	if !isNews {
		return unchanged(r), nil
	}
	w.activate(r, f, at)
	from, to := r.incident.Status, r.worst()
	isMilder := isActive && rank[f.Severity] < rank[before]
	switch {
	case rank[to] > rank[from], rank[to] < rank[from] && isMilder:
		w.setStatusByRule(r, to, f.TriggerID, at)
	case before != f.Severity, begins:
		w.append(r, incident.Activity{
			Type: incident.ActivityTypeTriggerFired, TriggerID: f.TriggerID, PreviousValue: before, Value: f.Severity, DateAdded: at,
		})
	}
	w.relabel(r, f, at)
	return changed(r), nil
}

// begins reports whether a firing is the start of an episode, after the date that its active
// trigger has.
func (w *world) begins(t incident.Trigger, f incident.Firing) bool {
	at := w.orNow(f.Date)
	return f.Episode && !f.Date.IsZero() && !at.After(w.now) && at.After(t.DateModified)
}

// activate marks the trigger of a firing active. If it was not, the incident starts with the
// firing at the latest.
func (w *world) activate(r *record, f incident.Firing, at time.Time) {
	t, known := r.triggers[f.TriggerID]
	if !known {
		t = incident.Trigger{Incident: r.key(), TriggerID: f.TriggerID, DateAdded: at}
	}
	if !known || t.Status != incident.TriggerStatusActive {
		if at := w.capped(w.orNow(f.Date)); at.Before(r.incident.DateStarted) {
			r.incident.DateStarted = at
		}
	}
	t.Status, t.Severity, t.DateModified = incident.TriggerStatusActive, f.Severity, at
	r.triggers[f.TriggerID] = t
}

// fireInFreeSlot opens an incident, unless the last in the slot is the answer.
func (w *world) fireInFreeSlot(f incident.Firing) (any, error) {
	o := w.org(f.OrganizationID)
	repeated := o.detections[f.DetectionUUID]
	if last := w.find(incident.Key{OrganizationID: f.OrganizationID, Identifier: o.last[f.Slot]}); last != nil {
		if repeated == last || w.isKnownTo(last, f) {
			return unchanged(last), nil
		}
		if w.isReopened(last, f) {
			at, _ := w.order(last, f.TriggerID, f.Date)
			w.activate(last, f, at)
			w.setStatusByRule(last, f.Severity, f.TriggerID, at)
			w.relabel(last, f, at)
			return changed(last), nil
		}
	}
	if repeated != nil {
		return unchanged(repeated), nil
	}
	at := w.orNow(f.Date)
	r := w.blank(incident.Incident{
		OrganizationID: f.OrganizationID,
		Title:          f.Title,
		Type:           incident.TypeAlertTriggered,
		Status:         incident.StatusOpen,
		StatusMethod:   incident.StatusMethodRuleTriggered,
		AlertRuleID:    f.AlertRuleID,
		QueryID:        f.QueryID,
		DetectionUUID:  f.DetectionUUID,
		Projects:       []incident.ProjectID{f.ProjectID},
		DateStarted:    at,
		DateDetected:   at,
		DateAdded:      w.now,
		Labels:         maps.Clone(f.Labels),
		Annotations:    maps.Clone(f.Annotations),
	})
	w.open(r, "")
	first := incident.Trigger{Incident: r.key(), TriggerID: f.TriggerID, Severity: f.Severity, DateAdded: w.capped(at), DateModified: w.capped(at)}
	r.triggers[f.TriggerID] = first
	w.setStatusByRule(r, f.Severity, f.TriggerID, first.DateAdded)
	return changed(r), nil
}

// isKnownTo reports whether a firing with a date is old news to the last incident of its slot.
func (w *world) isKnownTo(last *record, f incident.Firing) bool {
	if f.Date.IsZero() || last.active() {
		return false
	}
	at, ended := w.capped(w.orNow(f.Date)), *last.incident.DateClosed
	isCovered := !f.Episode && !at.Before(last.incident.DateStarted) && at.Before(ended) && !ended.After(w.now)
	_, isNews := w.order(last, f.TriggerID, f.Date)
	return isCovered || !isNews
}

// isReopened reports whether a firing reopens the last incident of its slot: it is near enough in
// time, and nothing else stands against it.
func (w *world) isReopened(last *record, f incident.Firing) bool {
	inc := last.incident
	if f.ReopenWithin == 0 || last.active() || inc.DuplicateOf != 0 || !slices.Contains(inc.Projects, f.ProjectID) {
		return false
	}
	_, known := last.triggers[f.TriggerID]
	at := w.capped(w.orNow(f.Date))
	return inc.StatusMethod == incident.StatusMethodRuleTriggered &&
		(known || len(last.triggers) < incident.MaxTriggers) &&
		w.capped(*inc.DateClosed).Add(f.ReopenWithin).After(at) &&
		w.capped(inc.DateStarted).Add(-f.ReopenWithin).Before(at) &&
		w.obstacles(last, last.slots()...) == nil
}

func sameLabels(inc incident.Incident, f incident.Firing) bool {
	return maps.Equal(inc.Labels, f.Labels) && maps.Equal(inc.Annotations, f.Annotations)
}

// relabel gives the incident the labels and annotations of a firing that asks for it.
func (w *world) relabel(r *record, f incident.Firing, at time.Time) {
	if !f.Update {
		return
	}
	for _, set := range []struct {
		prefix string
		old    *map[string]string
		new    map[string]string
	}{
		{"labels.", &r.incident.Labels, f.Labels},
		{"annotations.", &r.incident.Annotations, f.Annotations},
	} {
		all := maps.Clone(set.new)
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, *set.old)
		for _, name := range sortedKeys(all) {
			if from, to := (*set.old)[name], set.new[name]; from != to {
				w.append(r, incident.Activity{
					Type: incident.ActivityTypeEdited, TriggerID: f.TriggerID, Field: set.prefix + name, Old: from, New: to, DateAdded: at,
				})
			}
		}
		*set.old = maps.Clone(set.new)
	}
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
	at, isNews := w.order(r, res.TriggerID, res.Date)
	if !isNews {
		return unchanged(r), nil
	}
	t.Status, t.DateModified = incident.TriggerStatusResolved, at
	r.triggers[res.TriggerID] = t
	to := r.worst()
	if rank[to] >= rank[r.incident.Status] {
		w.append(r, incident.Activity{
			Type: incident.ActivityTypeTriggerResolved, TriggerID: res.TriggerID, PreviousValue: t.Severity, DateAdded: at,
		})
		return changed(r), nil
	}
	w.setStatusByRule(r, to, res.TriggerID, at)
	if to == incident.StatusClosed {
		ended := at
		for _, t := range r.triggers {
			if t.DateModified.After(ended) {
				ended = t.DateModified
			}
		}
		if ended = w.capped(ended); ended.Before(r.incident.DateStarted) {
			ended = r.incident.DateStarted
		}
		r.incident.DateClosed = &ended
	}
	return changed(r), nil
}

// setStatusByRule changes the status. A trigger that raises it above what was acknowledged ends
// the acknowledgement.
func (w *world) setStatusByRule(r *record, to incident.Status, id incident.TriggerID, at time.Time) {
	from := r.incident.Status
	w.setStatus(r, to, incident.StatusMethodRuleTriggered, incident.Activity{TriggerID: id, DateAdded: at})
	isWorse := to != incident.StatusClosed && rank[to] > rank[from]
	if !isWorse || !w.isAcknowledged(r.incident) || rank[to] <= rank[r.incident.Response.AcknowledgedStatus] {
		return
	}
	r.forget()
	w.append(r, incident.Activity{Type: incident.ActivityTypeUnacknowledged, TriggerID: id, DateAdded: at})
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
