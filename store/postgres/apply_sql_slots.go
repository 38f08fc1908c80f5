package postgres

import (
	"cmp"
	"slices"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// expectation holds the parameters of [incident.Change.ExpectSlot]. Without one, all are NULL.
type expectation struct{ rule, project, query, version reference }

func addExpectation(st *statement, w *writing) {
	var rule, project, query, version any
	if e := w.ExpectSlot; e != nil {
		rule, project, query = string(e.Slot.AlertRuleID), string(e.Slot.ProjectID), string(e.Slot.QueryID)
		version = e.Version
	}
	w.expected = expectation{st.parameter(rule), st.parameter(project), st.parameter(query), st.parameter(version)}
}

// addSlotConditions makes target empty if the change claims a slot that another incident
// holds, or if a slot has another version than expected.
func addSlotConditions(st *statement, w *writing, l layout) {
	if !l.slots {
		return
	}
	// A subquery for each slot keeps the planner from reading all slots.
	st.add(`
		AND NOT EXISTS (
			SELECT FROM wanted w
			WHERE w.claimed AND (
				SELECT holder
				FROM @incident_slot
				WHERE organization_id = $1 AND alert_rule_id = w.rule AND project_id = w.project AND query_id = w.query
			) NOT IN (0, ?)
		)`, w.Key.Identifier)
	if l.expects {
		st.add(`
		AND coalesce(?::bigint = coalesce((
			SELECT version
			FROM @incident_slot
			WHERE organization_id = $1 AND alert_rule_id = ? AND project_id = ? AND query_id = ?
		), 0), true)`, w.expected.version, w.expected.rule, w.expected.project, w.expected.query)
	}
}

// addWanted lists the slots that the change claims and releases. All changes use the same
// order, so that no two changes deadlock.
func addWanted(st *statement, w *writing) {
	slots := slices.Concat(w.Release, w.Claim)
	slices.SortFunc(slots, func(a, b incident.Slot) int {
		return cmp.Or(cmp.Compare(a.AlertRuleID, b.AlertRuleID), cmp.Compare(a.ProjectID, b.ProjectID), cmp.Compare(a.QueryID, b.QueryID))
	})
	rules, projects, queries := slotArrays(slots)
	claims := make(map[incident.Slot]bool, len(w.Claim))
	for _, slot := range w.Claim {
		claims[slot] = true
	}
	claimed := make(pq.BoolArray, len(slots))
	for i, slot := range slots {
		claimed[i] = claims[slot]
	}
	st.add(`wanted AS (
	SELECT * FROM unnest(?::text[], ?::text[], ?::text[], ?::boolean[]) AS w (rule, project, query, claimed)
), `, rules, projects, queries, claimed)
}

// addSlots claims and releases the slots, and ends the statement. A slot that changed after
// the statement began gets too many holders, which its table refuses: then another
// incident holds it, or it does not have the expected version.
func addSlots(st *statement, w *writing, l layout) {
	st.add(`, slots AS (
	INSERT INTO @incident_slot AS s (organization_id, alert_rule_id, project_id, query_id, version, holder, holders, last)
	SELECT $1::text, w.rule, w.project, w.query, 1,
		CASE WHEN w.claimed THEN t.identifier ELSE 0 END,
		CASE WHEN w.claimed THEN 1 ELSE 0 END,
		CASE WHEN w.claimed THEN t.identifier ELSE 0 END
	FROM target t, wanted w
	ON CONFLICT (organization_id, alert_rule_id, project_id, query_id) DO UPDATE
	SET version = s.version + 1,
		changed = EXCLUDED.changed,
		holder = EXCLUDED.holder,
		last = CASE
			WHEN EXCLUDED.holder <> 0 THEN EXCLUDED.holder
			WHEN s.holder <> 0 THEN s.holder
			ELSE s.last
		END,
		holders = CASE`)
	if l.expects {
		st.add(`
			WHEN s.version <> ?::bigint AND s.alert_rule_id = ? AND s.project_id = ? AND s.query_id = ? THEN 2`,
			w.expected.version, w.expected.rule, w.expected.project, w.expected.query)
	}
	st.add(`
			WHEN EXCLUDED.holder IN (0, s.holder) THEN EXCLUDED.holders
			ELSE s.holders + 1
		END
	RETURNING alert_rule_id, project_id, query_id, version
)
SELECT t.identifier, t.activities, s.alert_rule_id, s.project_id, s.query_id, s.version
FROM target t
LEFT JOIN slots s ON true`)
}

func slotArrays(slots []incident.Slot) (rules, projects, queries pq.StringArray) {
	for _, s := range slots {
		rules = append(rules, string(s.AlertRuleID))
		projects = append(projects, string(s.ProjectID))
		queries = append(queries, string(s.QueryID))
	}
	return rules, projects, queries
}
