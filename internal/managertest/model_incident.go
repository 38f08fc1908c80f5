package managertest

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

func unchanged(r *record) incident.Result { return incident.Result{Incident: copyIncident(r.incident)} }

// changed counts a change to the incident's row or triggers.
func changed(r *record) incident.Result {
	r.incident.Version++
	return incident.Result{Incident: copyIncident(r.incident), Changed: true}
}

func (w *world) create(n incident.NewIncident) (any, error) {
	o := w.org(n.OrganizationID)
	projects := slices.Compact(slices.Sorted(slices.Values(n.Projects)))
	if n.Status == 0 {
		n.Status = incident.StatusOpen
	}
	added := w.orNow(n.DateAdded)
	if added.After(w.now) || n.Status == incident.StatusClosed || n.AlertRuleID != "" && len(projects) == 0 {
		return nil, incident.ErrInvalid
	}
	if r := o.detections[n.DetectionUUID]; r != nil {
		return unchanged(r), nil
	}
	started := w.orNow(n.DateStarted)
	detected := started
	if !n.DateDetected.IsZero() {
		detected = cut(n.DateDetected)
	}
	method := incident.StatusMethodManual
	if n.AlertRuleID != "" {
		method = incident.StatusMethodRuleTriggered
	}
	r := w.blank(incident.Incident{
		OrganizationID: n.OrganizationID,
		Title:          n.Title,
		Type:           n.Type,
		Status:         n.Status,
		StatusMethod:   method,
		AlertRuleID:    n.AlertRuleID,
		QueryID:        n.QueryID,
		DetectionUUID:  n.DetectionUUID,
		Projects:       projects,
		DateStarted:    started,
		DateDetected:   detected,
		DateAdded:      added,
		Labels:         maps.Clone(n.Labels),
		Annotations:    maps.Clone(n.Annotations),
	})
	if err := w.obstacles(r, r.slots()...); err != nil {
		return nil, err
	}
	w.open(r, n.UserID)
	return changed(r), nil
}

// blank returns a record that belongs to no organization yet.
func (w *world) blank(inc incident.Incident) *record {
	return &record{
		incident:    inc,
		triggers:    map[incident.TriggerID]incident.Trigger{},
		seen:        map[incident.UserID]time.Time{},
		subscribers: map[incident.UserID]time.Time{},
		reminders:   map[string]incident.Reminder{},
	}
}

// open gives a record the next identifier and its first two activities.
func (w *world) open(r *record, user incident.UserID) {
	o := w.org(r.incident.OrganizationID)
	o.records = append(o.records, r)
	r.incident.Identifier = int64(len(o.records))
	if r.incident.DetectionUUID != uuid.Nil {
		o.detections[r.incident.DetectionUUID] = r
	}
	w.claim(r)
	w.append(r, incident.Activity{
		Type: incident.ActivityTypeDetected, UserID: user, DateAdded: r.incident.DateDetected,
	})
	w.append(r, incident.Activity{
		Type: incident.ActivityTypeCreated, UserID: user, Value: r.incident.Status, DateAdded: r.incident.DateAdded,
	})
}

func (w *world) updateStatus(key incident.Key, u incident.StatusUpdate) (any, error) {
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	at := w.orNow(u.Date)
	isEarly := u.Status == incident.StatusClosed && !u.Date.IsZero() && at.Before(r.incident.DateStarted)
	err := w.settled(r, r.incident.Status == u.Status, isEarly,
		repeatable{u.ExpectVersion, u.NotificationUUID, incident.ActivityTypeStatusChange})
	if err != nil {
		return answerSettled(r, err)
	}
	if err := w.obstacles(r, r.slots()...); err != nil {
		return nil, err
	}
	if u.Method == 0 {
		u.Method = incident.StatusMethodManual
	}
	r.cover(u.Status)
	w.setStatus(r, u.Status, u.Method, incident.Activity{
		UserID: u.UserID, Comment: u.Comment, NotificationUUID: u.NotificationUUID, DateAdded: at,
	})
	w.subscribeAll(r, u.UserID)
	return changed(r), nil
}

// setStatus changes the status and logs the change. Closing resolves the active triggers;
// its date is not before the incident's start.
func (w *world) setStatus(r *record, to incident.Status, method incident.StatusMethod, a incident.Activity) {
	a.Type = incident.ActivityTypeStatusChange
	a.PreviousValue, a.Value = r.incident.Status, to
	w.append(r, a)
	r.respond(to)
	r.incident.Status = to
	r.incident.StatusMethod = method
	r.incident.DateClosed = nil
	if to != incident.StatusClosed {
		w.claim(r)
		return
	}
	clear(r.reminders)
	at := a.DateAdded
	if at.Before(r.incident.DateStarted) {
		at = r.incident.DateStarted
	}
	r.incident.DateClosed = &at
	for id, t := range r.triggers {
		if t.Status == incident.TriggerStatusActive {
			t.Status = incident.TriggerStatusResolved
			if at := w.capped(at); at.After(t.DateModified) {
				t.DateModified = at
			}
			r.triggers[id] = t
		}
	}
}

func (w *world) linkProject(key incident.Key, p incident.ProjectID) (any, error) {
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	if slices.Contains(r.incident.Projects, p) {
		return unchanged(r), nil
	}
	if r.active() && r.incident.AlertRuleID != "" {
		slot := incident.Slot{
			OrganizationID: key.OrganizationID, AlertRuleID: r.incident.AlertRuleID,
			ProjectID: p, QueryID: r.incident.QueryID,
		}
		if err := w.obstacles(r, slot); err != nil {
			return nil, err
		}
	}
	r.incident.Projects = slices.Sorted(slices.Values(append(slices.Clone(r.incident.Projects), p)))
	if r.active() {
		w.claim(r)
	}
	w.append(r, incident.Activity{
		Type: incident.ActivityTypeProjectLinked, Field: "project", New: string(p), DateAdded: w.now,
	})
	return changed(r), nil
}

func (w *world) unlinkProject(key incident.Key, p incident.ProjectID) (any, error) {
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	i := slices.Index(r.incident.Projects, p)
	if i < 0 {
		return unchanged(r), nil
	}
	if r.incident.AlertRuleID != "" && len(r.incident.Projects) == 1 {
		return nil, incident.ErrInvalid
	}
	r.incident.Projects = slices.Delete(slices.Clone(r.incident.Projects), i, i+1)
	w.append(r, incident.Activity{
		Type: incident.ActivityTypeProjectUnlinked, Field: "project", Old: string(p), DateAdded: w.now,
	})
	return changed(r), nil
}

func (w *world) get(key incident.Key) (any, error) {
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	return copyIncident(r.incident), nil
}

// activeAnswer is the result of Active.
type activeAnswer struct {
	Incident incident.Incident
	OK       bool
}

func (w *world) active(slot incident.Slot) (any, error) {
	r := w.holder(slot)
	if r == nil {
		return activeAnswer{}, nil
	}
	return activeAnswer{Incident: copyIncident(r.incident), OK: true}, nil
}

func (w *world) details(key incident.Key, user incident.UserID) (any, error) {
	r := w.find(key)
	if r == nil {
		return nil, incident.ErrNotFound
	}
	_, hasSeen := r.seen[user]
	_, isSubscribed := r.subscribers[user]
	return incident.Details{
		Incident:     copyIncident(r.incident),
		Triggers:     r.triggerList(),
		SeenBy:       r.seenList(),
		HasSeen:      hasSeen,
		IsSubscribed: isSubscribed,
	}, nil
}

// list returns the whole list that a filter selects, without paging.
func (w *world) list(f incident.IncidentFilter) (any, error) {
	list := []incident.Incident{}
	for r := range w.org(f.OrganizationID).living() {
		if w.matches(r.incident, f) {
			list = append(list, copyIncident(r.incident))
		}
	}
	slices.SortFunc(list, func(a, b incident.Incident) int {
		if c := b.DateStarted.Compare(a.DateStarted); c != 0 {
			return c
		}
		return int(b.Identifier - a.Identifier)
	})
	return list, nil
}

func (w *world) matches(inc incident.Incident, f incident.IncidentFilter) bool {
	affects := len(f.Projects) == 0
	for _, p := range f.Projects {
		affects = affects || slices.Contains(inc.Projects, p)
	}
	visible := f.Access == nil || len(inc.Projects) == 0
	if !visible {
		for _, p := range f.Access.Projects {
			visible = visible || slices.Contains(inc.Projects, p)
		}
	}
	isOver := !f.Start.IsZero() && inc.DateClosed != nil && inc.DateClosed.Before(cut(f.Start))
	isAhead := !f.End.IsZero() && inc.DateStarted.After(cut(f.End))
	return affects && visible && !isOver && !isAhead && w.answers(inc, f) &&
		(len(f.Statuses) == 0 || slices.Contains(f.Statuses, inc.Status)) &&
		(f.AlertRuleID == "" || f.AlertRuleID == inc.AlertRuleID) &&
		strings.Contains(strings.ToLower(inc.Title), strings.ToLower(f.Title))
}
