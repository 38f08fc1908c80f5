package hostworld_test

import (
	"context"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

var _ incident.OutboxStore = joined{}

// The calls of a relay join no transaction.

func (j joined) Claim(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
	return j.store.Claim(ctx, q)
}

func (j joined) Settle(ctx context.Context, all []incident.Settlement) ([]int, error) {
	return j.store.Settle(ctx, all)
}

func (j joined) Backlog(ctx context.Context) (map[string]incident.Backlog, error) {
	return j.store.Backlog(ctx)
}

func (j joined) Discard(ctx context.Context, notifier string, limit int) (int, error) {
	return j.store.Discard(ctx, notifier, limit)
}

func (j joined) Parked(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) ([]incident.ParkedNotification, error) { return s.Parked(ctx, q) })
}

func (j joined) Replay(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) (incident.ParkedBatch, error) { return s.Replay(ctx, q) })
}

func (j joined) DiscardParked(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) (incident.ParkedBatch, error) { return s.DiscardParked(ctx, q) })
}

func (j joined) SetReminder(ctx context.Context, w incident.ReminderWrite) (bool, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) (bool, error) { return s.SetReminder(ctx, w) })
}

func (j joined) CancelReminder(ctx context.Context, key incident.Key, name string) error {
	_, err := inHostTx(ctx, j, func(s *postgres.Store) (struct{}, error) { return withNothing(s.CancelReminder(ctx, key, name)) })
	return err
}

func (j joined) Reminders(ctx context.Context, key incident.Key) ([]incident.Reminder, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) ([]incident.Reminder, error) { return s.Reminders(ctx, key) })
}
