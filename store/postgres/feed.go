package postgres

import (
	"cmp"
	"context"
	"strconv"
	"strings"

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
// A position also ends when its changes are forgotten:
//
//   - The deletion of an organization deletes its slots, and their versions begin again. It
//     increments incident_schema.resets. The identity contains that number, and is read in the
//     snapshot of the position. So two positions differ in it if and only if the commit of such
//     a deletion lies between them.
//   - A record of a deleted incident is removed after [incident.FeedMemory]. The greatest number
//     among their transactions is incident_schema.forgotten. Every position that contains all
//     transactions up to it has reported the removed records. See forgetSQL.
//
// Every role can read these, in the same statement as the changes. Times are sent as
// numbers, because the text of a time depends on settings of the connection.

const positionSQL = `
SELECT concat_ws('/',
	(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,
	coalesce((SELECT (extract(epoch FROM stats_reset) * 1000000)::bigint FROM pg_stat_wal), 0),
	pg_is_in_recovery(),
	resets,
	pg_current_snapshot()), `

const positionOnlySQL = positionSQL + `NULL::text
FROM @incident_schema
WHERE $1 = $1::text`

// noTransaction is above every transaction number. As the upper bound of a range it makes the
// planner expect few rows. It is a constant because a database that spreads its tables over
// several servers would evaluate a function on each server, and transaction numbers differ.
const noTransaction = `'18446744073709551615'::xid8`

const changesSQL = positionSQL + `forgotten::text, NULL::text, NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint
FROM @incident_schema
WHERE $1 = $1::text`

// changesParts read the rows whose transaction meets a condition: incidents, deleted incidents,
// incidents with changed comments, and slots. The ORDER BY clauses keep the planner from reading a
// whole table up to the limit. LIMIT 1 keeps it from reading all incidents for the comments.
var changesParts = []string{`
UNION ALL
(SELECT NULL, NULL, organization_id, version, NULL, NULL, NULL, identifier, activities
FROM @incident
WHERE {changed}
ORDER BY changed LIMIT ?)`, `
UNION ALL
(SELECT NULL, NULL, organization_id, version, NULL, NULL, NULL, identifier, activities
FROM @incident_deleted
WHERE {changed}
ORDER BY changed LIMIT ?)`, `
UNION ALL
(SELECT NULL, NULL, c.organization_id, i.version, NULL, NULL, NULL, c.identifier, i.activities
FROM (SELECT organization_id, identifier
	FROM @incident_activity
	WHERE type = 3 AND changed IS NOT NULL AND {changed}
	ORDER BY changed LIMIT ?) c
CROSS JOIN LATERAL (SELECT version, activities FROM @incident WHERE organization_id = c.organization_id AND identifier = c.identifier LIMIT 1) i)`, `
UNION ALL
(SELECT NULL, NULL, organization_id, version, alert_rule_id, project_id, query_id, NULL, NULL
FROM @incident_slot
WHERE {changed}
ORDER BY changed LIMIT ?)`}

// The rows of a position are those of later transactions, and those of the transactions in
// progress. The position of an idle server has none of the latter, and a text without their parts.
// The bounds are parameters, since the server would parse a snapshot for each part. The subqueries
// hide them from the planner: otherwise it plans each call again for its values.
var (
	laterSQL      = changesWhere("changed >= (SELECT ?::xid8) AND changed < " + noTransaction)
	inProgressSQL = changesWhere("changed = ANY (ARRAY(SELECT unnest(?::xid8[])))")
)

func changesWhere(condition string) string {
	return strings.ReplaceAll(strings.Join(changesParts, ""), "{changed}", condition)
}

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
	defer func() { <-s.feedCalls }()
	if s.citus != nil {
		return s.citusChanges(ctx, since)
	}
	from, known := parsePosition(since)
	st := s.statementOfAll("")
	if known {
		addChanges(st, changesSQL, laterSQL, from)
	} else {
		st.add(positionOnlySQL)
	}
	return runStatement(ctx, s, st, func(rows rowSet) (incident.FeedChanges, error) {
		forgotten := ""
		c, err := readChanges(rows, !known, func(_ incident.FeedPosition, number string) { forgotten = number })
		if err == nil && since != "" {
			to, ok := parsePosition(c.Position)
			c.Reset = !known || !ok || !to.follows(from) || !from.contains(forgotten) || len(c.Incidents)+len(c.Slots) > maxChanges
		}
		if c.Reset {
			c.Incidents, c.Slots = nil, nil
		}
		return c, err
	})
}

// addChanges adds the rows since a position.
func addChanges(st *statement, positionSQL, laterSQL string, from position) {
	most := st.parameter(int64(maxChanges + 1))
	later := st.parameter(strconv.FormatUint(from.end, 10))
	st.add(positionSQL).add(laterSQL, later, most, later, most, later, most, later, most)
	if len(from.inProgress) > 0 {
		inProgress := st.parameter(from.inProgress)
		st.add(inProgressSQL, inProgress, most, inProgress, most, inProgress, most, inProgress, most)
	}
}

// readChanges calls each with each position, and with the number that is forgotten there.
func readChanges(
	rows rowSet, positionOnly bool, each func(position incident.FeedPosition, forgotten string),
) (c incident.FeedChanges, err error) {
	forgotten := ""
	dest := []any{text(&c.Position), text(&forgotten)}
	if positionOnly {
		err = scanEach(rows, func() { each(c.Position, "") }, dest...)
		return c, cmp.Or(err, rows.Err())
	}
	var org incident.OrganizationID
	var identifier, activities int64
	var sv incident.SlotVersion
	err = scanEach(rows, func() {
		switch {
		case org == "":
			each(c.Position, forgotten)
			forgotten = ""
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
