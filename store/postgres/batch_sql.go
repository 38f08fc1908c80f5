package postgres

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// batchLayout returns the layout of a creation for batches, and whether it goes only with
// creations of its organization. All batches write subscriptions, which may be none, and queue in
// one of three ways, so that there are few texts.
func (w *writing) batchLayout() (l layout, byOrg bool) {
	l = w.layout()
	if !l.suitsBatch() {
		return l, true
	}
	l.subscribes = true
	if l.queues.named || l.queues.unnamed == someQueued {
		l.queues = queues{someQueued, true}
	}
	return l, false
}

// suitsBatch reports whether the creation can be written by a statement for several
// organizations: a brief creation by a user or a program. A firing locks its slot, which other
// changes lock too: locks of several organizations could deadlock.
func (l layout) suitsBatch() bool { return l.brief && l.log == 2 && !l.slots }

// batchStatement returns the statement that writes brief creations. The members are in order of
// organization. Those of a single organization wait for its lock. Of several organizations, the
// statement locks those that are not locked, and writes their members alone: so it
// waits for no transaction while it has locks. A new organization has no row to lock.
//
// Like all statements without a look-up it fails if a member was written before.
func (s *Store) batchStatement(members []*member, isSingle bool, c *call) *statement {
	a := newBatchArrays(members)
	st := s.statementOfAll(counted{a.distinct, c})
	st.add(`WITH free AS (
	SELECT organization_id
	FROM @incident_organization
	WHERE organization_id = ANY ($1::text[])
	FOR UPDATE SKIP LOCKED
), counted AS (
	INSERT INTO @incident_organization AS o (organization_id, incidents)
	SELECT w.organization_id, w.members
	FROM unnest($1::text[], ?::bigint[]) AS w (organization_id, members)
	WHERE ?::boolean OR w.organization_id IN (SELECT organization_id FROM free)
	ON CONFLICT (organization_id) DO UPDATE
	SET incidents = o.incidents + EXCLUDED.incidents
	RETURNING organization_id, incidents
), target AS (
	SELECT m.*, c.incidents - m.behind AS identifier
	FROM counted c
	JOIN unnest(?::text[], ?::bigint[], ?::bigint[], ?::smallint[], ?::smallint[], ?::smallint[], ?::timestamptz[],
		?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::uuid[], ?::uuid[], ?::boolean[], ?::uuid[]) WITH ORDINALITY
		AS m (organization_id, behind, call_id, type, status, status_method, at,
			title, title_folded, alert_rule_id, query_id, project_id, user_id, detected, created, follows, digest, number)
		ON m.organization_id = c.organization_id
), created AS (
	INSERT INTO @incident (organization_id, identifier, version, activities, call_id,
		type, status, status_method, date_started, date_detected, date_added,
		title, title_folded, alert_rule_id, query_id, projects, listed)
	SELECT organization_id, identifier, 1, 2, call_id, type, status, status_method, at, at, at,
		title, title_folded, alert_rule_id, query_id, ARRAY[project_id], 1
	FROM target
), linked AS (
	INSERT INTO @incident_project (organization_id, project_id, date_started, identifier)
	SELECT organization_id, project_id, at, identifier
	FROM target
), listed AS (
	INSERT INTO @incident_active (organization_id, digest, date_started, identifier)
	SELECT organization_id, digest, at, identifier
	FROM target
), logged AS (
	INSERT INTO @incident_activity (organization_id, identifier, call_id, sequence, type, value, previous_value,
		date_added, notification_uuid, user_id, comment, revision)
	SELECT t.organization_id, t.identifier, t.call_id, v.sequence, v.type, v.value, 0, t.at, v.notification_uuid, t.user_id, '', 0
	FROM target t, LATERAL (VALUES
		(1, 4::smallint, 0::smallint, t.detected),
		(2, 1::smallint, t.status, t.created)
	) AS v (sequence, type, value, notification_uuid)
), followed AS (
	INSERT INTO @incident_subscription (organization_id, identifier, user_id, date_added)
	SELECT organization_id, identifier, user_id, at
	FROM target
	WHERE follows
)`, a.sizes, isSingle,
		a.orgs, a.behind, a.calls, a.types, a.statuses, a.methods, a.dates,
		a.titles, a.folded, a.rules, a.queries, a.projects, a.users, a.detected, a.created, a.follows, a.digests)
	s.addBatchQueues(st, members)
	return st.add(`
SELECT number, identifier FROM target`)
}

// batchArrays are the values of a batch as the texts of arrays, with an element for each member, except
// distinct and sizes: the organizations, and the numbers of their members.
type batchArrays struct {
	distinct, sizes                             string
	orgs, dates, titles, folded, rules, queries string
	projects, digests, users, detected, created string
	behind, calls, types, statuses, methods     string
	follows                                     string
}

func newBatchArrays(members []*member) (a batchArrays) {
	var w arrayWriter
	texts := func(of func(*member) string) string {
		return w.texts(len(members), func(i int) string { return of(members[i]) })
	}
	numbers := func(of func(*member) int64) string {
		return w.numbers(len(members), func(i int) int64 { return of(members[i]) })
	}
	ids := func(of func(*member) uuid.UUID) string {
		return w.write(len(members), func(to []byte, i int) []byte { id := of(members[i]); return hex.AppendEncode(to, id[:]) })
	}
	firsts, behind := groups(members)
	a.distinct = w.texts(len(firsts), func(i int) string { return string(members[firsts[i]].org()) })
	a.sizes = w.numbers(len(firsts), func(i int) int64 { return behind[firsts[i]] + 1 })
	a.behind = w.numbers(len(members), func(i int) int64 { return behind[i] })
	a.orgs = texts(func(m *member) string { return string(m.org()) })
	a.dates = w.write(len(members), func(to []byte, i int) []byte {
		return members[i].w.Incident.DateAdded.AppendFormat(to, time.RFC3339Nano)
	})
	a.calls = numbers(func(m *member) int64 { return int64(m.call.id) })
	a.types = numbers(func(m *member) int64 { return int64(m.w.Incident.Type) })
	a.statuses = numbers(func(m *member) int64 { return int64(m.w.Incident.Status) })
	a.methods = numbers(func(m *member) int64 { return int64(m.w.Incident.StatusMethod) })
	a.titles = texts(func(m *member) string { return m.w.Incident.Title })
	a.folded = texts(func(m *member) string { return incident.FoldTitle(m.w.Incident.Title) })
	a.rules = texts(func(m *member) string { return string(m.w.Incident.AlertRuleID) })
	a.queries = texts(func(m *member) string { return string(m.w.Incident.QueryID) })
	a.projects = texts(func(m *member) string { return string(m.w.Incident.Projects[0]) })
	a.digests = texts((*member).digest)
	a.users = texts(func(m *member) string { return string(m.w.Activities[0].UserID) })
	a.detected = ids(func(m *member) uuid.UUID { return m.w.Activities[0].NotificationUUID })
	a.created = ids(func(m *member) uuid.UUID { return m.w.Activities[1].NotificationUUID })
	a.follows = w.write(len(members), func(to []byte, i int) []byte { return strconv.AppendBool(to, len(members[i].w.Subscriptions) > 0) })
	return a
}

// digest returns the digest of the project.
func (m *member) digest() string {
	if added := m.w.relist.add; len(added) == 1 {
		return added[0] // the only list of an active incident
	}
	return projectDigest(m.w.Incident.Projects[0])
}

// groups returns the index of the first member of each organization, and how many members of its
// organization are behind each member.
func groups(members []*member) (firsts []int, behind []int64) {
	firsts, behind = make([]int, 0, len(members)), make([]int64, len(members))
	for i := len(members) - 2; i >= 0; i-- {
		if members[i].org() == members[i+1].org() {
			behind[i] = behind[i+1] + 1
		}
	}
	for i := 0; i < len(members); i += int(behind[i]) + 1 {
		firsts = append(firsts, i)
	}
	return firsts, behind
}

// addBatchQueues queues the activities of a batch, as addQueues does those of a change.
func (s *Store) addBatchQueues(st *statement, members []*member) {
	q := members[0].layout.queues
	if q == (queues{}) {
		return
	}
	s.queued.Store(true)
	if !q.named {
		leases, fences := batchLeases(members)
		st.add(`, queued AS (
	INSERT INTO @incident_outbox (organization_id, identifier, replayed, next, last, due, since, ready, attempts, fence)
	SELECT t.organization_id, t.identifier, 0, 1, 2, `+newQueueSQL+`
	FROM target t
	JOIN unnest(?::bigint[], ?::bigint[]) WITH ORDINALITY AS v (lease, fence, number) ON v.number = t.number
)`, leases, fences)
		return
	}
	ofUnnamed, unnamed := batchQueueRows(members, func(name string) bool { return name == "" })
	ofNamed, named := batchQueueRows(members, func(name string) bool { return name != "" })
	st.add(`, queued AS (
	INSERT INTO @incident_outbox (organization_id, identifier, replayed, next, last, pending, due, since, ready, attempts, fence)
	SELECT t.organization_id, t.identifier, 0, 2 - v.next, 2 - v.last, nullif(v.pending, 0), `+newQueueSQL+`
	FROM unnest(?::bigint[], ?::bigint[], ?::bigint[], ?::integer[], ?::bigint[], ?::bigint[]) AS v (number, next, last, pending, lease, fence)
	JOIN target t ON t.number = v.number
), queued_by_name AS (
	INSERT INTO @incident_queue (organization_id, identifier, notifier, reminder, replayed, next, last, pending, due, since, ready, attempts, fence)
	SELECT t.organization_id, t.identifier, v.notifier, '', 0, 2 - v.next, 2 - v.last, nullif(v.pending, 0), `+newQueueSQL+`
	FROM unnest(?::bigint[], ?::text[], ?::bigint[], ?::bigint[], ?::integer[], ?::bigint[], ?::bigint[]) AS v (number, notifier, next, last, pending, lease, fence)
	JOIN target t ON t.number = v.number
)`, ofUnnamed, unnamed.next, unnamed.last, unnamed.pending, unnamed.lease, unnamed.fence,
		ofNamed, named.notifier, named.next, named.last, named.pending, named.lease, named.fence)
}

// batchQueueRows returns the rows of all members, and the number of the member of each row.
func batchQueueRows(members []*member, isIn func(notifier string) bool) (numbers pq.Int64Array, all queueRows) {
	for i, m := range members {
		rows := queueRowsOf(&m.w, isIn)
		for range rows.notifier {
			numbers = append(numbers, int64(i+1))
		}
		all.notifier = append(all.notifier, rows.notifier...)
		all.lease, all.fence = append(all.lease, rows.lease...), append(all.fence, rows.fence...)
		all.next, all.last, all.pending = append(all.next, rows.next...), append(all.last, rows.last...), append(all.pending, rows.pending...)
	}
	return numbers, all
}

// batchLeases returns the lease and the fence of each member's only queue, as the texts of arrays.
func batchLeases(members []*member) (leases, fences string) {
	var w arrayWriter
	leases = w.numbers(len(members), func(i int) int64 { return members[i].w.lease(0) })
	fences = w.numbers(len(members), func(i int) int64 { return members[i].w.fence })
	return leases, fences
}
