package main

import (
	"net/http"

	"github.com/incidentkit/incident"
)

func (a *api) listActivities(c *call) error {
	key, err := a.readable(c)
	if err != nil {
		return err
	}
	f := incident.ActivityFilter{Cursor: c.query.Get("cursor")}
	switch c.query.Get("desc") {
	case "", "1":
		f.Descending = true
	case "0":
	default:
		return &incident.FieldError{Field: "desc", Problem: "must be 0 or 1"}
	}
	if f.Limit, err = perPage(c.query); err != nil {
		return err
	}
	x, err := c.expanded()
	if err != nil {
		return err
	}
	page, err := a.activities(c.ctx, key, f, x)
	if err != nil {
		return err
	}
	return c.sendPage(activityList(page.Activities), link{"next", page.Next})
}

func (a *api) createComment(c *call) error {
	key, err := a.readable(c)
	if err != nil {
		return err
	}
	n := incident.NewComment{UserID: c.user}
	if err := c.body(map[string]any{"comment": &n.Comment, "mentions": &n.Mentions}); err != nil {
		return err
	}
	comment, err := a.incidents.Comment(c.ctx, key, n)
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, comment)
}

func (a *api) editComment(c *call) error {
	key, e, err := a.comment(c)
	if err != nil {
		return err
	}
	if err := c.body(map[string]any{"comment": &e.Comment}); err != nil {
		return err
	}
	comment, err := a.incidents.EditComment(c.ctx, key, e)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, comment)
}

func (a *api) deleteComment(c *call) error {
	key, e, err := a.comment(c)
	if err != nil {
		return err
	}
	if _, err := a.incidents.DeleteComment(c.ctx, key, e); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// comment returns the comment named by the path. The Manager enforces that only the
// author changes it.
func (a *api) comment(c *call) (incident.Key, incident.CommentEdit, error) {
	e := incident.CommentEdit{UserID: c.user}
	key, err := a.readable(c)
	if err == nil {
		e.Sequence, err = c.number("sequence")
	}
	return key, e, err
}
