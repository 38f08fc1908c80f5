package postgres_test

import (
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

// A plan that was made while the outbox was almost empty reads no whole table: it is used again when
// the outbox has grown.
func TestStore_plansOfAnEmptyOutbox(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	m, err := incident.New(s, &incident.Options{
		Notifier: incident.NotifyElsewhere, Notifiers: map[string]incident.NamedNotifier{"mail": {Notifier: incident.NotifyElsewhere}},
	})
	mustDo(t, err)
	if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"}); err != nil {
		t.Fatal(err)
	}
	for _, notifier := range []string{"", "mail"} {
		for _, limit := range []int{8, 1000} { // two texts of a claim
			q := anyClaim()
			q.Notifier, q.Limit = notifier, limit
			claims, err := s.Claim(t.Context(), q)
			mustDo(t, err)
			for range 2 { // the second time, the ticket is not valid
				for _, c := range claims {
					_, err := s.Settle(t.Context(), []incident.Settlement{{Ticket: c.Ticket, Outcome: incident.OutcomeRelease}})
					mustDo(t, err)
				}
			}
		}
	}
	explained := 0
	for _, text := range s.Statements() {
		if !strings.Contains(text, "WITH ORDINALITY AS s") && !strings.Contains(text, "claimed AS") {
			continue
		}
		explained++
		plan := explain(t, s.Pool(), text)
		if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Hash Join") {
			t.Errorf("the statement\n%s\nhas the plan\n%s", text, plan)
		}
	}
	if explained != 8 {
		t.Errorf("%d statements were sent, want 8", explained)
	}
}
