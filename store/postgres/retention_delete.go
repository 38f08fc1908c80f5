package postgres

import (
	"context"
	"strconv"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// servesDeletions is the oldest version whose libraries read incident_deleted. The first
// deletion refuses all older libraries: an incident that was deleted would stay in their caches.
const servesDeletions = 4

var raiseSQL = `
UPDATE @incident_schema
SET serves = ` + strconv.Itoa(servesDeletions) + `
WHERE serves < ` + strconv.Itoa(servesDeletions) + ` AND $1 = $1::text`

const servesSQL = `
SELECT serves
FROM @incident_schema
WHERE $1 = $1::text`

// deleteSQL deletes incidents and records them. Rows of incident_seen and incident_subscription
// that another transaction has locked stay, because that transaction may wait for an incident of
// this batch: see forgetSQL.
const deleteSQL = `
WITH gone AS (
	DELETE FROM @incident
	WHERE organization_id = $1 AND identifier = ANY (?::bigint[])
	RETURNING identifier, version + 1 AS version, activities
), recorded AS (
	INSERT INTO @incident_deleted (organization_id, identifier, version, activities, date_deleted)
	SELECT $1::text, identifier, version, activities, now()
	FROM gone
), activities AS (
	DELETE FROM @incident_activity
	WHERE organization_id = $1 AND identifier = ANY (?::bigint[])
), triggers AS (
	DELETE FROM @incident_trigger
	WHERE organization_id = $1 AND identifier = ANY (?::bigint[])
), unnamed AS (
	DELETE FROM @incident_outbox
	WHERE organization_id = $1 AND identifier = ANY (?::bigint[])
), named AS (
	DELETE FROM @incident_queue
	WHERE organization_id = $1 AND identifier = ANY (?::bigint[])
), linked AS (
	DELETE FROM @incident_project p
	USING unnest(?::text[], ?::timestamptz[], ?::bigint[]) AS d (project_id, date_started, identifier)
	WHERE p.organization_id = $1 AND p.project_id = d.project_id AND p.date_started = d.date_started AND p.identifier = d.identifier
), labelled AS (
	DELETE FROM @incident_label l
	USING unnest(?::uuid[], ?::timestamptz[], ?::bigint[]) AS d (digest, date_started, identifier)
	WHERE l.organization_id = $1 AND l.digest = d.digest AND l.date_started = d.date_started AND l.identifier = d.identifier
), active AS (
	DELETE FROM @incident_active a
	USING unnest(?::uuid[], ?::timestamptz[], ?::bigint[]) AS d (digest, date_started, identifier)
	WHERE a.organization_id = $1 AND a.digest = d.digest AND a.date_started = d.date_started AND a.identifier = d.identifier
), seen AS (
	DELETE FROM @incident_seen s
	USING (
		SELECT identifier, user_id
		FROM @incident_seen
		WHERE organization_id = $1 AND identifier = ANY (?::bigint[])
		LIMIT 100000
		FOR UPDATE SKIP LOCKED
	) d
	WHERE s.organization_id = $1 AND s.identifier = d.identifier AND s.user_id = d.user_id
), followed AS (
	DELETE FROM @incident_subscription s
	USING (
		SELECT identifier, user_id
		FROM @incident_subscription
		WHERE organization_id = $1 AND identifier = ANY (?::bigint[])
		LIMIT 100000
		FOR UPDATE SKIP LOCKED
	) d
	WHERE s.organization_id = $1 AND s.identifier = d.identifier AND s.user_id = d.user_id
)
SELECT identifier, version, activities
FROM gone`

// deleteLocked deletes the incidents with everything that belongs to them.
func (s *Store) deleteLocked(ctx context.Context, org incident.OrganizationID, d lockedIncidents) (deleted []incident.IncidentVersion, err error) {
	if len(d) == 0 {
		return nil, nil
	}
	if err := s.freeSlots(ctx, org, d); err != nil {
		return nil, err
	}
	if err := s.delistAny(ctx, org, d.identifiers()); err != nil {
		return nil, err
	}
	if err := s.raise(ctx); err != nil {
		return nil, err
	}
	st := s.statement(string(org))
	all := st.parameter(pq.Int64Array(d.identifiers()))
	var projects, linked, digests, labelled, actives, listed pq.StringArray
	var linkedTo, labelledTo, listedTo pq.Int64Array
	for i := range d {
		inc, started := &d[i], timestamp(d[i].DateStarted)
		for _, p := range inc.Projects {
			projects, linked, linkedTo = append(projects, string(p)), append(linked, started), append(linkedTo, inc.Identifier)
		}
		for _, digest := range digestsOfIncident(inc) {
			digests, labelled, labelledTo = append(digests, digest), append(labelled, started), append(labelledTo, inc.Identifier)
		}
		if !inc.Status.Active() {
			continue
		}
		for _, digest := range activeDigestsOf(inc) {
			actives, listed, listedTo = append(actives, digest), append(listed, started), append(listedTo, inc.Identifier)
		}
	}
	st.add(deleteSQL, all, all, all, all, all, projects, linked, linkedTo, digests, labelled, labelledTo,
		actives, listed, listedTo, all, all)
	return queryOnce(ctx, s, st, func(rows rowSet) (deleted []incident.IncidentVersion, err error) {
		v := incident.IncidentVersion{Key: incident.Key{OrganizationID: org}}
		err = scanEach(rows, func() { deleted = append(deleted, v) },
			integer(&v.Key.Identifier), integer(&v.Version), integer(&v.Activities))
		return deleted, err
	})
}

// digestsOfIncident returns the digests under which incident_label lists an incident.
func digestsOfIncident(inc *incident.Incident) pq.StringArray {
	labels := make([]incident.Label, 0, len(inc.Labels))
	for name, value := range inc.Labels {
		labels = append(labels, incident.Label{Name: name, Value: value})
	}
	return digestsOf(labels, assigneeOf(inc))
}

// freeSlotsSQL frees the slots that incidents hold. It locks them in the order of addWanted.
const freeSlotsSQL = `
WITH held AS MATERIALIZED (
	SELECT s.alert_rule_id, s.project_id, s.query_id
	FROM unnest(?::text[], ?::text[], ?::text[], ?::bigint[]) AS d (rule, project, query, identifier)
	JOIN @incident_slot s ON s.organization_id = $1 AND s.alert_rule_id = d.rule AND s.project_id = d.project
		AND s.query_id = d.query AND s.holder = d.identifier
	ORDER BY s.alert_rule_id, s.project_id, s.query_id
	FOR UPDATE OF s
)
UPDATE @incident_slot s
SET version = s.version + 1, changed = DEFAULT, holder = 0, holders = 0
FROM held
WHERE s.organization_id = $1 AND s.alert_rule_id = held.alert_rule_id AND s.project_id = held.project_id
	AND s.query_id = held.query_id`

// freeSlots keeps a Fire from meeting a holder that no longer exists.
func (s *Store) freeSlots(ctx context.Context, org incident.OrganizationID, d lockedIncidents) error {
	var slots []incident.Slot
	var holders pq.Int64Array
	for i := range d {
		if d[i].AlertRuleID == "" {
			continue
		}
		for _, p := range d[i].Projects {
			slots = append(slots, incident.Slot{AlertRuleID: d[i].AlertRuleID, ProjectID: p, QueryID: d[i].QueryID})
			holders = append(holders, d[i].Identifier)
		}
	}
	if len(slots) == 0 {
		return nil
	}
	rules, projects, queries := slotArrays(slots)
	return s.exec(ctx, s.statement(string(org)).add(freeSlotsSQL, rules, projects, queries, holders))
}
