package memory

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/tidwall/btree"

	"github.com/incidentkit/incident"
)

// organization is all that belongs to one tenant. Nothing points from one to
// another.
type organization struct {
	// records and views hold the incident of identifier n at n-1. What changes
	// with every look at an incident lies close together, for the sake of lookups
	// in a large store.
	records segments[record]
	views   segments[views]

	byDetection map[uuid.UUID]int64
	// byNotification finds the activity of a NotificationUUID. It is a tree because
	// the UUIDs that the package makes ascend, so that it grows at its end.
	byNotification *btree.BTreeG[notification]

	slots map[slotKey]slot

	// lists order incidents as a page does: all of them under the zero listKey,
	// those of a project or a rule, and the active and the closed ones.
	lists map[listKey]*btree.BTreeG[place]

	// longest is the longest time between start and end of any incident that was
	// ever closed: how far a list has to look back past a window's start. It is in
	// microseconds, since a time.Duration ends after 292 years.
	longest int64
}

// record is one incident with everything that hangs on it.
type record struct {
	incident    incident.Incident
	triggers    []incident.Trigger  // by TriggerID
	activities  []incident.Activity // by Sequence, from 1
	subscribers users
}

// views is who has seen an incident.
type views struct {
	users
	first [1]userDate // where users begins: most incidents are seen by few
}

// notification is where the activity of a NotificationUUID is. It holds no
// pointers, so that a large tree costs the garbage collector nothing.
type notification struct {
	high, low  uint64 // the UUID
	identifier int64
	sequence   int64
}

func notificationOf(id uuid.UUID) notification {
	return notification{high: binary.BigEndian.Uint64(id[:8]), low: binary.BigEndian.Uint64(id[8:])}
}

func (n notification) less(other notification) bool {
	if n.high != other.high {
		return n.high < other.high
	}
	return n.low < other.low
}

// slotKey is a slot within its organization.
type slotKey struct {
	rule    incident.AlertRuleID
	project incident.ProjectID
	query   incident.QueryID
}

type slot struct {
	version int64
	holder  int64 // 0 when it is free
}

// listKey names a list: by exactly one of its fields, or by none.
type listKey struct {
	project incident.ProjectID
	rule    incident.AlertRuleID
	phase   phase
}

// phase parts the active incidents from the closed ones. Lists of single
// statuses would be a burden on every change of an active incident's status, and
// few incidents are active at a time.
type phase int

const (
	active phase = iota + 1
	closed
)

func phaseOf(s incident.Status) phase {
	if s.Active() {
		return active
	}
	return closed
}

// place is an incident's place in a list. It holds no pointers, so that a large
// list costs the garbage collector nothing.
type place struct {
	started    int64 // microseconds
	identifier int64
}

func placeOf(started time.Time, identifier int64) place {
	return place{started: started.UnixMicro(), identifier: identifier}
}

func (p place) less(other place) bool {
	if p.started != other.started {
		return p.started < other.started
	}
	return p.identifier < other.identifier
}

// newTree makes a tree that the store's lock guards.
func newTree[T any](less func(a, b T) bool) *btree.BTreeG[T] {
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
}

func newOrganization() *organization {
	return &organization{
		byDetection:    map[uuid.UUID]int64{},
		byNotification: newTree(notification.less),
		slots:          map[slotKey]slot{},
		lists:          map[listKey]*btree.BTreeG[place]{},
	}
}

// get returns the incident of an identifier that exists.
func (o *organization) get(identifier int64) *record { return o.records.at(int(identifier) - 1) }

// record returns the incident of key, or nil.
func (d *data) record(key incident.Key) (*organization, *record) {
	o := d.organizations[key.OrganizationID]
	if !o.has(key.Identifier) {
		return o, nil
	}
	return o, o.get(key.Identifier)
}

// seenBy returns who has seen the incident of key, or nil if there is none.
func (d *data) seenBy(key incident.Key) *views {
	o := d.organizations[key.OrganizationID]
	if !o.has(key.Identifier) {
		return nil
	}
	return o.views.at(int(key.Identifier) - 1)
}

func (o *organization) has(identifier int64) bool {
	return o != nil && identifier >= 1 && identifier <= int64(o.records.length)
}

// listsOf returns the names of the lists that the incident is in.
func listsOf(inc incident.Incident) []listKey {
	keys := make([]listKey, 0, 3+len(inc.Projects))
	keys = append(keys, listKey{}, listKey{phase: phaseOf(inc.Status)})
	if inc.AlertRuleID != "" {
		keys = append(keys, listKey{rule: inc.AlertRuleID})
	}
	for _, p := range inc.Projects {
		keys = append(keys, listKey{project: p})
	}
	return keys
}

// relist moves the incident from the lists of before to those of after. A zero
// incident is in none.
func (o *organization) relist(before, after incident.Incident) {
	var from, to []listKey
	if before.Identifier != 0 {
		from = listsOf(before)
	}
	if after.Identifier != 0 {
		to = listsOf(after)
	}
	for _, k := range from {
		if !slices.Contains(to, k) {
			o.lists[k].Delete(placeOf(before.DateStarted, before.Identifier))
		}
	}
	for _, k := range to {
		if slices.Contains(from, k) {
			continue
		}
		if o.lists[k] == nil {
			o.lists[k] = newTree(place.less)
		}
		o.lists[k].Set(placeOf(after.DateStarted, after.Identifier))
	}
	if after.DateClosed != nil {
		o.longest = max(o.longest, after.DateClosed.UnixMicro()-after.DateStarted.UnixMicro())
	}
}
