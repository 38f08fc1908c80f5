package managertest

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// world is the model: the content of all organizations after a sequence of calls. Its
// methods are the documented rules, written without the library's code. A method that
// returns an error leaves the world unchanged.
type world struct {
	now     time.Time // the clock, in canonical form
	guarded bool      // there is an Authorizer with the rule maySubscribe
	careful bool      // no NotificationUUID is used for two calls
	focused bool      // the calls are about operations, in one organization
	outbox  bool      // the store is an OutboxStore
	deletes bool      // the store is a RetentionStore
	purged  bool      // something may have been deleted or erased
	orgs    map[incident.OrganizationID]*organization
}

type organization struct {
	records       []*record // identifier n at index n-1
	detections    map[uuid.UUID]*record
	notifications map[uuid.UUID]activityID
	last          map[incident.Slot]int64 // the last incident that held each slot
}

// activityID identifies an activity in its organization.
type activityID struct{ identifier, sequence int64 }

// record is an incident with its triggers, activities and users. A NotificationUUID that
// the library generates is zero until it has been read.
type record struct {
	incident    incident.Incident
	triggers    map[incident.TriggerID]incident.Trigger
	activities  []incident.Activity
	seen        map[incident.UserID]time.Time
	subscribers map[incident.UserID]time.Time
	reminders   map[string]incident.Reminder // pending; without UUIDs
	gone        bool                         // it was deleted
}

func newWorld(now time.Time) *world {
	return &world{now: now, orgs: map[incident.OrganizationID]*organization{}}
}

// org returns an organization. It is empty if nothing was ever created in it.
func (w *world) org(id incident.OrganizationID) *organization {
	o := w.orgs[id]
	if o == nil {
		o = &organization{
			detections:    map[uuid.UUID]*record{},
			notifications: map[uuid.UUID]activityID{},
			last:          map[incident.Slot]int64{},
		}
		w.orgs[id] = o
	}
	return o
}

// find returns the incident of key, or nil.
func (w *world) find(key incident.Key) *record {
	records := w.org(key.OrganizationID).records
	if key.Identifier < 1 || key.Identifier > int64(len(records)) || records[key.Identifier-1].gone {
		return nil
	}
	return records[key.Identifier-1]
}

func (w *world) clone() *world {
	c := newWorld(w.now)
	c.guarded, c.careful, c.focused = w.guarded, w.careful, w.focused
	c.outbox, c.deletes, c.purged = w.outbox, w.deletes, w.purged
	for id, o := range w.orgs {
		co := c.org(id)
		maps.Copy(co.notifications, o.notifications)
		maps.Copy(co.last, o.last)
		for _, r := range o.records {
			co.records = append(co.records, r.clone())
		}
		for id, r := range o.detections {
			co.detections[id] = co.records[r.incident.Identifier-1]
		}
	}
	return c
}

func (r *record) clone() *record {
	c := *r
	c.incident = copyIncident(r.incident)
	c.triggers = maps.Clone(r.triggers)
	c.activities = slices.Clone(r.activities)
	for i := range c.activities {
		c.activities[i] = copyActivity(c.activities[i])
	}
	c.seen = maps.Clone(r.seen)
	c.subscribers = maps.Clone(r.subscribers)
	c.reminders = maps.Clone(r.reminders)
	return &c
}

func copyIncident(inc incident.Incident) incident.Incident {
	inc.Projects = slices.Clone(inc.Projects)
	inc.DateClosed = copyTime(inc.DateClosed)
	inc.Labels, inc.Annotations = maps.Clone(inc.Labels), maps.Clone(inc.Annotations)
	inc.Response = copyResponse(inc.Response)
	return inc
}

func copyActivity(a incident.Activity) incident.Activity {
	a.DateEdited = copyTime(a.DateEdited)
	a.DateDeleted = copyTime(a.DateDeleted)
	return a
}

func copyTime(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	c := *t
	return &c
}

// cut makes a time canonical: UTC, whole microseconds, no monotonic part.
func cut(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(),
		t.Nanosecond()/1000*1000, time.UTC)
}

// orNow returns the canonical time, or the clock's time for the zero time.
func (w *world) orNow(t time.Time) time.Time {
	if t.IsZero() {
		return w.now
	}
	return cut(t)
}

func (r *record) key() incident.Key {
	return incident.Key{OrganizationID: r.incident.OrganizationID, Identifier: r.incident.Identifier}
}

func (r *record) active() bool { return r.incident.Status != incident.StatusClosed }

// holds reports whether the incident occupies the slot.
func (r *record) holds(slot incident.Slot) bool {
	return r.active() && r.occupies(slot)
}

// occupies reports whether the incident would hold the slot if it were active.
func (r *record) occupies(slot incident.Slot) bool {
	return r.incident.AlertRuleID != "" && r.incident.AlertRuleID == slot.AlertRuleID &&
		r.incident.QueryID == slot.QueryID && r.incident.OrganizationID == slot.OrganizationID &&
		slices.Contains(r.incident.Projects, slot.ProjectID)
}

// slots returns the slots that the incident holds while it is active.
func (r *record) slots() []incident.Slot {
	var slots []incident.Slot
	for _, p := range r.incident.Projects {
		slot := incident.Slot{
			OrganizationID: r.incident.OrganizationID,
			AlertRuleID:    r.incident.AlertRuleID,
			ProjectID:      p,
			QueryID:        r.incident.QueryID,
		}
		if r.occupies(slot) {
			slots = append(slots, slot)
		}
	}
	return slots
}

// claim records that the incident holds its slots.
func (w *world) claim(r *record) {
	for _, slot := range r.slots() {
		w.org(slot.OrganizationID).last[slot] = r.incident.Identifier
	}
}

// holder returns the incident that holds the slot, or nil.
func (w *world) holder(slot incident.Slot) *record {
	for r := range w.org(slot.OrganizationID).living() {
		if r.holds(slot) {
			return r
		}
	}
	return nil
}

// obstacles returns the conflict with other holders of the slots, or nil.
func (w *world) obstacles(own *record, slots ...incident.Slot) error {
	var others []incident.Key
	for _, slot := range slots {
		if h := w.holder(slot); h != nil && h != own {
			others = append(others, h.key())
		}
	}
	if others == nil {
		return nil
	}
	return &anyConflict{others: others}
}

// append adds an activity with the next sequence.
func (w *world) append(r *record, a incident.Activity) {
	a.Incident = r.key()
	a.Sequence = int64(len(r.activities)) + 1
	r.activities = append(r.activities, a)
	if a.NotificationUUID != uuid.Nil {
		w.org(a.Incident.OrganizationID).notifications[a.NotificationUUID] = activityID{a.Incident.Identifier, a.Sequence}
	}
}

// known finds the activity with the given UUID. It returns the activity only if it has
// the same incident and type, as in a repeated call.
func (w *world) known(key incident.Key, id uuid.UUID, kind incident.ActivityType) (a *incident.Activity, isKnown bool) {
	p, isKnown := w.org(key.OrganizationID).notifications[id]
	if isKnown && p.identifier == key.Identifier {
		if a := &w.find(key).activities[p.sequence-1]; a.Type == kind {
			return a, true
		}
	}
	return nil, isKnown
}

// maySubscribe is the access rule of a guarded world: bob may see incidents that affect
// the project p or no project, and all others may see everything.
func maySubscribe(user incident.UserID, projects []incident.ProjectID) bool {
	return user != "bob" || len(projects) == 0 || slices.Contains(projects, "p")
}

func (w *world) admits(r *record, user incident.UserID) bool {
	return !w.guarded || maySubscribe(user, r.incident.Projects)
}

// subscribeAll subscribes the users who are admitted and not subscribed yet.
func (w *world) subscribeAll(r *record, users ...incident.UserID) {
	for _, u := range users {
		if _, ok := r.subscribers[u]; !ok && u != "" && w.admits(r, u) {
			r.subscribers[u] = w.now
		}
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
