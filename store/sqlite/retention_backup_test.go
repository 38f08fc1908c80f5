package sqlite_test

import (
	"path/filepath"
	"sync"
	"testing"
)

// A backup during a purge, and during an erasure, has whole incidents only.
func TestBackup_retention(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	fill(t, s, "acme", 2)
	multiply(t, path, 1500)
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := eraseAll(t.Context(), s, "acme", "a former user"); err != nil {
			t.Error(err)
		}
		if _, _, err := purgeAll(t.Context(), s, "acme"); err != nil {
			t.Error(err)
		}
	})
	for range 4 {
		backup := filepath.Join(t.TempDir(), "backup.db")
		if err := s.Backup(t.Context(), backup); err != nil {
			t.Fatal(err)
		}
		checkLists(t, backup)
		checkErased(t, backup)
	}
	all.Wait()
	checkLists(t, path)
}

// checkErased fails unless each incident names the leaver in all tables of users, or in none.
func checkErased(t *testing.T, path string) {
	t.Helper()
	const tables = `WITH traced(place, identifier) AS (
		SELECT DISTINCT 'activity', identifier FROM incident_activity WHERE organization_id = 'acme' AND user_id = ?1
		UNION ALL SELECT 'seen', identifier FROM incident_seen WHERE organization_id = 'acme' AND user_id = ?1
		UNION ALL SELECT 'subscription', identifier FROM incident_subscription WHERE organization_id = 'acme' AND user_id = ?1
		UNION ALL SELECT 'response', identifier FROM incident WHERE organization_id = 'acme' AND optional ->> '$.response.by' = ?1
	) SELECT count(*) FROM (SELECT identifier FROM traced GROUP BY identifier HAVING count(*) <> 4)`
	var n int
	if err := mustHostPool(t, path, "").Get(&n, tables, string(leaver)); err != nil {
		t.Fatal(err)
	}
	if n != 0 {
		t.Errorf("%d incidents name the user in some tables only", n)
	}
}
