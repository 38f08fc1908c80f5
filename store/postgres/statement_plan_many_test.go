package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// No call reads a whole table of incidents, activities or queues if many organizations have a
// single incident each. All of these have the identifier 1.
func TestStore_plansOfManyOrganizations(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	queueEach(t, s, 20_000, 0, true)
	s.Pool().MustExec(`INSERT INTO incident_queue (organization_id, identifier, notifier, reminder, replayed, next, last, due, since, ready)
		SELECT organization_id, identifier, 'mail', '', 0, 1, 1, now(), now(), true FROM incident_outbox`)
	remindEach(t, s, "mail", 20_000, -time.Hour)
	m, err := incident.New(s, &incident.Options{
		Notifier: incident.NotifyElsewhere, Notifiers: map[string]incident.NamedNotifier{"mail": {Notifier: incident.NotifyElsewhere}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range operations("new rule") {
		r, err := op.prepare(t.Context(), m)
		if err == nil && op.name != "EditComment" {
			err = op.call(t.Context(), m, r.Key())
		}
		if err != nil {
			t.Fatalf("%s: %v", op.name, err)
		}
		closeSlot(t.Context(), t, m, "new rule")
	}
	for _, notifier := range []string{"", "mail"} {
		q := anyClaim()
		q.Notifier = notifier
		claims, err := s.Claim(t.Context(), q)
		if err != nil || len(claims) != q.Limit {
			t.Fatalf("Claim = %d claims, %v", len(claims), err)
		}
		if _, err := s.Settle(t.Context(), []incident.Settlement{{Ticket: claims[0].Ticket, Outcome: incident.OutcomeDelivered}}); err != nil {
			t.Fatal(err)
		}
	}
	callReminders(t, s, incident.Key{OrganizationID: "org-1", Identifier: 1}, "mail")
	for _, text := range s.Statements() {
		plan := explain(t, s.Pool(), text)
		for _, table := range []string{"incident", "incident_activity", "incident_outbox", "incident_queue"} {
			if strings.Contains(plan, "Seq Scan on "+table+" ") {
				t.Errorf("the statement\n%s\nhas the plan\n%s", text, plan)
				break
			}
		}
	}
}
