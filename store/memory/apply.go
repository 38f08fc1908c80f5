package memory

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// Apply implements [incident.IncidentStore]. It makes its copies of the change before it locks
// the data, because writers wait for each other.
func (s *Store) Apply(ctx context.Context, c incident.Change) (applied incident.Applied, err error) {
	answer := answerOf(&c)
	var three [3]activity
	log := appendStored(three[:0], c.Activities)
	var row incident.Incident
	if c.Incident != nil && c.Key.Identifier != 0 {
		row = c.Incident.Clone()
	}
	if err := s.acquire(ctx, write); err != nil {
		return incident.Applied{}, err
	}
	defer s.release(write)
	o, r := s.record(c.Key)
	if replayed, err := o.replay(&c, &applied); replayed || err != nil {
		return applied, err
	}
	if err := check(r, &c); err != nil {
		return incident.Applied{}, err
	}
	if o == nil {
		// An organization without incidents reads like no organization, so it may stay
		// even if the change is refused or undone.
		o = newOrganization()
		s.organizations[c.Key.OrganizationID] = o
	}
	var few [4]*slot
	claimed, err := o.claimable(&c, few[:0])
	if err != nil {
		return incident.Applied{}, err
	}
	s.write(o, r, &row, log, &c, claimed, &answer)
	return answer, nil
}

// answerMemory is memory for an answer with one slot and one project, as most new incidents have.
type answerMemory struct {
	slots    [1]incident.SlotVersion
	projects [1]incident.ProjectID
}

// answerOf returns the outcome of a change, without the identifier, the sequence and the slots.
func answerOf(c *incident.Change) (answer incident.Applied) {
	projects := []incident.ProjectID{}
	switch n := len(c.Release) + len(c.Claim); n {
	case 0:
	case 1:
		memory := new(answerMemory)
		answer.Slots, projects = memory.slots[:0], memory.projects[:0]
	default:
		answer.Slots = make([]incident.SlotVersion, 0, n)
	}
	if c.Incident != nil {
		copyIncident(&answer.Incident, c.Incident, projects)
	}
	return answer
}

var errOtherIncident = errors.New("the notification UUID belongs to another incident")

// replay reports whether an earlier change had the same UUIDs, and its result in applied. The
// receiver may be nil.
func (o *organization) replay(c *incident.Change, applied *incident.Applied) (bool, error) {
	if o == nil {
		return false, nil
	}
	isNew := c.Key.Identifier == 0
	if isNew && c.Incident.DetectionUUID != uuid.Nil {
		if n, ok := o.byDetection[c.Incident.DetectionUUID]; ok {
			applied.Replayed, applied.Incident = true, o.get(n).incident.Clone()
			return true, nil
		}
	}
	if len(c.Activities) == 0 {
		return false, nil
	}
	identifier, sequence, ok := o.findNotification(c.Activities[0].NotificationUUID)
	if !ok {
		return false, nil
	}
	if !isNew && identifier != c.Key.Identifier {
		return false, fmt.Errorf("memory: %w: %w", incident.ErrConflict, errOtherIncident)
	}
	r := o.get(identifier)
	a := r.activity(sequence)
	applied.Replayed, applied.Incident, applied.Activity = true, r.incident.Clone(), &a
	return true, nil
}

// check returns the error of a change that must not be applied.
func check(r *record, c *incident.Change) error {
	switch {
	case c.Key.Identifier == 0:
		return nil
	case r == nil:
		return fmt.Errorf("memory: %w", incident.ErrNotFound)
	case c.Incident != nil && r.incident.Version != c.ExpectVersion:
		return fmt.Errorf("memory: %w", incident.ErrVersionConflict)
	}
	return nil
}

// claimable appends the slots that the change claims. It returns an
// [*incident.ConflictError] if another incident holds any of them, and
// [incident.ErrVersionConflict] if a slot has another version than expected.
func (o *organization) claimable(c *incident.Change, slots []*slot) ([]*slot, error) {
	for _, sl := range c.Claim {
		claimed := o.slot(sl)
		slots = append(slots, claimed)
		if h := claimed.holder; h != 0 && h != c.Key.Identifier {
			return nil, fmt.Errorf("memory: %w", &incident.ConflictError{
				Existing: incident.Key{OrganizationID: sl.OrganizationID, Identifier: h},
			})
		}
	}
	if e := c.ExpectSlot; e != nil && o.slot(e.Slot).version != e.Version {
		return nil, fmt.Errorf("memory: %w", incident.ErrVersionConflict)
	}
	return slots, nil
}

// write applies a change that passed all checks, and completes its answer. It cannot fail. An
// existing incident takes over row, and log has the activities.
func (s *Store) write(
	o *organization, r *record, row *incident.Incident, log []activity,
	c *incident.Change, claimed []*slot, applied *incident.Applied,
) {
	isNew := r == nil
	if isNew {
		r = s.insert(o, c)
		applied.Incident.Identifier = r.incident.Identifier
	} else if c.Incident != nil {
		s.update(o, r, row)
	}
	applied.Sequence = s.appendActivities(o, r, log)
	if len(c.Notify) > 0 && applied.Sequence > 0 {
		s.enqueue(o, r.incident.Key(), c, applied.Sequence)
		if isNew && len(c.Leases) > 0 && !s.inTx() {
			applied.Fence = s.claimNew(o, r.incident.Identifier, c)
		}
	}
	if c.EndReminders {
		s.endReminders(o, r.incident.Key())
	}
	if len(c.Triggers) > 0 {
		before := r.triggers
		r.setTriggers(c.Triggers)
		if s.inTx() {
			s.undo(func() { r.triggers = before })
		}
	}
	for _, sub := range c.Subscriptions {
		s.subscribe(r, sub.UserID, sub.DateAdded)
	}
	for _, sl := range c.Release {
		version := s.setHolder(o.slot(sl), 0)
		applied.Slots = append(applied.Slots, incident.SlotVersion{Slot: sl, Version: version})
	}
	for i, sl := range c.Claim {
		version := s.setHolder(claimed[i], r.incident.Identifier)
		applied.Slots = append(applied.Slots, incident.SlotVersion{Slot: sl, Version: version})
	}
}

// insert adds the record of a new incident under the next identifier.
func (s *Store) insert(o *organization, c *incident.Change) *record {
	r := o.records.push()
	o.viewers.push()
	r.newIncident(c.Incident, int64(o.records.length))
	if id := r.incident.DetectionUUID; id != uuid.Nil {
		o.byDetection[id] = r.incident.Identifier
	}
	o.relist(nil, &r.incident)
	org := c.Key.OrganizationID // a function that refers to c would move every change to the heap
	s.listName(org, o)
	if s.inTx() {
		s.undo(func() {
			o.relist(&r.incident, nil)
			s.listName(org, o)
			delete(o.byDetection, r.incident.DetectionUUID)
			o.records.pop()
			o.viewers.pop()
		})
	}
	return r
}

// update replaces the row of an incident. The record takes over inc.
func (s *Store) update(o *organization, r *record, inc *incident.Incident) {
	before := r.incident
	r.incident = *inc
	o.relist(&before, &r.incident)
	if s.inTx() {
		s.undoUpdate(o, r, before)
	}
}

// undoUpdate registers the reverse of update. Its own copy of the row leaves update without one
// on the heap.
func (s *Store) undoUpdate(o *organization, r *record, before incident.Incident) {
	s.undo(func() {
		o.relist(&r.incident, &before)
		r.incident = before
	})
}
