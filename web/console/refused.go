package console

import (
	"errors"
	"net/http"

	"github.com/incidentkit/incident"
)

// maxNews bounds the changes that a conflict lists.
const maxNews = 20

// notice tells why a form was refused.
type notice struct {
	Conflict bool           // the incident has changed
	News     []activityView // since the viewer's page
	Holder   *reference     // the incident that occupies the slot; nil for none
	Problem  string         // about no field of the form
}

// refused shows the page of the incident again, with the form as it was typed, and the reason. The
// form then has the present version, so that the viewer can send it again.
func (c *console) refused(req *request, action string, f *form, reason error) error {
	view, err := c.readIncident(req, "")
	if err != nil {
		return err
	}
	view.typed = &typed{action: action, values: f.values, problems: map[string]string{}}
	view.Notice = &notice{}
	view.choose()
	view.keepRevision(f, reason)
	status := http.StatusConflict
	if holder, ok := errors.AsType[*incident.ConflictError](reason); ok {
		ref := c.refer(req, holder.Existing.Identifier)
		view.Notice.Holder = &ref
		return c.showIncident(req, view, status)
	}
	if invalid, ok := errors.AsType[*incident.FieldError](reason); ok {
		status = http.StatusBadRequest
		switch invalid.Field {
		case "comment", "title", "until", "assignee", "status":
			view.typed.problems[invalid.Field] = "It " + invalid.Problem + "."
		default:
			view.Notice.Problem = "The form has a value that cannot be used."
		}
		return c.showIncident(req, view, status)
	}
	if errors.Is(reason, errGone) {
		return c.showIncident(req, view, status)
	}
	if errors.Is(reason, errAlready) {
		view.Notice.Problem = "It was so already, so that your remark was not written. It is kept below; you can send it as a comment."
		return c.showIncident(req, view, status)
	}
	view.Notice.Conflict = true
	for _, a := range view.Activities {
		if a.Sequence > f.since && len(view.Notice.News) < maxNews {
			view.Notice.News = append(view.Notice.News, a)
		}
	}
	return c.showIncident(req, view, status)
}
