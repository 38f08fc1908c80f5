package postgres_test

import (
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

// A database that spreads the tables over several servers refuses DEFAULT in an upsert,
// and would ask each server for its own transaction numbers.
func TestStore_statementsSuitADistributedDatabase(t *testing.T) {
	s, _ := newStore(t)
	m, err := incident.New(s, &incident.Options{Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	for i, op := range operations("a rule") {
		if _, err := op.prepare(t.Context(), m); err != nil {
			t.Fatalf("%s: %v", op.name, err)
		}
		closeSlot(t.Context(), t, m, "a rule")
		if i == 0 {
			_, err = m.Fire(t.Context(), with(firing, "a rule"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	changes, err := s.Changes(t.Context(), "")
	if err == nil {
		_, err = s.Changes(t.Context(), changes.Position)
	}
	if err != nil {
		t.Fatal(err)
	}
	upserts, feeds := 0, 0
	for _, text := range s.Statements() {
		if _, update, isUpsert := strings.Cut(text, "DO UPDATE"); isUpsert {
			upserts++
			if strings.Contains(update, "DEFAULT") {
				t.Errorf("an upsert sets a column to its DEFAULT:\n%s", text)
			}
		}
		for _, part := range strings.Split(text, "UNION ALL") {
			if strings.Contains(part, "changed >= ") {
				feeds++
				if strings.Contains(part, "pg_current") {
					t.Errorf("a range of transactions depends on the server that reads it:\n%s", part)
				}
			}
		}
	}
	if upserts < 2 || feeds < 2 {
		t.Errorf("%d upserts and %d ranges of transactions were sent, want more", upserts, feeds)
	}
}
