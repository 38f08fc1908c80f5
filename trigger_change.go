package incident

import (
	"maps"
	"slices"
	"time"
)

// repeats reports whether the trigger of f is active with the same severity already, and f
// neither updates anything nor begins an episode.
func (f *Firing) repeats(s *State, e *event) bool {
	i, found := findTrigger(s.Triggers, f.TriggerID)
	if !found {
		return false
	}
	t := &s.Triggers[i]
	return t.Status == TriggerStatusActive && t.Severity == f.Severity && !f.updates(&s.Incident) && !f.begins(t, e)
}

// begins reports whether f begins an episode of a trigger that is active since an earlier
// episode. A date ahead of now would begin an episode with each repetition.
func (f *Firing) begins(t *Trigger, e *event) bool {
	return f.Episode && e.dated && e.date.Equal(e.named) && e.date.After(t.DateModified)
}

// decideFiring is the rule for a firing in an active incident.
func decideFiring(before *State, f *Firing, e *event) (decision, error) {
	if f.repeats(before, e) {
		return unchanged(before), nil
	}
	i, found := findTrigger(before.Triggers, f.TriggerID)
	at, severity, begins := e.date, Status(0), false
	switch {
	case found:
		t := &before.Triggers[i]
		if t.Status == TriggerStatusActive {
			severity, begins = t.Severity, f.begins(t, e)
		}
		var ok bool
		if at, ok = e.follow(t.DateModified); !ok {
			return unchanged(before), nil
		}
	case len(before.Triggers) >= MaxTriggers:
		return decision{}, invalid("trigger", "is new to an incident that has %d triggers, which is the limit", len(before.Triggers))
	}
	after := before.clone()
	after.activate(i, found, f, at)
	if severity == 0 {
		after.startBy(e.date)
	}
	after.raise()
	if f.Severity < severity {
		after.lower()
	}
	log := after.triggerActivity(nil, before.Incident.Status, begins, Activity{
		Type:          ActivityTypeTriggerFired,
		TriggerID:     f.TriggerID,
		PreviousValue: severity,
		Value:         f.Severity,
		DateAdded:     at,
	})
	if after.Incident.Status > before.Incident.Status {
		log = after.escalate(log, f.TriggerID, at, e.now)
	}
	return decision{before: before, after: after, activities: after.update(log, f, at)}, nil
}

// activate makes the trigger of f active, at index i of the triggers. found reports whether the
// trigger is there already.
func (s *State) activate(i int, found bool, f *Firing, at time.Time) {
	if !found {
		s.Triggers = slices.Insert(s.Triggers, i, Trigger{
			Incident:  s.Incident.key(),
			TriggerID: f.TriggerID,
			DateAdded: at,
		})
	}
	t := &s.Triggers[i]
	t.Status, t.Severity, t.DateModified = TriggerStatusActive, f.Severity, at
}

// startBy moves the start of the incident back to date.
func (s *State) startBy(date time.Time) {
	s.Incident.DateStarted = earlier(s.Incident.DateStarted, date)
}

// raise is the rule for the status after a firing: the highest severity of the active triggers
// raises it.
func (s *State) raise() {
	if highest := highestSeverity(s.Triggers); highest > s.Incident.Status {
		s.Incident.Status, s.Incident.StatusMethod = highest, StatusMethodRuleTriggered
	}
}

// lower is the rule for the status after the severity of a trigger fell, or the trigger was
// resolved: the highest severity of the active triggers lowers it.
func (s *State) lower() {
	if highest := highestSeverity(s.Triggers); highest < s.Incident.Status {
		s.Incident.Status, s.Incident.StatusMethod = highest, StatusMethodRuleTriggered
	}
}

// triggerActivity is the rule for the activity of a changed trigger: a StatusChange if the
// status changed, otherwise a. It appends none if neither the status nor the trigger's severity
// changed, and no episode begins.
func (s *State) triggerActivity(log []Activity, previous Status, begins bool, a Activity) []Activity {
	switch {
	case s.Incident.Status != previous:
		a.Type, a.PreviousValue, a.Value = ActivityTypeStatusChange, previous, s.Incident.Status
	case a.PreviousValue == a.Value && !begins:
		return log
	}
	a.Incident = s.Incident.key()
	return append(log, a)
}

// updates reports whether f replaces labels or annotations by others.
func (f *Firing) updates(inc *Incident) bool {
	return f.Update && !(maps.Equal(f.Labels, inc.Labels) && maps.Equal(f.Annotations, inc.Annotations))
}

// update is the rule for the labels and annotations of a firing: with [Firing.Update], those of
// the incident become equal to them. It appends an activity for each difference.
func (s *State) update(log []Activity, f *Firing, at time.Time) []Activity {
	inc := &s.Incident
	if !f.updates(inc) {
		return log
	}
	edited := func(field, from, to string) {
		log = append(log, Activity{
			Incident:  inc.Key(),
			Type:      ActivityTypeEdited,
			TriggerID: f.TriggerID,
			Field:     field,
			Old:       from,
			New:       to,
			DateAdded: at,
		})
	}
	inc.Labels = editLabels(inc.Labels, replacing(inc.Labels, f.Labels), prefixLabels, edited)
	inc.Annotations = editLabels(inc.Annotations, replacing(inc.Annotations, f.Annotations), prefixAnnotation, edited)
	return log
}

// replacing returns the values that an edit sets to replace all labels.
func replacing(labels, by map[string]string) map[string]string {
	values := make(map[string]string, len(labels)+len(by))
	for name := range labels {
		values[name] = ""
	}
	maps.Copy(values, by)
	return values
}

// decideResolution is the rule for a resolution. before is nil for a free slot.
func decideResolution(before *State, id TriggerID, e *event) (decision, error) {
	if before == nil {
		return unchanged(nil), nil
	}
	i, found := findTrigger(before.Triggers, id)
	if !found || before.Triggers[i].Status != TriggerStatusActive {
		return unchanged(before), nil
	}
	t := &before.Triggers[i]
	at, ok := e.follow(t.DateModified)
	if !ok {
		return unchanged(before), nil
	}
	after := before.clone()
	after.Triggers[i].Status, after.Triggers[i].DateModified = TriggerStatusResolved, at
	if highestSeverity(after.Triggers) != 0 {
		after.lower()
	} else {
		var err error
		if after, err = transition(after, StatusClosed, StatusMethodRuleTriggered, after.lastModified(e.now), e.now, false); err != nil {
			return decision{}, err
		}
	}
	log := after.triggerActivity(nil, before.Incident.Status, false, Activity{
		Type:          ActivityTypeTriggerResolved,
		TriggerID:     id,
		PreviousValue: t.Severity,
		DateAdded:     at,
	})
	return decision{before: before, after: after, activities: log}, nil
}
