package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/incidentkit/incident"
)

// logNotifications is the notifier of this program: it logs changes of the status, and due
// reminders. A host pages, sends mail or posts to a chat.
func logNotifications(log *slog.Logger) (incident.Notifier, incident.NotifyOptions) {
	notifier := incident.NotifierFunc(func(ctx context.Context, n incident.Notification) error {
		what := slog.String("activity", n.Activity.Type.String())
		if n.Reminder != nil {
			what = slog.String("reminder", n.Reminder.Name)
		}
		log.LogAttrs(ctx, slog.LevelInfo, "notification", slog.Any("incident", n.Incident.Key()), what,
			slog.Any("recipients", n.Recipients), slog.Int("attempt", n.Attempt))
		return nil
	})
	return notifier, incident.NotifyOptions{Types: []incident.ActivityType{incident.ActivityTypeStatusChange}}
}

// listParked lists the notifications of an incident that a notifier could not deliver.
func (a *api) listParked(c *call) error {
	key, err := a.readable(c)
	if err != nil {
		return err
	}
	f := incident.ParkedFilter{
		OrganizationID: key.OrganizationID, Identifier: key.Identifier,
		Notifier: c.query.Get("notifier"), Cursor: c.query.Get("cursor"),
	}
	if f.Limit, err = perPage(c.query); err != nil {
		return err
	}
	page, err := a.incidents.Parked(c.ctx, f)
	if err != nil {
		return err
	}
	return c.sendPage(page.Notifications, link{"next", page.Next})
}

func (a *api) replayParked(c *call) error { return a.eachParked(c, a.incidents.Replay) }

func (a *api) discardParked(c *call) error { return a.eachParked(c, a.incidents.DiscardParked) }

// eachParked calls do for the parked notifications of an incident, and responds with their number.
func (a *api) eachParked(c *call, do func(context.Context, incident.ParkedSelection) (int, error)) error {
	key, err := a.readable(c)
	if err != nil {
		return err
	}
	n, err := do(c.ctx, incident.ParkedSelection{
		OrganizationID: key.OrganizationID, Identifier: key.Identifier, Notifier: c.query.Get("notifier"),
	})
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, struct {
		Count int `json:"count"`
	}{n})
}
