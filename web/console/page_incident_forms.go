package console

import (
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// untils are the ends of an acknowledgement that the form offers. The value is a duration; empty
// for no end.
var untils = []choice{
	{Value: "", Label: "until it is withdrawn"},
	{Value: "30m", Label: "for 30 minutes"},
	{Value: "1h", Label: "for 1 hour"},
	{Value: "4h", Label: "for 4 hours"},
	{Value: "12h", Label: "for 12 hours"},
	{Value: "24h", Label: "for 1 day"},
	{Value: "72h", Label: "for 3 days"},
	{Value: "168h", Label: "for 1 week"},
}

// untilOf returns the end of an acknowledgement by its choice, zero for no end.
func untilOf(value string, now time.Time) (time.Time, bool) {
	if value == "" {
		return time.Time{}, true
	}
	if !slices.ContainsFunc(untils, func(c choice) bool { return c.Value == value }) {
		return time.Time{}, false
	}
	d, err := time.ParseDuration(value)
	return now.Add(d), err == nil
}

// addChoices adds the options of the forms.
func (v *incidentView) addChoices(req *request, inc *incident.Incident, assignees []incident.UserID) {
	v.Untils = slices.Clone(untils)
	for _, s := range incident.ActiveStatuses() {
		v.Statuses = append(v.Statuses, choice{Value: statusOf(s).Class, Label: s.String(), Selected: s == inc.Status})
	}
	ids := append([]incident.UserID{"", req.viewer.User}, assignees...)
	if v.AssigneeID != "" {
		ids = append(ids, v.AssigneeID)
	}
	added := map[incident.UserID]bool{}
	for _, id := range ids {
		if !added[id] {
			added[id] = true
			v.Assignees = append(v.Assignees, assigneeChoice{ID: id, Name: req.names.user(id), Selected: id == v.AssigneeID})
		}
	}
}

// choose selects the options that the viewer had chosen in a refused form.
func (v *incidentView) choose() {
	pick := func(action, field string, options []choice) {
		if v.Sent(action) && v.typed.values.Has(field) {
			for i := range options {
				options[i].Selected = options[i].Value == v.typed.values.Get(field)
			}
		}
	}
	pick("acknowledge", "until", v.Untils)
	pick("status", "status", v.Statuses)
	pick("reopen", "status", v.Statuses)
	if v.Sent("assign") {
		for i := range v.Assignees {
			v.Assignees[i].Selected = string(v.Assignees[i].ID) == v.typed.values.Get("assignee")
		}
	}
}

// remarkView is the field of an optional remark.
type remarkView struct{ Action, Text, Problem string }

// Remark returns the field for the remark of a form.
func (v *incidentView) Remark(action string) remarkView {
	return remarkView{action, v.Typed(action, "comment", ""), v.Problem(action, "comment")}
}

// severityView is the choice of an active status.
type severityView struct {
	Options []choice
	Problem string
}

// Severity returns the choice of a form.
func (v *incidentView) Severity(action string) severityView {
	options := slices.Clone(v.Statuses)
	if action == "reopen" && !slices.ContainsFunc(options, func(c choice) bool { return c.Selected }) {
		options[0].Selected = true
	}
	return severityView{options, v.Problem(action, "status")}
}
