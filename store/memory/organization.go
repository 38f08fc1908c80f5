package memory

import (
	"slices"

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
	// byNotification finds the activities of NotificationUUIDs. It is a tree because
	// the UUIDs that the package makes ascend, so that it grows at its end.
	byNotification *btree.BTreeG[run]
	lastRun        run // the last in the order of UUIDs

	// The lists order incidents as a page does.
	all, active, closed places
	unaffecting         places // the incidents that affect no project
	byProject           map[incident.ProjectID]*places
	rules               map[incident.AlertRuleID]*rule
	latestRule          *rule // that a writer asked for
	latestRuleID        incident.AlertRuleID

	// longest is the longest time between start and end of any incident that was
	// ever closed: how far a list has to look back past a window's start. It is in
	// microseconds, since a time.Duration ends after 292 years.
	longest int64

	queues map[queueName]*queue  // nil until something is queued
	parked *btree.BTreeG[parked] // nil until something is parked
}

// newTree makes a tree that the store's lock guards.
func newTree[T any](less func(a, b T) bool) *btree.BTreeG[T] {
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
}

func newOrganization() *organization {
	return &organization{
		byDetection:    map[uuid.UUID]int64{},
		byNotification: newTree(run.less),
		byProject:      map[incident.ProjectID]*places{},
		rules:          map[incident.AlertRuleID]*rule{},
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

func (o *organization) has(identifier int64) bool {
	return o != nil && identifier >= 1 && identifier <= int64(o.records.length)
}

// appendLists appends the lists that the incident is in, and makes those that are
// missing. An empty one is as good as none.
func (o *organization) appendLists(lists []*places, inc *incident.Incident) []*places {
	lists = append(lists, &o.all)
	// Lists of single statuses would be a burden on every change of an active
	// incident's status, and few incidents are active at a time.
	if inc.Status.Active() {
		lists = append(lists, &o.active)
	} else {
		lists = append(lists, &o.closed)
	}
	if inc.AlertRuleID != "" {
		lists = append(lists, &o.rule(inc.AlertRuleID).incidents)
	}
	if len(inc.Projects) == 0 {
		lists = append(lists, &o.unaffecting)
	}
	for _, p := range inc.Projects {
		lists = append(lists, o.projectList(p))
	}
	return lists
}

func (o *organization) projectList(p incident.ProjectID) *places {
	l := o.byProject[p]
	if l == nil {
		l = &places{}
		o.byProject[p] = l
	}
	return l
}

// relist moves the incident from the lists of before to those of after, either of
// which may be nil.
func (o *organization) relist(before, after *incident.Incident) {
	var buffers [2][8]*places
	from, to := buffers[0][:0], buffers[1][:0]
	if before != nil {
		from = o.appendLists(from, before)
	}
	if after != nil {
		to = o.appendLists(to, after)
	}
	moves := before != nil && after != nil && !before.DateStarted.Equal(after.DateStarted)
	for _, l := range from {
		if moves || !slices.Contains(to, l) {
			l.delete(placeOf(before.DateStarted, before.Identifier))
		}
	}
	for _, l := range to {
		if moves || !slices.Contains(from, l) {
			l.set(placeOf(after.DateStarted, after.Identifier))
		}
	}
	if after != nil && after.DateClosed != nil {
		o.longest = max(o.longest, after.DateClosed.UnixMicro()-after.DateStarted.UnixMicro())
	}
}
