package console_test

import (
	"context"

	"github.com/incidentkit/incident"
)

// faulty is a Manager that fails reads or writes on demand. With after set, a write is made before
// it fails.
type faulty struct {
	incident.Manager
	reads, writes error // of all reads, of all writes
	after         bool
}

func (f *faulty) write(do func() error) error {
	if f.writes != nil {
		if f.after {
			_ = do()
		}
		return f.writes
	}
	return do()
}

func read[T any](f *faulty, do func() (T, error)) (T, error) {
	if f.reads != nil {
		var zero T
		return zero, f.reads
	}
	return do()
}

func wrote[T any](f *faulty, do func() (T, error)) (r T, err error) {
	err = f.write(func() (err error) {
		r, err = do()
		return err
	})
	return r, err
}

func (f *faulty) Get(ctx context.Context, key incident.Key) (incident.Incident, error) {
	return read(f, func() (incident.Incident, error) { return f.Manager.Get(ctx, key) })
}

func (f *faulty) Details(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
	return read(f, func() (incident.Details, error) { return f.Manager.Details(ctx, key, user) })
}

func (f *faulty) List(ctx context.Context, filter incident.IncidentFilter) (incident.IncidentPage, error) {
	return read(f, func() (incident.IncidentPage, error) { return f.Manager.List(ctx, filter) })
}

func (f *faulty) Parked(ctx context.Context, filter incident.ParkedFilter) (incident.ParkedPage, error) {
	return read(f, func() (incident.ParkedPage, error) { return f.Manager.Parked(ctx, filter) })
}

func (f *faulty) UpdateStatus(ctx context.Context, key incident.Key, u incident.StatusUpdate) (incident.Result, error) {
	return wrote(f, func() (incident.Result, error) { return f.Manager.UpdateStatus(ctx, key, u) })
}

func (f *faulty) UpdateStatusAll(ctx context.Context, keys []incident.Key, u incident.StatusUpdate) ([]incident.BulkResult, error) {
	return wrote(f, func() ([]incident.BulkResult, error) { return f.Manager.UpdateStatusAll(ctx, keys, u) })
}

func (f *faulty) AcknowledgeAll(ctx context.Context, keys []incident.Key, a incident.Acknowledgement) ([]incident.BulkResult, error) {
	return wrote(f, func() ([]incident.BulkResult, error) { return f.Manager.AcknowledgeAll(ctx, keys, a) })
}

func (f *faulty) Acknowledge(ctx context.Context, key incident.Key, a incident.Acknowledgement) (incident.Result, error) {
	return wrote(f, func() (incident.Result, error) { return f.Manager.Acknowledge(ctx, key, a) })
}

func (f *faulty) Assign(ctx context.Context, key incident.Key, a incident.Assignment) (incident.Result, error) {
	return wrote(f, func() (incident.Result, error) { return f.Manager.Assign(ctx, key, a) })
}

func (f *faulty) Edit(ctx context.Context, key incident.Key, e incident.Edit) (incident.Result, error) {
	return wrote(f, func() (incident.Result, error) { return f.Manager.Edit(ctx, key, e) })
}

func (f *faulty) Comment(ctx context.Context, key incident.Key, n incident.NewComment) (incident.Activity, error) {
	return wrote(f, func() (incident.Activity, error) { return f.Manager.Comment(ctx, key, n) })
}

func (f *faulty) EditComment(ctx context.Context, key incident.Key, e incident.CommentEdit) (incident.Activity, error) {
	return wrote(f, func() (incident.Activity, error) { return f.Manager.EditComment(ctx, key, e) })
}

func (f *faulty) DeleteComment(ctx context.Context, key incident.Key, e incident.CommentEdit) (incident.Activity, error) {
	return wrote(f, func() (incident.Activity, error) { return f.Manager.DeleteComment(ctx, key, e) })
}

func (f *faulty) MarkSeen(ctx context.Context, key incident.Key, user incident.UserID) (incident.Seen, error) {
	return wrote(f, func() (incident.Seen, error) { return f.Manager.MarkSeen(ctx, key, user) })
}

func (f *faulty) Subscribe(ctx context.Context, key incident.Key, user incident.UserID) (incident.Subscription, error) {
	return wrote(f, func() (incident.Subscription, error) { return f.Manager.Subscribe(ctx, key, user) })
}

func (f *faulty) Unsubscribe(ctx context.Context, key incident.Key, user incident.UserID) error {
	return f.write(func() error { return f.Manager.Unsubscribe(ctx, key, user) })
}

func (f *faulty) Replay(ctx context.Context, s incident.ParkedSelection) (int, error) {
	return wrote(f, func() (int, error) { return f.Manager.Replay(ctx, s) })
}

func (f *faulty) DiscardParked(ctx context.Context, s incident.ParkedSelection) (int, error) {
	return wrote(f, func() (int, error) { return f.Manager.DiscardParked(ctx, s) })
}
