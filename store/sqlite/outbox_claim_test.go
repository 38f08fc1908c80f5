package sqlite_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// queueNew creates incidents whose activity is queued, all with one commit.
func queueNew(t *testing.T, s *sqlite.Store, org incident.OrganizationID, n int) {
	t.Helper()
	at := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	err := s.InTx(context.Background(), func(tx incident.Store) error {
		for range n {
			_, err := tx.Apply(context.Background(), incident.Change{
				Key: incident.Key{OrganizationID: org},
				Incident: &incident.Incident{
					OrganizationID: org, Title: "x", Status: incident.StatusOpen, Version: 1,
					DateStarted: at, DateDetected: at, DateAdded: at,
				},
				Activities: []incident.Activity{{Type: incident.ActivityTypeCreated, DateAdded: at, NotificationUUID: uuid.New()}},
				Notify:     []incident.NotifyTarget{{}},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// claimed returns the identifiers of a claim by organization.
func claimed(t *testing.T, s *sqlite.Store, q incident.ClaimQuery) map[incident.OrganizationID][]int64 {
	t.Helper()
	claims, err := s.Claim(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	all := map[incident.OrganizationID][]int64{}
	for _, c := range claims {
		all[c.Key.OrganizationID] = append(all[c.Key.OrganizationID], c.Key.Identifier)
	}
	return all
}

// The queues of an organization arrive before those of others, and are more than a write of a claim
// makes ready.
func TestStore_Claim_organizationsAfterManyArrivals(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), &sqlite.Options{Synchronous: sqlite.SynchronousNormal})
	queueNew(t, s, "acme", 600)
	queueNew(t, s, "globex", 1)
	got := claimed(t, s, incident.ClaimQuery{Limit: 4, PerOrganization: 3, Lease: time.Minute})
	if len(got["acme"]) != 3 || len(got["globex"]) != 1 {
		t.Errorf("a claim of 4 queues, 3 an organization, beside 600 of acme has %v, want 3 of acme and 1 of globex", got)
	}
}

// Arrivals do not hold back a queue whose lease has ended, and are claimed in their order.
func TestStore_Claim_endedLeaseAfterArrivals(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), &sqlite.Options{Synchronous: sqlite.SynchronousNormal})
	queueNew(t, s, "acme", 2)
	if got := claimed(t, s, incident.ClaimQuery{Limit: 1, PerOrganization: 1}); len(got["acme"]) != 1 || got["acme"][0] != 1 {
		t.Fatalf("the first claim has %v, want incident 1", got)
	}
	queueNew(t, s, "acme", 300)
	got := claimed(t, s, incident.ClaimQuery{Limit: 400, PerOrganization: 400, Lease: time.Minute})["acme"]
	if len(got) != 302 {
		t.Fatalf("%d queues were claimed, want 302", len(got))
	}
	last := int64(1)
	for _, n := range got {
		if n != 1 && n != last+1 {
			t.Fatalf("incident %d was claimed after %d, want the order of arrival", n, last)
		}
		if n != 1 {
			last = n
		}
	}
}

// A clock that was set back delays no new notification.
func TestStore_Claim_clockSetBack(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	queueNew(t, s, "acme", 1)
	mustHostPool(t, path, "").MustExec("UPDATE incident_queue SET due = due + 3600000000, since = since + 3600000000")
	if got := claimed(t, s, incident.ClaimQuery{Limit: 1, PerOrganization: 1, Lease: time.Minute}); len(got["acme"]) != 1 {
		t.Errorf("the claim of a queue that was made an hour later by the clock has %v, want it", got)
	}
}

// Each new queue enters the end of an index, whatever its organization.
func TestStore_Apply_queuesInOrderOfArrival(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	for _, org := range []incident.OrganizationID{"globex", "acme", "initech"} {
		queueNew(t, s, org, 1)
	}
	var orgs []string
	err := mustHostPool(t, path, "").Select(&orgs, `SELECT organization_id FROM incident_queue INDEXED BY incident_queue_delayed
		WHERE notifier = '' AND ready = 0 AND due < 9223372036854775807 ORDER BY due`)
	if err != nil || len(orgs) != 3 || orgs[0] != "globex" || orgs[2] != "initech" {
		t.Errorf("the index has the organizations %v, %v, want all in order of arrival", orgs, err)
	}
}
