package postgres

import (
	"context"
	"slices"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// lockAloneSQL waits for the lock of an incident.
const lockAloneSQL = `
SELECT ` + incidentColumns + `
FROM @incident i
WHERE i.organization_id = $1 AND i.identifier = ?
FOR UPDATE`

// eraseIncidents replaces the user in activities and responses. It locks the incidents first, as
// all writers of activities do.
func (s *Store) eraseIncidents(ctx context.Context, q incident.EraseQuery, identifiers []int64) error {
	if len(identifiers) == 0 {
		return nil
	}
	skipped, err := inBatch(ctx, s, "erase user", func(tx *Store) ([]int64, error) {
		locked, err := tx.lockIncidents(ctx, q.OrganizationID, identifiers, nil)
		if err != nil {
			return nil, err
		}
		return slices.DeleteFunc(slices.Clone(identifiers), locked.has), tx.eraseLocked(ctx, q, locked)
	})
	if err != nil {
		return err
	}
	for _, identifier := range skipped {
		_, err := inBatch(ctx, s, "erase user", func(tx *Store) (none struct{}, err error) {
			st := tx.statement(string(q.OrganizationID)).add(lockAloneSQL, identifier)
			locked, err := queryOnce(ctx, tx, st, readLocked)
			if err != nil {
				return none, err
			}
			return none, tx.eraseLocked(ctx, q, locked)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eraseLocked replaces the user in incidents that the transaction has locked, and removes the user's digest.
func (s *Store) eraseLocked(ctx context.Context, q incident.EraseQuery, locked lockedIncidents) error {
	if len(locked) == 0 {
		return nil
	}
	st := s.statement(string(q.OrganizationID))
	user, as := st.parameter(string(q.UserID)), st.parameter(string(q.As))
	st.add(eraseActivitiesSQL, user, as, user, as, user, as, user, pq.Int64Array(locked.identifiers()), user, user, user)
	if err := s.exec(ctx, st); err != nil {
		return err
	}
	// An older library may have assigned an incident to another user, and left its rows.
	if err := s.delistAny(ctx, q.OrganizationID, locked.identifiers()); err != nil {
		return err
	}
	return s.eraseResponses(ctx, q, locked)
}

// eraseResponsesSQL moves the incidents from the lists of one assignee to those of another, if
// there is another.
const eraseResponsesSQL = `
WITH written AS (
	UPDATE @incident i
	SET optional = nullif(v.optional, '')::jsonb, version = i.version + 1, call_id = ?, changed = DEFAULT,
		listed = i.listed + CASE WHEN i.listed = i.version THEN 1 ELSE 0 END
	FROM unnest(?::bigint[], ?::text[]) AS v (identifier, optional)
	WHERE i.organization_id = $1 AND i.identifier = v.identifier
), labelled AS (
	INSERT INTO @incident_label (organization_id, digest, date_started, identifier)
	SELECT $1::text, ?::uuid, v.date_started, v.identifier
	FROM unnest(?::timestamptz[], ?::bigint[]) AS v (date_started, identifier)
	WHERE ? <> ''
	ON CONFLICT DO NOTHING
), listed AS (
	INSERT INTO @incident_active (organization_id, digest, date_started, identifier)
	SELECT $1::text, ?::uuid, v.date_started, v.identifier
	FROM unnest(?::timestamptz[], ?::bigint[]) AS v (date_started, identifier)
	WHERE ? <> ''
	ON CONFLICT DO NOTHING
), delisted AS (
	DELETE FROM @incident_active a
	USING unnest(?::timestamptz[], ?::bigint[]) AS v (date_started, identifier)
	WHERE a.organization_id = $1 AND a.digest = ?::uuid AND a.date_started = v.date_started AND a.identifier = v.identifier
)
DELETE FROM @incident_label l
USING unnest(?::timestamptz[], ?::bigint[]) AS v (date_started, identifier)
WHERE l.organization_id = $1 AND l.digest = ?::uuid AND l.date_started = v.date_started AND l.identifier = v.identifier`

// eraseResponses replaces the user in the responses of incidents.
func (s *Store) eraseResponses(ctx context.Context, q incident.EraseQuery, locked lockedIncidents) error {
	var identifiers, assigned, active pq.Int64Array
	var optionals, started, activeStarted pq.StringArray
	for i := range locked {
		inc := &locked[i]
		if inc.Response == nil || inc.Response.Assignee != q.UserID && inc.Response.AcknowledgedBy != q.UserID {
			continue
		}
		if inc.Response.Assignee == q.UserID {
			inc.Response.Assignee = q.As
			assigned, started = append(assigned, inc.Identifier), append(started, timestamp(inc.DateStarted))
			if inc.Status.Active() {
				active, activeStarted = append(active, inc.Identifier), append(activeStarted, timestamp(inc.DateStarted))
			}
		}
		if inc.Response.AcknowledgedBy == q.UserID {
			inc.Response.AcknowledgedBy = q.As
		}
		if *inc.Response == (incident.Response{}) {
			inc.Response = nil
		}
		text, _ := optionalOf(inc).(string)
		identifiers, optionals = append(identifiers, inc.Identifier), append(optionals, text)
	}
	if len(identifiers) == 0 {
		return nil
	}
	st := s.statement(string(q.OrganizationID))
	at, to := st.parameter(started), st.parameter(assigned)
	from, as := assigneeDigest(q.UserID), string(q.As)
	return s.exec(ctx, st.add(eraseResponsesSQL, newCall("erase user").id, identifiers, optionals,
		assigneeDigest(q.As), at, to, as, assigneeDigest(q.As), activeStarted, active, as, at, to, from, at, to, from))
}
