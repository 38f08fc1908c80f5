package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// remains are the records of deleted incidents and of slots, as they were before the deletion.
type remains struct {
	mu      sync.Mutex // guards the fields below
	records map[incident.Key]record
	slots   map[incident.Slot]incident.SlotState
	uuids   map[uuid.UUID]incident.Key
	parked  []incident.ParkedNotification // of the notifier without a name
	counts  map[string]incident.Backlog
}

func (r *remains) of(key incident.Key) (record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, ok := r.records[key]
	return rec, ok
}

// keep notes what belongs to an organization, and returns a function that notes which of its
// incidents were deleted.
func (r *remains) keep(ctx context.Context, s retentionAll, org incident.OrganizationID) (deleted func([]incident.IncidentVersion)) {
	snap, _ := takeSnapshot(ctx, s, org)
	parked, _ := s.Parked(ctx, incident.ParkedQuery{OrganizationID: org, Limit: everything})
	backlog, _ := s.Backlog(ctx)
	return func(versions []incident.IncidentVersion) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(versions) == 0 {
			return
		}
		if r.records == nil {
			r.records, r.slots, r.uuids = map[incident.Key]record{}, map[incident.Slot]incident.SlotState{}, map[uuid.UUID]incident.Key{}
		}
		for _, rec := range snap.Incidents {
			key := rec.State.Incident.Key()
			if slices.ContainsFunc(versions, func(v incident.IncidentVersion) bool { return v.Key == key }) {
				r.records[key] = rec
				r.uuids[rec.State.Incident.DetectionUUID] = key
				for _, a := range rec.Activities.Activities {
					r.uuids[a.NotificationUUID] = key
				}
			}
		}
		delete(r.uuids, uuid.Nil)
		for _, slot := range snap.Slots {
			r.slots[slot.Slot] = slot.State
		}
		r.parked, r.counts = append(r.parked, parked...), backlog
	}
}

// leaving plants a store in which something of deleted incidents remains.
func leaving(replace func(b *brokenRetention, r *remains)) func(s retentionAll) incident.RetentionStore {
	return planting(func(b *brokenRetention) {
		r := &remains{}
		b.purge = func(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
			deleted := r.keep(ctx, b.base, q.OrganizationID)
			batch, err := b.base.Purge(ctx, q)
			deleted(batch.Purged)
			return batch, err
		}
		b.remove = func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
			deleted := r.keep(ctx, b.base, org)
			batch, err := b.base.DeleteOrganization(ctx, org, limit)
			deleted(batch.Deleted)
			return batch, err
		}
		replace(b, r)
	})
}

// found returns the part of a deleted incident, or the result of a read.
func found[T any](r *remains, key incident.Key, part func(record) T, got T, err error) (T, error) {
	if rec, ok := r.of(key); ok && errors.Is(err, incident.ErrNotFound) {
		return part(rec), nil
	}
	return got, err
}

func remainsFaults() []retentionFault {
	deletesAll := []string{"Purge/DeletesAllOfAnIncident", "DeleteOrganization/DeletesAll"}
	return []retentionFault{
		{"StateRemains", leaving(func(b *brokenRetention, r *remains) {
			b.load = func(ctx context.Context, key incident.Key) (incident.State, error) {
				st, err := b.base.Load(ctx, key)
				return found(r, key, func(rec record) incident.State { return rec.State }, st, err)
			}
		}), append([]string{"Purge/ExcludesWriters", "DeleteOrganization/FreesSlots"}, deletesAll...)},
		{"DetailsRemain", leaving(func(b *brokenRetention, r *remains) {
			b.loadDetails = func(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
				d, err := b.base.LoadDetails(ctx, key, user)
				return found(r, key, func(rec record) incident.Details { return rec.Details }, d, err)
			}
		}), deletesAll},
		{"ActivitiesRemain", leaving(func(b *brokenRetention, r *remains) {
			b.activities = func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
				log, err := b.base.Activities(ctx, key, q)
				return found(r, key, func(rec record) incident.ActivityLog { return rec.Activities }, log, err)
			}
		}), deletesAll},
		{"AnActivityRemains", leaving(func(b *brokenRetention, r *remains) {
			b.activity = func(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
				a, err := b.base.Activity(ctx, key, sequence)
				return found(r, key, func(rec record) incident.Activity { return rec.Activities.Activities[0] }, a, err)
			}
		}), deletesAll},
		{"ViewsRemain", leaving(func(b *brokenRetention, r *remains) {
			b.seenBy = func(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
				seen, err := b.base.SeenBy(ctx, key)
				return found(r, key, func(rec record) []incident.Seen { return rec.SeenBy }, seen, err)
			}
		}), deletesAll},
		{"SubscriptionsRemain", leaving(func(b *brokenRetention, r *remains) {
			b.subscribers = func(ctx context.Context, key incident.Key) ([]incident.Subscription, error) {
				subs, err := b.base.Subscribers(ctx, key)
				return found(r, key, func(rec record) []incident.Subscription { return rec.Subscribers }, subs, err)
			}
		}), deletesAll},
		{"ListsRemain", leaving(stillListed(func(incident.IncidentQuery) bool { return true })), append([]string{"Purge/VisitsClosedIncidents"}, deletesAll...)},
		{"LabelsRemain", leaving(stillListed(func(q incident.IncidentQuery) bool { return len(q.Labels) > 0 })), []string{"Purge/DeletesAllOfAnIncident", "Purge/LeavesOthersAlone"}},
		{"AssignmentsRemain", leaving(stillListed(func(q incident.IncidentQuery) bool { return q.Assignee != "" })), []string{"Purge/DeletesAllOfAnIncident"}},
		{"ProjectsRemain", leaving(stillListed(func(q incident.IncidentQuery) bool { return len(q.Projects) > 0 })), []string{"Purge/DeletesAllOfAnIncident"}},
		{"CountsRemain", leaving(func(b *brokenRetention, r *remains) {
			b.count = func(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
				counts, err := b.base.CountIncidents(ctx, q)
				if _, gone := r.of(incident.Key{OrganizationID: q.OrganizationID, Identifier: 1}); gone && err == nil {
					counts[incident.StatusClosed]++
				}
				return counts, err
			}
		}), deletesAll},
		{"LastHoldersRemain", leaving(func(b *brokenRetention, r *remains) {
			b.loadSlot = func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
				st, err := b.base.LoadSlot(ctx, slot)
				if r.mu.Lock(); err == nil && st.State == nil && st.Last == nil && r.slots[slot].Last != nil {
					st.Last = r.slots[slot].Last
				}
				r.mu.Unlock()
				return st, err
			}
		}), []string{"Purge/KeepsSlots", "Purge/ForgetsTheLastOfSeveral"}},
		{"EarlierHolders", planting(earlierHolders), []string{"Purge/ForgetsTheLastOfSeveral"}},
		{"HoldersRemain", leaving(func(b *brokenRetention, r *remains) {
			b.loadSlot = func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
				st, err := b.base.LoadSlot(ctx, slot)
				if r.mu.Lock(); err == nil && st.State == nil && r.slots[slot].State != nil {
					st = r.slots[slot]
				}
				r.mu.Unlock()
				return st, err
			}
		}), []string{"DeleteOrganization/FreesSlots", "DeleteOrganization/DeletesAll"}},
		{"SlotsForgetTheirVersions", leaving(func(b *brokenRetention, r *remains) {
			b.loadSlot = func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
				st, err := b.base.LoadSlot(ctx, slot)
				if st.State == nil && st.Last == nil {
					st.Version = 0
				}
				return st, err
			}
		}), []string{"Purge/KeepsSlots", "Purge/ForgetsTheLastOfSeveral", "DeleteOrganization/FreesSlots"}},
		{"UUIDsRemain", leaving(uuidsRemain), []string{"Purge/ForgetsUUIDs", "DeleteOrganization/ForgetsUUIDs"}},
		{"DuplicatesAreCleared", leaving(func(b *brokenRetention, r *remains) {
			b.load = func(ctx context.Context, key incident.Key) (incident.State, error) {
				st, err := b.base.Load(ctx, key)
				if _, gone := r.of(incident.Key{OrganizationID: key.OrganizationID, Identifier: st.Incident.DuplicateOf}); gone {
					st.Incident.DuplicateOf = 0
				}
				return st, err
			}
		}), []string{"Purge/KeepsDuplicates"}},
		{"WritesSucceed", leaving(writesSucceed), []string{"Purge/RefusesWrites", "Purge/ExcludesWriters", "Purge/SparesTheReopened", "DeleteOrganization/DeletesAll"}},
		{"ParkedRemain", leaving(func(b *brokenRetention, r *remains) {
			b.parked = func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
				got, err := b.base.Parked(ctx, q)
				r.mu.Lock()
				defer r.mu.Unlock()
				for _, p := range r.parked {
					if p.Incident.OrganizationID == q.OrganizationID && p.Notifier == q.Notifier {
						got = append(got, p)
					}
				}
				return got, err
			}
		}), []string{"PurgeOutbox/DeletesParked", "DeleteOrganizationOutbox/DeletesNotifications"}},
		{"ParkedAreCounted", leaving(func(b *brokenRetention, r *remains) {
			b.backlog = func(ctx context.Context) (map[string]incident.Backlog, error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				if r.counts != nil {
					return r.counts, nil
				}
				return b.base.Backlog(ctx)
			}
		}), []string{"PurgeOutbox/DeletesParked", "DeleteOrganizationOutbox/DeletesNotifications"}},
	}
}

// stillListed has deleted incidents in the lists of some queries.
func stillListed(in func(q incident.IncidentQuery) bool) func(b *brokenRetention, r *remains) {
	return func(b *brokenRetention, r *remains) {
		b.incidents = func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
			list, err := b.base.Incidents(ctx, q)
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, rec := range r.records {
				if inc := rec.State.Incident; inc.OrganizationID == q.OrganizationID && in(q) {
					list = append(list, inc)
				}
			}
			return list, err
		}
	}
}

// earlierHolders finds the last holder of a slot among the incidents that exist.
func earlierHolders(b *brokenRetention) {
	b.loadSlot = func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
		st, err := b.base.LoadSlot(ctx, slot)
		if err != nil || st.State != nil || st.Last != nil {
			return st, err
		}
		list, err := b.base.Incidents(ctx, incident.IncidentQuery{
			OrganizationID: slot.OrganizationID, AlertRuleID: slot.AlertRuleID, Projects: []incident.ProjectID{slot.ProjectID}, Limit: 1,
		})
		if len(list) > 0 {
			last, _ := b.base.Load(ctx, list[0].Key())
			st.Last = &last
		}
		return st, err
	}
}

// uuidsRemain replays the changes of deleted incidents.
func uuidsRemain(b *brokenRetention, r *remains) {
	b.apply = func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		r.mu.Lock()
		key, known := incident.Key{}, false
		if c.Incident != nil {
			key, known = r.uuids[c.Incident.DetectionUUID]
		}
		if !known && len(c.Activities) > 0 {
			key, known = r.uuids[c.Activities[0].NotificationUUID]
		}
		rec := r.records[key]
		r.mu.Unlock()
		if known {
			return incident.Applied{Replayed: true, Incident: rec.State.Incident}, nil
		}
		return b.base.Apply(ctx, c)
	}
}

// writesSucceed reports success for the writes to deleted incidents.
func writesSucceed(b *brokenRetention, r *remains) {
	b.apply = func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := b.base.Apply(ctx, c)
		return found(r, c.Key, func(record) incident.Applied { return incident.Applied{} }, applied, err)
	}
	b.markSeen = func(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
		stored, err := b.base.MarkSeen(ctx, seen)
		return found(r, seen.Incident, func(record) incident.Seen { return seen }, stored, err)
	}
}
