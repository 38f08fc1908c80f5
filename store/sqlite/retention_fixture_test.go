package sqlite_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// leaver is the user who is erased.
const leaver incident.UserID = "leaver@example.org"

// fill makes n incidents of an organization. Each has a trace of the leaver in every table with
// users. Two of three are closed. Notifications are delivered, or parked with an error that names
// the leaver.
func fill(t testing.TB, s *sqlite.Store, org incident.OrganizationID, n int) {
	t.Helper()
	m, err := incident.New(s, &incident.Options{Cache: incident.NoCache, Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		fillIncident(t, m, org, i)
	}
	drain(t, s)
}

// rules counts the alert rules of fillIncident.
var rules atomic.Int64

// fillIncident makes the i-th incident of an organization.
func fillIncident(t testing.TB, m incident.Manager, org incident.OrganizationID, i int) {
	t.Helper()
	ctx := t.Context()
	rule := incident.AlertRuleID(fmt.Sprintf("rule %d", rules.Add(1)))
	slot := incident.Slot{OrganizationID: org, AlertRuleID: rule, ProjectID: "api", QueryID: "latency"}
	r, err := m.Create(ctx, incident.NewIncident{
		OrganizationID: org, Title: "Checkout is slow", AlertRuleID: slot.AlertRuleID, QueryID: slot.QueryID,
		Projects: []incident.ProjectID{"api", "web"}, Labels: map[string]string{"team": "core"}, UserID: leaver,
	})
	key := r.Key()
	for _, step := range []func() error{
		func() error {
			_, err := m.Fire(ctx, incident.Firing{Slot: slot, TriggerID: "warning", Severity: incident.StatusWarning, Title: "Slow"})
			return err
		},
		func() error {
			_, err := m.Comment(ctx, key, incident.NewComment{UserID: leaver, Comment: "noted"})
			return err
		},
		func() error {
			_, err := m.Acknowledge(ctx, key, incident.Acknowledgement{UserID: leaver})
			return err
		},
		func() error {
			_, err := m.Assign(ctx, key, incident.Assignment{UserID: leaver, Assignee: leaver})
			return err
		},
		func() error {
			if i%2 == 0 {
				return nil
			}
			_, err := m.Assign(ctx, key, incident.Assignment{Assignee: "ada"})
			return err
		},
		func() error { _, err := m.MarkSeen(ctx, key, leaver); return err },
		func() error { _, err := m.Subscribe(ctx, key, "ada"); return err },
		func() error {
			if i%3 == 0 {
				return m.Remind(ctx, key, incident.Reminder{Name: "escalate", At: time.Now().Add(time.Hour)})
			}
			_, err := m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed, UserID: leaver})
			return err
		},
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// drain delivers the queued notifications, and parks each third. It leaves those of the processes that
// are killed.
func drain(t testing.TB, s *sqlite.Store) {
	t.Helper()
	for settled := 0; ; {
		claims, err := s.Claim(t.Context(), incident.ClaimQuery{
			Limit: 100, PerOrganization: 100, Lease: time.Minute, Except: []incident.OrganizationID{"bystander"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(claims) == 0 {
			return
		}
		var all []incident.Settlement
		for _, c := range claims {
			end := incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeDelivered}
			if settled++; settled%3 == 0 {
				end.Outcome, end.Error = incident.OutcomePark, "no mailbox of "+string(leaver)
			}
			all = append(all, end)
		}
		if _, err := s.Settle(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
}

// multiply makes n incidents of organization acme from the first two, of which the second is closed.
// The copies are closed too, and have all rows of the second.
func multiply(t testing.TB, path string, n int) {
	t.Helper()
	pool := mustHostPool(t, path, "_pragma=synchronous(OFF)")
	for _, text := range []string{
		`INSERT INTO incident SELECT organization_id, i, version, activities, 1, type, status, status_method,
			date_started + i * 1000000, date_detected, date_added, date_started + i * 1000000 + i * 7919 % 100000 * 1000,
			randomblob(16), title, title_folded, alert_rule_id, query_id, projects, optional FROM n, incident WHERE identifier = 2`,
		`INSERT INTO incident_project SELECT organization_id, project_id, date_started + i * 1000000, i FROM n, incident_project WHERE identifier = 2`,
		`INSERT INTO incident_label SELECT organization_id, digest, date_started + i * 1000000, i FROM n, incident_label WHERE identifier = 2`,
		`INSERT INTO incident_activity SELECT organization_id, i, sequence, revision, type, value, previous_value, date_added, date_edited,
			date_deleted, CAST(printf('%010d%06d', i, sequence) AS BLOB), user_id, comment, trigger_id, field, old_text, new_text
			FROM n, incident_activity WHERE identifier = 2`,
		`INSERT INTO incident_trigger SELECT organization_id, i, trigger_id, status, severity, date_added, date_modified FROM n, incident_trigger WHERE identifier = 2`,
		`INSERT INTO incident_seen SELECT organization_id, i, user_id, last_seen FROM n, incident_seen WHERE identifier = 2`,
		`INSERT INTO incident_subscription SELECT organization_id, i, user_id, date_added FROM n, incident_subscription WHERE identifier = 2`,
		`UPDATE incident_organization SET incidents = ?1 WHERE organization_id = 'acme'`,
	} {
		pool.MustExec(`WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) `+text, n)
	}
}

// purgeAll purges the incidents of an organization that were closed before now.
func purgeAll(ctx context.Context, s *sqlite.Store, org incident.OrganizationID) (purged []incident.IncidentVersion, held int, err error) {
	q := incident.PurgeQuery{OrganizationID: org, ClosedBefore: time.Now().AddDate(10, 0, 0), Limit: 1000}
	for {
		b, err := s.Purge(ctx, q)
		if err != nil {
			return purged, held, err
		}
		purged, held = append(purged, b.Purged...), held+b.Held
		if q.After = b.Next; q.After == nil {
			return purged, held, nil
		}
	}
}

// eraseAll erases the leaver.
func eraseAll(ctx context.Context, s *sqlite.Store, org incident.OrganizationID, as incident.UserID) (changed []incident.IncidentVersion, err error) {
	q := incident.EraseQuery{OrganizationID: org, UserID: leaver, As: as, Limit: 100}
	for {
		b, err := s.EraseUser(ctx, q)
		if err != nil {
			return changed, err
		}
		changed = append(changed, b.Changed...)
		if q.After = b.Next; q.After == 0 {
			return changed, nil
		}
	}
}

// deleteAll deletes an organization.
func deleteAll(ctx context.Context, s *sqlite.Store, org incident.OrganizationID) (deleted []incident.IncidentVersion, err error) {
	for {
		b, err := s.DeleteOrganization(ctx, org, 100)
		if err != nil {
			return deleted, err
		}
		if deleted = append(deleted, b.Deleted...); b.Done {
			return deleted, nil
		}
	}
}
