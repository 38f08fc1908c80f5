package sqlite_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

// tracesOf returns the columns of all tables with a text that contains another.
func tracesOf(t *testing.T, path, part string) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(rowsWith(t, path, part)))
}

// rowsWith counts the rows with a text that contains another, by table and column.
func rowsWith(t *testing.T, path, part string) map[string]int {
	t.Helper()
	found := map[string]int{}
	pool := mustHostPool(t, path, "")
	var columns []struct{ Table, Column string }
	err := pool.Select(&columns, `
		SELECT m.name AS "table", c.name AS "column" FROM sqlite_schema m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name LIKE 'incident%'`)
	if err != nil {
		t.Fatal(err)
	}
	if len(columns) < 80 {
		t.Fatalf("the tables have %d columns, want more", len(columns))
	}
	for _, c := range columns {
		var n int
		if err := pool.Get(&n, `SELECT count(*) FROM `+c.Table+` WHERE instr(CAST(`+c.Column+` AS BLOB), CAST(? AS BLOB)) > 0`, part); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			found[c.Table+"."+c.Column] = n
		}
	}
	return found
}

// No column of any table has the erased user, whom every column of users had before. Other
// organizations keep the user.
func TestStore_EraseUser_traces(t *testing.T) {
	t.Parallel()
	for _, as := range []incident.UserID{"", "a former user"} {
		path := newPath(t)
		s := mustOpen(t, path, nil)
		fill(t, s, "acme", 7)
		before := tracesOf(t, path, string(leaver))
		want := []string{
			"incident.optional", "incident_activity.new_text", "incident_activity.old_text", "incident_activity.user_id",
			"incident_queue.error", "incident_seen.user_id", "incident_subscription.user_id",
		}
		if !slices.Equal(before, want) {
			t.Fatalf("the user is in %v, want %v", before, want)
		}
		fill(t, s, "other", 2)
		changed, err := eraseAll(t.Context(), s, "acme", as)
		if err != nil || len(changed) != 7 {
			t.Fatalf("EraseUser() changed %d incidents, %v, want 7", len(changed), err)
		}
		again, err := eraseAll(t.Context(), s, "acme", as)
		if err != nil || len(again) != 0 {
			t.Errorf("the second EraseUser() changed %v, %v, want nothing", again, err)
		}
		if n := count(t, path, "SELECT count(DISTINCT organization_id || identifier) FROM incident_activity WHERE user_id = '"+string(leaver)+"'"); n != 2 {
			t.Errorf("%d incidents of the other organization name the user, want 2", n)
		}
		if _, err := deleteAll(t.Context(), s, "other"); err != nil {
			t.Fatal(err)
		}
		if found := tracesOf(t, path, string(leaver)); len(found) != 0 {
			t.Errorf("as %q: after EraseUser() the user is in %v", as, found)
		}
		checkLists(t, path)
	}
}

// Only the counter of identifiers names a deleted organization. Other organizations stay.
func TestStore_DeleteOrganization_traces(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	fill(t, s, "acme", 7)
	fill(t, s, "other", 3)
	before := tracesOf(t, path, "acme")
	if len(before) < 10 {
		t.Fatalf("the organization is in %v, want more tables", before)
	}
	other := rowsOf(t, path, "other")
	deleted, err := deleteAll(t.Context(), s, "acme")
	if err != nil || len(deleted) != 7 {
		t.Fatalf("DeleteOrganization() deleted %d incidents, %v, want 7", len(deleted), err)
	}
	if found := tracesOf(t, path, "acme"); !slices.Equal(found, []string{"incident_organization.organization_id"}) {
		t.Errorf("after DeleteOrganization() the organization is in %v, want only its counter", found)
	}
	if after := rowsOf(t, path, "other"); after != other {
		t.Errorf("the other organization had the rows\n%s\nand has\n%s", other, after)
	}
	if n := mustCreate(t, s, "x"); n != 8 {
		t.Errorf("the next identifier is %d, want 8", n)
	}
	checkLists(t, path)
}

// Purge leaves nothing of the closed incidents except slots and deletion records.
func TestStore_Purge_traces(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	fill(t, s, "acme", 9)
	purged, held, err := purgeAll(t.Context(), s, "acme")
	if err != nil || len(purged) != 6 || held != 0 {
		t.Fatalf("Purge() deleted %d incidents, held %d, %v; want 6 and 0", len(purged), held, err)
	}
	for _, table := range []string{"activity", "trigger", "seen", "subscription", "project", "label", "queue"} {
		if n := count(t, path, "SELECT count(DISTINCT identifier) FROM incident_"+table); n != 3 {
			t.Errorf("incident_%s has rows of %d incidents, want 3", table, n)
		}
	}
	if n := count(t, path, "SELECT count(*) FROM incident_deleted"); n != 6 {
		t.Errorf("there are %d deletion records, want 6", n)
	}
	checkLists(t, path)
}

// rowsOf returns the number of rows of an organization in each table.
func rowsOf(t *testing.T, path string, org incident.OrganizationID) string {
	t.Helper()
	pool := mustHostPool(t, path, "")
	var tables []string
	err := pool.Select(&tables, `
		SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND c.name = 'organization_id' ORDER BY m.name`)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, table := range tables {
		all.WriteString(table + ": " + textOf(t, path, "SELECT CAST(count(*) AS TEXT) FROM "+table+" WHERE organization_id = '"+string(org)+"'") + "\n")
	}
	return all.String()
}

// checkLists fails unless every row belongs to an incident, and every incident is in its lists.
func checkLists(t *testing.T, path string) {
	t.Helper()
	for _, table := range []string{"activity", "trigger", "seen", "subscription", "project", "label", "queue"} {
		orphans := count(t, path, `SELECT count(*) FROM incident_`+table+` c WHERE NOT EXISTS (
			SELECT 1 FROM incident i WHERE i.organization_id = c.organization_id AND i.identifier = c.identifier)`)
		if orphans != 0 {
			t.Errorf("%d rows of incident_%s belong to no incident", orphans, table)
		}
	}
	listed := count(t, path, `SELECT count(*) FROM incident_label`)
	want := count(t, path, `SELECT coalesce(sum((SELECT count(*) FROM json_each(coalesce(optional ->> '$.labels', '{}')))
		+ (coalesce(optional ->> '$.response.assignee', '') <> '')), 0) FROM incident`)
	if listed != want {
		t.Errorf("incident_label has %d rows, want %d", listed, want)
	}
	held := count(t, path, `SELECT count(*) FROM incident_slot s WHERE holder <> 0 AND NOT EXISTS (
		SELECT 1 FROM incident i WHERE i.organization_id = s.organization_id AND i.identifier = s.holder AND i.status <> 2)`)
	if held != 0 {
		t.Errorf("%d slots are held by no active incident", held)
	}
	if result := textOf(t, path, "PRAGMA integrity_check"); result != "ok" {
		t.Errorf("integrity_check = %s", result)
	}
}
