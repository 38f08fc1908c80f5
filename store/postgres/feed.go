package postgres

import (
	"cmp"
	"context"

	"github.com/incidentkit/incident"
)

// A position is a snapshot of the server: which transactions it shows. What has changed
// since is what transactions have written that it does not show and that the snapshot
// of the next statement does: those that began later, and those that were on their way.
// Neither the order of their numbers nor one that lasts for ages makes a difference.
//
// Transaction numbers mean something in one history of one server only. A server that was
// restored, replaced by a standby, or that crashed hands out the same numbers again: what
// was not yet on disk is lost, the numbers of rolled back transactions among it. So a
// position begins with the identity of the history:
//
//   - when the server was started, which differs between any two servers and changes
//     with a restart, but not with a crash after which the server recovers by itself,
//   - when its statistics were reset, which such a recovery does, and
//   - whether the server is a standby.
//
// All of that is readable by every role, in the statement that reads the changes. Times
// are numbers, whose text depends on no setting of the connection.

const positionSQL = `
SELECT concat_ws('/',
	(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,
	coalesce((SELECT (extract(epoch FROM stats_reset) * 1000000)::bigint FROM pg_stat_wal), 0),
	pg_is_in_recovery(),
	pg_current_snapshot())`

const positionOnlySQL = positionSQL + `
WHERE $1 = $1::text`

// noTransaction is above the number of every transaction. As the upper bound of a range it
// lets the planner expect few rows. It is a constant because a database that spreads its
// tables over several servers would evaluate a function on each of them, and their
// transaction numbers differ.
const noTransaction = `'18446744073709551615'::xid8`

// The order keeps the planner from reading a whole table for the sake of the limit.
const changesSQL = positionSQL + `, NULL::text, NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::bigint
WHERE $1 = $1::text
UNION ALL
(SELECT NULL, organization_id, version, NULL, NULL, NULL, identifier
FROM @incident
WHERE changed >= pg_snapshot_xmax(?::pg_snapshot) AND changed < ` + noTransaction + `
ORDER BY changed LIMIT ?)
UNION ALL
(SELECT NULL, organization_id, version, NULL, NULL, NULL, identifier
FROM @incident
WHERE changed = ANY (ARRAY(SELECT pg_snapshot_xip(?::pg_snapshot)))
ORDER BY changed LIMIT ?)
UNION ALL
(SELECT NULL, organization_id, version, alert_rule_id, project_id, query_id, NULL
FROM @incident_slot
WHERE changed >= pg_snapshot_xmax(?::pg_snapshot) AND changed < ` + noTransaction + `
ORDER BY changed LIMIT ?)
UNION ALL
(SELECT NULL, organization_id, version, alert_rule_id, project_id, query_id, NULL
FROM @incident_slot
WHERE changed = ANY (ARRAY(SELECT pg_snapshot_xip(?::pg_snapshot)))
ORDER BY changed LIMIT ?)`

// maxChanges bounds how many changes are told at once. Where there are more, a cache that
// begins anew is the cheaper way to catch up.
const maxChanges = 20_000

// maxFeedCalls bounds the calls of Changes in progress, each of which has a connection.
const maxFeedCalls = 2

// Changes implements [incident.FeedStore]. It is the one statement that looks at
// several organizations.
func (s *Store) Changes(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
	changes, err := repeating(ctx, s, func() (incident.FeedChanges, error) { return s.changes(ctx, since) })
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
	from, known := parsePosition(since)
	if known {
		shown, most := st.parameter(from.shown), st.parameter(int64(maxChanges+1))
		st.add(changesSQL, shown, most, shown, most, shown, most, shown, most)
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
	var identifier int64
	var sv incident.SlotVersion
	err = scanEach(rows, func() {
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
