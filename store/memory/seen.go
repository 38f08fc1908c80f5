package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/incidentkit/incident"
)

// viewers are the users who have seen an incident, with the date of their latest view.
type viewers struct {
	userDates
	first [1]userDate // initial array of userDates; most incidents have few viewers
}

// viewersOf returns the viewers of the incident, or nil if the incident does not exist.
func (d *data) viewersOf(key incident.Key) *viewers {
	o := d.organizations[key.OrganizationID]
	if !o.has(key.Identifier) {
		return nil
	}
	return o.viewers.at(int(key.Identifier) - 1)
}

// MarkSeen implements [incident.SeenStore].
func (s *Store) MarkSeen(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
	if err := s.acquire(ctx, write); err != nil {
		return incident.Seen{}, err
	}
	defer s.release(write)
	v := s.viewersOf(seen.Incident)
	if v == nil {
		return incident.Seen{}, fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	i, found := v.find(seen.UserID)
	switch {
	case !found:
		if v.userDates == nil {
			v.userDates = v.first[:0]
		}
		s.insertUser(&v.userDates, i, userDate{seen.UserID, seen.LastSeen})
	case v.userDates[i].date.Before(seen.LastSeen):
		s.redateUser(&v.userDates, i, seen.LastSeen)
	default:
		seen.LastSeen = v.userDates[i].date
	}
	return seen, nil
}

// SeenBy implements [incident.SeenStore].
func (s *Store) SeenBy(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
	if err := s.acquire(ctx, scan); err != nil {
		return nil, err
	}
	defer s.release(scan)
	v := s.viewersOf(key)
	if v == nil {
		return nil, fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	return v.latestFirst(key), nil
}

// latestFirst returns the views in the order that [incident.SeenStore] requires: latest
// first, then by UserID.
func (v *viewers) latestFirst(key incident.Key) []incident.Seen {
	seen := make([]incident.Seen, 0, len(v.userDates))
	for _, u := range v.userDates {
		seen = append(seen, incident.Seen{Incident: key, UserID: u.user, LastSeen: u.date})
	}
	slices.SortFunc(seen, func(a, b incident.Seen) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.UserID, b.UserID))
	})
	return seen
}
