package postgres

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// parkedPage lists the rows of a page of parked notifications, in the order of
// [incident.ParkedPosition]. incident_outbox has rows only for the notifier without a name.
// {columns} are further columns, and {lock} locks the rows. A row that is no longer parked once
// it is locked does not count.
const parkedPage = `
	SELECT *
	FROM (
		SELECT * FROM (
			SELECT true AS unnamed, o.identifier, '' AS reminder, o.replayed{columns}{no reminder}
			FROM @incident_outbox o
			WHERE ?::text = '' AND o.organization_id = $1 AND o.due = 'infinity'
				AND o.identifier <= ? AND (o.identifier, o.replayed) > (?::bigint, ?::bigint)
			ORDER BY o.identifier, o.replayed
			LIMIT ?
			{lock}
		) o
		UNION ALL
		SELECT * FROM (
			SELECT false, o.identifier, o.reminder, o.replayed{columns}{reminder}
			FROM @incident_queue o
			WHERE o.notifier = ? AND o.organization_id = $1 AND o.due = 'infinity'
				AND o.identifier <= ? AND (o.identifier, o.reminder, o.replayed) > (?::bigint, ?::text, ?::bigint)
			ORDER BY o.identifier, o.reminder, o.replayed
			LIMIT ?
			{lock}
		) q
	) p
	ORDER BY identifier, reminder COLLATE "C", replayed
	LIMIT ?`

var parkedSQL = `
SELECT p.identifier, p.reminder, p.replayed, p.attempts, p.error, p.since, coalesce(p.notification_uuid, a.notification_uuid), p.unless, p.status
FROM (` + strings.NewReplacer(
	"{columns}", ", o.attempts, o.error, o.since",
	"{no reminder}", ", NULL::uuid AS notification_uuid, NULL::smallint AS unless, NULL::smallint AS status",
	"{reminder}", ", o.notification_uuid, o.unless, o.status",
	"{lock}", "",
).Replace(parkedPage) + `
) p
LEFT JOIN @incident_activity a
	ON a.organization_id = $1 AND a.identifier = p.identifier AND a.sequence = p.replayed AND p.reminder = ''
ORDER BY p.identifier, p.reminder COLLATE "C", p.replayed`

// parkedArgs returns the arguments of parkedPage.
func parkedArgs(st *statement, q incident.ParkedQuery) []any {
	last, after := int64(math.MaxInt64), q.After
	if q.Identifier != 0 {
		last = q.Identifier
		if after.Identifier < q.Identifier {
			after = incident.ParkedPosition{Identifier: q.Identifier}
		}
	}
	afterActivity := after.Sequence
	if after.Reminder != "" {
		afterActivity = math.MaxInt64 // activities come before reminders
	}
	notifier, upTo, limit := st.parameter(q.Notifier), st.parameter(last), st.parameter(q.Limit)
	identifier := st.parameter(after.Identifier)
	return []any{
		notifier, upTo, identifier, afterActivity, limit,
		notifier, upTo, identifier, after.Reminder, after.Sequence, limit,
		limit,
	}
}

// Parked implements [incident.OutboxStore].
func (s *Store) Parked(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
	st := s.statement(string(q.OrganizationID))
	st.add(parkedSQL, parkedArgs(st, q)...)
	return query(ctx, s, "parked", st, func(rows rowSet) (all []incident.ParkedNotification, err error) {
		p := incident.ParkedNotification{Incident: incident.Key{OrganizationID: q.OrganizationID}, Notifier: q.Notifier}
		r := incident.Reminder{Notifier: q.Notifier}
		err = scanEach(rows, func() {
			found := p
			if r.Name != "" {
				reminder := r
				reminder.At, reminder.NotificationUUID = time.UnixMicro(p.Sequence).UTC(), p.NotificationUUID
				found.Sequence, found.Reminder = 0, &reminder
			}
			all = append(all, found)
		},
			integer(&p.Incident.Identifier), text(&r.Name), integer(&p.Sequence), integer(&p.Attempts), text(&p.Error),
			instant(&p.DateParked), identity(&p.NotificationUUID), integer(&r.Unless), integer(&r.Status))
		return all, err
	})
}

// parkedBatch is a statement that changes the rows of a page. As in claimSQL, a second limit and
// conditions that always hold bound the rows that the planner expects.
type parkedBatch struct{ page, change string }

func newParkedBatch(unnamed, named string) parkedBatch {
	page := strings.NewReplacer("{columns}", "", "{no reminder}", "", "{reminder}", "", "{lock}", "FOR UPDATE").Replace(parkedPage)
	return parkedBatch{`
WITH page AS MATERIALIZED (
	SELECT * FROM (` + page + `
	) p`, `
), unnamed AS (
	` + unnamed + `
	WHERE o.organization_id = $1 AND o.identifier = p.identifier AND o.replayed = p.replayed
		AND p.unnamed AND p.identifier + 0 > 0 AND p.replayed + 0 > 0
), named AS (
	` + named + `
	WHERE o.organization_id = $1 AND o.identifier = p.identifier AND o.notifier = ? AND o.reminder = p.reminder AND o.replayed = p.replayed
		AND NOT p.unnamed AND p.identifier + 0 > 0 AND p.replayed + 0 > 0
)
SELECT i.identifier, p.identifier, p.reminder, p.replayed
FROM (SELECT) one
LEFT JOIN @incident i ON i.organization_id = $1 AND i.identifier = ?
LEFT JOIN page p ON true
ORDER BY p.identifier, p.reminder COLLATE "C", p.replayed`}
}

// The limits of a batch that the planner knows.
const (
	usualBatchSQL = " LIMIT 1000"
	largeBatchSQL = " LIMIT 1000000"
)

const requeueSQL = `
	SET due = now(), ready = true, since = now(), attempts = 0
	FROM page p`

var (
	replaySQL        = newParkedBatch("UPDATE @incident_outbox o"+requeueSQL, "UPDATE @incident_queue o"+requeueSQL)
	discardParkedSQL = newParkedBatch("DELETE FROM @incident_outbox o\n\tUSING page p", "DELETE FROM @incident_queue o\n\tUSING page p")
)

// Replay implements [incident.OutboxStore]. It waits for transactions that have locked a parked
// notification. After a lost reply the batch lacks the notifications that the lost attempt
// replayed.
func (s *Store) Replay(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	return s.changeParked(ctx, "replay", replaySQL, q)
}

// DiscardParked implements [incident.OutboxStore]. It waits, and counts after a lost reply, as
// Replay does.
func (s *Store) DiscardParked(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	return s.changeParked(ctx, "discard parked", discardParkedSQL, q)
}

func (s *Store) changeParked(ctx context.Context, op string, p parkedBatch, q incident.ParkedQuery) (b incident.ParkedBatch, err error) {
	bound := usualBatchSQL
	if q.Limit > 1000 {
		bound = largeBatchSQL
	}
	err = s.write(ctx, op, func(s *Store, c *call) error {
		st := s.statement(counted{string(q.OrganizationID), c})
		st.add(p.page, parkedArgs(st, q)...).add(bound).add(p.change, q.Notifier, q.Identifier)
		found := int64(0)
		b, err = queryCounted(ctx, s, c, st, func(rows rowSet) (b incident.ParkedBatch, err error) {
			last := incident.ParkedPosition{}
			err = scanEach(rows, func() {
				if last.Identifier != 0 {
					b.Count, b.Last = b.Count+1, last
				}
			}, integer(&found), integer(&last.Identifier), text(&last.Reminder), integer(&last.Sequence))
			return b, err
		})
		if err == nil && found == 0 && q.Identifier != 0 {
			err = incident.ErrNotFound
		}
		return err
	})
	return b, err
}
