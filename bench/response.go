package main

import (
	"context"
	"sync/atomic"

	"github.com/incidentkit/incident"
)

// besideUpdates compares the calls about the response to an incident with updates of the
// status. Every call writes.
func besideUpdates(ctx context.Context, s *server) ([]comparison, error) {
	const n = 1000
	m, _, _, err := s.manager(ctx)
	if err != nil {
		return nil, err
	}
	for i := range n {
		if err := create(ctx, m, orgOf(i)); err != nil {
			return nil, err
		}
	}
	// Each call gets an incident, and the number of earlier calls on it.
	on := func(call func(key incident.Key, turn int64) error) func(int, int) error {
		var calls atomic.Int64
		return func(int, int) error {
			i := calls.Add(1) - 1
			key := incident.Key{OrganizationID: incident.OrganizationID(orgOf(int(i % n))), Identifier: i%n/organizations + 1}
			return call(key, i/n)
		}
	}
	updates := func() *side {
		return &side{name: "UpdateStatus", call: on(func(key incident.Key, turn int64) error {
			status := []incident.Status{incident.StatusWarning, incident.StatusCritical}[turn%2]
			return only(m.UpdateStatus(ctx, key, incident.StatusUpdate{UserID: user, Status: status}))
		})}
	}
	acknowledges := func() *side {
		return &side{name: "Acknowledge", call: on(func(key incident.Key, turn int64) error {
			return only(m.Acknowledge(ctx, key, incident.Acknowledgement{UserID: user, Withdraw: turn%2 == 1}))
		})}
	}
	assigns := func() *side {
		return &side{name: "Assign", call: on(func(key incident.Key, turn int64) error {
			assignee := []incident.UserID{user, "grace"}[turn%2]
			return only(m.Assign(ctx, key, incident.Assignment{UserID: user, Assignee: assignee}))
		})}
	}
	var all []comparison
	for _, goroutines := range []int{1, 16} {
		all = append(all,
			comparison{ours: acknowledges(), theirs: updates(), goroutines: goroutines},
			comparison{ours: assigns(), theirs: updates(), goroutines: goroutines},
		)
	}
	return all, nil
}
