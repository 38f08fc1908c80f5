package memory

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/tidwall/btree"

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
	if list := o.lists[listKey{phase: active}]; list != nil {
		if oldest, ok := list.Min(); ok {
			first = min(first, oldest.started)
		}
	}
	return first, last
}

// shortest returns the lists which together hold all matches and are the
// shortest to do so.
func (o *organization) shortest(q incident.IncidentQuery) []*btree.BTreeG[place] {
	choices := [][]listKey{{{}}}
	if q.AlertRuleID != "" {
		choices = append(choices, []listKey{{rule: q.AlertRuleID}})
	}
	if len(q.Projects) > 0 {
		keys := make([]listKey, len(q.Projects))
		for i, p := range q.Projects {
			keys[i].project = p
		}
		choices = append(choices, keys)
	}
	if len(q.Statuses) > 0 {
		var keys []listKey
		for _, st := range q.Statuses {
			if k := (listKey{phase: phaseOf(st)}); !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
		choices = append(choices, keys)
	}
	var best []*btree.BTreeG[place]
	shortest := math.MaxInt
	for _, keys := range choices {
		lists, length := o.named(keys)
		if length < shortest {
			best, shortest = lists, length
		}
	}
	return best
}

// named returns those of the lists that exist, and how long they are together.
func (o *organization) named(keys []listKey) (lists []*btree.BTreeG[place], length int) {
	for _, k := range keys {
		if list := o.lists[k]; list != nil {
			lists = append(lists, list)
			length += list.Len()
		}
	}
	return lists, length
}

func matches(inc *incident.Incident, q incident.IncidentQuery) bool {
	switch {
	case !q.Start.IsZero() && inc.DateClosed != nil && inc.DateClosed.Before(q.Start),
		!q.End.IsZero() && inc.DateStarted.After(q.End),
		q.AlertRuleID != "" && inc.AlertRuleID != q.AlertRuleID,
		len(q.Statuses) > 0 && !slices.Contains(q.Statuses, inc.Status),
		len(q.Projects) > 0 && !slices.ContainsFunc(q.Projects, func(p incident.ProjectID) bool {
			return slices.Contains(inc.Projects, p)
		}):
		return false
	}
	return q.Title == "" || strings.Contains(incident.FoldTitle(inc.Title), q.Title)
}
