package postgres

import (
	"cmp"
	"context"

	"github.com/incidentkit/incident"
)

// A position contains a snapshot of the server: the set of transactions that were committed
// when it was taken. The changes since a position were written by the transactions outside
// its snapshot: those began later or were in progress. A transaction is found by its number,
// whatever the order of commits and however long it lasted.
//
// Transaction numbers are valid within the history of a single server. A server that was
// restored or has crashed, and a standby that replaced it, assign numbers again: everything
// that was not on disk is lost, including the numbers of transactions that were rolled back.
// So a position begins with the identity of the history:
//
//   - the start time of the server: it differs between any two servers and changes with a
//     restart, but not if the server recovers from a crash by itself,
//   - the time when its statistics were reset, as such a recovery does, and
//   - whether the server is a standby.
//
// Every role can read these, in the same statement as the changes. Times are sent as
// numbers, because the text of a time depends on settings of the connection.

const positionSQL = `
SELECT concat_ws('/',
	(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,
	coalesce((SELECT (extract(epoch FROM stats_reset) * 1000000)::bigint FROM pg_stat_wal), 0),
	pg_is_in_recovery(),
	pg_current_snapshot())`

const positionOnlySQL = positionSQL + `
WHERE $1 = $1::text`

// noTransaction is above every transaction number. As the upper bound of a range it makes the
// planner expect few rows. It is a constant because a database that spreads its tables over
// several servers would evaluate a function on each server, and transaction numbers differ.
const noTransaction = `'18446744073709551615'::xid8`

// The ORDER BY clauses keep the planner from reading a whole table up to the limit. LIMIT 1
// keeps it from reading all incidents for the comments.
const changesSQL = positionSQL + `, NULL::text, NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint
WHERE $1 = $1::text
UNION ALL
(SELECT NULL, organization_id, version, NULL, NULL, NULL, identifier, activities
FROM @incident
WHERE changed >= pg_snapshot_xmax(?::pg_snapshot) AND changed < ` + noTransaction + `
ORDER BY changed LIMIT ?)
UNION ALL
(SELECT NULL, organization_id, version, NULL, NULL, NULL, identifier, activities
FROM @incident
WHERE changed = ANY (ARRAY(SELECT pg_snapshot_xip(?::pg_snapshot)))
ORDER BY changed LIMIT ?)
UNION ALL
(SELECT NULL, c.organization_id, i.version, NULL, NULL, NULL, c.identifier, i.activities
FROM (SELECT organization_id, identifier
	FROM @incident_activity
	WHERE type = 3 AND changed IS NOT NULL AND changed >= pg_snapshot_xmax(?::pg_snapshot) AND changed < ` + noTransaction + `
	ORDER BY changed LIMIT ?) c
CROSS JOIN LATERAL (SELECT version, activities FROM @incident WHERE organization_id = c.organization_id AND identifier = c.identifier LIMIT 1) i)
UNION ALL
(SELECT NULL, c.organization_id, i.version, NULL, NULL, NULL, c.identifier, i.activities
FROM (SELECT organization_id, identifier
	FROM @incident_activity
	WHERE type = 3 AND changed IS NOT NULL AND changed = ANY (ARRAY(SELECT pg_snapshot_xip(?::pg_snapshot)))
	ORDER BY changed LIMIT ?) c
CROSS JOIN LATERAL (SELECT version, activities FROM @incident WHERE organization_id = c.organization_id AND identifier = c.identifier LIMIT 1) i)
UNION ALL
(SELECT NULL, organization_id, version, alert_rule_id, project_id, query_id, NULL, NULL
FROM @incident_slot
WHERE changed >= pg_snapshot_xmax(?::pg_snapshot) AND changed < ` + noTransaction + `
ORDER BY changed LIMIT ?)
UNION ALL
(SELECT NULL, organization_id, version, alert_rule_id, project_id, query_id, NULL, NULL
FROM @incident_slot
WHERE changed = ANY (ARRAY(SELECT pg_snapshot_xip(?::pg_snapshot)))
ORDER BY changed LIMIT ?)`

// maxChanges bounds the changes of one call. Beyond it the feed resets: emptying the cache is
// the cheaper way to catch up.
const maxChanges = 20_000

// maxFeedCalls bounds the calls of Changes in progress. Each holds a connection.
const maxFeedCalls = 2

// Changes implements [incident.FeedStore]. Its statement reads all organizations.
func (s *Store) Changes(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
	changes, err := repeating(ctx, s, func() (incident.FeedChanges, error) { return s.changes(ctx, since) })
	return changes, s.translate(ctx, "changes", err)
}

func (s *Store) changes(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
	var none incident.FeedChanges
	if s.tx != nil {
		return none, &incident.FieldError{Field: "tx", Problem: "has no feed; call the store outside the transaction"}
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
	from, known := parsePosition(since)
	if known {
		shown, most := st.parameter(from.shown), st.parameter(int64(maxChanges+1))
		st.add(changesSQL, shown, most, shown, most, shown, most, shown, most, shown, most, shown, most)
	} else {
		st.add(positionOnlySQL)
	}
	defer func() { <-s.feedCalls }()
	return runStatement(ctx, s, st, func(rows rowSet) (incident.FeedChanges, error) {
		c, err := readChanges(rows, !known)
		if err == nil && since != "" {
			to, ok := parsePosition(c.Position)
			c.Reset = !known || !ok || !to.follows(from) || len(c.Incidents)+len(c.Slots) > maxChanges
		}
		if c.Reset {
			c.Incidents, c.Slots = nil, nil
		}
		return c, err
	})
}

func readChanges(rows rowSet, positionOnly bool) (c incident.FeedChanges, err error) {
	dest := []any{text(&c.Position)}
	if positionOnly {
		err = scanOne(rows, dest...)
		return c, cmp.Or(err, rows.Err())
	}
	var org incident.OrganizationID
	var identifier, activities int64
	var sv incident.SlotVersion
	err = scanEach(rows, func() {
		switch {
		case org == "":
		case identifier != 0:
			c.Incidents = append(c.Incidents, incident.IncidentVersion{
				Key: incident.Key{OrganizationID: org, Identifier: identifier}, Version: sv.Version, Activities: activities,
			})
		default:
			sv.Slot.OrganizationID = org
			c.Slots = append(c.Slots, sv)
		}
		org, identifier, activities, sv = "", 0, 0, incident.SlotVersion{}
	}, append(dest, text(&org), integer(&sv.Version),
		text(&sv.Slot.AlertRuleID), text(&sv.Slot.ProjectID), text(&sv.Slot.QueryID), integer(&identifier), integer(&activities))...)
	return c, cmp.Or(err, rows.Err())
}
