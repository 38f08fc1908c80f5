package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/incidentkit/incident"
)

// withRecord locks the data and calls fn with the incident of key. It returns
// [incident.ErrNotFound] if there is no such incident.
func (s *Store) withRecord(ctx context.Context, key incident.Key, a access, fn func(r *record)) error {
	if err := s.acquire(ctx, a); err != nil {
		return err
	}
	defer s.release(a)
	_, r := s.record(key)
	if r == nil {
		return fmt.Errorf("memory: %w", incident.ErrNotFound)
	}
	fn(r)
	return nil
}

// Load implements [incident.IncidentStore].
func (s *Store) Load(ctx context.Context, key incident.Key) (state incident.State, err error) {
	err = s.withRecord(ctx, key, read, func(r *record) { state = *r.copyState() })
	return state, err
}

// LoadSlot implements [incident.IncidentStore].
func (s *Store) LoadSlot(ctx context.Context, sl incident.Slot) (incident.SlotState, error) {
	if err := s.acquire(ctx, read); err != nil {
		return incident.SlotState{}, err
	}
	defer s.release(read)
	o := s.organizations[sl.OrganizationID]
	if o == nil {
		return incident.SlotState{}, nil
	}
	held := o.existingSlot(sl)
	if held == nil {
		return incident.SlotState{}, nil
	}
	if !o.has(held.last) { // never claimed, or its last holder was deleted
		return incident.SlotState{Version: held.version}, nil
	}
	state := o.get(held.last).copyState()
	if held.holder == 0 {
		return incident.SlotState{Version: held.version, Last: state}, nil
	}
	return incident.SlotState{Version: held.version, State: state}, nil
}

// LoadDetails implements [incident.IncidentStore].
func (s *Store) LoadDetails(ctx context.Context, key incident.Key, user incident.UserID) (d incident.Details, err error) {
	err = s.withRecord(ctx, key, scan, func(r *record) {
		v := s.viewersOf(key)
		_, seen := v.find(user)
		_, subscribed := r.subscribers.find(user)
		d = incident.Details{
			Incident:     r.incident.Clone(),
			Triggers:     slices.Clone(r.triggers),
			SeenBy:       v.latestFirst(key),
			HasSeen:      seen,
			IsSubscribed: subscribed,
		}
	})
	return d, err
}
