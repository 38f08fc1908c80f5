package managertest

import (
	"cmp"
	"context"

	"github.com/incidentkit/incident"
)

func acknowledge(key incident.Key, a incident.Acknowledgement) call {
	return call{
		name: "Acknowledge", args: []any{key, a}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(m.Acknowledge(ctx, key, a))
		},
		expect: func(w *world) (any, error) { return w.acknowledge(key, a) },
	}
}

func assign(key incident.Key, a incident.Assignment) call {
	return call{
		name: "Assign", args: []any{key, a}, orgs: only(key.OrganizationID),
		do:     func(ctx context.Context, m incident.Manager) (any, error) { return answer(m.Assign(ctx, key, a)) },
		expect: func(w *world) (any, error) { return w.assign(key, a) },
	}
}

func edit(key incident.Key, e incident.Edit) call {
	return call{
		name: "Edit", args: []any{key, e}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			labels, labelsBack := lendNamed(e.Labels)
			annotations, annotationsBack := lendNamed(e.Annotations)
			lent := e
			lent.Labels, lent.Annotations = labels, annotations
			r, err := m.Edit(ctx, key, lent)
			return answer(r, cmp.Or(labelsBack(), annotationsBack(), err))
		},
		expect: func(w *world) (any, error) { return w.edit(key, e) },
	}
}

func markDuplicate(key incident.Key, d incident.Duplicate) call {
	return call{
		name: "MarkDuplicate", args: []any{key, d}, orgs: only(key.OrganizationID),
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(m.MarkDuplicate(ctx, key, d))
		},
		expect: func(w *world) (any, error) { return w.markDuplicate(key, d) },
	}
}

func count(f incident.IncidentFilter) call {
	return call{
		name: "Count", args: []any{f}, orgs: only(f.OrganizationID), isRead: true,
		do:     func(ctx context.Context, m incident.Manager) (any, error) { return answer(m.Count(ctx, f)) },
		expect: func(w *world) (any, error) { return w.count(f) },
	}
}
