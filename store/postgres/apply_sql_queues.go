package postgres

import (
	"math/rand/v2"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// queues tells for which notifiers a statement queues the activities of a change. Texts for fewer
// notifiers are cheaper: a table that a statement names costs even if nothing is written to it.
type queues struct {
	unnamed queued // the notifier without a name
	named   bool   // notifiers with a name
}

// queued tells which activities a statement queues for the notifier without a name.
type queued int

const (
	noneQueued queued = iota
	allQueued
	someQueued // the activities that the notifier wants
)

func (w *writing) queues() (q queues) {
	if len(w.Activities) == 0 {
		return q
	}
	for i := range w.Notify {
		switch t := &w.Notify[i]; {
		case t.Notifier != "":
			q.named = true
		case len(t.Types) == 0:
			q.unnamed = allQueued
		default:
			q.unnamed = someQueued
		}
	}
	return q
}

// newQueueSQL are the values of due, since, ready, attempts and fence of the queues of a new incident,
// which are claimed if their lease is not 0.
const newQueueSQL = `now() + v.lease * interval '1 microsecond', now(), v.lease = 0, (v.lease > 0)::integer, v.fence`

// A server that took over without the last commits makes queues again for the same identifiers and
// sequences. So the fences are random: a new queue begins with the high bits of the random number of its
// call, and each claim adds a random step. A settlement of a lost claim then meets another fence.
const (
	fenceBits     = 40
	fenceStepBits = 24
)

// fenceOf returns the fence of the claims of a written change, or 0 if it has none.
func fenceOf(change *incident.Change, c *call) int64 {
	if len(change.Leases) == 0 {
		return 0
	}
	return int64(c.id)>>(63-fenceBits) + 1
}

// fenceStep returns how far a claim moves the fences.
func fenceStep() int64 { return 1 + rand.Int64N(1<<fenceStepBits) }

// lease returns the lease of a notifier's queue in microseconds, 0 for none.
func (w *writing) lease(i int) int64 {
	if len(w.Leases) == 0 {
		return 0
	}
	return w.Leases[i].Microseconds()
}

// addQueues queues the activities that a change appends, with a row for each notifier: for the
// notifier without a name in incident_outbox, and for the others in incident_queue, in order of
// name. If the incident has a queue already, the change locks it until the commit; claims and
// settlements skip it.
func addQueues(st *statement, w *writing, l layout) {
	isNew := w.Key.Identifier == 0
	switch l.queues.unnamed {
	case allQueued:
		addWholeQueue(st, w)
	case someQueued:
		rows := queueRowsOf(w, func(name string) bool { return name == "" })
		st.add(`, queued AS (
	INSERT INTO @incident_outbox AS o (organization_id, identifier, replayed, next, last, pending, due, since, ready, attempts, fence)
	SELECT $1::text, t.identifier, 0, t.activities - v.next, t.activities - v.last, nullif(v.pending, 0), `+newQueueSQL+`
	FROM target t, unnest(?::bigint[], ?::bigint[], ?::integer[], ?::bigint[], ?::bigint[]) AS v (next, last, pending, lease, fence)`,
			rows.next, rows.last, rows.pending, rows.lease, rows.fence)
		if !isNew {
			st.add(`
	ON CONFLICT (organization_id, identifier, replayed) DO UPDATE` + extendSQL)
		}
		st.add(`
)`)
	}
	if !l.queues.named {
		return
	}
	rows := queueRowsOf(w, func(name string) bool { return name != "" })
	st.add(`, queued_by_name AS (
	INSERT INTO @incident_queue AS o (organization_id, identifier, notifier, reminder, replayed, next, last, pending, due, since, ready, attempts, fence)
	SELECT $1::text, t.identifier, v.notifier, '', 0, t.activities - v.next, t.activities - v.last, nullif(v.pending, 0), `+newQueueSQL+`
	FROM target t, unnest(?::text[], ?::bigint[], ?::bigint[], ?::integer[], ?::bigint[], ?::bigint[]) AS v (notifier, next, last, pending, lease, fence)`,
		rows.notifier, rows.next, rows.last, rows.pending, rows.lease, rows.fence)
	if !isNew {
		st.add(`
	ON CONFLICT (organization_id, identifier, notifier, reminder, replayed) DO UPDATE` + extendSQL)
	}
	st.add(`
)`)
}

// addWholeQueue queues all activities for the notifier without a name.
func addWholeQueue(st *statement, w *writing) {
	if w.Key.Identifier == 0 {
		st.add(`, queued AS (
	INSERT INTO @incident_outbox (organization_id, identifier, replayed, next, last, due, since, ready, attempts, fence)
	SELECT $1::text, t.identifier, 0, t.activities - ?, t.activities, `+newQueueSQL+`
	FROM target t, (SELECT ?::bigint AS lease, ?::bigint AS fence) v
)`, len(w.Activities)-1, w.lease(0), w.fence)
		return
	}
	st.add(`, queued AS (
	INSERT INTO @incident_outbox AS o (organization_id, identifier, replayed, next, last, due, since, ready)
	SELECT $1::text, identifier, 0, activities - ?, activities, now(), now(), true
	FROM target
	ON CONFLICT (organization_id, identifier, replayed) DO UPDATE
	SET last = EXCLUDED.last, pending = o.pending + EXCLUDED.last - EXCLUDED.next + 1
)`, len(w.Activities)-1)
}

// queueRows are the rows that a change adds to a table of queues. A row ends at the last wanted
// activity. next and last are counted from the end of the activities, and pending is 0 if all are
// queued.
type queueRows struct {
	notifier            pq.StringArray
	next, last, pending pq.Int64Array
	lease, fence        pq.Int64Array // the lease in microseconds; 0 for none
}

func queueRowsOf(w *writing, isIn func(notifier string) bool) (rows queueRows) {
	for i := range w.Notify {
		t := &w.Notify[i]
		next, last, n := wanted(w.Activities, t)
		if n == 0 || !isIn(t.Notifier) {
			continue
		}
		if len(t.Types) == 0 {
			n = 0
		}
		rows.notifier = append(rows.notifier, t.Notifier)
		rows.next, rows.last, rows.pending = append(rows.next, next), append(rows.last, last), append(rows.pending, n)
		rows.lease, rows.fence = append(rows.lease, w.lease(i)), append(rows.fence, w.fence)
	}
	return rows
}

// extendSQL appends to a row. pending stays NULL as long as all from next to last are queued.
const extendSQL = `
	SET last = EXCLUDED.last, pending = coalesce(
		o.pending + coalesce(EXCLUDED.pending, EXCLUDED.last - EXCLUDED.next + 1),
		o.last - o.next + 1 + EXCLUDED.pending
	)`

// wanted returns how far the first and the last activity that a notifier wants are from the end
// of log, and the number of wanted activities.
func wanted(log []incident.Activity, target *incident.NotifyTarget) (next, last, n int64) {
	for i := range log {
		if !target.Wants(log[i].Type) {
			continue
		}
		if n == 0 {
			next = int64(len(log) - 1 - i)
		}
		last = int64(len(log) - 1 - i)
		n++
	}
	return next, last, n
}

// addEnd deletes the reminders of the incident, if the change ends them.
func addEnd(st *statement, w *writing) {
	st.add(`, ended AS (
	DELETE FROM @incident_queue q
	USING target t
	WHERE q.organization_id = $1 AND q.identifier = t.identifier AND q.reminder <> '' AND q.due < 'infinity' AND ?::boolean
)`, w.EndReminders)
}

// addEndCondition makes target empty if a reminder was set after the statement began: then the
// statement does not see the reminder.
func addEndCondition(st *statement, w *writing) {
	st.add(`
		AND (NOT ?::boolean OR coalesce(reminded, 0) = coalesce((SELECT reminded FROM @incident WHERE organization_id = $1 AND identifier = ?), 0))`,
		w.EndReminders, w.Key.Identifier)
}
