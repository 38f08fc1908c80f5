package main

import (
	"context"

	"github.com/incidentkit/incident"
)

// faulty is a Manager whose calls return the error of fail. fail gets the name of a read,
// or "write".
type faulty struct {
	incident.Manager
	fail func(call string) error // nil for none
}

func (f *faulty) err(call string) error {
	if f.fail == nil {
		return nil
	}
	return f.fail(call)
}

func (f *faulty) Get(ctx context.Context, key incident.Key) (incident.Incident, error) {
	if err := f.err("Get"); err != nil {
		return incident.Incident{}, err
	}
	return f.Manager.Get(ctx, key)
}

func (f *faulty) Details(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
	if err := f.err("Details"); err != nil {
		return incident.Details{}, err
	}
	return f.Manager.Details(ctx, key, user)
}

func (f *faulty) List(ctx context.Context, filter incident.IncidentFilter) (incident.IncidentPage, error) {
	if err := f.err("List"); err != nil {
		return incident.IncidentPage{}, err
	}
	return f.Manager.List(ctx, filter)
}

func (f *faulty) UpdateStatus(ctx context.Context, key incident.Key, u incident.StatusUpdate) (incident.Result, error) {
	if err := f.err("write"); err != nil {
		return incident.Result{}, err
	}
	return f.Manager.UpdateStatus(ctx, key, u)
}

func (f *faulty) Activities(ctx context.Context, key incident.Key, filter incident.ActivityFilter) (incident.ActivityPage, error) {
	if err := f.err("Activities"); err != nil {
		return incident.ActivityPage{}, err
	}
	return f.Manager.Activities(ctx, key, filter)
}

func (f *faulty) Comment(ctx context.Context, key incident.Key, n incident.NewComment) (incident.Activity, error) {
	if err := f.err("write"); err != nil {
		return incident.Activity{}, err
	}
	return f.Manager.Comment(ctx, key, n)
}

func (f *faulty) EditComment(ctx context.Context, key incident.Key, e incident.CommentEdit) (incident.Activity, error) {
	if err := f.err("write"); err != nil {
		return incident.Activity{}, err
	}
	return f.Manager.EditComment(ctx, key, e)
}

func (f *faulty) DeleteComment(ctx context.Context, key incident.Key, e incident.CommentEdit) (incident.Activity, error) {
	if err := f.err("write"); err != nil {
		return incident.Activity{}, err
	}
	return f.Manager.DeleteComment(ctx, key, e)
}

func (f *faulty) MarkSeen(ctx context.Context, key incident.Key, user incident.UserID) (incident.Seen, error) {
	if err := f.err("write"); err != nil {
		return incident.Seen{}, err
	}
	return f.Manager.MarkSeen(ctx, key, user)
}

func (f *faulty) Subscribe(ctx context.Context, key incident.Key, user incident.UserID) (incident.Subscription, error) {
	if err := f.err("write"); err != nil {
		return incident.Subscription{}, err
	}
	return f.Manager.Subscribe(ctx, key, user)
}

func (f *faulty) Unsubscribe(ctx context.Context, key incident.Key, user incident.UserID) error {
	if err := f.err("write"); err != nil {
		return err
	}
	return f.Manager.Unsubscribe(ctx, key, user)
}

func (f *faulty) Reminders(ctx context.Context, key incident.Key) ([]incident.Reminder, error) {
	if err := f.err("Reminders"); err != nil {
		return nil, err
	}
	return f.Manager.Reminders(ctx, key)
}

func (f *faulty) Remind(ctx context.Context, key incident.Key, r incident.Reminder) error {
	if err := f.err("write"); err != nil {
		return err
	}
	return f.Manager.Remind(ctx, key, r)
}

func (f *faulty) CancelReminder(ctx context.Context, key incident.Key, name string) error {
	if err := f.err("write"); err != nil {
		return err
	}
	return f.Manager.CancelReminder(ctx, key, name)
}

func (f *faulty) Parked(ctx context.Context, filter incident.ParkedFilter) (incident.ParkedPage, error) {
	if err := f.err("Parked"); err != nil {
		return incident.ParkedPage{}, err
	}
	return f.Manager.Parked(ctx, filter)
}

func (f *faulty) Replay(ctx context.Context, s incident.ParkedSelection) (int, error) {
	if err := f.err("write"); err != nil {
		return 0, err
	}
	return f.Manager.Replay(ctx, s)
}

func (f *faulty) DiscardParked(ctx context.Context, s incident.ParkedSelection) (int, error) {
	if err := f.err("write"); err != nil {
		return 0, err
	}
	return f.Manager.DiscardParked(ctx, s)
}
