package incident

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
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

	// DateAdded is when the trigger first fired, DateModified when it last changed. Neither
	// is ahead of the clock that wrote it. DateModified never goes back, and is never before
	// DateAdded.
	DateAdded    time.Time `json:"dateCreated"`
	DateModified time.Time `json:"dateModified"`
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
	// that the firing opens. Defaults to now. A source that may deliver late, twice or out
	// of order should set it: see [TriggerManager].
	Date time.Time `json:"date,omitzero"`

	// Labels and Annotations are those of the incident that the firing opens: see
	// [MaxLabels].
	Labels      map[string]string `json:"labels,omitzero"`
	Annotations map[string]string `json:"annotations,omitzero"`

	// Update replaces all labels and annotations of an incident that exists already, too.
	// Each difference has an Edited activity.
	Update bool `json:"update,omitzero"`

	// Episode means that Date is the start of an episode: the source repeats the firing with
	// the same Date while the condition is met, and begins the next episode with a later Date.
	// Alertmanager and Grafana do so. It has no effect without a Date.
	//
	//   - A Date after the DateModified of an active trigger becomes its DateModified, with a
	//     TriggerFired activity. A resolution of an earlier episode is then outdated, even if
	//     it is delivered later.
	//   - In a free slot, the time of the last incident outdates no firing of a trigger that
	//     the incident does not have, or of a later episode: the source may have held the
	//     firing back, and would not send it if the condition had ended.
	Episode bool `json:"episode,omitzero"`

	// DetectionUUID is the DetectionUUID of the incident that the firing opens. If the
	// organization knows it, the firing opens no incident, and does not reopen the incident
	// that it once opened. Zero for none.
	DetectionUUID uuid.UUID `json:"detectionUuid,omitzero"`

	// ReopenWithin reopens the last incident of a free slot instead of opening a new one, if
	// the incident was closed by its triggers less than ReopenWithin before the firing. It
	// keeps a target that flaps from opening an incident each time. It must not be negative;
	// in JSON it is in nanoseconds. Defaults to 0: the last incident stays closed.
	//
	// The incident stays closed if:
	//
	//   - a user closed it
	//   - it is a duplicate, or no longer affects the project of the slot
	//   - it has [MaxTriggers] triggers, and the trigger is new to it
	//   - another incident is active in a slot of its other projects
	ReopenWithin time.Duration `json:"reopenWithin,omitzero"`
}

// Resolution reports that the condition of a trigger is no longer met.
type Resolution struct {
	Slot

	TriggerID TriggerID `json:"trigger"`

	// Date is when the condition ended. Defaults to now. A source that may deliver late,
	// twice or out of order should set it: see [TriggerManager].
	Date time.Time `json:"date,omitzero"`
}

// TriggerManager is the triggers' part of [Manager].
//
// Sources may report late, twice and out of order. Fire and Resolve put the events of a trigger
// in order by their dates:
//
//   - An event that has a Date before the [Trigger.DateModified] of its trigger changes
//     nothing.
//   - An event without a Date is newer than all that the trigger knows.
//   - A Date ahead of now counts as now, and a DateModified ahead of now as older than any
//     event: a clock that runs ahead silences nobody.
type TriggerManager interface {
	// Triggers returns the triggers of an incident, in order of TriggerID. It
	// reads through the cache.
	Triggers(ctx context.Context, key Key) ([]Trigger, error)

	// Fire marks the trigger active in the incident of the slot. It raises the status to
	// the highest severity of the active triggers. If the severity of an active trigger
	// falls, so may the status; otherwise Fire never lowers it. A trigger that becomes
	// active before DateStarted moves DateStarted. Firing an active trigger again with the
	// same severity changes nothing, unless [Firing.Update] or [Firing.Episode] does.
	//
	// In a free slot Fire opens an incident, or reopens the last: see
	// [Firing.ReopenWithin]. It changes nothing, and returns the last incident of the slot,
	// if the Date is before what the trigger knows there, or, without [Firing.Episode], within
	// the time of that incident, from its DateStarted until its DateClosed.
	//
	// Opening an incident appends a Detected, a Created and a StatusChange activity. A later
	// change of the status appends a StatusChange, any other change of the trigger a
	// TriggerFired. All except Detected and Created have the TriggerID. See [Notifier] for
	// the activities to page on.
	//
	// It returns [ErrInvalid] if the trigger is new to an active incident that has
	// [MaxTriggers] triggers.
	Fire(ctx context.Context, f Firing) (Result, error)

	// Resolve marks the trigger resolved in the incident of the slot. It lowers the
	// status to the highest severity of the remaining active triggers, and never
	// raises it. If no active trigger remains, it closes the incident. DateClosed is then
	// the latest DateModified of its triggers, unless the incident started later.
	//
	// A change of the status appends a StatusChange activity, any other change a
	// TriggerResolved. Both have the TriggerID.
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

// check validates f, makes its labels canonical, and returns its place in the order of events.
func (f *Firing) check(now time.Time) (e event, err error) {
	if err := checkSlot(f.Slot); err != nil {
		return e, err
	}
	if err := checkID("trigger", f.TriggerID, false); err != nil {
		return e, err
	}
	if f.Severity != StatusWarning && f.Severity != StatusCritical {
		return e, invalid("severity", "must be %d (warning) or %d (critical), not %d", StatusWarning, StatusCritical, f.Severity)
	}
	if err := checkTitle(f.Title); err != nil {
		return e, err
	}
	if f.Labels, f.Annotations, err = checkLabels(f.Labels, f.Annotations); err != nil {
		return e, err
	}
	if f.ReopenWithin < 0 {
		return e, invalid("reopenWithin", "must not be negative")
	}
	return eventAt(f.Date, now)
}

// check validates r, and returns its place in the order of events.
func (r *Resolution) check(now time.Time) (e event, err error) {
	if err := checkSlot(r.Slot); err != nil {
		return e, err
	}
	if err := checkID("trigger", r.TriggerID, false); err != nil {
		return e, err
	}
	return eventAt(r.Date, now)
}
