package sqlite

import (
	"context"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// readState reads a row for each trigger, in order, or a single row without a trigger. The
// columns of before come first.
func readState(
	ctx context.Context, q session, org incident.OrganizationID, text string, args []any, before ...column,
) (s incident.State, err error) {
	var t incident.Trigger
	dest := slices.Concat(before, scanIncident(org, &s.Incident), scanTrigger(&t))
	err = queryEach(ctx, q, text, args, func() {
		if t.TriggerID != "" {
			t.Incident = s.Incident.Key()
			s.Triggers = append(s.Triggers, t)
		}
	}, dest...)
	return s, err
}

const loadSQL = `
SELECT ` + incidentColumns + `, ` + triggerColumns + `
FROM incident i
LEFT JOIN incident_trigger t ON t.organization_id = i.organization_id AND t.identifier = i.identifier
WHERE i.organization_id = ? AND i.identifier = ?
ORDER BY t.trigger_id`

// Load implements [incident.IncidentStore].
func (s *Store) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	return read(ctx, s, "load", ofOne, func(ctx context.Context, q session) (incident.State, error) {
		return load(ctx, q, key)
	})
}

func load(ctx context.Context, q session, key incident.Key) (incident.State, error) {
	state, err := readState(ctx, q, key.OrganizationID, loadSQL, []any{string(key.OrganizationID), key.Identifier})
	if err == nil && state.Incident.Identifier == 0 {
		err = incident.ErrNotFound
	}
	return state, err
}

const loadSlotSQL = `
SELECT s.version, s.holder, ` + incidentColumns + `, ` + triggerColumns + `
FROM incident_slot s
LEFT JOIN incident i ON i.organization_id = s.organization_id AND i.identifier = s.last
LEFT JOIN incident_trigger t ON t.organization_id = i.organization_id AND t.identifier = i.identifier
WHERE s.organization_id = ? AND s.alert_rule_id = ? AND s.project_id = ? AND s.query_id = ?
ORDER BY t.trigger_id`

// LoadSlot implements [incident.IncidentStore].
func (s *Store) LoadSlot(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
	return read(ctx, s, "load slot", ofOne, func(ctx context.Context, q session) (held incident.SlotState, err error) {
		var holder int64
		state, err := readState(ctx, q, slot.OrganizationID, loadSlotSQL, slotArgs(slot), integer(&held.Version), integer(&holder))
		switch {
		case state.Incident.Identifier == 0:
		case holder != 0:
			held.State = &state
		default:
			held.Last = &state
		}
		return held, err
	})
}

func slotArgs(sl incident.Slot) []any {
	return []any{string(sl.OrganizationID), string(sl.AlertRuleID), string(sl.ProjectID), string(sl.QueryID)}
}

// LoadDetails implements [incident.IncidentStore].
func (s *Store) LoadDetails(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
	return read(ctx, s, "load details", snapshot, func(ctx context.Context, q session) (d incident.Details, err error) {
		state, err := load(ctx, q, key)
		if err != nil {
			return d, err
		}
		d.Incident, d.Triggers = state.Incident, state.Triggers
		if d.SeenBy, err = seenBy(ctx, q, key); err != nil {
			return d, err
		}
		d.HasSeen = slices.ContainsFunc(d.SeenBy, func(s incident.Seen) bool { return s.UserID == user })
		var at time.Time
		d.IsSubscribed, err = queryOne(ctx, q,
			`SELECT date_added FROM incident_subscription WHERE organization_id = ? AND identifier = ? AND user_id = ?`,
			[]any{string(key.OrganizationID), key.Identifier, string(user)}, instant(&at))
		return d, err
	})
}
