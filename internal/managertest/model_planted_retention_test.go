package managertest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// careless is a store without an outbox that breaks a rule of deletions. Each function is nil for
// none.
type careless struct {
	quietStore
	purge  func(*incident.PurgeQuery)
	purged func(*incident.PurgeBatch)
	erase  func(*incident.EraseQuery)
	erased func(*incident.EraseBatch)
	remove func() bool // the organization stays
	listed func([]incident.OrganizationID)
}

func (s *careless) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	if s.purge != nil {
		s.purge(&q)
	}
	b, err := s.quietStore.Purge(ctx, q)
	if s.purged != nil {
		s.purged(&b)
	}
	return b, err
}

func (s *careless) EraseUser(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
	if s.erase != nil {
		s.erase(&q)
	}
	b, err := s.quietStore.EraseUser(ctx, q)
	if s.erased != nil {
		s.erased(&b)
	}
	return b, err
}

func (s *careless) DeleteOrganization(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
	if s.remove != nil && s.remove() {
		return incident.DeleteBatch{Done: true}, nil
	}
	return s.quietStore.DeleteOrganization(ctx, org, limit)
}

func (s *careless) Organizations(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
	page, err := s.quietStore.Organizations(ctx, after, limit)
	if s.listed != nil {
		s.listed(page)
	}
	return page, err
}

// Each planted fault of deletions must make the check fail.
func TestModel_CatchesRetention(t *testing.T) {
	untold := func(all []incident.IncidentVersion) {
		for i := range all {
			all[i].Key.Identifier += 1000
		}
	}
	for name, fault := range map[string]careless{
		"incidents that are deleted early":   {purge: func(q *incident.PurgeQuery) { q.ClosedBefore = q.ClosedBefore.Add(24 * time.Hour) }},
		"incidents that are not deleted":     {purge: func(q *incident.PurgeQuery) { q.ClosedBefore = q.ClosedBefore.Add(-24 * time.Hour) }},
		"another organization's incidents":   {purge: func(q *incident.PurgeQuery) { q.OrganizationID = orgs[0] }},
		"deletions that are not reported":    {purged: func(b *incident.PurgeBatch) { untold(b.Purged) }},
		"users that are deleted":             {erase: func(q *incident.EraseQuery) { q.As = "" }},
		"another user":                       {erase: func(q *incident.EraseQuery) { q.UserID = users[0] }},
		"a user of another organization":     {erase: func(q *incident.EraseQuery) { q.OrganizationID = orgs[0] }},
		"erasures that are not reported":     {erased: func(b *incident.EraseBatch) { untold(b.Changed) }},
		"organizations that are not deleted": {remove: func() bool { return true }},
		"organizations out of order":         {listed: func(page []incident.OrganizationID) { slices.Reverse(page) }},
	} {
		t.Run(name, func(t *testing.T) {
			mustFalsify(t, func(uint64) setup {
				broken := fault
				broken.RetentionStore = memory.New()
				return setup{store: &broken}
			})
		})
	}
}
