package incident

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"
)

// TriggerID names a trigger of an alert rule of the host, such as its warning
// and its critical threshold.
type TriggerID string

// TriggerStatus says whether a trigger's condition is met. The numbers are
// Sentry's, which is why zero is a valid one.
type TriggerStatus int

// The statuses of a trigger.
const (
	// TriggerStatusActive is a trigger that fired.
	TriggerStatusActive TriggerStatus = 0
	// TriggerStatusResolved is a trigger that no longer fires, or whose incident
	// was closed.
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

// Trigger is what became of a trigger in an incident. An incident has each
// trigger once.
type Trigger struct {
	Incident  Key       `json:"incident"`
	TriggerID TriggerID `json:"alertRuleTrigger"`

	Status TriggerStatus `json:"status"`

	// Severity is the status that the active trigger raises its incident to:
	// [StatusWarning] or [StatusCritical].
	Severity Status `json:"severity"`

	DateAdded    time.Time `json:"dateCreated"`  // when it first fired
	DateModified time.Time `json:"dateModified"` // when it last changed
}

// MaxTriggers is the most triggers that an incident can have, resolved ones included.
const MaxTriggers = 1000

// Firing says that a trigger's condition is met.
type Firing struct {
	Slot

	TriggerID TriggerID

	// Severity is [StatusWarning] or [StatusCritical].
	Severity Status

	// Title is that of the incident which the firing opens, by the rules of
	// [NewIncident].
	Title string

	// Date is when the condition came to be met. Defaults to now. An incident
	// that the firing opens started and was detected then.
	Date time.Time
}

// Resolution says that a trigger's condition is no longer met.
type Resolution struct {
	Slot

	TriggerID TriggerID

	// Date is when it came to be so. Defaults to now. An incident that is closed by
	// it ends then, or at its start if that is later.
	Date time.Time
}

// TriggerManager is the triggers' part of [Manager].
type TriggerManager interface {
	// Triggers returns the triggers of an incident, in order of TriggerID. It
	// reads through the cache.
	Triggers(ctx context.Context, key Key) ([]Trigger, error)

	// Fire marks the trigger active in the slot's incident, which it opens if
	// there is none, and raises the status to the highest severity of the active
	// triggers. It never lowers it. Firing what is active already, with the same
	// severity, is not Changed. An incident has at most [MaxTriggers] triggers: firing
	// another one in it returns [ErrInvalid].
	Fire(ctx context.Context, f Firing) (Result, error)

	// Resolve marks the trigger resolved in the slot's incident, lowers the
	// status to the highest severity of the triggers that remain active, and
	// closes the incident when none remains. It never raises it. It is not
	// Changed if no incident is active in the slot, which returns the zero
	// Incident, or if the trigger is not active in it.
	Resolve(ctx context.Context, r Resolution) (Result, error)
}

// highestSeverity is the severity rule: an incident is as bad as the worst of
// its active triggers. It is 0 if none is active.
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

// fire is the rule of a trigger that fires in an active incident: it becomes
// active, and may raise the status. It is refused if it would be one too many.
func fire(before *State, f *Firing, at time.Time) (*State, error) {
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

// activate makes the trigger of a firing active, which is or will be the i-th.
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

// resolve is the rule of a trigger that no longer fires: it becomes resolved,
// and may lower the status or close the incident.
func resolve(before *State, id TriggerID, at time.Time) (*State, error) {
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

// firing decides a firing in the slot's state, which is nil for a free slot.
func firing(before *State, f *Firing, at, now time.Time, d *draft) (decision, error) {
	if before == nil {
		return d.openedBy(f, at, now), nil
	}
	after, err := fire(before, f, at)
	if err != nil {
		return decision{}, err
	}
	return decision{
		before:     before,
		after:      after,
		activities: statusChange(nil, before.Incident.Status, &after.Incident, at),
	}, nil
}

// draft is the memory of a decision to open an incident.
type draft struct {
	state    State
	projects [1]ProjectID
	triggers [1]Trigger
	log      [3]Activity
}

// openedBy decides a firing in a free slot: it opens an incident.
func (d *draft) openedBy(f *Firing, at, now time.Time) decision {
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

// drafts are those that serve again, where the store keeps nothing of them.
var drafts = sync.Pool{New: func() any { return new(draft) }}

// resolution decides a resolution in the slot's state, which is nil for a free
// slot.
func resolution(before *State, id TriggerID, at time.Time) (decision, error) {
	if before == nil {
		return unchanged(nil), nil
	}
	after, err := resolve(before, id, at)
	if err != nil {
		return decision{}, err
	}
	return decision{
		before:     before,
		after:      after,
		activities: statusChange(nil, before.Incident.Status, &after.Incident, at),
	}, nil
}
