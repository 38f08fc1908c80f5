package sqlite_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/incidentkit/incident/store/sqlite"
)

// testPlans explains the statements that the suites have run.
//
// Without ANALYZE, SQLite plans a statement by its text and the indexes alone, whatever the
// tables contain. A host may analyze its file, and may do so while the tables are small. No
// statement reads a whole table, and no list is sorted, except those named here.
func testPlans(t *testing.T, texts []string) {
	if len(texts) < 40 {
		t.Fatalf("the suites have run %d statements, want more", len(texts))
	}
	t.Run("as made", func(t *testing.T) {
		path := newPath(t)
		mustOpen(t, path, nil)
		checkPlans(t, path, texts)
	})
	t.Run("analyzed when small", func(t *testing.T) {
		path := newPath(t)
		store := mustOpen(t, path, nil)
		for range 3 {
			mustCreate(t, store, "x")
		}
		mustHostPool(t, path, "").MustExec("ANALYZE")
		checkPlans(t, path, texts)
	})
}

// checkPlans explains each statement in the database of path.
func checkPlans(t *testing.T, path string, texts []string) {
	t.Helper()
	pool := mustHostPool(t, path, "")
	scans := regexp.MustCompile(`^SCAN (\w+)`)
	whole := regexp.MustCompile(`^SEARCH \w+ USING (PRIMARY KEY|INDEX \w+) \(organization_id=\?\)$`)
	for _, text := range texts {
		rows, err := pool.Queryx("EXPLAIN QUERY PLAN "+text, make([]any, 200)...)
		if err != nil {
			t.Errorf("%v: %s", err, text)
			continue
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			if m := scans.FindStringSubmatch(detail); m != nil && !isSmall(m[1], detail, text) {
				t.Errorf("a statement reads a whole table (%s): %s", detail, text)
			}
			if strings.Contains(detail, "x EXISTS") {
				t.Errorf("a statement joins the look-up of a label (%s), so that the plan of many labels takes long: %s", detail, text)
			}
			if whole.MatchString(detail) && !isShort(detail, text) {
				t.Errorf("a statement reads a whole organization (%s): %s", detail, text)
			}
			if strings.Contains(detail, "TEMP B-TREE") && !maySort(text) {
				t.Errorf("a statement sorts (%s): %s", detail, text)
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// isShort reports whether a search by the organization alone finds one row, or reads only the
// beginning of a list or table.
func isShort(detail, text string) bool {
	deletesSome := strings.HasPrefix(text, "DELETE") && strings.HasSuffix(text, "WHERE organization_id = ? LIMIT ?)")
	return deletesSome || strings.Contains(detail, "incident_unaffecting") || strings.Contains(detail, "incident_duration") ||
		strings.HasPrefix(detail, "SEARCH incident_organization ")
}

// isSmall reports whether a scan is of a list in an argument, of a table with one row, or of a
// part that the statement has limited. Only Backlog reads all of a table: the outbox.
func isSmall(table, detail, text string) bool {
	switch {
	case strings.Contains(detail, "VIRTUAL TABLE"), strings.Contains(detail, "CONSTANT ROW"):
		return true
	case strings.HasPrefix(table, "incident_history"), strings.HasPrefix(table, "incident_schema"), table == "sqlite_schema":
		return true
	}
	if table == "incident_deleted" && strings.Contains(text, "ORDER BY changed, organization_id, identifier LIMIT") {
		return true // the beginning of the primary key
	}
	return strings.Contains(text, "FILTER (WHERE waits") || strings.Contains(text, "pragma_database_list")
}

// maySort reports whether a statement sorts few rows: the views of an incident, the triggers, or
// the backlog by notifier.
func maySort(text string) bool {
	return strings.Contains(text, "FROM incident_seen") || strings.Contains(text, "FILTER (WHERE waits")
}

// statementTexts collects the texts of the statements that stores have prepared.
type statementTexts struct {
	mu    sync.Mutex
	found map[string]bool
}

// open opens a store whose statements are collected at the end of the test.
func (c *statementTexts) open(t *testing.T) *sqlite.Store {
	s := mustOpen(t, newPath(t), nil)
	t.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, text := range s.Texts() {
			c.found[text] = true
		}
	})
	return s
}

// all returns the collected texts that read or write the tables.
func (c *statementTexts) all() []string {
	for text := range c.found {
		command, _, _ := strings.Cut(strings.TrimSpace(text), " ")
		if !slices.Contains([]string{"SELECT", "INSERT", "UPDATE", "DELETE"}, strings.TrimSpace(command)) || strings.Contains(text, "incident_schema") {
			delete(c.found, text)
		}
	}
	return slices.Sorted(maps.Keys(c.found))
}
