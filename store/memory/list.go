package memory

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/incidentkit/incident"
)

// chunk is how many places a list walks before it lets writers in.
const chunk = 4096

// Incidents implements [incident.IncidentStore]. It walks the shortest lists
// that hold all matches. A long walk gives the lock back now and then: as a page
// is bound by places and not by numbers, it still has each match that was there
// throughout.
func (s *Store) Incidents(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
	w := walk{query: q}
	if q.After != nil {
		p := placeOf(q.After.DateStarted, q.After.Identifier)
		w.behind = &p
	}
	for done := false; !done; {
		if err := s.acquire(ctx, reader); err != nil {
			return nil, err
		}
		done = w.run(s.organizations[q.OrganizationID])
		s.release(reader)
	}
	return w.page, nil
}

// walk is a page in the making.
type walk struct {
	query  incident.IncidentQuery
	page   []incident.Incident
	behind *place // where the walk goes on; nil for the beginning
}

// run walks one chunk, and reports whether the page is done.
func (w *walk) run(o *organization) bool {
	if o == nil {
		return true
	}
	first, last := o.bounds(w.query)
	m := w.merge(o, first, last)
	for range chunk {
		p, ok := m.next()
		if !ok || p.started < first || p.started > last {
			return true
		}
		w.behind = &p
		if inc := &o.get(p.identifier).incident; matches(inc, w.query) {
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

// merge begins at the walk's place or, if that is farther on, at the near one of
// the bounds.
func (w *walk) merge(o *organization, first, last int64) *merge {
	bound := place{started: last, identifier: math.MaxInt64}
	if w.query.Reverse {
		bound = place{started: first}
	}
	if w.behind != nil && w.behind.less(bound) != w.query.Reverse {
		bound = *w.behind
	}
	return newMerge(o.shortest(w.query), bound, w.query.Reverse)
}

// bounds are the first and the last start that a match can have. An incident
// that ended in or after the window's Start began at most the longest duration
// before it, unless it still goes on.
func (o *organization) bounds(q incident.IncidentQuery) (first, last int64) {
	first, last = math.MinInt64, math.MaxInt64
	if !q.End.IsZero() {
		last = q.End.UnixMicro()
	}
	if q.Start.IsZero() {
		return first, last
	}
	first = q.Start.UnixMicro() - o.longest
	if oldest, ok := o.active.min(); ok {
		first = min(first, oldest.started)
	}
	return first, last
}

// shortest returns the lists which together hold all matches and are the
// shortest to do so.
func (o *organization) shortest(q incident.IncidentQuery) []*places {
	best, length := []*places{&o.all}, o.all.length()
	consider := func(lists []*places) {
		n := 0
		for _, l := range lists {
			n += l.length()
		}
		if n < length {
			best, length = lists, n
		}
	}
	if q.AlertRuleID != "" {
		var lists []*places
		if r := o.rules[q.AlertRuleID]; r != nil {
			lists = append(lists, &r.incidents)
		}
		consider(lists)
	}
	if len(q.Projects) > 0 {
		var lists []*places
		for _, p := range q.Projects {
			if l := o.byProject[p]; l != nil {
				lists = append(lists, l)
			}
		}
		consider(lists)
	}
	if q.Access != nil {
		lists := []*places{&o.unaffecting}
		for _, p := range q.Access.Projects {
			if l := o.byProject[p]; l != nil {
				lists = append(lists, l)
			}
		}
		consider(lists)
	}
	switch isActive := incident.Status.Active; {
	case len(q.Statuses) == 0:
	case !slices.ContainsFunc(q.Statuses, isActive):
		consider([]*places{&o.closed})
	case !slices.Contains(q.Statuses, incident.StatusClosed):
		consider([]*places{&o.active})
	}
	return best
}

func matches(inc *incident.Incident, q incident.IncidentQuery) bool {
	switch {
	case !q.Start.IsZero() && inc.DateClosed != nil && inc.DateClosed.Before(q.Start),
		!q.End.IsZero() && inc.DateStarted.After(q.End),
		q.AlertRuleID != "" && inc.AlertRuleID != q.AlertRuleID,
		len(q.Statuses) > 0 && !slices.Contains(q.Statuses, inc.Status),
		len(q.Projects) > 0 && !affectsAny(inc, q.Projects),
		q.Access != nil && len(inc.Projects) > 0 && !affectsAny(inc, q.Access.Projects):
		return false
	}
	return q.Title == "" || strings.Contains(incident.FoldTitle(inc.Title), q.Title)
}

// affectsAny reports whether the incident affects any of the projects, which are
// sorted.
func affectsAny(inc *incident.Incident, projects []incident.ProjectID) bool {
	return slices.ContainsFunc(inc.Projects, func(p incident.ProjectID) bool {
		_, found := slices.BinarySearch(projects, p)
		return found
	})
}
