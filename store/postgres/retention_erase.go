package postgres

import (
	"context"
	"maps"
	"math"
	"slices"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// maxReadActivities bounds the activities among which a call looks for traces.
const maxReadActivities = 20_000

// The tables that can have a trace of a user.
const (
	tracedIncident = iota + 1
	tracedActivity
	tracedSeen
	tracedSubscription
	tracedOutbox
	tracedQueue
)

// tracesSQL finds the traces of a user in a range of identifiers. The order of each part is that
// of a primary key, so that the part reads the range and no more.
const tracesSQL = `
(SELECT 1, identifier
FROM @incident
WHERE organization_id = $1 AND identifier > ? AND identifier <= ?
	AND (optional #>> '{response,assignee}' = ? OR optional #>> '{response,by}' = ?)
ORDER BY identifier)
UNION ALL
(SELECT 2, identifier
FROM @incident_activity
WHERE organization_id = $1 AND identifier > ? AND identifier <= ? AND ` + tracedActivitySQL + `
ORDER BY identifier, sequence)
UNION ALL
(SELECT 3, identifier
FROM @incident_seen
WHERE organization_id = $1 AND identifier > ? AND identifier <= ? AND user_id = ?
ORDER BY identifier, user_id)
UNION ALL
(SELECT 4, identifier
FROM @incident_subscription
WHERE organization_id = $1 AND identifier > ? AND identifier <= ? AND user_id = ?
ORDER BY identifier, user_id)
UNION ALL
(SELECT 5, identifier
FROM @incident_outbox
WHERE organization_id = $1 AND identifier > ? AND identifier <= ? AND strpos(error, ?) > 0
ORDER BY identifier, replayed)
UNION ALL
(SELECT 6, identifier
FROM @incident_queue
WHERE organization_id = $1 AND identifier > ? AND identifier <= ? AND strpos(error, ?) > 0
ORDER BY identifier, notifier, reminder, replayed)`

const tracedActivitySQL = `(user_id = ? OR field = 'assignee' AND (old_text = ? OR new_text = ?))`

// eraseActivitiesSQL also changes the revision and the transaction of comments.
const eraseActivitiesSQL = `
UPDATE @incident_activity
SET user_id = CASE WHEN user_id = ?::text THEN ?::text ELSE user_id END,
	old_text = CASE WHEN field = 'assignee' AND old_text = ?::text THEN nullif(?::text, '') ELSE old_text END,
	new_text = CASE WHEN field = 'assignee' AND new_text = ?::text THEN nullif(?::text, '') ELSE new_text END,
	revision = revision + CASE WHEN type = 3 AND user_id = ?::text THEN 1 ELSE 0 END,
	changed = DEFAULT
WHERE organization_id = $1 AND identifier = ANY (?::bigint[]) AND ` + tracedActivitySQL

const eraseSeenSQL = `
WITH gone AS (
	DELETE FROM @incident_seen
	WHERE organization_id = $1 AND identifier = ANY (?::bigint[]) AND user_id = ?
	RETURNING identifier, last_seen
)
INSERT INTO @incident_seen AS s (organization_id, identifier, user_id, last_seen)
SELECT $1::text, g.identifier, ?::text, g.last_seen
FROM gone g
JOIN @incident i ON i.organization_id = $1 AND i.identifier = g.identifier
WHERE ? <> ''
ON CONFLICT (organization_id, identifier, user_id) DO UPDATE
SET last_seen = greatest(s.last_seen, EXCLUDED.last_seen)`

const eraseSubscriptionSQL = `
WITH gone AS (
	DELETE FROM @incident_subscription
	WHERE organization_id = $1 AND identifier = ANY (?::bigint[]) AND user_id = ?
	RETURNING identifier, date_added
)
INSERT INTO @incident_subscription AS s (organization_id, identifier, user_id, date_added)
SELECT $1::text, g.identifier, ?::text, g.date_added
FROM gone g
JOIN @incident i ON i.organization_id = $1 AND i.identifier = g.identifier
WHERE ? <> ''
ON CONFLICT (organization_id, identifier, user_id) DO UPDATE
SET date_added = least(s.date_added, EXCLUDED.date_added)`

// The errors of attempts are erased in all rows, not only in parked ones.
const (
	eraseOutboxSQL = `
UPDATE @incident_outbox
SET error = ''
WHERE organization_id = $1 AND identifier = ANY (?::bigint[]) AND strpos(error, ?) > 0`
	eraseQueueSQL = `
UPDATE @incident_queue
SET error = ''
WHERE organization_id = $1 AND identifier = ANY (?::bigint[]) AND strpos(error, ?) > 0`
)

// EraseUser implements [incident.RetentionStore]. It first looks for traces, without a lock, and
// then replaces them in several transactions:
//
//   - in each of the tables that are written without a lock on the incident, and in the outbox
//   - in the incidents that no other transaction has locked
//   - in each of the other incidents alone: a transaction that waits for an incident holds no
//     other lock
func (s *Store) EraseUser(ctx context.Context, q incident.EraseQuery) (b incident.EraseBatch, err error) {
	const op = "erase user"
	if s.tx != nil {
		return b, s.translate(ctx, op, errRetentionInTx)
	}
	visited, more, err := s.firstIncidents(ctx, op, q.OrganizationID, q.After, q.Limit, maxReadActivities)
	if err != nil {
		return b, err
	}
	last := int64(math.MaxInt64) // also rows that a write has left behind a deletion
	if more {
		last = visited[len(visited)-1]
		b.Next = last
	}
	traces, err := s.findTraces(ctx, q, last)
	if err != nil {
		return incident.EraseBatch{}, err
	}
	for table, text := range map[int]string{tracedSeen: eraseSeenSQL, tracedSubscription: eraseSubscriptionSQL} {
		if err := s.eraseRows(ctx, q, text, traces[table], string(q.UserID), string(q.As), string(q.As)); err != nil {
			return incident.EraseBatch{}, err
		}
	}
	for table, text := range map[int]string{tracedOutbox: eraseOutboxSQL, tracedQueue: eraseQueueSQL} {
		if err := s.eraseRows(ctx, q, text, traces[table], string(q.UserID)); err != nil {
			return incident.EraseBatch{}, err
		}
	}
	if err := s.eraseIncidents(ctx, q, merged(traces[tracedIncident], traces[tracedActivity])); err != nil {
		return incident.EraseBatch{}, err
	}
	b.Changed, err = s.versionsOf(ctx, q.OrganizationID,
		merged(traces[tracedIncident], traces[tracedActivity], traces[tracedSeen], traces[tracedSubscription]))
	if err != nil {
		return incident.EraseBatch{}, err
	}
	return b, nil
}

// merged returns the sorted union of lists.
func merged(lists ...[]int64) []int64 {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

// findTraces returns the identifiers with a trace by table, in ascending order.
func (s *Store) findTraces(ctx context.Context, q incident.EraseQuery, last int64) (map[int][]int64, error) {
	st := s.statement(string(q.OrganizationID))
	after, upTo, user := st.parameter(q.After), st.parameter(last), st.parameter(string(q.UserID))
	st.add(tracesSQL, after, upTo, user, user, after, upTo, user, user, user, after, upTo, user, after, upTo, user,
		after, upTo, user, after, upTo, user)
	return query(ctx, s, "erase user", st, func(rows rowSet) (map[int][]int64, error) {
		traces := map[int]map[int64]bool{}
		var table int
		var identifier int64
		err := scanEach(rows, func() {
			if traces[table] == nil {
				traces[table] = map[int64]bool{}
			}
			traces[table][identifier] = true
		}, integer(&table), integer(&identifier))
		sorted := map[int][]int64{}
		for table, identifiers := range traces {
			sorted[table] = slices.Sorted(maps.Keys(identifiers))
		}
		return sorted, err
	})
}

// eraseRows runs a statement about the rows of incidents in a transaction.
func (s *Store) eraseRows(ctx context.Context, q incident.EraseQuery, text string, identifiers []int64, args ...any) error {
	if len(identifiers) == 0 {
		return nil
	}
	_, err := inBatch(ctx, s, "erase user", func(tx *Store) (none struct{}, err error) {
		st := tx.statement(string(q.OrganizationID))
		return none, tx.exec(ctx, st.add(text, append([]any{pq.Int64Array(identifiers)}, args...)...))
	})
	return err
}

const versionsSQL = `
SELECT identifier, version, activities
FROM @incident
WHERE organization_id = $1 AND identifier = ANY (?::bigint[])`

// versionsOf returns the present versions of incidents, in ascending order of identifier.
func (s *Store) versionsOf(ctx context.Context, org incident.OrganizationID, identifiers []int64) (all []incident.IncidentVersion, err error) {
	if len(identifiers) == 0 {
		return nil, nil
	}
	st := s.statement(string(org)).add(versionsSQL, pq.Int64Array(identifiers))
	all, err = query(ctx, s, "erase user", st, func(rows rowSet) (all []incident.IncidentVersion, err error) {
		v := incident.IncidentVersion{Key: incident.Key{OrganizationID: org}}
		err = scanEach(rows, func() { all = append(all, v) }, integer(&v.Key.Identifier), integer(&v.Version), integer(&v.Activities))
		return all, err
	})
	slices.SortFunc(all, func(a, b incident.IncidentVersion) int { return int(a.Key.Identifier - b.Key.Identifier) })
	return all, err
}
