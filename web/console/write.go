package console

import (
	"errors"
	"net/http"
	"slices"

	"github.com/incidentkit/incident"
)

// writer writes the form of an incident. It returns a *incident.FieldError for a field that cannot be
// used.
type writer func(c *console, req *request, inc *incident.Incident, f *form) (incident.Result, error)

// versioned are the forms whose write depends on the version that the viewer has seen.
var versioned = []string{"acknowledge", "withdraw", "assign", "resolve", "reopen", "status", "edit"}

// errAlready means that a form with a remark had nothing to change, so that the remark was not
// written.
var errAlready = errors.New("it was so already")

// write returns the handler of a form of an incident. After the write the browser goes to the page
// of the incident. A refused form is shown on that page again, with everything that was typed.
func write(action string, do writer) func(*console, *request) error {
	return func(c *console, req *request) error {
		inc, err := c.requested(req) // before anything that could tell of the incident
		if err != nil {
			return err
		}
		f, err := req.form()
		if err != nil {
			return err
		}
		var r incident.Result
		if f.version == 0 && slices.Contains(versioned, action) {
			err = &incident.FieldError{Field: "version", Problem: "is required"}
		} else {
			r, err = do(c, req, &inc, f)
		}
		switch {
		case err == nil && !r.Changed && r.Version == f.version && f.remark() != "":
			return c.refused(req, action, f, errAlready)
		case err == nil:
			done := action
			if !r.Changed && r.Version == f.version { // otherwise the form was sent twice
				done = "already"
			}
			redirect(req.w, "../"+req.r.PathValue("id")+"?done="+done, http.StatusSeeOther)
			return nil
		case errors.Is(err, incident.ErrUnknownOutcome):
			return err
		case errors.Is(err, incident.ErrConflict), errors.Is(err, incident.ErrInvalid), errors.Is(err, errGone):
			return c.refused(req, action, f, err)
		}
		return err
	}
}

func (c *console) acknowledge(req *request, inc *incident.Incident, f *form) (incident.Result, error) {
	until, ok := untilOf(f.values.Get("until"), req.now)
	if !ok {
		return incident.Result{}, &incident.FieldError{Field: "until", Problem: "must be one of the list"}
	}
	return c.manager.Acknowledge(req, inc.Key(), incident.Acknowledgement{
		UserID: req.viewer.User, Comment: f.remark(), Until: until, ExpectVersion: f.version, NotificationUUID: req.notificationUUID(f),
	})
}

func (c *console) withdraw(req *request, inc *incident.Incident, f *form) (incident.Result, error) {
	return c.manager.Acknowledge(req, inc.Key(), incident.Acknowledgement{
		UserID: req.viewer.User, Comment: f.remark(), Withdraw: true, ExpectVersion: f.version, NotificationUUID: req.notificationUUID(f),
	})
}

// assign accepts the users that the form offers only.
func (c *console) assign(req *request, inc *incident.Incident, f *form) (incident.Result, error) {
	to := incident.UserID(f.values.Get("assignee"))
	if to != "" && to != req.viewer.User && (inc.Response == nil || to != inc.Response.Assignee) {
		offered, err := c.options.Assignees(req, req.viewer)
		if err != nil {
			return incident.Result{}, err
		}
		if !slices.Contains(offered, to) {
			return incident.Result{}, &incident.FieldError{Field: "assignee", Problem: "must be one of the list"}
		}
	}
	return c.manager.Assign(req, inc.Key(), incident.Assignment{
		UserID: req.viewer.User, Assignee: to, Comment: f.remark(), ExpectVersion: f.version, NotificationUUID: req.notificationUUID(f),
	})
}

func (c *console) resolve(req *request, inc *incident.Incident, f *form) (incident.Result, error) {
	return c.updateStatus(req, inc, f, incident.StatusClosed)
}

func (c *console) reopen(req *request, inc *incident.Incident, f *form) (incident.Result, error) {
	return c.setStatus(req, inc, f)
}

// setStatus sets an active status: the severity of an active incident, or that of a closed incident
// to reopen.
func (c *console) setStatus(req *request, inc *incident.Incident, f *form) (incident.Result, error) {
	statuses := statusNames[f.values.Get("status")]
	if len(statuses) != 1 || !statuses[0].Active() {
		return incident.Result{}, &incident.FieldError{Field: "status", Problem: "must be one of the list"}
	}
	return c.updateStatus(req, inc, f, statuses[0])
}

func (c *console) updateStatus(req *request, inc *incident.Incident, f *form, to incident.Status) (incident.Result, error) {
	return c.manager.UpdateStatus(req, inc.Key(), incident.StatusUpdate{
		Status: to, UserID: req.viewer.User, Comment: f.remark(), ExpectVersion: f.version, NotificationUUID: req.notificationUUID(f),
	})
}

func (c *console) edit(req *request, inc *incident.Incident, f *form) (incident.Result, error) {
	title := f.line("title")
	if title == "" {
		return incident.Result{}, &incident.FieldError{Field: "title", Problem: "is required"}
	}
	return c.manager.Edit(req, inc.Key(), incident.Edit{
		UserID: req.viewer.User, Title: title, ExpectVersion: f.version, NotificationUUID: req.notificationUUID(f),
	})
}

// comment never conflicts: a comment has no version.
func (c *console) comment(req *request, inc *incident.Incident, f *form) (incident.Result, error) {
	_, err := c.manager.Comment(req, inc.Key(), incident.NewComment{
		UserID: req.viewer.User, Comment: f.text("comment"), NotificationUUID: req.notificationUUID(f),
	})
	return incident.Result{Changed: true}, err
}

func (c *console) follow(req *request, inc *incident.Incident, _ *form) (incident.Result, error) {
	_, err := c.manager.Subscribe(req, inc.Key(), req.viewer.User)
	return incident.Result{Changed: true}, err
}

func (c *console) unfollow(req *request, inc *incident.Incident, _ *form) (incident.Result, error) {
	return incident.Result{Changed: true}, c.manager.Unsubscribe(req, inc.Key(), req.viewer.User)
}

// seen records the visit of a viewer. The script sends it while the page is visible, so that a
// page that was loaded in advance counts as no visit.
func (c *console) seen(req *request) error {
	inc, err := c.requested(req)
	if err != nil {
		return err
	}
	if _, err := c.manager.MarkSeen(req, inc.Key(), req.viewer.User); err != nil {
		return err
	}
	req.w.WriteHeader(http.StatusNoContent)
	return nil
}
