package incident

import (
	"context"
	"slices"
)

func (m *manager) List(ctx context.Context, f IncidentFilter) (IncidentPage, error) {
	page, err := m.list(ctx, f)
	return page, wrap(err, "list %q", f.OrganizationID)
}

func (m *manager) list(ctx context.Context, f IncidentFilter) (IncidentPage, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return IncidentPage{}, err
	}
	q, err := f.query(now)
	if err != nil {
		return IncidentPage{}, err
	}
	scope := q.scope()
	if f.Cursor != "" {
		if err := q.resume(scope, f.Cursor); err != nil {
			return IncidentPage{}, err
		}
	}
	limit := q.Limit
	q.Limit++ // the last tells whether there is a further page
	found, err := m.store.Incidents(ctx, q)
	if err != nil {
		return IncidentPage{}, err
	}
	more := len(found) > limit
	if more {
		found = found[:limit]
	}
	for i := range found {
		m.observe(ctx, &found[i])
		found[i] = found[i].listed()
	}
	page := IncidentPage{Incidents: listed(found)}
	if len(found) == 0 {
		return page, nil
	}
	if q.Reverse {
		slices.Reverse(found)
	}
	if more || q.Reverse {
		page.Next = listCursor(scope, found[len(found)-1], false)
	}
	if q.After != nil && (more || !q.Reverse) {
		page.Previous = listCursor(scope, found[0], true)
	}
	return page, nil
}

func (m *manager) Count(ctx context.Context, f IncidentFilter) (Counts, error) {
	c, err := m.count(ctx, f)
	return c, wrap(err, "count in %q", f.OrganizationID)
}

func (m *manager) count(ctx context.Context, f IncidentFilter) (Counts, error) {
	now, err := m.begin(ctx)
	if err != nil {
		return Counts{}, err
	}
	q, err := f.countQuery(now)
	if err != nil {
		return Counts{}, err
	}
	wanted := q.Statuses
	if len(wanted) == 0 {
		wanted = []Status{StatusOpen, StatusClosed, StatusWarning, StatusCritical}
	}
	found, err := m.store.CountIncidents(ctx, q)
	if err != nil {
		return Counts{}, err
	}
	return counted(found, wanted, q.Limit-1), nil
}
