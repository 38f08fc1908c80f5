package sqlite

import (
	"context"
	"math"
	"time"

	"github.com/incidentkit/incident"
)

// maxInteger is the greatest integer of SQLite. As a time it is never reached: a parked
// notification is due then.
const maxInteger = math.MaxInt64

// now returns the time of the outbox's clock in microseconds. All processes share the clock of the
// machine.
func now() int64 { return time.Now().UnixMicro() }

// later returns a time after now, before maxInteger.
func later(now int64, d time.Duration) int64 { return now + max(0, d.Microseconds()) }

const endRemindersSQL = `
DELETE FROM incident_queue
WHERE organization_id = ? AND identifier = ? AND reminder <> '' AND due < 9223372036854775807`

const queueTailSQL = `
SELECT last, pending FROM incident_queue
WHERE organization_id = ? AND identifier = ? AND notifier = ? AND reminder = '' AND replayed = 0`

const appendQueueSQL = `
UPDATE incident_queue SET last = ?, pending = ?
WHERE organization_id = ? AND identifier = ? AND notifier = ? AND reminder = '' AND replayed = 0`

// arriving is subtracted from the due time of a new queue, in microseconds. The queue is not ready
// until the next claim, so that it enters the index incident_queue_delayed, in order of arrival: new
// queues of many organizations then change one page of an index, instead of a page for each
// organization of incident_queue_ready. A negative time is due even if the clock was set back. A
// library that makes such a queue ready and keeps its time claims it before others of the organization.
const arriving = 1 << 53

const openQueueSQL = `
INSERT INTO incident_queue (organization_id, identifier, notifier, reminder, replayed, next, last, pending, due, ready, since)
VALUES (?, ?, ?, '', 0, ?, ?, ?, ?, 0, ?)`

// enqueue ends the reminders and queues the activities, each as the change says.
func (w *writing) enqueue() error {
	if w.EndReminders && w.Key.Identifier != 0 {
		if err := w.run(endRemindersSQL, w.identifier); err != nil {
			return err
		}
	}
	for i := range w.Notify {
		if err := w.enqueueFor(&w.Notify[i]); err != nil {
			return err
		}
	}
	return nil
}

// enqueueFor queues the wanted activities for a notifier: from the first to the last of them.
// If the queue exists, it also gets the wanted activities that were appended in between.
func (w *writing) enqueueFor(t *incident.NotifyTarget) error {
	first, last, wanted := w.wanted(t)
	if wanted == 0 {
		return nil
	}
	if w.Key.Identifier == 0 {
		return w.openQueue(t, first, last, wanted)
	}
	var tail, pending int64
	found, err := queryOne(w.ctx, w, queueTailSQL, []any{w.org, w.identifier, t.Notifier}, integer(&tail), integer(&pending))
	if err != nil {
		return err
	}
	if !found {
		return w.openQueue(t, first, last, wanted)
	}
	between, err := countActivities(w.ctx, w, w.key(), tail+1, w.applied.Sequence-1, t.Types)
	if err != nil {
		return err
	}
	_, err = w.exec(w.ctx, appendQueueSQL, last, pending+between+wanted, w.org, w.identifier, t.Notifier)
	return err
}

func (w *writing) openQueue(t *incident.NotifyTarget, first, last, wanted int64) error {
	at := now()
	return w.run(openQueueSQL, w.identifier, t.Notifier, first, last, wanted, at-arriving, at)
}

func (w *writing) key() incident.Key {
	return incident.Key{OrganizationID: w.Key.OrganizationID, Identifier: w.identifier}
}

// wanted returns the sequences of the first and the last activity of the change that t wants,
// and their number.
func (w *writing) wanted(t *incident.NotifyTarget) (first, last, n int64) {
	for i := range w.Activities {
		if !t.Wants(w.Activities[i].Type) {
			continue
		}
		if last = w.applied.Sequence + int64(i); n == 0 {
			first = last
		}
		n++
	}
	return first, last, n
}

const countActivitiesSQL = `
SELECT count(*) FROM incident_activity WHERE organization_id = ?1 AND identifier = ?2 AND sequence BETWEEN ?3 AND ?4` + typesSQL

// countActivities counts the activities of a range with any of the types, or all if there are none.
func countActivities(
	ctx context.Context, q session, key incident.Key, first, last int64, types []incident.ActivityType,
) (n int64, err error) {
	if last < first {
		return 0, nil
	}
	_, err = queryOne(ctx, q, countActivitiesSQL,
		[]any{string(key.OrganizationID), key.Identifier, first, last, typesOf(types)}, integer(&n))
	return n, err
}

// typesSQL selects activities by a JSON array of their types, or all if it is NULL.
const typesSQL = ` AND (?5 IS NULL OR type IN (SELECT value FROM json_each(?5)))`

// typesOf returns the argument of typesSQL.
func typesOf(types []incident.ActivityType) any {
	if len(types) == 0 {
		return nil
	}
	return jsonOf(types)
}
