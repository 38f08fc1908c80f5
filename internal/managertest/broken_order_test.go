package managertest

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// firing returns a Manager that tampers with firings.
func firing(tamper func(f *incident.Firing)) func(incident.Manager) incident.Manager {
	return func(m incident.Manager) incident.Manager { return &firingManager{Manager: m, tamper: tamper} }
}

type firingManager struct {
	incident.Manager
	tamper func(f *incident.Firing)
}

func (m *firingManager) Fire(ctx context.Context, f incident.Firing) (incident.Result, error) {
	m.tamper(&f)
	return m.Manager.Fire(ctx, f)
}

// undatedManager takes each resolution for the newest event.
type undatedManager struct{ incident.Manager }

func (m *undatedManager) Resolve(ctx context.Context, r incident.Resolution) (incident.Result, error) {
	r.Date = time.Time{}
	return m.Manager.Resolve(ctx, r)
}

// silencedManager ignores a resolution that is older than what its trigger knows, even if that is
// from a clock ahead.
type silencedManager struct{ incident.Manager }

func (m *silencedManager) Resolve(ctx context.Context, r incident.Resolution) (incident.Result, error) {
	inc, ok, err := m.Active(ctx, r.Slot)
	if err != nil || !ok || r.Date.IsZero() {
		return m.Manager.Resolve(ctx, r)
	}
	triggers, err := m.Triggers(ctx, inc.Key())
	for _, t := range triggers {
		if t.TriggerID == r.TriggerID && t.Status == incident.TriggerStatusActive && cut(r.Date).Before(t.DateModified) {
			return incident.Result{Incident: inc}, err
		}
	}
	return m.Manager.Resolve(ctx, r)
}

// stickyManager raises the status again when a firing has lowered it.
type stickyManager struct{ incident.Manager }

func (m *stickyManager) Fire(ctx context.Context, f incident.Firing) (incident.Result, error) {
	before, _, err := m.Active(ctx, f.Slot)
	if err != nil {
		return incident.Result{}, err
	}
	r, err := m.Manager.Fire(ctx, f)
	if err != nil || r.Identifier != before.Identifier || r.Status >= before.Status {
		return r, err
	}
	return m.UpdateStatus(ctx, r.Key(), incident.StatusUpdate{Status: before.Status, Method: incident.StatusMethodRuleTriggered})
}

// telling returns a store that tampers with free slots.
func telling(tamper func(slot incident.Slot, held *incident.SlotState)) func(incident.Store) incident.Store {
	return func(s incident.Store) incident.Store { return &tellingStore{Store: s, tamper: tamper} }
}

type tellingStore struct {
	incident.Store
	tamper func(slot incident.Slot, held *incident.SlotState)
}

func (s *tellingStore) LoadSlot(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
	held, err := s.Store.LoadSlot(ctx, slot)
	if held.Last != nil {
		s.tamper(slot, &held)
	}
	return held, err
}

func (s *tellingStore) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	return wrapped(ctx, s.Store, telling(s.tamper), fn)
}

func hideLast(_ incident.Slot, held *incident.SlotState) { held.Last = nil }

// closedByRule makes every closed incident one that its triggers have closed.
func closedByRule(_ incident.Slot, held *incident.SlotState) {
	held.Last.Incident.StatusMethod = incident.StatusMethodRuleTriggered
}

// neverLeft makes every incident affect the project of a slot that it has left.
func neverLeft(slot incident.Slot, held *incident.SlotState) {
	inc := &held.Last.Incident
	if !slices.Contains(inc.Projects, slot.ProjectID) {
		inc.Projects = slices.Sorted(slices.Values(append(inc.Projects, slot.ProjectID)))
	}
}

// ignoreSlotVersion lets a change through whatever the version of its slot is, after a pause in
// which others write.
func ignoreSlotVersion(c *incident.Change) {
	if c.ExpectSlot != nil {
		c.ExpectSlot = nil
		time.Sleep(5 * maxPause)
	}
}

// forgetActivities returns a tampering that drops activities of some types.
func forgetActivities(types ...incident.ActivityType) func(c *incident.Change) {
	return func(c *incident.Change) {
		c.Activities = slices.DeleteFunc(slices.Clone(c.Activities), func(a incident.Activity) bool { return slices.Contains(types, a.Type) })
	}
}

// dateTriggersAhead gives the triggers of a new incident its start, even if that is ahead of now.
func dateTriggersAhead(c *incident.Change) {
	for i := range c.Triggers {
		if c.Key.Identifier == 0 {
			c.Triggers[i].DateAdded, c.Triggers[i].DateModified = c.Incident.DateStarted, c.Incident.DateStarted
		}
	}
}

// dateTriggersBack gives each trigger the date of the change's activity, or of its end.
func dateTriggersBack(c *incident.Change) {
	for i := range c.Triggers {
		c.Triggers[i].DateModified = c.Triggers[i].DateAdded
	}
}

// keepStart keeps the start of an incident.
func keepStart(c *incident.Change) {
	if c.Incident != nil && c.Key.Identifier != 0 {
		c.Incident.DateStarted = c.StartedBefore
	}
}

// endWithReport ends an incident at the date of the resolution that closes it.
func endWithReport(c *incident.Change) {
	if c.Incident == nil || c.Incident.DateClosed == nil || c.Incident.StatusMethod != incident.StatusMethodRuleTriggered || len(c.Activities) == 0 {
		return
	}
	if at := c.Activities[0].DateAdded; at.After(c.Incident.DateStarted) {
		c.Incident.DateClosed = &at
	}
}

// endTriggersWithIncident gives the triggers of an incident that a user closes its end.
func endTriggersWithIncident(c *incident.Change) {
	for i := range c.Triggers {
		if closed := c.Incident.DateClosed; closed != nil && c.Incident.StatusMethod == incident.StatusMethodManual {
			c.Triggers[i].DateModified = *closed
		}
	}
}

func nameNoTrigger(c *incident.Change) {
	for i := range c.Activities {
		c.Activities[i].TriggerID = ""
	}
}

func noDate(f *incident.Firing)      { f.Date = time.Time{} }
func noUpdate(f *incident.Firing)    { f.Update = false }
func noEpisode(f *incident.Firing)   { f.Episode = false }
func noReopening(f *incident.Firing) { f.ReopenWithin = 0 }
func noDetection(f *incident.Firing) { f.DetectionUUID = uuid.Nil }

func alwaysUpdate(f *incident.Firing) { f.Update = f.Update || f.Labels != nil }

func reopenAlways(f *incident.Firing) {
	if f.ReopenWithin > 0 {
		f.ReopenWithin = 1000 * time.Hour
	}
}
