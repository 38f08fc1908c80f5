package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/incidentkit/incident"
)

// views is who has seen an incident.
type views struct {
	users
	first [1]userDate // where users begins: most incidents are seen by few
}

// seenBy returns who has seen the incident of key, or nil if there is none.
func (d *data) seenBy(key incident.Key) *views {
	o := d.organizations[key.OrganizationID]
	if !o.has(key.Identifier) {
		return nil
	}
	return o.views.at(int(key.Identifier) - 1)
}

// MarkSeen implements [incident.SeenStore].
func (s *Store) MarkSeen(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
	if err := s.acquire(ctx, writer); err != nil {
		return incident.Seen{}, err
	}
	defer s.release(writer)
	v := s.seenBy(seen.Incident)
	if v == nil {
		return incident.Seen{}, fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	i, found := v.find(seen.UserID)
	switch {
	case !found:
		if v.users == nil {
			v.users = v.first[:0]
		}
		s.insertUser(&v.users, i, userDate{seen.UserID, seen.LastSeen})
	case v.users[i].date.Before(seen.LastSeen):
		s.redateUser(&v.users, i, seen.LastSeen)
	default:
		seen.LastSeen = v.users[i].date
	}
	return seen, nil
}

// SeenBy implements [incident.SeenStore].
func (s *Store) SeenBy(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
	if err := s.acquire(ctx, reader); err != nil {
		return nil, err
	}
	defer s.release(reader)
	v := s.seenBy(key)
	if v == nil {
		return nil, fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	return v.latestFirst(key), nil
}

func (v *views) latestFirst(key incident.Key) []incident.Seen {
	seen := make([]incident.Seen, 0, len(v.users))
	for _, u := range v.users {
		seen = append(seen, incident.Seen{Incident: key, UserID: u.user, LastSeen: u.date})
	}
	slices.SortFunc(seen, func(a, b incident.Seen) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.UserID, b.UserID))
	})
	return seen
}
