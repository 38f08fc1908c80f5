package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// stateReader reads stateColumns. Its destinations point to its fields, so that it serves many reads.
type stateReader struct {
	state    incident.State
	optional optionalColumn // of the incident
	trigger  incident.Trigger
	dest     []any // for stateColumns
	space    []any // for dest and others
}

var stateReaders = sync.Pool{New: func() any {
	r := &stateReader{}
	r.optional.inc = &r.state.Incident
	r.dest = append(appendIncident(nil, &r.state.Incident, &r.optional), integer(&r.state.WriteID))
	r.dest = appendTrigger(r.dest, &r.trigger)
	return r
}}

// release forgets what was read.
func (r *stateReader) release() {
	clear(r.space)
	r.state, r.trigger, r.optional.decoded = incident.State{}, incident.Trigger{}, ""
	stateReaders.Put(r)
}

// readState reads a row for each trigger, in any order, or a single row without a trigger.
// The columns of before come first.
func readState(rows rowSet, before ...any) (incident.State, error) {
	r := stateReaders.Get().(*stateReader)
	defer r.release()
	r.space = append(append(r.space[:0], before...), r.dest...)
	s, t := &r.state, &r.trigger
	err := scanEach(rows, func() {
		if t.TriggerID != "" {
			t.Incident.OrganizationID = s.Incident.OrganizationID
			s.Triggers = append(s.Triggers, *t)
		}
	}, r.space...)
	slices.SortFunc(s.Triggers, func(a, b incident.Trigger) int { return cmp.Compare(a.TriggerID, b.TriggerID) })
	return *s, err
}

func loadSQL(columns string) string {
	return `
SELECT ` + columns + `
FROM @incident i
LEFT JOIN @incident_trigger t ON t.organization_id = $1 AND t.identifier = i.identifier
WHERE i.organization_id = $1 AND i.identifier = ?`
}

// Load implements [incident.IncidentStore]. In a transaction it locks the incident until the
// end, so that decisions based on it remain valid.
func (s *Store) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	if err := s.lock(ctx, key); err != nil {
		return incident.State{}, s.translate(ctx, "load", err)
	}
	state, err := s.loads.read(ctx, s, "load", key)
	if err == nil && state.Incident.Identifier == 0 {
		err = notFound("load")
	}
	return state, err
}

const (
	loadAllKeys  = `unnest((SELECT $1::text[]), (SELECT ?::bigint[])) WITH ORDINALITY AS k (organization_id, identifier, number)`
	loadPairKeys = `(VALUES ($1::text, ?::bigint, ?::bigint), (?, ?, ?)) AS k (organization_id, number, identifier)`
)

func loadSharedSQL(columns string) string {
	return `
	SELECT ` + columns + `
	FROM @incident i
	LEFT JOIN @incident_trigger t ON t.organization_id = k.organization_id AND t.identifier = k.identifier
	WHERE i.organization_id = k.organization_id AND i.identifier = k.identifier`
}

// newLoads returns the reads of incidents.
func newLoads() reads[incident.Key, incident.State] {
	columns := packed(stateColumns)
	shared := loadSharedSQL(columns)
	all := allSQL(loadAllKeys, shared)
	return reads[incident.Key, incident.State]{readKind: readKind[incident.Key, incident.State]{
		org:      func(key incident.Key) incident.OrganizationID { return key.OrganizationID },
		one:      loadSQL(columns),
		args:     func(to []any, key incident.Key) []any { return append(to, string(key.OrganizationID), key.Identifier) },
		numbered: [2]string{loadSQL(numberColumn + columns), pairSQL(loadPairKeys, shared)},
		all: func(s *Store, members []*reading[incident.Key, incident.State]) *statement {
			orgs, identifiers := make(pq.StringArray, len(members)), make(pq.Int64Array, len(members))
			for i, m := range members {
				orgs[i], identifiers[i] = string(m.key.OrganizationID), m.key.Identifier
			}
			return s.small(orgs).add(all, identifiers)
		},
		rows: func(rows rowSet) (incident.State, error) { return readState(packedRows{rows}) },
	}}
}

const lockSQL = `
SELECT identifier FROM @incident WHERE organization_id = $1 AND identifier = ? FOR NO KEY UPDATE`

// lock keeps other transactions from changing the incident until this transaction ends. Outside
// a transaction it does nothing. The lock is a statement of its own: a statement that waits
// for a lock still reads other tables as of its beginning.
func (s *Store) lock(ctx context.Context, key incident.Key) error {
	if s.tx == nil {
		return nil
	}
	_, err := queryOnce(ctx, s, s.small(string(key.OrganizationID)).add(lockSQL, key.Identifier), readIdentifier)
	return err
}

func notFound(op string) error { return fmt.Errorf("postgres: %s: %w", op, incident.ErrNotFound) }

// holderSQL selects the incident to which slot s belongs, or belonged last. The OFFSET leaves the server no choice: while
// the tables are small it would join with all incidents of the organization, and sessions keep that plan until the
// tables are analyzed.
func holderSQL(org string) string {
	return `
	SELECT * FROM @incident
	WHERE organization_id = ` + org + ` AND identifier = CASE s.holder WHEN 0 THEN s.last ELSE s.holder END
	OFFSET 0
`
}

func loadSlotSQL(columns string) string {
	return `
SELECT ` + columns + `
FROM @incident_slot s
LEFT JOIN LATERAL (` + holderSQL("$1") + `) i ON true
LEFT JOIN @incident_trigger t ON t.organization_id = $1 AND t.identifier = i.identifier
WHERE s.organization_id = $1 AND s.alert_rule_id = ? AND s.project_id = ? AND s.query_id = ?`
}

// LoadSlot implements [incident.IncidentStore]. In a transaction it locks the holder, so
// that the holder keeps the slot.
func (s *Store) LoadSlot(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
	held, err := s.loadSlot(ctx, slot)
	for err == nil && s.tx != nil && held.State != nil {
		holder := held.State.Incident.Key()
		if err = s.translate(ctx, "load slot", s.lock(ctx, holder)); err != nil {
			break
		}
		held, err = s.loadSlot(ctx, slot)
		if held.State != nil && held.State.Incident.Key() == holder {
			break
		}
	}
	return held, err
}

func (s *Store) loadSlot(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
	if s.citus != nil && s.tx == nil {
		s.citus.crowd.add(1)
		defer s.citus.crowd.add(-1)
	}
	return s.slotLoads.read(ctx, s, "load slot", slot)
}

const (
	slotAllKeys = `unnest((SELECT $1::text[]), (SELECT ?::text[]), (SELECT ?::text[]), (SELECT ?::text[])) WITH ORDINALITY
	AS k (organization_id, alert_rule_id, project_id, query_id, number)`
	slotPairKeys = `(VALUES ($1::text, ?::bigint, ?::text, ?::text, ?::text), (?, ?, ?, ?, ?))
	AS k (organization_id, number, alert_rule_id, project_id, query_id)`
)

func loadSharedSlotsSQL(columns string) string {
	return `
	SELECT ` + columns + `
	FROM @incident_slot s
	LEFT JOIN LATERAL (` + holderSQL("k.organization_id") + `) i ON true
	LEFT JOIN @incident_trigger t ON t.organization_id = k.organization_id AND t.identifier = i.identifier
	WHERE s.organization_id = k.organization_id AND s.alert_rule_id = k.alert_rule_id
		AND s.project_id = k.project_id AND s.query_id = k.query_id`
}

// newSlotLoads returns the reads of slots.
func newSlotLoads() reads[incident.Slot, incident.SlotState] {
	columns := packed(`s.version, s.holder, ` + stateColumns)
	shared := loadSharedSlotsSQL(columns)
	all := allSQL(slotAllKeys, shared)
	return reads[incident.Slot, incident.SlotState]{readKind: readKind[incident.Slot, incident.SlotState]{
		org: func(slot incident.Slot) incident.OrganizationID { return slot.OrganizationID },
		one: loadSlotSQL(columns),
		args: func(to []any, slot incident.Slot) []any {
			return append(to, string(slot.OrganizationID), string(slot.AlertRuleID), string(slot.ProjectID), string(slot.QueryID))
		},
		numbered: [2]string{loadSlotSQL(numberColumn + columns), pairSQL(slotPairKeys, shared)},
		all: func(s *Store, members []*reading[incident.Slot, incident.SlotState]) *statement {
			var orgs, rules, projects, queries pq.StringArray
			for _, m := range members {
				orgs, rules = append(orgs, string(m.key.OrganizationID)), append(rules, string(m.key.AlertRuleID))
				projects, queries = append(projects, string(m.key.ProjectID)), append(queries, string(m.key.QueryID))
			}
			return s.small(orgs).add(all, rules, projects, queries)
		},
		rows: func(rows rowSet) (incident.SlotState, error) { return readSlot(packedRows{rows}) },
	}}
}

func readSlot(rows rowSet) (held incident.SlotState, err error) {
	var holder int64
	state, err := readState(rows, integer(&held.Version), integer(&holder))
	switch {
	case state.Incident.Identifier == 0:
	case holder != 0:
		held.State = &state
	default:
		held.Last = &state
	}
	return held, err
}

const loadDetailsSQL = `
SELECT
	(SELECT json_agg(s) FROM (
		SELECT user_id, last_seen FROM @incident_seen WHERE organization_id = $1 AND identifier = i.identifier
	) s),
	EXISTS (
		SELECT FROM @incident_subscription WHERE organization_id = $1 AND identifier = i.identifier AND user_id = ?
	),
	` + stateColumns + `
FROM @incident i
LEFT JOIN @incident_trigger t ON t.organization_id = $1 AND t.identifier = i.identifier
WHERE i.organization_id = $1 AND i.identifier = ?`

// LoadDetails implements [incident.IncidentStore].
func (s *Store) LoadDetails(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
	st := s.statement(string(key.OrganizationID)).add(loadDetailsSQL, string(user), key.Identifier)
	d, err := query(ctx, s, "load details", st, func(rows rowSet) (d incident.Details, err error) {
		var seen string
		state, err := readState(rows, text(&seen), boolean(&d.IsSubscribed))
		if err != nil || state.Incident.Identifier == 0 {
			return d, err
		}
		d.Incident, d.Triggers = state.Incident, state.Triggers
		d.SeenBy, err = decodeSeen(key, seen)
		d.HasSeen = slices.ContainsFunc(d.SeenBy, func(s incident.Seen) bool { return s.UserID == user })
		return d, err
	})
	if err == nil && d.Identifier == 0 {
		err = notFound("load details")
	}
	return d, err
}

// decodeSeen decodes the users who have seen the incident, latest first.
func decodeSeen(key incident.Key, list string) ([]incident.Seen, error) {
	var rows []struct {
		UserID   incident.UserID `json:"user_id"`
		LastSeen time.Time       `json:"last_seen"`
	}
	if list != "" {
		if err := json.Unmarshal([]byte(list), &rows); err != nil {
			return nil, err
		}
	}
	seen := make([]incident.Seen, len(rows))
	for i, r := range rows {
		seen[i] = incident.Seen{Incident: key, UserID: r.UserID, LastSeen: r.LastSeen.UTC()}
	}
	slices.SortFunc(seen, func(a, b incident.Seen) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.UserID, b.UserID))
	})
	return seen, nil
}

// readIdentifier reads an identifier, or 0 if there is no row.
func readIdentifier(rows rowSet) (n int64, err error) {
	err = scanOne(rows, integer(&n))
	return n, err
}
