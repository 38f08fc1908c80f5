package memory

import (
	"context"

	"github.com/incidentkit/incident"
)

// listName adds an organization to the names if it has incidents, and removes it otherwise. Each
// insertion and deletion of an incident ends with a call.
func (s *Store) listName(org incident.OrganizationID, o *organization) {
	switch o.all.length() {
	case 0:
		s.names.Delete(org)
	case 1:
		s.names.Set(org)
	}
}

// Organizations implements [incident.RetentionStore].
func (s *Store) Organizations(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
	if err := s.acquire(ctx, scan); err != nil {
		return nil, err
	}
	defer s.release(scan)
	page := []incident.OrganizationID{}
	s.names.Ascend(after, func(org incident.OrganizationID) bool {
		if org != after {
			page = append(page, org)
		}
		return len(page) < limit
	})
	return page, nil
}

// DeleteOrganization implements [incident.RetentionStore]. It deletes fewer incidents than limit
// if they have much that belongs to them.
func (s *Store) DeleteOrganization(ctx context.Context, org incident.OrganizationID, limit int) (batch incident.DeleteBatch, err error) {
	if err := s.acquire(ctx, own); err != nil {
		return batch, err
	}
	defer s.release(own)
	if s.inTx() {
		return batch, errRetentionInTx
	}
	o := s.organizations[org]
	if o == nil {
		return incident.DeleteBatch{Done: true}, nil
	}
	for left := batchWeight; left > 0 && len(batch.Deleted) < limit; {
		first, ok := o.all.min()
		if !ok {
			break
		}
		r := o.get(first.identifier)
		left -= o.weight(r)
		batch.Deleted = append(batch.Deleted, s.delete(o, r))
	}
	if batch.Done = o.all.length() == 0; batch.Done {
		last := o.records.length
		o = newOrganization()
		o.records.length, o.viewers.length = last, last
		s.organizations[org] = o
	}
	return batch, nil
}
