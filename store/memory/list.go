package memory

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/incidentkit/incident"
)

// chunk is the number of list entries that a walk visits before it releases the lock.
const chunk = 4096

// Incidents implements [incident.IncidentStore]. It walks the shortest lists that contain
// all matches, and releases the lock after each chunk so that writers can proceed. A page
// starts after a key and not at an index, so it includes every match that was there
// throughout.
func (s *Store) Incidents(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
	w := walk{query: q}
	if q.After != nil {
		k := listKeyOf(q.After.DateStarted, q.After.Identifier)
		w.after = &k
	}
	for done := false; !done; {
		if err := s.acquire(ctx, scan); err != nil {
			return nil, err
		}
		done = w.run(s.organizations[q.OrganizationID])
		s.release(scan)
	}
	return w.page, nil
}

// walk builds a page.
type walk struct {
	query incident.IncidentQuery
	page  []incident.Incident
	visit func(*incident.Incident) // is called for each match instead of building a page, if not nil
	after *listKey                 // the last key visited; nil at the beginning
}

// run visits a chunk, and reports whether the page is complete.
func (w *walk) run(o *organization) bool {
	if o == nil {
		return true
	}
	first, last := o.bounds(w.query)
	m := w.merge(o, first, last)
	for range chunk {
		k, ok := m.next()
		if !ok || k.started < first || k.started > last {
			return true
		}
		w.after = &k
		if inc := &o.get(k.identifier).incident; matches(inc, w.query) {
			if w.visit != nil {
				w.visit(inc)
				continue
			}
			if w.page == nil {
				w.page = make([]incident.Incident, 0, w.query.Limit)
			}
			w.page = append(w.page, inc.Clone())
			if len(w.page) == w.query.Limit {
				return true
			}
		}
	}
	return false
}

// merge starts after the last key visited or, if that is further, at the near bound.
func (w *walk) merge(o *organization, first, last int64) *merge {
	bound := listKey{started: last, identifier: math.MaxInt64}
	if w.query.Reverse {
		bound = listKey{started: first}
	}
	if w.after != nil && w.after.less(bound) != w.query.Reverse {
		bound = *w.after
	}
	return newMerge(o.shortest(w.query), bound, w.query.Reverse)
}

// bounds returns the earliest and the latest DateStarted that a match can have. An
// incident that was closed in or after the window started at most o.longest before the
// window, unless it is still active.
func (o *organization) bounds(q incident.IncidentQuery) (first, last int64) {
	first, last = math.MinInt64, math.MaxInt64
	if !q.End.IsZero() {
		last = q.End.UnixMicro()
	}
	if q.Start.IsZero() {
		return first, last
	}
	first = q.Start.UnixMicro() - o.longest
	if oldest, ok := o.active.min(); ok && !onlyClosed(q.Statuses) {
		first = min(first, oldest.started)
	}
	return first, last
}

// onlyClosed reports whether a query asks for closed incidents only.
func onlyClosed(statuses []incident.Status) bool {
	return len(statuses) > 0 && !slices.ContainsFunc(statuses, incident.Status.Active)
}

// shortest returns the lists that together contain all matches, choosing the alternative
// with the fewest entries.
func (o *organization) shortest(q incident.IncidentQuery) []*sortedList {
	best, length := []*sortedList{&o.all}, o.all.length()
	consider := func(lists []*sortedList) {
		n := 0
		for _, l := range lists {
			n += l.length()
		}
		if n < length {
			best, length = lists, n
		}
	}
	if q.AlertRuleID != "" {
		var lists []*sortedList
		if r := o.rules.find(q.AlertRuleID); r != nil {
			lists = append(lists, &r.incidents)
		}
		consider(lists)
	}
	if len(q.Projects) > 0 {
		var lists []*sortedList
		for _, p := range q.Projects {
			if l := o.byProject[p]; l != nil {
				lists = append(lists, l)
			}
		}
		consider(lists)
	}
	if q.Access != nil {
		lists := []*sortedList{&o.unaffecting}
		for _, p := range q.Access.Projects {
			if l := o.byProject[p]; l != nil {
				lists = append(lists, l)
			}
		}
		consider(lists)
	}
	for _, label := range q.Labels {
		consider(existing(o.byLabel[label]))
	}
	if q.Assignee != "" {
		consider(existing(o.byAssignee[q.Assignee]))
	}
	switch {
	case len(q.Statuses) == 0:
	case onlyClosed(q.Statuses):
		consider([]*sortedList{&o.closed})
	case !slices.Contains(q.Statuses, incident.StatusClosed):
		consider([]*sortedList{&o.active})
	}
	return best
}

// existing returns the list, or no list for nil.
func existing(l *sortedList) []*sortedList {
	if l == nil {
		return nil
	}
	return []*sortedList{l}
}

func matches(inc *incident.Incident, q incident.IncidentQuery) bool {
	switch {
	case !q.Start.IsZero() && inc.DateClosed != nil && inc.DateClosed.Before(q.Start),
		!q.End.IsZero() && inc.DateStarted.After(q.End),
		q.AlertRuleID != "" && inc.AlertRuleID != q.AlertRuleID,
		len(q.Statuses) > 0 && !slices.Contains(q.Statuses, inc.Status),
		len(q.Projects) > 0 && !affectsAny(inc, q.Projects),
		q.Access != nil && len(inc.Projects) > 0 && !affectsAny(inc, q.Access.Projects),
		q.Assignee != "" && (inc.Response == nil || inc.Response.Assignee != q.Assignee),
		q.Acknowledged != nil && inc.Acknowledged(q.Now) != *q.Acknowledged,
		slices.ContainsFunc(q.Labels, func(l incident.Label) bool { return inc.Labels[l.Name] != l.Value }):
		return false
	}
	return q.Title == "" || strings.Contains(incident.FoldTitle(inc.Title), q.Title)
}

// affectsAny reports whether the incident affects any of the projects, a sorted list.
func affectsAny(inc *incident.Incident, projects []incident.ProjectID) bool {
	return slices.ContainsFunc(inc.Projects, func(p incident.ProjectID) bool {
		_, found := slices.BinarySearch(projects, p)
		return found
	})
}

// CountIncidents implements [incident.IncidentStore]. It counts as Incidents lists: it releases the
// lock after each chunk, and counts every match that was there throughout once.
func (s *Store) CountIncidents(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
	most := q.Limit
	q.After, q.Reverse, q.Limit = nil, false, math.MaxInt
	counts := map[incident.Status]int{}
	w := walk{query: q, visit: func(inc *incident.Incident) {
		if counts[inc.Status] < most {
			counts[inc.Status]++
		}
	}}
	for done := false; !done; {
		if err := s.acquire(ctx, scan); err != nil {
			return nil, err
		}
		done = w.run(s.organizations[q.OrganizationID])
		s.release(scan)
	}
	return counts, nil
}
