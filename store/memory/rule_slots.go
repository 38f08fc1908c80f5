package memory

import "github.com/incidentkit/incident"

// rule is the state of an alert rule: the list of its incidents, and its slots. The first
// slot is stored inline because most rules have a single slot.
type rule struct {
	id        incident.AlertRuleID
	next      int // number of the next rule with the same hash, or 0
	incidents sortedList
	firstKey  slotKey
	first     slot
	hasFirst  bool
	others    map[slotKey]*slot
}

// slotKey identifies a slot within its rule.
type slotKey struct {
	project incident.ProjectID
	query   incident.QueryID
}

type slot struct {
	version int64
	holder  int64 // identifier of the incident, 0 for a free slot
	last    int64 // identifier of the holder or, of a free slot, of its last holder
}

// slot returns the slot of key and adds it if missing. A slot that was never claimed
// reads like a missing slot.
func (r *rule) slot(key slotKey) *slot {
	if held := r.existingSlot(key); held != nil {
		return held
	}
	if !r.hasFirst {
		r.firstKey, r.hasFirst = key, true
		return &r.first
	}
	if r.others == nil {
		r.others = map[slotKey]*slot{}
	}
	held := &slot{}
	r.others[key] = held
	return held
}

// existingSlot returns nil if the slot is missing.
func (r *rule) existingSlot(key slotKey) *slot {
	if r.hasFirst && r.firstKey == key {
		return &r.first
	}
	return r.others[key]
}

func keyOf(sl incident.Slot) slotKey { return slotKey{project: sl.ProjectID, query: sl.QueryID} }

// rule returns the rule and adds it if missing. Only writers may call it.
func (o *organization) rule(id incident.AlertRuleID) *rule {
	if o.latestRule != nil && o.latestRule.id == id {
		return o.latestRule // a change asks for the same rule several times
	}
	hash := o.rules.hash(id)
	r := o.rules.findHashed(id, hash)
	if r == nil {
		r = o.rules.add(id, hash)
	}
	o.latestRule = r
	return r
}

// slot returns the slot and adds it if missing. Only writers may call it.
func (o *organization) slot(sl incident.Slot) *slot { return o.rule(sl.AlertRuleID).slot(keyOf(sl)) }

// existingSlot returns nil if the slot is missing.
func (o *organization) existingSlot(sl incident.Slot) *slot {
	if r := o.rules.find(sl.AlertRuleID); r != nil {
		return r.existingSlot(keyOf(sl))
	}
	return nil
}

// setHolder sets the holder of the slot and returns the slot's new version.
func (s *Store) setHolder(held *slot, holder int64) int64 {
	before := *held
	held.version++
	if held.holder = holder; holder != 0 {
		held.last = holder
	}
	if s.inTx() {
		s.undo(func() { *held = before })
	}
	return held.version
}
