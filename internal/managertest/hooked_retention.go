package managertest

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

var _ incident.RetentionStore = (*hookedStore)(nil)

// deletes returns the store behind the hook. It panics if that cannot delete.
func (s *hookedStore) deletes() incident.RetentionStore { return s.Store.(incident.RetentionStore) }

// Purge implements [incident.RetentionStore].
func (s *hookedStore) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	return hooked(ctx, s.hook, true, func(ctx context.Context) (incident.PurgeBatch, error) { return s.deletes().Purge(ctx, q) })
}

// EraseUser implements [incident.RetentionStore].
func (s *hookedStore) EraseUser(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
	return hooked(ctx, s.hook, true, func(ctx context.Context) (incident.EraseBatch, error) { return s.deletes().EraseUser(ctx, q) })
}

// DeleteOrganization implements [incident.RetentionStore].
func (s *hookedStore) DeleteOrganization(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
	return hooked(ctx, s.hook, true, func(ctx context.Context) (incident.DeleteBatch, error) {
		return s.deletes().DeleteOrganization(ctx, org, limit)
	})
}

// Organizations implements [incident.RetentionStore].
func (s *hookedStore) Organizations(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
	return hooked(ctx, s.hook, false, func(ctx context.Context) ([]incident.OrganizationID, error) {
		return s.deletes().Organizations(ctx, after, limit)
	})
}

// Lease implements [incident.RetentionStore].
func (s *hookedStore) Lease(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error) {
	return s.deletes().Lease(ctx, task, holder, d)
}
