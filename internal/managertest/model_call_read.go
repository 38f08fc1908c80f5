package managertest

import (
	"cmp"
	"context"
	"fmt"

	"github.com/incidentkit/incident"
)

func get(key incident.Key) call {
	return call{
		name: "Get", args: []any{key}, orgs: only(key.OrganizationID), isRead: true,
		do:     func(ctx context.Context, m incident.Manager) (any, error) { return answer(m.Get(ctx, key)) },
		expect: func(w *world) (any, error) { return w.get(key) },
	}
}

func details(key incident.Key, user incident.UserID) call {
	return call{
		name: "Details", args: []any{key, user}, orgs: only(key.OrganizationID), isRead: true,
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(m.Details(ctx, key, user))
		},
		expect: func(w *world) (any, error) { return w.details(key, user) },
	}
}

func active(slot incident.Slot) call {
	return call{
		name: "Active", args: []any{slot}, orgs: only(slot.OrganizationID), isRead: true,
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			inc, ok, err := m.Active(ctx, slot)
			return answer(activeAnswer{Incident: inc, OK: ok}, err)
		},
		expect: func(w *world) (any, error) { return w.active(slot) },
	}
}

func triggers(key incident.Key) call {
	return call{
		name: "Triggers", args: []any{key}, orgs: only(key.OrganizationID), isRead: true,
		do:     func(ctx context.Context, m incident.Manager) (any, error) { return answer(m.Triggers(ctx, key)) },
		expect: func(w *world) (any, error) { return w.triggersOf(key) },
	}
}

func seenBy(key incident.Key) call {
	return call{
		name: "SeenBy", args: []any{key}, orgs: only(key.OrganizationID), isRead: true,
		do:     func(ctx context.Context, m incident.Manager) (any, error) { return answer(m.SeenBy(ctx, key)) },
		expect: func(w *world) (any, error) { return w.seenBy(key) },
	}
}

func subscribers(key incident.Key) call {
	return call{
		name: "Subscribers", args: []any{key}, orgs: only(key.OrganizationID), isRead: true,
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(m.Subscribers(ctx, key))
		},
		expect: func(w *world) (any, error) { return w.subscribersOf(key) },
	}
}

// activities reads all pages. It ignores the filter's cursor.
func activities(key incident.Key, f incident.ActivityFilter) call {
	return call{
		name: "Activities", args: []any{key, f}, orgs: only(key.OrganizationID), isRead: true,
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			return answer(allActivities(ctx, m, key, f))
		},
		expect: func(w *world) (any, error) { return w.activities(key, f.Descending) },
	}
}

func allActivities(ctx context.Context, m incident.Manager, key incident.Key, f incident.ActivityFilter) ([]incident.Activity, error) {
	var all []incident.Activity
	for {
		page, err := m.Activities(ctx, key, f)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Activities...)
		if err := checkPage(len(page.Activities), f.Limit, page.Next == ""); err != nil {
			return nil, err
		}
		if page.Next == "" {
			return all, nil
		}
		f.Cursor = page.Next
	}
}

// checkPage checks that only the last page is short.
func checkPage(n, limit int, isLast bool) error {
	if limit == 0 {
		limit = incident.DefaultPageSize
	}
	if n > limit || n < limit && !isLast {
		return fmt.Errorf("a page has %d entries, want %d", n, limit)
	}
	return nil
}

// list reads all pages to the end and back. It ignores the filter's cursor.
func list(f incident.IncidentFilter) call {
	return call{
		name: "List", args: []any{f}, orgs: only(f.OrganizationID), isRead: true,
		do: func(ctx context.Context, m incident.Manager) (any, error) {
			projects, projectsBack := lend(f.Projects)
			statuses, statusesBack := lend(f.Statuses)
			labels, labelsBack := lendNamed(f.Labels)
			lent := f
			lent.Projects, lent.Statuses, lent.Labels = projects, statuses, labels
			accessBack := func() error { return nil }
			if f.Access != nil {
				var access []incident.ProjectID
				access, accessBack = lend(f.Access.Projects)
				lent.Access = &incident.ProjectAccess{Projects: access}
			}
			all, err := allIncidents(ctx, m, lent)
			return answer(all, cmp.Or(projectsBack(), statusesBack(), labelsBack(), accessBack(), err))
		},
		expect: func(w *world) (any, error) { return w.list(f) },
	}
}

func allIncidents(ctx context.Context, m incident.Manager, f incident.IncidentFilter) ([]incident.Incident, error) {
	var pages []incident.IncidentPage
	for {
		page, err := m.List(ctx, f)
		if err != nil {
			return nil, err
		}
		pages = append(pages, page)
		if err := checkPage(len(page.Incidents), f.Limit, page.Next == ""); err != nil {
			return nil, err
		}
		if (page.Previous == "") != (len(pages) == 1) {
			return nil, fmt.Errorf("page %d has the previous cursor %q", len(pages), page.Previous)
		}
		if page.Next == "" {
			break
		}
		f.Cursor = page.Next
	}
	if err := walkBack(ctx, m, f, pages); err != nil {
		return nil, err
	}
	var all []incident.Incident
	for _, page := range pages {
		all = append(all, page.Incidents...)
	}
	return all, nil
}

// walkBack checks that reading the pages from the last to the first gives the same pages.
func walkBack(ctx context.Context, m incident.Manager, f incident.IncidentFilter, pages []incident.IncidentPage) error {
	for i := len(pages) - 1; i > 0; i-- {
		f.Cursor = pages[i].Previous
		page, err := m.List(ctx, f)
		if err != nil {
			return err
		}
		if !same(page.Incidents, pages[i-1].Incidents) {
			return fmt.Errorf("page %d is, read backwards,\n     %s\nwant %s", i,
				describe(page.Incidents), describe(pages[i-1].Incidents))
		}
		if page.Next == "" || (page.Previous == "") != (i == 1) {
			return fmt.Errorf("page %d has, read backwards, the cursors %q and %q", i, page.Previous, page.Next)
		}
	}
	return nil
}
