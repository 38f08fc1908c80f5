package console

import (
	"bytes"
	"net/http"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/timeline"
)

// markdown serves an incident as a text to copy into a report. A short text is complete before
// the first byte is sent, so that an error gets a page. After an error in the middle of a longer
// text the connection ends, so that nobody takes it for complete.
func (c *console) markdown(req *request) error {
	inc, err := c.requested(req)
	if err != nil {
		return err
	}
	triggers, err := c.manager.Triggers(req, inc.Key())
	if err != nil {
		return err
	}
	out := &lateWriter{w: req.w}
	user, project := c.nameFuncs(req)
	err = timeline.Markdown(out, inc, triggers, timeline.Activities(req, c.manager, inc.Key()), &timeline.Options{
		User: user, Project: project, Location: req.zone,
	})
	switch {
	case err == nil:
		out.flush()
	case out.sent:
		panic(http.ErrAbortHandler)
	}
	return err
}

// nameFuncs returns functions that ask the host for a single name, once.
func (c *console) nameFuncs(req *request) (user func(incident.UserID) string, project func(incident.ProjectID) string) {
	one := func(ask func() (string, error)) string {
		name, err := ask()
		if err != nil {
			c.options.Logger.ErrorContext(req, "console: a name is unknown", "error", err)
			return ""
		}
		return name
	}
	users, projects := map[incident.UserID]string{}, map[incident.ProjectID]string{}
	user = func(id incident.UserID) string {
		if _, known := users[id]; !known && c.options.UserNames != nil {
			users[id] = one(func() (string, error) {
				found, err := c.options.UserNames(req, req.viewer.Organization, []incident.UserID{id})
				return found[id], err
			})
		}
		return users[id]
	}
	project = func(id incident.ProjectID) string {
		if _, known := projects[id]; !known && c.options.ProjectNames != nil {
			projects[id] = one(func() (string, error) {
				found, err := c.options.ProjectNames(req, req.viewer.Organization, []incident.ProjectID{id})
				return found[id], err
			})
		}
		return projects[id]
	}
	return user, project
}

// maxLate is the most bytes that a lateWriter holds back.
const maxLate = 256 << 10

// lateWriter holds the beginning of a text back.
type lateWriter struct {
	w    http.ResponseWriter
	held bytes.Buffer
	sent bool
}

func (l *lateWriter) Write(p []byte) (int, error) {
	_, _ = l.held.Write(p)
	if l.held.Len() > maxLate {
		l.flush()
	}
	return len(p), nil
}

func (l *lateWriter) flush() {
	if !l.sent {
		l.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	l.sent = true
	_, _ = l.held.WriteTo(l.w)
}
