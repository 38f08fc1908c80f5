package memory

import (
	"slices"

	"github.com/google/uuid"
	"github.com/tidwall/btree"

	"github.com/incidentkit/incident"
)

// organization holds everything of one tenant. Organizations do not refer to each other.
type organization struct {
	// records and viewers hold the incident with identifier n at index n-1, also after
	// others were deleted. Viewers change with every view, so they are stored apart from
	// the records, for cache locality in a large store.
	records segments[record]
	viewers segments[viewers]

	byDetection map[uuid.UUID]int64
	// byNotification finds activities by NotificationUUID. It is a tree because the UUIDs
	// made by package incident ascend, so that most insertions are at its end.
	byNotification *btree.BTreeG[uuidRun]
	lastRun        uuidRun // the greatest run of byNotification

	// The lists are in the order of a page of incidents.
	all, active, closed sortedList
	unaffecting         sortedList // incidents without projects
	byProject           map[incident.ProjectID]*sortedList
	byLabel             map[incident.Label]*sortedList  // nil until an incident has a label
	byAssignee          map[incident.UserID]*sortedList // nil until an incident is assigned
	acknowledged        sortedList                      // by the date of the first acknowledgement instead of the start
	rules               ruleIndex
	latestRule          *rule // cache of the rule that a writer asked for last

	// longest is the longest duration of any incident that was ever closed, in
	// microseconds. A list looks back this far before the start of its window. A
	// time.Duration would overflow after 292 years.
	longest int64

	// The outbox. Each is nil until it is needed.
	queues    map[queueName]*queue    // of incidents
	replayed  map[replayedName]*queue // of replayed activities
	reminders *btree.BTreeG[*queue]   // by byReminder
}

// newTree returns a tree without a lock of its own; the store's lock guards it.
func newTree[T any](less func(a, b T) bool) *btree.BTreeG[T] {
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
}

func newOrganization() *organization {
	return &organization{
		byDetection:    map[uuid.UUID]int64{},
		byNotification: newTree(uuidRun.less),
		byProject:      map[incident.ProjectID]*sortedList{},
		rules:          newRuleIndex(),
	}
}

// get returns the incident with the given identifier. It must exist.
func (o *organization) get(identifier int64) *record { return o.records.at(int(identifier) - 1) }

// record returns the incident of key and its organization. Either is nil if it does not
// exist.
func (d *data) record(key incident.Key) (*organization, *record) {
	o := d.organizations[key.OrganizationID]
	if !o.has(key.Identifier) {
		return o, nil
	}
	return o, o.get(key.Identifier)
}

// has reports whether the incident exists. A deleted incident has a zero record, or none.
func (o *organization) has(identifier int64) bool {
	if o == nil {
		return false
	}
	r := o.records.find(int(identifier) - 1)
	return r != nil && r.incident.Identifier != 0
}

// appendLists appends the lists that contain the incident, and adds missing lists. An
// empty list reads like a missing list.
func (o *organization) appendLists(lists []*sortedList, inc *incident.Incident) []*sortedList {
	lists = append(lists, &o.all)
	// A list per status would be updated by every status change of an active incident,
	// and few incidents are active at a time.
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
		lists = append(lists, listOf(&o.byProject, p))
	}
	for name, value := range inc.Labels {
		lists = append(lists, listOf(&o.byLabel, incident.Label{Name: name, Value: value}))
	}
	if inc.Response != nil && inc.Response.Assignee != "" {
		lists = append(lists, listOf(&o.byAssignee, inc.Response.Assignee))
	}
	return lists
}

// listOf returns the list of a key and adds it if missing.
func listOf[K comparable](lists *map[K]*sortedList, key K) *sortedList {
	l := (*lists)[key]
	if l == nil {
		if *lists == nil {
			*lists = map[K]*sortedList{}
		}
		l = &sortedList{}
		(*lists)[key] = l
	}
	return l
}

// relist removes the incident from the lists of before and adds it to those of after.
// Either may be nil.
func (o *organization) relist(before, after *incident.Incident) {
	var buffers [2][8]*sortedList
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
			l.delete(listKeyOf(before.DateStarted, before.Identifier))
		}
	}
	for _, l := range to {
		if moves || !slices.Contains(from, l) {
			l.set(listKeyOf(after.DateStarted, after.Identifier))
		}
	}
	if after != nil && after.DateClosed != nil {
		o.longest = max(o.longest, after.DateClosed.UnixMicro()-after.DateStarted.UnixMicro())
	}
}
