package incident_test

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

// deletes returns the store of a probe or a hub as a RetentionStore.
func deletes(s incident.Store) incident.RetentionStore { return s.(incident.RetentionStore) }

func (p *probe) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	return around(p, "Purge", func() (incident.PurgeBatch, error) { return deletes(p.Store).Purge(ctx, q) })
}

func (p *probe) EraseUser(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
	return around(p, "EraseUser", func() (incident.EraseBatch, error) { return deletes(p.Store).EraseUser(ctx, q) })
}

func (p *probe) DeleteOrganization(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
	return around(p, "DeleteOrganization", func() (incident.DeleteBatch, error) { return deletes(p.Store).DeleteOrganization(ctx, org, limit) })
}

func (p *probe) Organizations(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
	return around(p, "Organizations", func() ([]incident.OrganizationID, error) { return deletes(p.Store).Organizations(ctx, after, limit) })
}

func (p *probe) Lease(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error) {
	return around(p, "Lease", func() (incident.TaskLease, error) { return deletes(p.Store).Lease(ctx, task, holder, d) })
}

func (h *hub) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	b, err := deletes(h.Store).Purge(ctx, q)
	h.report(incident.FeedChanges{Incidents: b.Purged})
	return b, err
}

func (h *hub) EraseUser(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
	b, err := deletes(h.Store).EraseUser(ctx, q)
	h.report(incident.FeedChanges{Incidents: b.Changed})
	return b, err
}

func (h *hub) DeleteOrganization(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
	b, err := deletes(h.Store).DeleteOrganization(ctx, org, limit)
	h.report(incident.FeedChanges{Incidents: b.Deleted, Reset: b.Done})
	return b, err
}

func (h *hub) Organizations(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
	return deletes(h.Store).Organizations(ctx, after, limit)
}

func (h *hub) Lease(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error) {
	return deletes(h.Store).Lease(ctx, task, holder, d)
}

// report adds changes to the log of the feed.
func (h *hub) report(c incident.FeedChanges) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = append(h.log, c)
}
