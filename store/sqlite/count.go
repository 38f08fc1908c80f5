package sqlite

import (
	"context"

	"github.com/incidentkit/incident"
)

// CountIncidents implements [incident.IncidentStore]. It reads these lists, each until the
// limit:
//
//   - the list of each active status, because those are short
//   - of closed incidents the list of a label, the list of each project, or the list of the
//     status
func (s *Store) CountIncidents(ctx context.Context, iq incident.IncidentQuery) (map[incident.Status]int, error) {
	iq.After, iq.Reverse = nil, false
	return read(ctx, s, "count incidents", longSnapshot, func(ctx context.Context, q session) (map[incident.Status]int, error) {
		counts := make(map[incident.Status]int, len(allStatuses))
		l, err := newListing(ctx, q, iq)
		if err != nil {
			return nil, err
		}
		for _, status := range l.wantedStatuses() {
			n, err := l.count(ctx, status)
			if err != nil {
				return nil, err
			}
			if n > 0 {
				counts[status] = n
			}
		}
		return counts, nil
	})
}

// count counts the incidents of a status up to the limit.
func (l *listing) count(ctx context.Context, status incident.Status) (n int, err error) {
	switch {
	case l.isByStatus() || status.Active():
		l.add("SELECT count(*) FROM (SELECT 1")
		l.addStatusPart(status)
	case l.isByLabel():
		digest, err := l.rarest(ctx)
		if err != nil {
			return 0, err
		}
		l.add("SELECT count(*) FROM (SELECT 1")
		l.addLabelPart(digest)
		l.add(" AND i.status = ?", int(status))
	case len(l.driving()) == 1 && len(l.Projects) > 0:
		l.add("SELECT count(*) FROM (SELECT 1")
		l.addProjectPart(l.Projects[0])
		l.add(" AND i.status = ?", int(status))
	default:
		return l.countOfProjects(ctx, status)
	}
	l.add(" LIMIT ?)", l.Limit)
	err = l.run(ctx, func() {}, integer(&n))
	return n, err
}

// countOfProjects counts the closed incidents in the lists of several projects. An incident can
// be in several lists.
func (l *listing) countOfProjects(ctx context.Context, status incident.Status) (int, error) {
	found := map[int64]struct{}{}
	var identifier int64
	collect := func() error {
		l.add(" AND i.status = ? LIMIT ?", int(status), l.Limit)
		return l.run(ctx, func() { found[identifier] = struct{}{} }, integer(&identifier))
	}
	for _, project := range l.driving() {
		l.add("SELECT i.identifier")
		l.addProjectPart(project)
		if err := collect(); err != nil || len(found) >= l.Limit {
			return min(len(found), l.Limit), err
		}
	}
	if len(l.Projects) == 0 {
		l.add("SELECT i.identifier")
		l.addUnaffectingPart()
		if err := collect(); err != nil {
			return 0, err
		}
	}
	return min(len(found), l.Limit), nil
}
