package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// halvesSQL counts the rows whose incident does not exist, and the incidents that lack an activity.
const halvesSQL = `
SELECT (SELECT count(*) FROM (
		SELECT organization_id, identifier FROM incident_activity
		UNION SELECT organization_id, identifier FROM incident_trigger
		UNION SELECT organization_id, identifier FROM incident_project
		UNION SELECT organization_id, identifier FROM incident_label
		UNION SELECT organization_id, identifier FROM incident_seen
		UNION SELECT organization_id, identifier FROM incident_subscription
		UNION SELECT organization_id, identifier FROM incident_outbox
		UNION SELECT organization_id, identifier FROM incident_queue
	) r WHERE NOT EXISTS (SELECT FROM incident i WHERE i.organization_id = r.organization_id AND i.identifier = r.identifier))
	+ (SELECT count(*) FROM incident i
		WHERE activities <> (SELECT count(*) FROM incident_activity a WHERE a.organization_id = i.organization_id AND a.identifier = i.identifier))
	+ (SELECT count(*) FROM incident_deleted d JOIN incident i USING (organization_id, identifier))`

// Whichever request or reply is lost, an incident is whole or deleted, the error tells if the
// outcome is unknown, and a repetition continues.
func TestStore_retentionAfterLostReplies(t *testing.T) {
	t.Parallel()
	ctx, url := t.Context(), newTables(t)
	s, p := mustNew(t, mustOpen(t, url, 4), nil), pgtest.NewProxy(t, url)
	through := mustNew(t, mustOpen(t, p.URL(), 1), nil)
	for name, call := range map[string]func(ctx context.Context, s *postgres.Store) (done bool, err error){
		"Purge": func(ctx context.Context, s *postgres.Store) (bool, error) {
			b, err := s.Purge(ctx, everythingDue())
			return err == nil && b.Next == nil && b.Held == 0, err // the server may not have noticed yet that a transaction ended
		},
		"EraseUser": func(ctx context.Context, s *postgres.Store) (bool, error) {
			b, err := s.EraseUser(ctx, incident.EraseQuery{OrganizationID: "acme", UserID: "ada", As: "eve", Limit: 100})
			return err == nil && b.Next == 0, err
		},
		"DeleteOrganization": func(ctx context.Context, s *postgres.Store) (bool, error) {
			b, err := s.DeleteOrganization(ctx, "acme", 100)
			return b.Done, err
		},
	} {
		for _, fault := range []pgtest.Fault{pgtest.LoseReply, pgtest.LoseRequest} {
			unknown := 0
			for n := 1; n == 1 || n < 60; n++ {
				closedBy(t, s, fmt.Sprint(name, fault, n), fmt.Sprint(name, fault, n, " too"))
				p.Do(fault, pgtest.CutRST, n, 1)
				_, err := call(ctx, through)
				met := p.Heal()
				dropIdle(t, through.Pool())
				if errors.Is(err, incident.ErrUnknownOutcome) {
					unknown++
				} else if err != nil && !errors.Is(err, incident.ErrUnavailable) {
					t.Errorf("%s, round trip %d: %v", name, n, err)
				}
				halves := 0
				if err := s.Pool().Get(&halves, halvesSQL); err != nil || halves > 0 {
					t.Errorf("%s, round trip %d: %d incidents are in halves, %v", name, n, halves, err)
				}
				for done := false; !done; {
					if done, err = call(ctx, s); err != nil && !errors.Is(err, incident.ErrUnavailable) {
						t.Fatalf("%s, after round trip %d: %v", name, n, err)
					}
				}
				if name == "EraseUser" {
					if len(textsWith(t, s, "ada")) > 0 {
						t.Errorf("round trip %d: the user is in %v", n, textsWith(t, s, "ada"))
					}
				} else if n := rowsOf(t, s)["incident"]; n > 0 {
					t.Errorf("%s left %d incidents", name, n)
				}
				if met == 0 {
					break
				}
			}
			if fault == pgtest.LoseReply && unknown == 0 {
				t.Errorf("%s: no outcome is unknown, although a commit was lost", name)
			}
		}
	}
}
