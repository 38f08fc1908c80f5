package memory

import (
	"math"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// batchWeight bounds the weight of the incidents that a batch deletes or erases under the
// lock for writing, so that it takes about a millisecond.
const batchWeight = 1024

// weight is in proportion to the time that deleting the incident takes.
func (o *organization) weight(r *record) int {
	inc := &r.incident
	seen := len(o.viewers.at(int(inc.Identifier) - 1).userDates)
	return 4 + len(r.activities) + len(r.subscribers) + seen + len(inc.Projects) + len(inc.Labels)
}

// delete removes an incident with everything that belongs to it, and returns a version that is
// greater than all its versions. It must not be called in a transaction, since it cannot be
// undone.
func (s *Store) delete(o *organization, r *record) incident.IncidentVersion {
	inc := r.incident
	key := inc.Key()
	gone := incident.IncidentVersion{Key: key, Version: inc.Version + 1, Activities: int64(len(r.activities))}
	for _, q := range s.queuesOf(o, r) {
		s.shut(o, q)
	}
	for _, b := range s.outbox.schedules {
		for _, p := range b.parkedOf(key) {
			b.parked.Delete(p)
		}
	}
	s.freeSlots(o, &inc)
	o.relist(&inc, nil)
	o.dropEmptyLists(&inc)
	if o.byDetection[inc.DetectionUUID] == inc.Identifier {
		delete(o.byDetection, inc.DetectionUUID)
	}
	o.forgetUUIDs(r)
	o.unlistAcknowledgement(r, 1)
	o.records.remove(int(inc.Identifier) - 1)
	o.viewers.remove(int(inc.Identifier) - 1)
	s.listName(inc.OrganizationID, o)
	return gone
}

// queuesOf returns the queues and reminders of an incident, replayed too.
func (s *Store) queuesOf(o *organization, r *record) []*queue {
	all := o.remindersOf(r.incident.Key())
	for _, b := range s.outbox.schedules {
		name := queueName{b, r.incident.Identifier}
		if q := o.queues[name]; q != nil {
			all = append(all, q)
		}
		if len(o.replayed) == 0 {
			continue
		}
		for i := range r.activities {
			if q := o.replayed[replayedName{name, int64(i) + 1}]; q != nil {
				all = append(all, q)
			}
		}
	}
	return all
}

// parkedOf returns the parked notifications of an incident.
func (b *schedule) parkedOf(key incident.Key) []parked {
	if b.parked.Len() == 0 {
		return nil
	}
	return b.selected(&incident.ParkedQuery{
		OrganizationID: key.OrganizationID,
		Identifier:     key.Identifier,
		After:          incident.ParkedPosition{Identifier: key.Identifier, Sequence: math.MinInt64},
		Limit:          math.MaxInt,
	})
}

// freeSlots releases the slots that an incident holds. The slots of its other projects stay.
func (s *Store) freeSlots(o *organization, inc *incident.Incident) {
	if inc.AlertRuleID == "" {
		return
	}
	for _, p := range inc.Projects {
		held := o.existingSlot(incident.Slot{AlertRuleID: inc.AlertRuleID, ProjectID: p, QueryID: inc.QueryID})
		if held != nil && held.holder == inc.Identifier {
			s.setHolder(held, 0)
		}
	}
}

// dropEmptyLists removes the lists that contained a deleted incident and are now empty. The
// list of a rule stays while the rule has slots, whose versions remain.
func (o *organization) dropEmptyLists(inc *incident.Incident) {
	for _, p := range inc.Projects {
		dropIfEmpty(o.byProject, p)
	}
	for name, value := range inc.Labels {
		dropIfEmpty(o.byLabel, incident.Label{Name: name, Value: value})
	}
	if inc.Response != nil {
		dropIfEmpty(o.byAssignee, inc.Response.Assignee)
	}
	if r := o.rules.find(inc.AlertRuleID); r != nil && !r.hasFirst && r.incidents.length() == 0 {
		o.rules.remove(inc.AlertRuleID, o.rules.hash(inc.AlertRuleID))
		o.latestRule = nil
	}
}

func dropIfEmpty[K comparable](lists map[K]*sortedList, key K) {
	if l := lists[key]; l != nil && l.length() == 0 {
		delete(lists, key)
	}
}

// forgetUUIDs removes the record's activities from byNotification. It deletes by activity,
// because the runs were indexed change by change.
func (o *organization) forgetUUIDs(r *record) {
	for i := range r.activities {
		if id := r.activities[i].notification; id != uuid.Nil {
			o.byNotification.Delete(uuidRunOf(id))
		}
	}
	if o.lastRun.identifier == r.incident.Identifier {
		o.lastRun, _ = o.byNotification.Max()
	}
}
