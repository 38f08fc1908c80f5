package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/incidentkit/incident"
)

// snapshot is all that a store tells about an organization.
type snapshot struct {
	Incidents []record
	Lists     [][]int64 // identifiers by the queries of listQueries
	Slots     []slotRecord
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
		t.Fatalf("cannot read the records of %q: %v", org, err)
	}
	return snap
}

func takeSnapshot(ctx context.Context, s incident.Store, org incident.OrganizationID) (snapshot, error) {
	var snap snapshot
	q := incident.IncidentQuery{OrganizationID: org, Reverse: true, Limit: everything}
	incidents, err := s.Incidents(ctx, q)
	if err != nil {
		return snap, err
	}
	for _, inc := range incidents {
		r, err := takeRecord(ctx, s, inc.Key())
		if err != nil {
			return snap, err
		}
		snap.Incidents = append(snap.Incidents, r)
	}
	for _, q := range listQueries(org) {
		list, err := s.Incidents(ctx, q)
		if err != nil {
			return snap, err
		}
		snap.Lists = append(snap.Lists, identifiersOf(list))
	}
	for _, slot := range knownSlots(org, incidents) {
		st, err := s.LoadSlot(ctx, slot)
		if err != nil {
			return snap, err
		}
		snap.Slots = append(snap.Slots, slotRecord{Slot: slot, State: st})
	}
	return snap, nil
}

func takeRecord(ctx context.Context, s incident.Store, key incident.Key) (record, error) {
	state, err1 := s.Load(ctx, key)
	details, err2 := s.LoadDetails(ctx, key, ada)
	activities, err3 := s.Activities(ctx, key, incident.ActivityQuery{Limit: everything})
	subscribers, err4 := s.Subscribers(ctx, key)
	seen, err5 := s.SeenBy(ctx, key)
	r := record{State: state, Details: details, Activities: activities, Subscribers: subscribers, SeenBy: seen}
	return r, errors.Join(err1, err2, err3, err4, err5)
}

// listQueries look for incidents by all that a write may change.
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

// knownSlots are those which the incidents hold, or held under their present
// projects, and those which a case may have tried to take.
func knownSlots(org incident.OrganizationID, incidents []incident.Incident) []incident.Slot {
	slots := []incident.Slot{slotOf(org, api), slotOf(org, db), slotOf(org, web)}
	for _, inc := range incidents {
		inc.Status = incident.StatusOpen
		slots = append(slots, without(slotsOf(inc), slots)...)
	}
	return slots
}

// wantUnchanged runs do, and checks that the organization's records are as
// they were.
func wantUnchanged(t *trial, s incident.Store, org incident.OrganizationID, do func()) {
	t.Helper()
	before := mustSnapshot(t, s, org)
	do()
	wantEqual(t, "after a call that must write nothing, the records", mustSnapshot(t, s, org), before)
}
