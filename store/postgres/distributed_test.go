package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// A database that spreads the tables over several servers refuses DEFAULT in an upsert,
// and would ask each server for its own transaction numbers.
func TestStore_statementsSuitADistributedDatabase(t *testing.T) {
	t.Parallel()
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

// A refusal without its fields is recognized by its message, and no other error is.
func TestStore_refusalsOfADistributedDatabase(t *testing.T) {
	for _, test := range []struct {
		name string
		err  pq.Error
		want bool
	}{
		{"a slot that is taken", pq.Error{Code: "23514", Constraint: "incident_slot_holders"}, true},
		{"on a shard", pq.Error{Code: "23514", Constraint: "incident_slot_holders_102041"}, true},
		{"in the message alone", pq.Error{
			Code: "23514", Message: `new row for relation "incident_slot_102041" violates check constraint "incident_slot_holders_102041"`,
		}, true},
		{"of one server", pq.Error{Code: "23514", Message: `new row for relation "incident_slot" violates check constraint "incident_slot_holders"`}, true},
		{"another check", pq.Error{Code: "23514", Message: `new row for relation "incident_102008" violates check constraint "incident_check_102008"`}, false},
		{"a name that begins alike", pq.Error{Code: "23514", Constraint: "incident_slot_holders_check"}, false},
		{"a duplicate key", pq.Error{Code: "23505", Constraint: "incident_notification"}, true},
		{"as an internal error", pq.Error{Code: "XX000", Message: `duplicate key value violates unique constraint "incident_notification_102010"`}, true},
		{"a shard that was divided", pq.Error{Code: "XX000", Message: `could not find valid entry for shard 106148`}, true},
		{"another internal error", pq.Error{Code: "XX000", Message: `could not open relation with OID 16384`}, false},
		{"an internal error that quotes one", pq.Error{Code: "XX000", Message: `failed: duplicate key value violates unique constraint`}, false},
	} {
		test.err.Severity = "ERROR"
		if got := postgres.IsDisturbed(fmt.Errorf("wrapped: %w", &test.err)); got != test.want {
			t.Errorf("%s: a statement is repeated: %v, want %v", test.name, got, test.want)
		}
	}
}

// A store that knows nothing of Citus does not use the tables of Citus, which have this trigger, and a store for
// Citus uses no others. The check is a part of the first call.
func TestStore_tablesOfCitus(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	key := incident.Key{OrganizationID: "acme", Identifier: 1}
	check := func(citus bool, want string) {
		t.Helper()
		store := mustNew(t, s.Pool(), &postgres.Options{Schema: s.Schema(), Citus: citus})
		if _, err := store.Load(t.Context(), key); !errors.Is(err, incident.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("with Citus %t, Load() = %v, want %q", citus, err, want)
		}
		err := store.InTx(t.Context(), func(tx incident.Store) error {
			_, err := tx.Load(t.Context(), key)
			return err
		})
		if !errors.Is(err, incident.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("with Citus %t, InTx() = %v, want %q", citus, err, want)
		}
	}
	check(true, "run postgres.MigrateCitus")
	s.Pool().MustExec(`CREATE FUNCTION citus_truncate_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
	s.Pool().MustExec(`CREATE TRIGGER truncate_trigger_1 AFTER TRUNCATE ON incident EXECUTE FUNCTION citus_truncate_trigger()`)
	check(false, "set Options.Citus")
}
