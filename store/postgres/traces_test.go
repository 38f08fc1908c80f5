package postgres_test

import (
	"testing"

	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/postgres"
)

// No column of any table names a user who was erased, an organization that was deleted, or an
// incident that was purged.
func TestTraces(t *testing.T) {
	t.Parallel()
	managertest.Traces(t, managertest.Traced{
		Open: func(t *testing.T) managertest.ErasableStore {
			s, _ := newStore(t)
			return s
		},
		Find: func(t *testing.T, s managertest.ErasableStore, text string) managertest.Places {
			return findText(t, s.(*postgres.Store), text)
		},
		Least: len(namingUsers), Kept: managertest.Places{"incident_organization.organization_id": 1},
		KeptPurged: keptPurged,
	})
}

// namingUsers are the columns that name users.
var namingUsers = []string{
	"incident.optional", "incident_activity.user_id", "incident_activity.old_text", "incident_activity.new_text",
	"incident_label.digest", "incident_active.digest", "incident_seen.user_id", "incident_subscription.user_id", "incident_outbox.error", "incident_queue.error",
}

// keptPurged are the counter of identifiers, the slots, and the records of deletions.
var keptPurged = managertest.Places{
	"incident_organization.organization_id": 1, "incident_slot.organization_id": 3, "incident_deleted.organization_id": 4,
}

// findText counts the rows of each column that contain a text, and the digests of it as an
// assignee.
func findText(t *testing.T, s *postgres.Store, text string) managertest.Places {
	t.Helper()
	found := managertest.Places(textsWith(t, s, text))
	for _, table := range []string{"incident_label", "incident_active"} {
		var digests int
		mustDo(t, s.Pool().Get(&digests, `SELECT count(*) FROM `+s.Schema()+`.`+table+`
			WHERE digest = left(encode(sha256(convert_to(chr(8) || 'assignee' || chr(length($1)) || $1, 'UTF8')), 'hex'), 32)::uuid`, text))
		if digests > 0 {
			found[table+".digest"] = digests
		}
	}
	return found
}
