package storetest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// erasure changes the query of EraseUser.
func erasure(alter func(q *incident.EraseQuery)) func(s retentionAll) incident.RetentionStore {
	return planting(func(b *brokenRetention) {
		b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
			alter(&q)
			return b.base.EraseUser(ctx, q)
		}
	})
}

// erased changes the result of EraseUser.
func erased(alter func(q incident.EraseQuery, batch *incident.EraseBatch)) func(s retentionAll) incident.RetentionStore {
	return planting(func(b *brokenRetention) {
		b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
			batch, err := b.base.EraseUser(ctx, q)
			if err == nil {
				alter(q, &batch)
			}
			return batch, err
		}
	})
}

// alsoErasing erases with another query, too.
func alsoErasing(another func(q incident.EraseQuery) incident.EraseQuery) func(s retentionAll) incident.RetentionStore {
	return planting(func(b *brokenRetention) {
		b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
			if other := another(q); other.UserID != q.UserID || other.OrganizationID != q.OrganizationID {
				_, _ = b.base.EraseUser(ctx, other)
			}
			return b.base.EraseUser(ctx, q)
		}
	})
}

func eraseFaults() []retentionFault {
	return []retentionFault{
		{"EraseIgnoresTheLimit", erasure(func(q *incident.EraseQuery) { q.Limit = everything }), []string{"EraseUser/IsInOrder", "EraseUser/CanBeRepeated"}},
		{"EraseIgnoresThePosition", erasure(func(q *incident.EraseQuery) { q.After = 0 }), []string{"EraseUser/IsInOrder"}},
		{"EraseSkipsOne", erasure(func(q *incident.EraseQuery) {
			if q.After > 0 {
				q.After++
			}
		}), []string{"EraseUser/IsInOrder", "EraseUser/PassesGaps", "EraseUser/LosesNoWrite"}},
		{"EraseStopsEarly", erased(func(_ incident.EraseQuery, b *incident.EraseBatch) { b.Next = 0 }), []string{
			"EraseUser/IsInOrder", "EraseUser/PassesGaps", "EraseUser/LosesNoWrite",
		}},
		{"EraseStopsWithoutTraces", erased(func(_ incident.EraseQuery, b *incident.EraseBatch) {
			if len(b.Changed) == 0 {
				b.Next = 0
			}
		}), []string{"EraseUser/PassesGaps"}},
		{"EraseNeverEnds", erased(func(q incident.EraseQuery, b *incident.EraseBatch) {
			if b.Next == 0 {
				b.Next = q.After + 1
			}
		}), []string{"EraseUser/IsInOrder"}},
		{"EraseIsInNoOrder", erased(func(_ incident.EraseQuery, b *incident.EraseBatch) { slices.Reverse(b.Changed) }), []string{
			"EraseUser/IsInOrder", "EraseUser/ReturnsTheChanged",
		}},
		{"EraseReturnsVersionsBefore", erased(func(_ incident.EraseQuery, b *incident.EraseBatch) {
			for i := range b.Changed {
				b.Changed[i].Version--
			}
		}), []string{"EraseUser/ReturnsTheChanged"}},
		{"EraseReturnsNothing", erased(func(_ incident.EraseQuery, b *incident.EraseBatch) { b.Changed = nil }), []string{
			"EraseUser/ReturnsTheChanged", "EraseUser/CanBeRepeated", "EraseUser/ComparesUsersByteForByte",
		}},
		{"EraseReturnsTheVisited", erased(func(q incident.EraseQuery, b *incident.EraseBatch) {
			if len(b.Changed) == 0 {
				b.Changed = []incident.IncidentVersion{{Key: incident.Key{OrganizationID: q.OrganizationID, Identifier: 1}, Version: 1}}
			}
		}), []string{"EraseUser/ReturnsTheChanged", "EraseUser/LeavesTheRest", "EraseUser/PassesGaps"}},
		{"EraseIgnoresTheContext", planting(func(b *brokenRetention) {
			b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
				return b.base.EraseUser(context.WithoutCancel(ctx), q)
			}
		}), []string{"EraseUser/ObeysTheContext"}},
		{"EraseTouchesOthers", alsoErasing(func(q incident.EraseQuery) incident.EraseQuery {
			q.OrganizationID = umbrella
			return q
		}), []string{"EraseUser/IsolatesOrganizations"}},
		{"EraseFoldsUsers", alsoErasing(func(q incident.EraseQuery) incident.EraseQuery {
			q.UserID = incident.UserID(strings.ToLower(string(q.UserID)))
			return q
		}), []string{"EraseUser/LeavesTheRest", "EraseUser/ComparesUsersByteForByte"}},
		{"EraseTrimsUsers", alsoErasing(func(q incident.EraseQuery) incident.EraseQuery {
			q.UserID = incident.UserID(strings.TrimSpace(string(q.UserID)))
			return q
		}), []string{"EraseUser/LeavesTheRest", "EraseUser/ComparesUsersByteForByte"}},
		{"EraseRaisesAllVersions", planting(func(b *brokenRetention) {
			b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
				list, _ := allOf(ctx, b.base, incident.IncidentQuery{OrganizationID: q.OrganizationID})
				for _, inc := range list {
					if st, err := b.base.Load(ctx, inc.Key()); err == nil {
						_, _ = b.base.Apply(ctx, update(st, st))
					}
				}
				return b.base.EraseUser(ctx, q)
			}
		}), []string{"EraseUser/RaisesVersions", "EraseUser/LeavesTheRest", "EraseUser/CanBeRepeated"}},
		{"EraseDropsChanges", planting(eraseDropsChanges), []string{"EraseUser/LosesNoWrite"}},
	}
}

// eraseDropsChanges loses the changes that are made during an erasure.
func eraseDropsChanges(b *brokenRetention) {
	var mu sync.RWMutex // guards erasing
	var dropped atomic.Bool
	erasing := false
	set := func(to bool) {
		mu.Lock()
		defer mu.Unlock()
		erasing = to
	}
	b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
		set(true)
		defer set(false)
		for start := time.Now(); !dropped.Load() && time.Since(start) < briefPatience; {
			time.Sleep(100 * time.Microsecond)
		}
		return b.base.EraseUser(ctx, q)
	}
	b.apply = func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		mu.RLock()
		defer mu.RUnlock()
		if erasing && c.Incident != nil {
			dropped.Store(true)
			return incident.Applied{Incident: *c.Incident}, nil
		}
		return b.base.Apply(ctx, c)
	}
}

// leavingTraces plants a store whose reads after an erasure are changed by fn, which gets the
// record before the erasure and the record after it.
func leavingTraces(fn func(q incident.EraseQuery, before, after *record)) func(s retentionAll) incident.RetentionStore {
	return planting(func(b *brokenRetention) {
		before := map[incident.Key]record{}
		var query incident.EraseQuery
		b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
			if query = q; len(before) == 0 || q.After == 0 {
				clear(before)
				snap, _ := takeSnapshot(ctx, b.base, q.OrganizationID)
				for _, r := range snap.Incidents {
					before[r.State.Incident.Key()] = r
				}
			}
			return b.base.EraseUser(ctx, q)
		}
		view := func(ctx context.Context, key incident.Key) (record, error) {
			var snap snapshot
			if err := snap.takeRecord(ctx, b.base, key); err != nil {
				return record{}, err
			}
			r := snap.Incidents[0]
			if was, known := before[key]; known {
				fn(query, &was, &r)
				r.Details.Incident, r.Details.SeenBy = r.State.Incident, r.SeenBy
			}
			return r, nil
		}
		b.load = func(ctx context.Context, key incident.Key) (incident.State, error) {
			r, err := view(ctx, key)
			return r.State, err
		}
		b.loadDetails = func(ctx context.Context, key incident.Key, _ incident.UserID) (incident.Details, error) {
			r, err := view(ctx, key)
			return r.Details, err
		}
		b.activities = func(ctx context.Context, key incident.Key, _ incident.ActivityQuery) (incident.ActivityLog, error) {
			r, err := view(ctx, key)
			return r.Activities, err
		}
		b.seenBy = func(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
			r, err := view(ctx, key)
			return r.SeenBy, err
		}
		b.subscribers = func(ctx context.Context, key incident.Key) ([]incident.Subscription, error) {
			r, err := view(ctx, key)
			return r.Subscribers, err
		}
	})
}

// logged changes each activity after an erasure.
func logged(fn func(q incident.EraseQuery, before, after *incident.Activity)) func(s retentionAll) incident.RetentionStore {
	return leavingTraces(func(q incident.EraseQuery, before, after *record) {
		for i := range min(len(before.Activities.Activities), len(after.Activities.Activities)) {
			fn(q, &before.Activities.Activities[i], &after.Activities.Activities[i])
		}
	})
}

// tracesFaults has a fault for each place of a user, and for each place that must stay.
func tracesFaults() []retentionFault {
	both := []string{"EraseUser/ReplacesTheUser", "EraseUser/LeavesNobody"}
	return []retentionFault{
		{"AuthorsRemain", logged(func(_ incident.EraseQuery, before, after *incident.Activity) {
			if after.Type == incident.ActivityTypeComment {
				after.UserID = before.UserID
			}
		}), both},
		{"ActorsRemain", logged(func(_ incident.EraseQuery, before, after *incident.Activity) {
			if after.Type != incident.ActivityTypeComment {
				after.UserID = before.UserID
			}
		}), both},
		{"ActorsBesideTriggersRemain", logged(func(_ incident.EraseQuery, before, after *incident.Activity) {
			if after.TriggerID != "" {
				after.UserID = before.UserID
			}
		}), both},
		{"OldAssigneesRemain", logged(func(_ incident.EraseQuery, before, after *incident.Activity) { after.Old = before.Old }), both},
		{"NewAssigneesRemain", logged(func(_ incident.EraseQuery, before, after *incident.Activity) { after.New = before.New }), both},
		{"TitlesAreReplacedInTheLog", logged(func(q incident.EraseQuery, _, after *incident.Activity) {
			if after.Field == "title" && after.Old == string(q.UserID) {
				after.Old = string(q.As)
			}
		}), both},
		{"LabelsAreReplacedInTheLog", logged(func(q incident.EraseQuery, _, after *incident.Activity) {
			if strings.HasSuffix(after.Field, "assignee") && after.New == string(q.UserID) {
				after.New = string(q.As)
			}
		}), both},
		{"TriggersAreReplaced", logged(func(q incident.EraseQuery, _, after *incident.Activity) {
			if after.TriggerID == incident.TriggerID(q.UserID) {
				after.TriggerID = incident.TriggerID(q.As)
			}
		}), both},
		{"CommentsAreReplaced", logged(func(q incident.EraseQuery, _, after *incident.Activity) {
			after.Comment = strings.ReplaceAll(after.Comment, string(q.UserID), string(q.As))
		}), both},
		{"RevisionsStay", logged(func(_ incident.EraseQuery, before, after *incident.Activity) { after.Revision = before.Revision }), both},
		{"AllRevisionsAreRaised", logged(func(_ incident.EraseQuery, before, after *incident.Activity) {
			if before.UserID != after.UserID && after.Type != incident.ActivityTypeComment {
				after.Revision++
			}
		}), both},
		{"RevisionsAreDated", logged(func(_ incident.EraseQuery, before, after *incident.Activity) {
			if before.Revision != after.Revision {
				after.DateEdited = new(at(5 * time.Hour))
			}
		}), both},
		{"AssigneesRemain", leavingTraces(func(_ incident.EraseQuery, before, after *record) {
			if r := before.State.Incident.Response; r != nil && after.State.Incident.Response != nil {
				after.State.Incident.Response.Assignee = r.Assignee
			}
		}), both},
		{"AcknowledgersRemain", leavingTraces(func(_ incident.EraseQuery, before, after *record) {
			if r := before.State.Incident.Response; r != nil && after.State.Incident.Response != nil {
				after.State.Incident.Response.AcknowledgedBy = r.AcknowledgedBy
			}
		}), both},
		{"AcknowledgementsEnd", leavingTraces(func(_ incident.EraseQuery, _, after *record) {
			if r := after.State.Incident.Response; r != nil && r.AcknowledgedBy == "" {
				r.DateAcknowledged = nil
			}
		}), []string{"EraseUser/LeavesNobody"}},
		{"VersionsStay", leavingTraces(func(_ incident.EraseQuery, before, after *record) {
			after.State.Incident.Version = before.State.Incident.Version
		}), both},
		{"TitlesAreReplaced", leavingTraces(func(q incident.EraseQuery, _, after *record) {
			after.State.Incident.Title = strings.ReplaceAll(after.State.Incident.Title, string(q.UserID), string(q.As))
		}), both},
		{"LabelsAreReplaced", leavingTraces(func(q incident.EraseQuery, _, after *record) {
			if after.State.Incident.Labels["owner"] == string(q.UserID) {
				after.State.Incident.Labels["owner"] = string(q.As)
			}
		}), both},
		{"ViewsRemain", leavingTraces(func(_ incident.EraseQuery, before, after *record) { after.SeenBy = before.SeenBy }), both},
		{"SubscribersRemain", leavingTraces(func(_ incident.EraseQuery, before, after *record) { after.Subscribers = before.Subscribers }), both},
		{"ViewsAreDropped", leavingTraces(func(q incident.EraseQuery, _, after *record) {
			after.SeenBy = slices.DeleteFunc(after.SeenBy, func(v incident.Seen) bool { return v.UserID == q.As })
		}), []string{"EraseUser/ReplacesTheUser", "EraseUser/MergesViews"}},
		{"TheUsersViewRemains", mergedAs(func(r *record) []datedUser { return viewsOf(r.SeenBy) }, ada), []string{"EraseUser/MergesViews"}},
		{"TheOthersViewRemains", mergedAs(func(r *record) []datedUser { return viewsOf(r.SeenBy) }, bob), []string{"EraseUser/MergesViews"}},
		{"TheUsersSubscriptionRemains", mergedAs(func(r *record) []datedUser { return subscriptionsOf(r.Subscribers) }, ada), []string{"EraseUser/MergesSubscriptions"}},
		{"TheOthersSubscriptionRemains", mergedAs(func(r *record) []datedUser { return subscriptionsOf(r.Subscribers) }, bob), []string{"EraseUser/MergesSubscriptions"}},
		{"AssignmentsAreListed", planting(assignmentsAreListed), []string{"EraseUser/MovesAssignments"}},
	}
}

// datedUser is a view or a subscription.
type datedUser struct {
	user incident.UserID
	date *time.Time
}

func viewsOf(all []incident.Seen) (users []datedUser) {
	for i := range all {
		users = append(users, datedUser{all[i].UserID, &all[i].LastSeen})
	}
	return users
}

func subscriptionsOf(all []incident.Subscription) (users []datedUser) {
	for i := range all {
		users = append(users, datedUser{all[i].UserID, &all[i].DateAdded})
	}
	return users
}

// mergedAs gives the merged entry the date that a user had before.
func mergedAs(entries func(r *record) []datedUser, user incident.UserID) func(s retentionAll) incident.RetentionStore {
	return leavingTraces(func(q incident.EraseQuery, before, after *record) {
		for _, was := range entries(before) {
			for _, is := range entries(after) {
				if was.user == user && is.user == q.As {
					*is.date = *was.date
				}
			}
		}
	})
}

// assignmentsAreListed lists the incidents of an erased assignee.
func assignmentsAreListed(b *brokenRetention) {
	lists := map[incident.UserID][]incident.Incident{}
	b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
		lists[q.UserID], _ = b.base.Incidents(ctx, incident.IncidentQuery{OrganizationID: q.OrganizationID, Assignee: q.UserID, Limit: everything})
		return b.base.EraseUser(ctx, q)
	}
	b.incidents = func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		if list, known := lists[q.Assignee]; known {
			return list, nil
		}
		return b.base.Incidents(ctx, q)
	}
}
