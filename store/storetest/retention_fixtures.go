package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// closing returns the change that closes an incident at a time, without activities.
func closing(before incident.State, closed time.Time) incident.Change {
	after := before
	after.Incident.Status = incident.StatusClosed
	after.Incident.DateClosed = &closed
	return update(before, after)
}

// mustClosed creates an incident that started and was closed at these times.
func mustClosed(t *trial, s incident.Store, org incident.OrganizationID, started, closed time.Time) incident.State {
	t.Helper()
	inc := draft(org)
	inc.DateStarted = started
	return mustChange(t, s, closing(mustCreate(t, s, inc), closed))
}

// mustRemains creates a closed incident that has a value in each of its parts: activities, a
// comment that was revised, triggers, slots, projects, labels, annotations, a response, views
// and subscriptions. It was closed an hour after t0.
func mustRemains(t *trial, s incident.Store, org incident.OrganizationID) incident.State {
	t.Helper()
	inc := ruled(org, api, db)
	inc.Title = "Remains"
	inc.Labels = map[string]string{"team": "shop", "tier": "1"}
	inc.Annotations = map[string]string{"runbook": "text"}
	inc.Response = acknowledged(ada, bob, time.Time{})
	c := creation(inc, firing(critical), firing(warning))
	c.Incident.DetectionUUID = uuid.New()
	key := mustApply(t, s, c).Incident.Key()
	mustRevise(t, s, edited(mustComment(t, s, key, "Found it"), "Lost it"))
	for i, user := range []incident.UserID{ada, bob, eve} {
		when := at(time.Duration(i) * time.Second)
		mustMarkSeen(t, s, incident.Seen{Incident: key, UserID: user, LastSeen: when})
		mustSubscribe(t, s, incident.Subscription{Incident: key, UserID: user, DateAdded: when})
	}
	return mustChange(t, s, transition(mustLoad(t, s, key), incident.StatusClosed))
}

// anyDue returns the query for all closed incidents of an organization.
func anyDue(org incident.OrganizationID) incident.PurgeQuery {
	return incident.PurgeQuery{OrganizationID: org, ClosedBefore: never, Limit: everything}
}

// purgeAll follows the batches of a purge to their end. It checks the promises that each batch
// must keep. It may be called from any goroutine.
func purgeAll(t *trial, s incident.RetentionStore, q incident.PurgeQuery) (all incident.PurgeBatch, err error) {
	for range 10 * everything {
		b, err := s.Purge(t.Context(), q)
		if err != nil {
			return all, fmt.Errorf("Purge(%s) = %w, want no error", show(q), err)
		}
		if n := len(b.Purged) + b.Held; n > q.Limit || n == 0 && b.Next != nil {
			return all, fmt.Errorf("Purge(%s) = %s, want between 1 and %d visited incidents before the next position", show(q), show(b), q.Limit)
		}
		all.Purged = append(all.Purged, b.Purged...)
		all.Held += b.Held
		if b.Next == nil {
			return all, nil
		}
		if q.After != nil && !isBehind(*b.Next, *q.After) {
			return all, fmt.Errorf("Purge(%s) continues at %s, which is not behind the position before", show(q), show(b.Next))
		}
		q.After = b.Next
	}
	return all, fmt.Errorf("Purge(%s) does not come to an end", show(q))
}

// isBehind reports whether a purge visits position p after position other.
func isBehind(p, other incident.Position) bool {
	return p.DateStarted.After(other.DateStarted) || p.DateStarted.Equal(other.DateStarted) && p.Identifier > other.Identifier
}

func mustPurgeAll(t *trial, s incident.RetentionStore, q incident.PurgeQuery) incident.PurgeBatch {
	t.Helper()
	all, err := purgeAll(t, s, q)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func mustPurge(t *trial, s incident.RetentionStore, q incident.PurgeQuery) incident.PurgeBatch {
	t.Helper()
	b, err := s.Purge(t.Context(), q)
	if err != nil {
		t.Fatalf("Purge(%s) = %v, want no error", show(q), err)
	}
	return b
}

// wantPurged checks which incidents a purge has deleted, in order.
func wantPurged(t *trial, b incident.PurgeBatch, want ...int64) {
	t.Helper()
	if got := identifiersOfVersions(b.Purged); !slices.Equal(got, want) {
		t.Errorf("Purge() deleted %v, want %v", got, want)
	}
}

func identifiersOfVersions(versions []incident.IncidentVersion) []int64 {
	var all []int64
	for _, v := range versions {
		all = append(all, v.Key.Identifier)
	}
	return all
}

// mustErase follows the batches of an erasure to their end.
func mustErase(t *trial, s incident.RetentionStore, q incident.EraseQuery) []incident.IncidentVersion {
	t.Helper()
	var changed []incident.IncidentVersion
	for range 10 * everything {
		b, err := s.EraseUser(t.Context(), q)
		if err != nil {
			t.Fatalf("EraseUser(%s) = %v, want no error", show(q), err)
		}
		changed = append(changed, b.Changed...)
		if b.Next == 0 {
			return changed
		}
		if b.Next <= q.After {
			t.Fatalf("EraseUser(%s) continues after %d, which is not behind the identifier before", show(q), b.Next)
		}
		q.After = b.Next
	}
	t.Fatalf("EraseUser(%s) does not come to an end", show(q))
	return nil
}

// erasing returns the query that replaces a user in an organization.
func erasing(org incident.OrganizationID, user, as incident.UserID) incident.EraseQuery {
	return incident.EraseQuery{OrganizationID: org, UserID: user, As: as, Limit: everything}
}

// mustDeleteOrganization repeats DeleteOrganization until it is done.
func mustDeleteOrganization(t *trial, s incident.RetentionStore, org incident.OrganizationID, limit int) []incident.IncidentVersion {
	t.Helper()
	var all []incident.IncidentVersion
	for range 10 * everything {
		b, err := s.DeleteOrganization(t.Context(), org, limit)
		if err != nil {
			t.Fatalf("DeleteOrganization(%q) = %v, want no error", org, err)
		}
		if len(b.Deleted) > limit || len(b.Deleted) == 0 && !b.Done {
			t.Fatalf("DeleteOrganization(%q, %d) = %s, want between 1 and %d incidents, or Done", org, limit, show(b), limit)
		}
		all = append(all, b.Deleted...)
		if b.Done {
			return all
		}
	}
	t.Fatalf("DeleteOrganization(%q) does not come to an end", org)
	return nil
}

func mustOrganizations(t *trial, s incident.RetentionStore, after incident.OrganizationID, limit int) []incident.OrganizationID {
	t.Helper()
	all, err := s.Organizations(t.Context(), after, limit)
	if err != nil {
		t.Fatalf("Organizations(%q, %d) = %v, want no error", after, limit, err)
	}
	return all
}
