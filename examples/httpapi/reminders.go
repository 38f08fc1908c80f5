package main

import (
	"net/http"

	"github.com/incidentkit/incident"
)

func (a *api) listReminders(c *call) error {
	key, err := a.readable(c)
	if err != nil {
		return err
	}
	reminders, err := a.incidents.Reminders(c.ctx, key)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, reminders)
}

// setReminder sets the reminder that the path names, or moves it.
func (a *api) setReminder(c *call) error {
	key, err := a.readable(c)
	if err != nil {
		return err
	}
	r := incident.Reminder{Name: c.r.PathValue("name")}
	var at string
	var unless int64 // a set of conditions
	if err := c.body(map[string]any{"at": &at, "unless": &unless, "notifier": &r.Notifier}); err != nil {
		return err
	}
	if r.At, err = parseDate("at", at); err != nil {
		return err
	}
	r.Unless = incident.Unless(unless)
	if err := a.incidents.Remind(c.ctx, key, r); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) cancelReminder(c *call) error {
	key, err := a.readable(c)
	if err != nil {
		return err
	}
	if err := a.incidents.CancelReminder(c.ctx, key, c.r.PathValue("name")); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
