package managertest

import (
	"context"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

var (
	badIDs = []string{"", "a\x00b", "\xff", "tab\t", strings.Repeat("x", incident.MaxIDSize+1)}
	// badTexts are invalid both as a title and as a comment.
	badTexts = []string{"", " \n\t ", "nul\x00", "cut \xe2\x82", "bell\a", strings.Repeat("é", incident.MaxCommentSize)}
	badDates = []time.Time{
		time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	badStatuses = []incident.Status{-1, 3, 30}
	badCursors  = []string{"x", "!", strings.Repeat("A", 44), strings.Repeat("A", 1<<16)}
)

// refused expects the call to fail with [incident.ErrInvalid] and to change nothing.
func refused(c call) call {
	c.name += " with invalid input"
	c.isRead = true
	c.expect = func(*world) (any, error) { return nil, incident.ErrInvalid }
	return c
}

// invalid draws a call and breaks a random input.
func invalid(s source) call {
	return refused(pick(s, "invalid", []func(source) call{
		invalidKey, invalidNewIncident, invalidStatusUpdate, invalidFiring, invalidResolution,
		invalidComment, invalidEdit, invalidResponse, invalidReminder, invalidUser, invalidProject, invalidSlot, invalidPage, foreignCursor, foreignActivityCursor,
	})(s))
}

func invalidKey(s source) call {
	key := s.key()
	if s.oneIn(2, "organization") {
		key.OrganizationID = incident.OrganizationID(pick(s, "bad", badIDs))
	} else {
		key.Identifier = pick(s, "bad", []int64{0, -1})
	}
	return pick(s, "call", []func() call{
		func() call { return get(key) },
		func() call { return triggers(key) },
		func() call { return details(key, "") },
		func() call { return seenBy(key) },
		func() call { return reminders(key) },
		func() call { return cancelReminder(key, "x") },
		func() call { return remind(key, incident.Reminder{Name: "x", At: badDates[1].Add(-1)}) },
		func() call { return subscribers(key) },
		func() call { return activities(key, incident.ActivityFilter{}) },
		func() call { return updateStatus(key, incident.StatusUpdate{Status: incident.StatusWarning}) },
		func() call { return acknowledge(key, incident.Acknowledgement{}) },
		func() call { return assign(key, incident.Assignment{}) },
		func() call { return edit(key, incident.Edit{Title: "x"}) },
		func() call { return markDuplicate(key, incident.Duplicate{Of: 9}) },
		func() call { return acknowledgeAll([]incident.Key{key}, incident.Acknowledgement{}) },
		func() call { return comment(key, incident.NewComment{UserID: "ada", Comment: "x"}) },
		func() call { return editComment(key, incident.CommentEdit{Sequence: 1, UserID: "ada", Comment: "x"}) },
		func() call { return deleteComment(key, incident.CommentEdit{Sequence: 1, UserID: "ada"}) },
		func() call { return linkProject(key, "p") },
		func() call { return unlinkProject(key, "p") },
		func() call { return markSeen(key, "ada") },
		func() call { return subscribe(key, "ada") },
		func() call { return unsubscribe(key, "ada") },
	})()
}

func invalidNewIncident(s source) call {
	n := s.newIncident()
	pick(s, "field", []func(){
		func() { n.OrganizationID = incident.OrganizationID(pick(s, "bad", badIDs)) },
		func() { n.Title = pick(s, "bad", badTexts) },
		func() { n.Title = strings.Repeat("é", 1001) },
		func() { n.Type = 1 },
		func() { n.Status = pick(s, "bad", badStatuses) },
		func() { n.AlertRuleID = incident.AlertRuleID(pick(s, "bad", badIDs[1:])) },
		func() { n.QueryID = incident.QueryID(pick(s, "bad", badIDs[1:])) },
		func() { n.Projects = []incident.ProjectID{"p", incident.ProjectID(pick(s, "bad", badIDs))} },
		func() { n.DateStarted = pick(s, "bad", badDates) },
		func() { n.DateDetected = pick(s, "bad", badDates) },
		func() { n.DateStarted = s.w.now.Add(25 * time.Hour) },
		func() { n.UserID = incident.UserID(pick(s, "bad", badIDs[1:])) },
		func() { n.AlertRuleID, n.Projects = "r", nil },
	})()
	return create(n)
}

func invalidStatusUpdate(s source) call {
	key := s.key()
	u := s.statusUpdate(key)
	pick(s, "field", []func(){
		func() { u.Status = 0 },
		func() { u.Status = pick(s, "bad", badStatuses) },
		func() { u.Method = pick(s, "bad", []incident.StatusMethod{-1, 4}) },
		func() { u.UserID = incident.UserID(pick(s, "bad", badIDs[1:])) },
		func() { u.Comment = pick(s, "bad", badTexts[2:]) },
		func() { u.Date = pick(s, "bad", badDates) },
		func() { u.ExpectVersion = -1 },
	})()
	return updateStatus(key, u)
}

func invalidFiring(s source) call {
	f := s.firing()
	pick(s, "field", []func(){
		func() { f.Slot = s.badSlot() },
		func() { f.TriggerID = incident.TriggerID(pick(s, "bad", badIDs)) },
		func() {
			f.Severity = pick(s, "bad", []incident.Status{0, incident.StatusOpen, incident.StatusClosed, 30})
		},
		func() { f.Title = pick(s, "bad", badTexts) },
		func() { f.Date = pick(s, "bad", badDates) },
		func() { f.ReopenWithin = -1 },
		func() { f.Labels = map[string]string{string(pick(s, "bad", badIDs)): "x"} },
		func() { f.Labels = map[string]string{"x": ""} },
		func() { f.Annotations = map[string]string{"x": strings.Repeat("x", incident.MaxAnnotationsSize)} },
	})()
	return fire(f)
}

func invalidResolution(s source) call {
	r := s.resolution()
	pick(s, "field", []func(){
		func() { r.Slot = s.badSlot() },
		func() { r.TriggerID = incident.TriggerID(pick(s, "bad", badIDs)) },
		func() { r.Date = pick(s, "bad", badDates) },
	})()
	return resolve(r)
}

func invalidSlot(s source) call { return active(s.badSlot()) }

func (s source) badSlot() incident.Slot {
	slot := s.slot()
	pick(s, "field", []func(){
		func() { slot.OrganizationID = incident.OrganizationID(pick(s, "bad", badIDs)) },
		func() { slot.AlertRuleID = incident.AlertRuleID(pick(s, "bad", badIDs)) },
		func() { slot.ProjectID = incident.ProjectID(pick(s, "bad", badIDs)) },
		func() { slot.QueryID = incident.QueryID(pick(s, "bad", badIDs[1:])) },
	})()
	return slot
}

func invalidComment(s source) call {
	key := s.key()
	n := s.newComment(key)
	pick(s, "field", []func(){
		func() { n.UserID = incident.UserID(pick(s, "bad", badIDs[1:])) },
		func() { n.Comment = pick(s, "bad", badTexts) },
		func() { n.Mentions = []incident.UserID{"ada", incident.UserID(pick(s, "bad", badIDs))} },
		func() { n.Mentions = make([]incident.UserID, incident.MaxMentions+1) },
		func() { n.Date = pick(s, "bad", badDates) },
	})()
	return comment(key, n)
}

func invalidEdit(s source) call {
	key := s.key()
	e := s.edit(key)
	pick(s, "field", []func(){
		func() { e.Sequence = pick(s, "bad", []int64{0, -1}) },
		func() { e.UserID = incident.UserID(pick(s, "bad", badIDs)) },
		func() { e.Comment = pick(s, "bad", badTexts) },
	})()
	if s.oneIn(2, "deletion") {
		e.Comment = "a deletion has no text"
		return deleteComment(key, e)
	}
	return editComment(key, e)
}

func invalidUser(s source) call {
	key, user := s.key(), incident.UserID(pick(s, "bad", badIDs))
	return pick(s, "call", []func() call{
		func() call { return markSeen(key, user) },
		func() call { return subscribe(key, user) },
		func() call { return unsubscribe(key, user) },
		func() call { return details(key, user+"\x00") },
	})()
}

func invalidProject(s source) call {
	key, project := s.key(), incident.ProjectID(pick(s, "bad", badIDs))
	if s.oneIn(2, "unlink") {
		return unlinkProject(key, project)
	}
	return linkProject(key, project)
}

func invalidPage(s source) call {
	key, f := s.key(), s.filter()
	a := s.activityFilter()
	pick(s, "field", []func(){
		func() { f.Limit, a.Limit = incident.MaxPageSize+1, incident.MaxPageSize+1 },
		func() { f.Limit, a.Limit = -1, -1 },
		func() { f.Cursor, a.Cursor = pick(s, "bad", badCursors), pick(s, "bad", badCursors) },
		func() { f.Projects = []incident.ProjectID{incident.ProjectID(pick(s, "bad", badIDs))}; a.Limit = -1 },
		func() {
			f.Access = &incident.ProjectAccess{Projects: []incident.ProjectID{incident.ProjectID(pick(s, "bad", badIDs))}}
			a.Limit = -1
		},
		func() { f.Statuses, a.Limit = badStatuses, -1 },
	})()
	if s.oneIn(2, "activities") {
		return activities(key, a)
	}
	return list(f)
}

// errNoCursor stands for the refusal if there is no second page whose cursor could be
// misused.
var errNoCursor = &incident.FieldError{Field: "cursor", Problem: "is not there"}

// foreignCursor uses the cursor of a list for another list.
func foreignCursor(s source) call {
	f := s.filter()
	f.Limit = 1
	other := f
	pick(s, "differs in", []func(){
		func() { other.OrganizationID += "#2" },
		func() { other.Title += "a" },
		func() { other.AlertRuleID += "a" },
		func() { f.Labels, other.Labels = nil, map[string]string{"service": "checkout"} },
		func() { f.Assignee, other.Assignee = "", "ada" },
		func() { f.Acknowledged, other.Acknowledged = nil, new(bool) },
		func() { other.Projects = append([]incident.ProjectID{"another"}, f.Projects...) },
		func() { f.Access, other.Access = nil, &incident.ProjectAccess{} },
		func() { f.Access, other.Access = &incident.ProjectAccess{}, nil },
		func() { other.Access = &incident.ProjectAccess{Projects: []incident.ProjectID{"another"}} },
		func() { f.Statuses, other.Statuses = nil, []incident.Status{incident.StatusClosed} },
		func() { other.Start = start.AddDate(-1, 0, 0) },
	})()
	return misuse(f, other)
}

// misuse continues the list other with a cursor of the list f.
func misuse(f, other incident.IncidentFilter) call {
	return refused(call{
		name: "List by a foreign cursor", args: []any{f, other}, orgs: only(f.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			page, err := m.List(ctx, f)
			if err != nil {
				return nil, err
			}
			if page.Next == "" {
				return nil, errNoCursor
			}
			other := other
			other.Cursor = page.Next
			return answer(m.List(ctx, other))
		},
	})
}

// foreignActivityCursor uses the cursor of an incident's activities for another incident,
// or for the opposite direction.
func foreignActivityCursor(s source) call {
	key, other := s.key(), s.key()
	f := incident.ActivityFilter{Limit: 1, Descending: s.oneIn(2, "descending")}
	return refused(call{
		name: "Activities by a foreign cursor", args: []any{key, other}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			page, err := m.Activities(ctx, key, f)
			if category(err) == incident.ErrNotFound {
				return nil, errNoCursor
			}
			if err != nil {
				return nil, err
			}
			f := f
			f.Cursor = page.Next
			if key == other {
				f.Descending = !f.Descending
			}
			return answer(m.Activities(ctx, other, f))
		},
	})
}
