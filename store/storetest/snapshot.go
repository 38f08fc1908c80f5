package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// snapshot is everything that reads return about an organization.
type snapshot struct {
	Incidents []record
	Lists     [][]int64 // identifiers by the queries of listQueries
	Slots     []slotRecord
	Lacking   []string // the methods that the store does not implement
}

// lacking explains why a snapshot may not show a write. It is empty for a store that
// implements all methods.
func (s snapshot) lacking() string {
	if len(s.Lacking) == 0 {
		return ""
	}
	return fmt.Sprintf("; the store does not implement %v", s.Lacking)
}

// note makes a call of a snapshot, and notes the method if it is not implemented.
func (s *snapshot) note(method string, call func() error) error {
	err := attempt(call)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if !slices.Contains(s.Lacking, method) {
		s.Lacking = append(s.Lacking, method)
	}
	return nil
}

type record struct {
	State       incident.State
	Details     incident.Details // as ada sees it
	Activities  incident.ActivityLog
	Subscribers []incident.Subscription
	SeenBy      []incident.Seen
}

type slotRecord struct {
	Slot  incident.Slot
	State incident.SlotState
}

func mustSnapshot(t *trial, s incident.Store, org incident.OrganizationID) snapshot {
	t.Helper()
	snap, err := takeSnapshot(t.Context(), s, org)
	if err != nil {
		t.Fatalf("reading the records of %q: %v", org, err)
	}
	return snap
}

// takeSnapshot leaves out the methods that the store does not implement.
func takeSnapshot(ctx context.Context, s incident.Store, org incident.OrganizationID) (snapshot, error) {
	var snap snapshot
	incidents, err := listOrLoad(ctx, s, org)
	if err != nil {
		return snap, err
	}
	for _, inc := range incidents {
		if err := snap.takeRecord(ctx, s, inc.Key()); err != nil {
			return snap, err
		}
	}
	for _, q := range listQueries(org) {
		if err := snap.note("Incidents", func() error {
			list, err := s.Incidents(ctx, q)
			snap.Lists = append(snap.Lists, identifiersOf(list))
			return err
		}); err != nil {
			return snap, err
		}
	}
	for _, slot := range knownSlots(org, incidents) {
		if err := snap.note("LoadSlot", func() error {
			st, err := s.LoadSlot(ctx, slot)
			snap.Slots = append(snap.Slots, slotRecord{Slot: slot, State: st})
			return err
		}); err != nil {
			return snap, err
		}
	}
	return snap, nil
}

// listOrLoad returns the incidents of the organization in the order of their identifiers,
// by Load if the store does not implement Incidents.
func listOrLoad(ctx context.Context, s incident.Store, org incident.OrganizationID) ([]incident.Incident, error) {
	var incidents []incident.Incident
	listed := false
	err := ifImplemented(func() (err error) {
		q := incident.IncidentQuery{OrganizationID: org, Reverse: true, Limit: everything}
		incidents, err = s.Incidents(ctx, q)
		listed = !errors.Is(err, errors.ErrUnsupported)
		return err
	})
	for id := int64(1); err == nil && !listed; id++ {
		var st incident.State
		if st, err = s.Load(ctx, incident.Key{OrganizationID: org, Identifier: id}); err == nil {
			incidents = append(incidents, st.Incident)
		} else if errors.Is(err, incident.ErrNotFound) {
			return incidents, nil
		}
	}
	return incidents, err
}

func (s *snapshot) takeRecord(ctx context.Context, store incident.Store, key incident.Key) error {
	var r record
	for _, read := range []struct {
		method string
		call   func() (err error)
	}{
		{"Load", func() (err error) { r.State, err = store.Load(ctx, key); return err }},
		{"LoadDetails", func() (err error) { r.Details, err = store.LoadDetails(ctx, key, ada); return err }},
		{"Activities", func() (err error) {
			r.Activities, err = store.Activities(ctx, key, incident.ActivityQuery{Limit: everything})
			return err
		}},
		{"Subscribers", func() (err error) { r.Subscribers, err = store.Subscribers(ctx, key); return err }},
		{"SeenBy", func() (err error) { r.SeenBy, err = store.SeenBy(ctx, key); return err }},
	} {
		if err := s.note(read.method, read.call); err != nil {
			return err
		}
	}
	s.Incidents = append(s.Incidents, r)
	return nil
}

// listQueries returns queries for every value that a write may change.
func listQueries(org incident.OrganizationID) []incident.IncidentQuery {
	queries := []incident.IncidentQuery{
		{Statuses: incident.ActiveStatuses()},
		{Statuses: []incident.Status{incident.StatusClosed}},
		{Projects: []incident.ProjectID{api}},
		{Projects: []incident.ProjectID{db}},
		{Projects: []incident.ProjectID{web}},
		{Access: &incident.ProjectAccess{}},
		{Access: &incident.ProjectAccess{Projects: []incident.ProjectID{db}}},
		{AlertRuleID: latency},
		{Title: "checkout"},
		{Start: at(time.Hour).Add(time.Microsecond)},
	}
	for i := range queries {
		queries[i].OrganizationID, queries[i].Limit = org, everything
	}
	return queries
}

// knownSlots returns the slots that the incidents occupy or would occupy while active, and
// the slots of the projects that cases use.
func knownSlots(org incident.OrganizationID, incidents []incident.Incident) []incident.Slot {
	slots := []incident.Slot{slotOf(org, api), slotOf(org, db), slotOf(org, web)}
	for _, inc := range incidents {
		inc.Status = incident.StatusOpen
		slots = append(slots, without(slotsOf(inc), slots)...)
	}
	return slots
}

// wantUnchanged calls do and checks that it does not change the organization's records.
func wantUnchanged(t *trial, s incident.Store, org incident.OrganizationID, do func()) {
	t.Helper()
	before := mustSnapshot(t, s, org)
	do()
	wantEqual(t, "the records, after a call that must write nothing", mustSnapshot(t, s, org), before)
}
