package postgres

import (
	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// queues tells for which notifiers a statement queues the activities of a change.
type queues int

const (
	noQueue      queues = iota
	unnamedQueue        // for the notifier without a name, all of them
	anyQueues           // for any notifiers, and for those activities that each wants
)

func (w *writing) queues() queues {
	switch {
	case len(w.Notify) == 0 || len(w.Activities) == 0:
		return noQueue
	case len(w.Notify) == 1 && w.Notify[0].Notifier == "" && len(w.Notify[0].Types) == 0:
		return unnamedQueue
	}
	return anyQueues
}

// addQueues queues the activities that a change appends. If the incident has a queue already,
// the change locks it until the commit; claims and settlements skip it.
func addQueues(st *statement, w *writing, l layout) {
	if l.queues == anyQueues {
		addAnyQueues(st, w)
		return
	}
	st.add(`, queued AS (
	INSERT INTO @incident_outbox AS o (organization_id, identifier, replayed, next, last, due, since, ready)
	SELECT $1::text, identifier, 0, activities - ?, activities, now(), now(), true
	FROM target`, len(w.Activities)-1)
	if w.Key.Identifier != 0 {
		st.add(`
	ON CONFLICT (organization_id, identifier, replayed) DO UPDATE
	SET last = EXCLUDED.last, pending = o.pending + EXCLUDED.last - EXCLUDED.next + 1`)
	}
	st.add(`
)`)
}

// addAnyQueues adds a row for each notifier: for the notifier without a name to
// incident_outbox, and for the others to incident_queue, in order of name. A row ends at the
// last wanted activity.
func addAnyQueues(st *statement, w *writing) {
	var names pq.StringArray
	var nexts, lasts, pending pq.Int64Array
	for i := range w.Notify {
		next, last, n := wanted(w.Activities, &w.Notify[i])
		if n == 0 {
			continue
		}
		if len(w.Notify[i].Types) == 0 {
			n = 0 // all are queued
		}
		names, nexts, lasts, pending = append(names, w.Notify[i].Notifier), append(nexts, next), append(lasts, last), append(pending, n)
	}
	args := []any{st.parameter(names), st.parameter(nexts), st.parameter(lasts), st.parameter(pending)}
	const lists = `
	FROM target t, unnest(?::text[], ?::bigint[], ?::bigint[], ?::integer[]) AS v (notifier, next, last, pending)`
	st.add(`, queued AS (
	INSERT INTO @incident_outbox AS o (organization_id, identifier, replayed, next, last, pending, due, since, ready)
	SELECT $1::text, t.identifier, 0, t.activities - v.next, t.activities - v.last, nullif(v.pending, 0), now(), now(), true`+lists+`
	WHERE v.notifier = ''`, args...)
	if w.Key.Identifier != 0 {
		st.add(`
	ON CONFLICT (organization_id, identifier, replayed) DO UPDATE` + extendSQL)
	}
	st.add(`
), queued_by_name AS (
	INSERT INTO @incident_queue AS o (organization_id, identifier, notifier, reminder, replayed, next, last, pending, due, since, ready)
	SELECT $1::text, t.identifier, v.notifier, '', 0, t.activities - v.next, t.activities - v.last, nullif(v.pending, 0), now(), now(), true`+lists+`
	WHERE v.notifier <> ''`, args...)
	if w.Key.Identifier != 0 {
		st.add(`
	ON CONFLICT (organization_id, identifier, notifier, reminder, replayed) DO UPDATE` + extendSQL)
	}
	st.add(`
)`)
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
