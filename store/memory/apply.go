package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// Apply implements [incident.IncidentStore].
func (s *Store) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	if err := s.acquire(ctx, writer); err != nil {
		return incident.Applied{}, err
	}
	defer s.release(writer)
	o, r := s.record(c.Key)
	if applied, replayed, err := o.replay(c); replayed || err != nil {
		return applied, err
	}
	if err := check(o, r, c); err != nil {
		return incident.Applied{}, err
	}
	return s.write(o, r, c), nil
}

// replay finds what an earlier change with the same UUIDs wrote. The receiver
// may be nil.
func (o *organization) replay(c incident.Change) (incident.Applied, bool, error) {
	if o == nil {
		return incident.Applied{}, false, nil
	}
	isNew := c.Key.Identifier == 0
	if isNew && c.Incident.DetectionUUID != uuid.Nil {
		if n, ok := o.byDetection[c.Incident.DetectionUUID]; ok {
			return incident.Applied{Replayed: true, Incident: o.get(n).incident.Clone()}, true, nil
		}
	}
	if len(c.Activities) == 0 {
		return incident.Applied{}, false, nil
	}
	ref, ok := o.byNotification.Get(notificationOf(c.Activities[0].NotificationUUID))
	if !ok {
		return incident.Applied{}, false, nil
	}
	if !isNew && ref.identifier != c.Key.Identifier {
		return incident.Applied{}, false, fmt.Errorf("memory: %w: %w", incident.ErrConflict, errOtherIncident)
	}
	r := o.get(ref.identifier)
	return incident.Applied{
		Replayed:   true,
		Incident:   r.incident.Clone(),
		Activities: []incident.Activity{r.activities[ref.sequence-1].Clone()},
	}, true, nil
}

// check refuses a change before anything of it is written.
func check(o *organization, r *record, c incident.Change) error {
	if c.Key.Identifier != 0 {
		if r == nil {
			return fmt.Errorf("memory: %w", incident.ErrNotFound)
		}
		if c.Incident != nil && r.incident.Version != c.ExpectVersion {
			return fmt.Errorf("memory: %w", incident.ErrVersionConflict)
		}
	}
	if o == nil {
		return nil
	}
	for _, sl := range c.Claim {
		if h := o.slots[keyOf(sl)].holder; h != 0 && h != c.Key.Identifier {
			return fmt.Errorf("memory: %w", &incident.ConflictError{
				Existing: incident.Key{OrganizationID: sl.OrganizationID, Identifier: h},
			})
		}
	}
	return nil
}

func keyOf(sl incident.Slot) slotKey {
	return slotKey{rule: sl.AlertRuleID, project: sl.ProjectID, query: sl.QueryID}
}

// write carries out a change that was checked. Nothing in it can fail.
func (s *Store) write(o *organization, r *record, c incident.Change) incident.Applied {
	if r == nil {
		o, r = s.insert(c)
	} else if c.Incident != nil {
		s.update(o, r, *c.Incident)
	}
	key := r.incident.Key()
	applied := incident.Applied{
		Activities: s.appendActivities(o, r, c.Activities),
		Slots:      make([]incident.SlotVersion, 0, len(c.Release)+len(c.Claim)),
	}
	if c.Incident != nil {
		applied.Incident = r.incident.Clone()
	}
	if len(c.Triggers) > 0 {
		s.setTriggers(r, c.Triggers)
	}
	for _, sub := range c.Subscriptions {
		s.subscribe(r, sub.UserID, sub.DateAdded)
	}
	for _, sl := range c.Release {
		applied.Slots = append(applied.Slots, s.setSlot(o, sl, 0))
	}
	for _, sl := range c.Claim {
		applied.Slots = append(applied.Slots, s.setSlot(o, sl, key.Identifier))
	}
	return applied
}

// insert makes the record of a new incident, with the next identifier.
func (s *Store) insert(c incident.Change) (*organization, *record) {
	org := c.Key.OrganizationID
	o := s.organizations[org]
	if o == nil {
		// An organization without incidents looks as if it did not exist, so it
		// may stay when the transaction is undone.
		o = newOrganization()
		s.organizations[org] = o
	}
	r := o.records.push()
	o.views.push()
	r.incident = c.Incident.Clone()
	r.incident.Identifier = int64(o.records.length)
	if id := r.incident.DetectionUUID; id != uuid.Nil {
		o.byDetection[id] = r.incident.Identifier
	}
	o.relist(incident.Incident{}, r.incident)
	if s.inTx() {
		s.undo(func() {
			o.relist(r.incident, incident.Incident{})
			delete(o.byDetection, r.incident.DetectionUUID)
			o.records.pop()
			o.views.pop()
		})
	}
	return o, r
}

func (s *Store) update(o *organization, r *record, inc incident.Incident) {
	before := r.incident
	r.incident = inc.Clone()
	o.relist(before, r.incident)
	if s.inTx() {
		s.undo(func() {
			o.relist(r.incident, before)
			r.incident = before
		})
	}
}

func (s *Store) appendActivities(o *organization, r *record, activities []incident.Activity) []incident.Activity {
	before := len(r.activities)
	stored := make([]incident.Activity, len(activities))
	r.activities = slices.Grow(r.activities, len(activities))
	for i, a := range activities {
		a.Incident = r.incident.Key()
		a.Sequence = int64(len(r.activities)) + 1
		r.activities = append(r.activities, a.Clone())
		n := notificationOf(a.NotificationUUID)
		n.identifier, n.sequence = a.Incident.Identifier, a.Sequence
		o.byNotification.Set(n)
		stored[i] = a.Clone()
	}
	if s.inTx() {
		s.undo(func() {
			for _, a := range r.activities[before:] {
				o.byNotification.Delete(notificationOf(a.NotificationUUID))
			}
			r.activities = r.activities[:before]
		})
	}
	return stored
}

// setTriggers replaces the list, and never its elements, so that the old list
// is what undoes it.
func (s *Store) setTriggers(r *record, triggers []incident.Trigger) {
	before := r.triggers
	after := slices.Clone(before)
	for _, t := range triggers {
		t.Incident = r.incident.Key()
		i, found := slices.BinarySearchFunc(after, t.TriggerID, func(e incident.Trigger, id incident.TriggerID) int {
			return cmp.Compare(e.TriggerID, id)
		})
		if found {
			after[i] = t
		} else {
			after = slices.Insert(after, i, t)
		}
	}
	r.triggers = after
	if s.inTx() {
		s.undo(func() { r.triggers = before })
	}
}

// subscribe returns the date that is stored then.
func (s *Store) subscribe(r *record, user incident.UserID, added time.Time) time.Time {
	i, found := r.subscribers.find(user)
	if found {
		return r.subscribers[i].date
	}
	s.insertUser(&r.subscribers, i, userDate{user, added})
	return added
}

func (s *Store) setSlot(o *organization, sl incident.Slot, holder int64) incident.SlotVersion {
	k := keyOf(sl)
	before, known := o.slots[k]
	o.slots[k] = slot{version: before.version + 1, holder: holder}
	if s.inTx() {
		s.undo(func() {
			if known {
				o.slots[k] = before
			} else {
				delete(o.slots, k)
			}
		})
	}
	return incident.SlotVersion{Slot: sl, Version: before.version + 1}
}
