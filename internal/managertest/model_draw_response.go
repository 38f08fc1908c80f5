package managertest

import (
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/incidentkit/incident"
)

// operations are the calls of people at work on an incident, weighted by frequency.
var operations = weighted([]weight{
	{4, func(s source) call { k := s.key(); return acknowledge(k, s.acknowledgement(k)) }},
	{3, func(s source) call { k := s.key(); return assign(k, s.assignment(k)) }},
	{3, func(s source) call { k := s.key(); return edit(k, s.incidentEdit(k)) }},
	{3, func(s source) call { k := s.key(); return markDuplicate(k, s.duplicate(k)) }},
	{2, func(s source) call { u := s.statusUpdate(incident.Key{}); return updateStatusAll(s.keysFor(u), u) }},
	{2, func(s source) call { return acknowledgeAll(s.keys(), s.acknowledgement(incident.Key{})) }},
})

func (s source) drawOperation() call { return pick(s, "operation", operations)(s) }

// focusedKinds are the calls in a world that is about operations: few incidents, and all that
// changes their response and status.
var focusedKinds = weighted([]weight{
	{2, func(s source) call { return create(s.newIncident()) }},
	{5, func(s source) call { k := s.key(); return updateStatus(k, s.statusUpdate(k)) }},
	{12, source.drawOperation},
	{3, drawReminder},
	{3, func(s source) call { return fire(s.firing()) }},
	{1, drawRead},
})

// remark is a remark on an activity, often none.
func (s source) remark() string { return pick(s, "comment", append([]string{""}, texts...)) }

func (s source) acknowledgement(key incident.Key) incident.Acknowledgement {
	a := incident.Acknowledgement{
		UserID:           s.actor(),
		Comment:          s.remark(),
		Withdraw:         s.oneIn(8, "withdraw"),
		NotificationUUID: s.notification(key, incident.ActivityTypeAcknowledged),
	}
	if key.Identifier != 0 {
		a.ExpectVersion = s.version(key)
	}
	if r := s.w.find(key); r != nil && s.w.isAcknowledged(r.incident) {
		a.Withdraw = s.oneIn(2, "withdraw what is there")
	}
	if a.Withdraw {
		a.NotificationUUID = s.notification(key, incident.ActivityTypeUnacknowledged)
	} else if s.oneIn(3, "with an end") {
		// The ends repeat, and the ticks of the clock pass them.
		a.Until = s.w.now.Truncate(30 * time.Minute).Add(pick(s, "until", []time.Duration{
			30 * time.Minute, 30*time.Minute + 1999*time.Nanosecond, time.Hour, 1000 * time.Hour, 0,
		})).In(zone)
	}
	return a
}

func (s source) assignment(key incident.Key) incident.Assignment {
	a := incident.Assignment{
		UserID:           s.actor(),
		Assignee:         s.actor(),
		Comment:          s.remark(),
		ExpectVersion:    s.version(key),
		NotificationUUID: s.notification(key, incident.ActivityTypeAssigned),
	}
	if r := s.w.find(key); r != nil && r.incident.Response != nil && s.oneIn(3, "unassign") {
		a.Assignee = ""
	}
	return a
}

// labelEdits are values to set. An empty value removes.
var labelEdits = append([]map[string]string{
	{"service": ""}, {"region": "x", "service": ""}, {"région": "", "none": ""},
}, labelSets...)

// manyLabels has nearly as many labels as an incident can have.
var manyLabels = func() map[string]string {
	labels := map[string]string{}
	for i := range incident.MaxLabels - 1 {
		labels[string(rune('А'+i))] = "x"
	}
	return labels
}()

func (s source) incidentEdit(key incident.Key) incident.Edit {
	e := incident.Edit{
		UserID:           s.actor(),
		Title:            pick(s, "title", append([]string{"", ""}, titles...)),
		Comment:          s.remark(),
		ExpectVersion:    s.version(key),
		NotificationUUID: s.notification(key, incident.ActivityTypeEdited),
	}
	if s.oneIn(3, "another start") {
		e.DateStarted = s.date("started")
	}
	if s.oneIn(2, "labels") {
		e.Labels = pick(s, "labels", labelEdits)
	} else if s.oneIn(8, "many labels") {
		e.Labels = manyLabels
	}
	if s.oneIn(3, "annotations") {
		e.Annotations = pick(s, "annotations", labelEdits)
	}
	return e
}

func (s source) duplicate(key incident.Key) incident.Duplicate {
	return incident.Duplicate{
		Of:               pick(s, "of", []int64{1, 1, 2, 2, 3, int64(len(s.w.org(key.OrganizationID).records))}),
		UserID:           s.actor(),
		Comment:          s.remark(),
		ExpectVersion:    s.version(key),
		NotificationUUID: s.notification(key, incident.ActivityTypeMarkedDuplicate),
	}
}

// keys are different keys of one organization, and seldom others.
func (s source) keys() []incident.Key {
	first := s.key()
	keys := []incident.Key{first}
	for i := int64(1); i <= int64(len(s.w.org(first.OrganizationID).records))+1 && len(keys) < 5; i++ {
		key := incident.Key{OrganizationID: first.OrganizationID, Identifier: i}
		if key != first && rapid.Bool().Draw(s.t, "with") {
			keys = append(keys, key)
		}
	}
	if s.oneIn(16, "another") {
		keys = append(keys, s.key())
	}
	return keys
}

// keysFor are keys for a status update that is the same in every order: at most one of the
// incidents would occupy a slot.
func (s source) keysFor(u incident.StatusUpdate) []incident.Key {
	var taken []incident.Slot
	return slices.DeleteFunc(s.keys(), func(key incident.Key) bool {
		r := s.w.find(key)
		if r == nil || u.Status == incident.StatusClosed {
			return false
		}
		slots := r.slots()
		isRival := slices.ContainsFunc(slots, func(slot incident.Slot) bool { return slices.Contains(taken, slot) })
		taken = append(taken, slots...)
		return isRival
	})
}

// filterResponse adds conditions on labels and people.
func (s source) filterResponse(f *incident.IncidentFilter) {
	f.Labels = pick(s, "labels", labelSets)
	f.Assignee = pick(s, "assignee", append([]incident.UserID{"", ""}, users...))
	if s.oneIn(2, "acknowledged") {
		is := rapid.Bool().Draw(s.t, "is")
		f.Acknowledged = &is
	}
}

// badLabels are labels and annotations that are refused.
var badLabels = []map[string]string{
	{"": "x"},
	{"a\x00b": "x"},
	{"\xff": "x"},
	{"a\n": "x"},
	{strings.Repeat("x", incident.MaxIDSize+1): "x"},
	{"a": "\x00"},
	{"a": "\r"},
	{"a": "\xff"},
	{"a": strings.Repeat("x", 2*incident.MaxAnnotationsSize)},
}

func invalidResponse(s source) call {
	key := s.key()
	user := incident.UserID(pick(s, "bad", badIDs[1:]))
	text := pick(s, "bad", badTexts[2:])
	a, b, e, d := s.acknowledgement(key), s.assignment(key), s.incidentEdit(key), s.duplicate(key)
	f := s.filter()
	return pick(s, "field", []func() call{
		func() call { a.UserID = user; return acknowledge(key, a) },
		func() call { a.Comment = text; return acknowledge(key, a) },
		func() call { a.ExpectVersion = -1; return acknowledge(key, a) },
		func() call { a.Until = pick(s, "bad", badDates); return acknowledge(key, a) },
		func() call { a.Until = s.w.now; return acknowledge(key, a) },
		func() call { a.Withdraw, a.Until = true, s.w.now.Add(time.Hour); return acknowledge(key, a) },
		func() call { b.UserID = user; return assign(key, b) },
		func() call { b.Assignee = user; return assign(key, b) },
		func() call { b.Comment = text; return assign(key, b) },
		func() call { e.Labels = pick(s, "bad", badLabels); return edit(key, e) },
		func() call { e.Annotations = pick(s, "bad", badLabels); return edit(key, e) },
		func() call { e.Title = pick(s, "bad", badTexts[1:]); return edit(key, e) },
		func() call { e.DateStarted = pick(s, "bad", badDates); return edit(key, e) },
		func() call { e.Comment = text; return edit(key, e) },
		func() call { return edit(key, incident.Edit{UserID: "ada", Comment: "nothing"}) },
		func() call { d.Of = pick(s, "bad", []int64{0, -1, key.Identifier}); return markDuplicate(key, d) },
		func() call { d.Comment = text; return markDuplicate(key, d) },
		func() call { f.Labels = pick(s, "bad", badLabels); return list(f) },
		func() call { f.Labels = map[string]string{"a": ""}; return list(f) },
		func() call { f.Assignee = user; return list(f) },
		func() call { f.Limit = incident.MaxCount + 1; return count(f) },
		func() call {
			n := s.newIncident()
			n.Labels = pick(s, "bad", badLabels)
			return create(n)
		},
		func() call { return acknowledgeAll([]incident.Key{key, key}, incident.Acknowledgement{UserID: "ada"}) },
		func() call {
			return acknowledgeAll(make([]incident.Key, incident.MaxBulk+1), incident.Acknowledgement{})
		},
		func() call { return updateStatusAll([]incident.Key{key}, incident.StatusUpdate{}) },
		func() call {
			return updateStatusAll([]incident.Key{{OrganizationID: "other", Identifier: 1}, key}, incident.StatusUpdate{Status: incident.StatusOpen})
		},
	})()
}
