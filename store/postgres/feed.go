package postgres

import (
	"cmp"
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// A position is a snapshot of the server: which transactions it shows. What has changed
// since is what transactions have written that it does not show and that the snapshot
// of the next statement does: those that began later, and those that were on their way.
// Neither the order of their numbers nor one that lasts for ages makes a difference.

const positionSQL = `
SELECT pg_current_snapshot()::text WHERE $1 = $1::text`

// noTransaction is above the number of every transaction. As the upper bound of a range it
// lets the planner expect few rows. It is a constant because a database that spreads its
// tables over several servers would evaluate a function on each of them, and their
// transaction numbers differ.
const noTransaction = `'18446744073709551615'::xid8`

const changesSQL = `
SELECT pg_current_snapshot()::text, NULL::text, NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::bigint
WHERE $1 = $1::text
UNION ALL
SELECT NULL, organization_id, version, NULL, NULL, NULL, identifier
FROM @incident
WHERE changed >= pg_snapshot_xmax(?::pg_snapshot) AND changed < ` + noTransaction + `
UNION ALL
SELECT NULL, organization_id, version, NULL, NULL, NULL, identifier
FROM @incident
WHERE changed = ANY (ARRAY(SELECT pg_snapshot_xip(?::pg_snapshot)))
UNION ALL
SELECT NULL, organization_id, version, alert_rule_id, project_id, query_id, NULL
FROM @incident_slot
WHERE changed >= pg_snapshot_xmax(?::pg_snapshot) AND changed < ` + noTransaction + `
UNION ALL
SELECT NULL, organization_id, version, alert_rule_id, project_id, query_id, NULL
FROM @incident_slot
WHERE changed = ANY (ARRAY(SELECT pg_snapshot_xip(?::pg_snapshot)))`

// maxFeedCalls is how many calls of Changes may be on their way. One that nobody waits
// for any more holds a connection, for as long as its network is silent.
const maxFeedCalls = 2

// Changes implements [incident.FeedStore]. It is the one statement that looks at
// several organizations.
func (s *Store) Changes(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
	changes, err := s.changes(ctx, since)
	return changes, s.translate(ctx, "changes", err)
}

func (s *Store) changes(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
	var none incident.FeedChanges
	if s.tx != nil {
		return none, &incident.FieldError{Field: "tx", Problem: "has no feed; ask the store itself"}
	}
	if err := s.checkSchema(ctx); err != nil {
		return none, err
	}
	select {
	case s.feedCalls <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	st := s.statement("")
	if since == "" {
		st.add(positionSQL)
	} else {
		at := snapshot(since)
		st.add(changesSQL, at, at, at, at)
	}
	return within(ctx, func() (incident.FeedChanges, error) {
		defer func() { <-s.feedCalls }()
		rows, err := s.send(ctx, st.form(), st.args)
		if err != nil {
			return none, err
		}
		defer rows.Close()
		return readChanges(rows, since == "")
	}, nil)
}

// snapshot is one parameter, however often it comes up.
type snapshot string

func readChanges(rows *sqlx.Rows, positionOnly bool) (c incident.FeedChanges, err error) {
	dest := []any{text(&c.Position)}
	if positionOnly {
		err = each(rows, func() {}, dest...)
		return c, cmp.Or(err, rows.Err())
	}
	var org incident.OrganizationID
	var identifier int64
	var sv incident.SlotVersion
	err = each(rows, func() {
		switch {
		case org == "":
		case identifier != 0:
			c.Incidents = append(c.Incidents, incident.IncidentVersion{
				Key: incident.Key{OrganizationID: org, Identifier: identifier}, Version: sv.Version,
			})
		default:
			sv.Slot.OrganizationID = org
			c.Slots = append(c.Slots, sv)
		}
		org, identifier, sv = "", 0, incident.SlotVersion{}
	}, append(dest, text(&org), integer(&sv.Version),
		text(&sv.Slot.AlertRuleID), text(&sv.Slot.ProjectID), text(&sv.Slot.QueryID), integer(&identifier))...)
	return c, cmp.Or(err, rows.Err())
}
