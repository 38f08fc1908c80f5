package postgres_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

// A session keeps the plans that it made while the tables were small, until they are analyzed. Even those find an
// incident by its key, and not among all of its organization.
func TestStore_plansOfSmallTables(t *testing.T) {
	t.Parallel()
	pool := mustOpen(t, newTables(t), 2)
	keepStatistics(t, pool)
	s := mustNew(t, pool, nil)
	mustCallAll(t, []incident.Manager{mustManager(t, s)}, s, 2)
	mustReadTogether(t, s, 5)
	byKey := 0
	for _, text := range s.Statements() {
		plan := explain(t, pool, text)
		for _, scan := range ofKey.FindAllStringSubmatch(plan, -1) {
			byKey++
			if scan[1] != "incident_pkey" {
				t.Errorf("the statement\n%s\nhas the plan\n%s", text, plan)
				break
			}
		}
		if strings.Contains(plan, "Join Filter: (i.identifier = ") {
			t.Errorf("the statement\n%s\njoins with all incidents of an organization:\n%s", text, plan)
		}
	}
	if byKey < 20 {
		t.Errorf("%d scans find an incident by its key, want more: the test must recognize them", byKey)
	}
}

// ofKey matches a scan for an incident by its key.
var ofKey = regexp.MustCompile(`Index Scan using (\S+) on incident( .*)?\n *Index Cond: \(\(organization_id = [^()]*\) AND \(identifier = [^()]*\)\)\n`)
