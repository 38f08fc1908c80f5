package postgres_test

import (
	"math"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgload"
	"github.com/incidentkit/incident/store/postgres"
)

// callRetention makes the store send all statements about deletions, of large tables.
func callRetention(t *testing.T, s *postgres.Store) {
	t.Helper()
	ctx := t.Context()
	for _, org := range []incident.OrganizationID{incident.OrganizationID(pgload.Org(0)), incident.OrganizationID(pgload.Org(1)), "acme"} {
		for after := int64(0); ; {
			b, err := s.EraseUser(ctx, incident.EraseQuery{OrganizationID: org, UserID: "ada", As: "bob", After: after, Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			if after = b.Next; after == 0 {
				break
			}
		}
		q := incident.PurgeQuery{OrganizationID: org, ClosedBefore: time.Now().Add(time.Hour), Limit: 100}
		for range 3 {
			b, err := s.Purge(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			q.After = b.Next
		}
	}
	b, err := s.DeleteOrganization(ctx, incident.OrganizationID(pgload.Org(0)), 100)
	if err != nil || len(b.Deleted) == 0 {
		t.Fatalf("DeleteOrganization = %d incidents, %v", len(b.Deleted), err)
	}
	for !b.Done {
		if b, err = s.DeleteOrganization(ctx, "acme", math.MaxInt); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Organizations(ctx, "", 10); err != nil {
		t.Fatal(err)
	}
	s.Pool().MustExec("UPDATE incident_deleted SET date_deleted = now() - interval '1 hour'")
	if _, err := s.Purge(ctx, incident.PurgeQuery{OrganizationID: "acme", ClosedBefore: time.Now(), Limit: 1}); err != nil {
		t.Fatal(err)
	}
	for _, holder := range []string{"a", "b"} {
		if _, err := s.Lease(ctx, "task", holder, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.Deleted) > 0 {
		t.Errorf("the last batch has %d incidents", len(b.Deleted))
	}
}
