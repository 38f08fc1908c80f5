package console_test

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// countingStore is a memory store that counts the calls of all methods that write.
type countingStore struct {
	*memory.Store
	writes atomic.Int64
}

func (s *countingStore) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	s.writes.Add(1)
	return s.Store.Apply(ctx, c)
}

func (s *countingStore) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	s.writes.Add(1)
	return s.Store.InTx(ctx, fn)
}

func (s *countingStore) ReviseActivity(ctx context.Context, a incident.Activity) error {
	s.writes.Add(1)
	return s.Store.ReviseActivity(ctx, a)
}

func (s *countingStore) MarkSeen(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
	s.writes.Add(1)
	return s.Store.MarkSeen(ctx, seen)
}

func (s *countingStore) Subscribe(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
	s.writes.Add(1)
	return s.Store.Subscribe(ctx, sub)
}

func (s *countingStore) Unsubscribe(ctx context.Context, key incident.Key, user incident.UserID) error {
	s.writes.Add(1)
	return s.Store.Unsubscribe(ctx, key, user)
}

func (s *countingStore) Replay(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	s.writes.Add(1)
	return s.Store.Replay(ctx, q)
}

func (s *countingStore) DiscardParked(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	s.writes.Add(1)
	return s.Store.DiscardParked(ctx, q)
}

func (s *countingStore) Discard(ctx context.Context, notifier string, limit int) (int, error) {
	s.writes.Add(1)
	return s.Store.Discard(ctx, notifier, limit)
}

func (s *countingStore) SetReminder(ctx context.Context, w incident.ReminderWrite) (bool, error) {
	s.writes.Add(1)
	return s.Store.SetReminder(ctx, w)
}

func (s *countingStore) CancelReminder(ctx context.Context, key incident.Key, name string) error {
	s.writes.Add(1)
	return s.Store.CancelReminder(ctx, key, name)
}

func (s *countingStore) Claim(ctx context.Context, c incident.ClaimQuery) ([]incident.Claim, error) {
	s.writes.Add(1)
	return s.Store.Claim(ctx, c)
}

func (s *countingStore) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	s.writes.Add(1)
	return s.Store.Purge(ctx, q)
}

func (s *countingStore) EraseUser(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
	s.writes.Add(1)
	return s.Store.EraseUser(ctx, q)
}

func (s *countingStore) DeleteOrganization(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
	s.writes.Add(1)
	return s.Store.DeleteOrganization(ctx, org, limit)
}

func (s *countingStore) Lease(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error) {
	s.writes.Add(1)
	return s.Store.Lease(ctx, task, holder, d)
}
