package sqlite_test

import (
	"crypto/sha256"
	"testing"

	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/sqlite"
)

// No column of any table names a user who was erased, an organization that was deleted, or an
// incident that was purged.
func TestTraces(t *testing.T) {
	paths := map[*sqlite.Store]string{}
	managertest.Traces(t, managertest.Traced{
		Open: func(t *testing.T) managertest.ErasableStore {
			path := newPath(t)
			s := mustOpen(t, path, nil)
			paths[s] = path
			return s
		},
		Find: func(t *testing.T, s managertest.ErasableStore, text string) managertest.Places {
			return findText(t, paths[s.(*sqlite.Store)], text)
		},
		// Of incident: optional. Of incident_activity: user_id, old_text, new_text. Of
		// incident_label: digest. The views, the subscriptions and the errors of the outbox.
		Least: 8, Kept: managertest.Places{"incident_organization.organization_id": 1},
		KeptPurged: keptPurged,
	})
}

// keptPurged are the counter of identifiers, the slots, and the records of deletions.
var keptPurged = managertest.Places{
	"incident_organization.organization_id": 1, "incident_slot.organization_id": 3, "incident_deleted.organization_id": 4,
}

// findText counts the rows of each column that contain a text, and the digests of it as an
// assignee.
func findText(t *testing.T, path, text string) managertest.Places {
	t.Helper()
	db := mustHostPool(t, path, "mode=ro")
	found := managertest.Places(rowsWith(t, path, text))
	var digests int
	digest := sha256.Sum256([]byte("\x08assignee" + string(rune(len(text))) + text))
	if err := db.Get(&digests, `SELECT count(*) FROM incident_label WHERE digest = ?`, digest[:]); err != nil {
		t.Fatal(err)
	}
	if digests > 0 {
		found["incident_label.digest"] = digests
	}
	return found
}
