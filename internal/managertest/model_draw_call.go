package managertest

import (
	"cmp"
	"time"

	"github.com/incidentkit/incident"
)

// kinds are the calls, weighted by frequency.
var kinds = weighted([]weight{
	{5, func(s source) call { return create(s.newIncident()) }},
	{5, func(s source) call { return fire(s.firing()) }},
	{6, func(s source) call { k := s.key(); return updateStatus(k, s.statusUpdate(k)) }},
	{4, func(s source) call { return resolve(s.resolution()) }},
	{3, func(s source) call { k := s.key(); return comment(k, s.newComment(k)) }},
	{2, func(s source) call { k := s.key(); return editComment(k, s.edit(k)) }},
	{1, func(s source) call { k := s.key(); return deleteComment(k, s.deletion(k)) }},
	{2, func(s source) call { return linkProject(s.key(), pick(s, "project", projects)) }},
	{2, func(s source) call { return unlinkProject(s.key(), pick(s, "project", projects)) }},
	{2, func(s source) call { return markSeen(s.key(), s.user()) }},
	{2, func(s source) call { return subscribe(s.key(), s.user()) }},
	{2, func(s source) call { return unsubscribe(s.key(), s.user()) }},
	{17, source.drawOperation},
	{4, drawReminder},
	{2, func(s source) call { return invalid(s) }},
	{4, drawRead},
})

type weight struct {
	n    int
	draw func(s source) call
}

func weighted(weights []weight) []func(s source) call {
	var all []func(s source) call
	for _, w := range weights {
		for range w.n {
			all = append(all, w.draw)
		}
	}
	return all
}

// draw returns any call except InTx.
func (s source) draw() call {
	if s.w.focused {
		return pick(s, "call", focusedKinds)(s)
	}
	return pick(s, "call", kinds)(s)
}

// drawRead returns a read. The machine reads all existing data after each call anyway;
// drawRead adds unknown keys, and reads that fail within transactions and under faults.
func drawRead(s source) call {
	key := s.key()
	reads := []func() call{
		func() call { return get(key) },
		func() call { return details(key, s.user()) },
		func() call { return active(s.slot()) },
		func() call { return triggers(key) },
		func() call { return seenBy(key) },
		func() call { return subscribers(key) },
		func() call { return list(s.filter()) },
		func() call { f := s.filter(); f.Limit = pick(s, "count limit", []int{0, 1, 3}); return count(f) },
		func() call { return activities(key, s.activityFilter()) },
		func() call { return reminders(key) },
	}
	return pick(s, "read", reads)()
}

func (s source) newIncident() incident.NewIncident {
	n := incident.NewIncident{
		OrganizationID: s.org(),
		Title:          pick(s, "title", titles),
		Type:           pick(s, "type", []incident.Type{incident.TypeDetected, incident.TypeAlertTriggered}),
		Status: pick(s, "status", []incident.Status{
			0, 0, incident.StatusOpen, incident.StatusWarning, incident.StatusCritical, incident.StatusClosed,
		}),
		Projects:      some(s, "projects", projects, 0, 4),
		DetectionUUID: s.optional("detection", detectionUUIDs),
		DateStarted:   s.date("started"),
		DateDetected:  s.date("detected"),
		UserID:        s.actor(),
	}
	if s.oneIn(3, "imported") {
		n.DateAdded = s.date("added")
	}
	if s.oneIn(2, "labeled") {
		n.Labels, n.Annotations = pick(s, "labels", labelSets), pick(s, "annotations", labelSets)
	}
	if s.oneIn(2, "with a rule") {
		slot := s.slot()
		n.AlertRuleID, n.QueryID = slot.AlertRuleID, slot.QueryID
	}
	return n
}

func (s source) statusUpdate(key incident.Key) incident.StatusUpdate {
	return incident.StatusUpdate{
		Status:           pick(s, "status", statuses),
		Method:           pick(s, "method", methods),
		UserID:           s.actor(),
		Comment:          pick(s, "comment", append([]string{""}, texts...)),
		Date:             s.date("date"),
		ExpectVersion:    s.version(key),
		NotificationUUID: s.notification(key, incident.ActivityTypeStatusChange),
	}
}

func (s source) firing() incident.Firing {
	f := incident.Firing{
		Slot:          s.slot(),
		TriggerID:     pick(s, "trigger", triggerIDs),
		Severity:      pick(s, "severity", severities),
		Title:         pick(s, "title", titles),
		Date:          s.date("date"),
		DetectionUUID: s.optional("detection", detectionUUIDs),
		ReopenWithin:  pick(s, "reopen within", []time.Duration{0, 0, time.Second, 20 * time.Minute, 24 * time.Hour}),
		Update:        s.oneIn(4, "update"),
	}
	f.Episode = f.Title == titles[len(titles)-1] // a draw of its own would move the seeds of planted faults
	if s.oneIn(2, "labeled") {
		f.Labels, f.Annotations = pick(s, "labels", labelSets), pick(s, "annotations", labelSets)
	}
	return f
}

func (s source) resolution() incident.Resolution {
	return incident.Resolution{Slot: s.slot(), TriggerID: pick(s, "trigger", triggerIDs), Date: s.date("date")}
}

func (s source) newComment(key incident.Key) incident.NewComment {
	return incident.NewComment{
		UserID:           s.actor(),
		Comment:          pick(s, "comment", texts),
		Mentions:         some(s, "mentions", users, 0, 3),
		Date:             s.date("date"),
		NotificationUUID: s.notification(key, incident.ActivityTypeComment),
	}
}

func (s source) edit(key incident.Key) incident.CommentEdit {
	e := s.deletion(key)
	e.Comment = pick(s, "comment", texts)
	return e
}

// deletion is usually by the author.
func (s source) deletion(key incident.Key) incident.CommentEdit {
	e := incident.CommentEdit{
		Sequence:  s.sequence(key),
		UserID:    s.user(),
		Moderator: s.oneIn(4, "moderator"),
	}
	r := s.w.find(key)
	if r != nil && int(e.Sequence) <= len(r.activities) && !s.oneIn(3, "another user") {
		e.UserID = cmp.Or(r.activities[e.Sequence-1].UserID, e.UserID)
	}
	return e
}

func (s source) filter() incident.IncidentFilter {
	f := incident.IncidentFilter{
		OrganizationID: s.org(),
		Projects:       some(s, "projects", projects, 0, 2),
		Statuses:       some(s, "statuses", statuses, 0, 3),
		AlertRuleID:    pick(s, "rule", append([]incident.AlertRuleID{"", "", ""}, rules...)),
		Title:          pick(s, "find", finds),
		Start:          s.date("start"),
		End:            s.date("end"),
		Limit:          s.limit(),
	}
	if s.oneIn(3, "by response") {
		s.filterResponse(&f)
	}
	if s.oneIn(2, "within access") {
		f.Access = &incident.ProjectAccess{Projects: some(s, "access", projects, 0, 2)}
	}
	if !f.Start.IsZero() && !f.End.IsZero() && f.End.Before(f.Start) {
		f.Start, f.End = f.End, f.Start
	}
	return f
}

func (s source) activityFilter() incident.ActivityFilter {
	return incident.ActivityFilter{Descending: s.oneIn(2, "descending"), Limit: s.limit()}
}
