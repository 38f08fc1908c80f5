package incident

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"
)

// TriggerID names a trigger of an alert rule of the host, such as its warning
// and its critical threshold.
type TriggerID string

// TriggerStatus tells whether the condition of a trigger is met. The numbers are
// Sentry's, so that zero is a valid status.
type TriggerStatus int

// The statuses of a trigger.
const (
	// TriggerStatusActive means that the trigger fired.
	TriggerStatusActive TriggerStatus = 0
	// TriggerStatusResolved means that the trigger was resolved, or its incident
	// closed.
	TriggerStatusResolved TriggerStatus = 1
)

func (s TriggerStatus) String() string {
	switch s {
	case TriggerStatusActive:
		return "Active"
	case TriggerStatusResolved:
		return "Resolved"
	}
	return "TriggerStatus(" + strconv.Itoa(int(s)) + ")"
}

// Trigger is the state of an alert rule's trigger in an incident. An incident has each
// trigger once.
type Trigger struct {
	Incident  Key       `json:"incident"`
	TriggerID TriggerID `json:"alertRuleTrigger"`

	Status TriggerStatus `json:"status"`

	// Severity is the status to which the active trigger raises its incident:
	// [StatusWarning] or [StatusCritical].
	Severity Status `json:"severity"`

	DateAdded    time.Time `json:"dateCreated"`  // when it first fired
	DateModified time.Time `json:"dateModified"` // when it last changed
}

// MaxTriggers is the most triggers, active and resolved, that an incident can have.
const MaxTriggers = 1000

// Firing reports that the condition of a trigger is met.
type Firing struct {
	Slot

	TriggerID TriggerID `json:"trigger"`

	// Severity is [StatusWarning] or [StatusCritical].
	Severity Status `json:"severity"`

	// Title is the title of the incident that the firing opens, by the rules of
	// [NewIncident].
	Title string `json:"title"`

	// Date is when the condition was met: DateStarted and DateDetected of an incident
	// that the firing opens. Defaults to now.
	Date time.Time `json:"date,omitzero"`
}

// Resolution reports that the condition of a trigger is no longer met.
type Resolution struct {
	Slot

	TriggerID TriggerID `json:"trigger"`

	// Date is when the condition ended: DateClosed of an incident that the resolution
	// closes, unless the incident started later. Defaults to now.
	Date time.Time `json:"date,omitzero"`
}

// TriggerManager is the triggers' part of [Manager].
type TriggerManager interface {
	// Triggers returns the triggers of an incident, in order of TriggerID. It
	// reads through the cache.
	Triggers(ctx context.Context, key Key) ([]Trigger, error)

	// Fire marks the trigger active in the incident of the slot, and opens an incident
	// if the slot is free. It raises the status to the highest severity of the active
	// triggers, and never lowers it. Firing an active trigger again with the same
	// severity changes nothing.
	//
	// It returns [ErrInvalid] if the trigger is new to an incident that has
	// [MaxTriggers] triggers.
	Fire(ctx context.Context, f Firing) (Result, error)

	// Resolve marks the trigger resolved in the incident of the slot. It lowers the
	// status to the highest severity of the remaining active triggers, and never
	// raises it. If no active trigger remains, it closes the incident.
	//
	// Resolving a trigger that is not active changes nothing. If the slot is free,
	// Resolve returns the zero Result.
	Resolve(ctx context.Context, r Resolution) (Result, error)
}

// highestSeverity is the severity rule: an incident is as severe as its most severe
// active trigger. It returns 0 if none is active.
func highestSeverity(triggers []Trigger) (highest Status) {
	for _, t := range triggers {
		if t.Status == TriggerStatusActive {
			highest = max(highest, t.Severity)
		}
	}
	return highest
}

func findTrigger(triggers []Trigger, id TriggerID) (int, bool) {
	return slices.BinarySearchFunc(triggers, id, func(t Trigger, id TriggerID) int {
		return cmp.Compare(t.TriggerID, id)
	})
}

// activateTrigger is the rule for a firing in an active incident: the trigger becomes
// active, and may raise the status. It returns before itself if nothing changes.
func activateTrigger(before *State, f *Firing, at time.Time) (*State, error) {
	i, found := findTrigger(before.Triggers, f.TriggerID)
	switch {
	case !found && len(before.Triggers) >= MaxTriggers:
		return nil, invalid("trigger", "is new to an incident that has %d triggers, which is the limit", len(before.Triggers))
	case found:
		if t := &before.Triggers[i]; t.Status == TriggerStatusActive && t.Severity == f.Severity {
			return before, nil
		}
	}
	after := before.clone()
	after.activate(i, found, f, at)
	return after, nil
}

// activate makes the trigger of f active, at index i of the triggers. found reports
// whether the trigger is there already.
func (s *State) activate(i int, found bool, f *Firing, at time.Time) {
	if !found {
		s.Triggers = slices.Insert(s.Triggers, i, Trigger{
			Incident:  s.Incident.Key(),
			TriggerID: f.TriggerID,
			DateAdded: at,
		})
	}
	t := &s.Triggers[i]
	t.Status, t.Severity, t.DateModified = TriggerStatusActive, f.Severity, at
	if highest := highestSeverity(s.Triggers); highest > s.Incident.Status {
		s.Incident.Status, s.Incident.StatusMethod = highest, StatusMethodRuleTriggered
	}
}

// resolveTrigger is the rule for a resolution: the trigger becomes resolved, and may
// lower the status or close the incident. It returns before itself if nothing changes.
func resolveTrigger(before *State, id TriggerID, at time.Time) (*State, error) {
	i, found := findTrigger(before.Triggers, id)
	if !found || before.Triggers[i].Status != TriggerStatusActive {
		return before, nil
	}
	after := before.clone()
	after.Triggers[i].Status, after.Triggers[i].DateModified = TriggerStatusResolved, at
	switch s := highestSeverity(after.Triggers); {
	case s == 0:
		return transition(after, StatusClosed, StatusMethodRuleTriggered, at, false)
	case s < after.Incident.Status:
		after.Incident.Status, after.Incident.StatusMethod = s, StatusMethodRuleTriggered
	}
	return after, nil
}

// decideFiring decides a firing on the state of the slot's incident.
func decideFiring(before *State, f *Firing, at time.Time) (decision, error) {
	after, err := activateTrigger(before, f, at)
	if err != nil {
		return decision{}, err
	}
	return decision{
		before:     before,
		after:      after,
		activities: statusChange(nil, before.Incident.Status, &after.Incident, at),
	}, nil
}

// draft is the memory for a decision that opens an incident, in one allocation.
type draft struct {
	state    State
	projects [1]ProjectID
	triggers [1]Trigger
	log      [3]Activity
}

// open is the rule for a firing in a free slot: it opens an incident.
func (d *draft) open(f *Firing, at, now time.Time) decision {
	d.projects[0] = f.ProjectID
	d.state = State{Triggers: d.triggers[:0], Incident: Incident{
		OrganizationID: f.OrganizationID,
		Title:          f.Title,
		Type:           TypeAlertTriggered,
		Status:         StatusOpen,
		StatusMethod:   StatusMethodRuleTriggered,
		AlertRuleID:    f.AlertRuleID,
		QueryID:        f.QueryID,
		Projects:       d.projects[:],
		DateStarted:    at,
		DateDetected:   at,
		DateAdded:      now,
	}}
	after := &d.state
	log, opened := opening(d.log[:0], &after.Incident, ""), after.Incident.Status
	after.activate(0, false, f, at)
	return decision{after: after, activities: statusChange(log, opened, &after.Incident, at)}
}

// decideResolution decides a resolution on the state of the slot's incident, nil for a
// free slot.
func decideResolution(before *State, id TriggerID, at time.Time) (decision, error) {
	if before == nil {
		return unchanged(nil), nil
	}
	after, err := resolveTrigger(before, id, at)
	if err != nil {
		return decision{}, err
	}
	return decision{
		before:     before,
		after:      after,
		activities: statusChange(nil, before.Incident.Status, &after.Incident, at),
	}, nil
}
