package sqlite

import (
	"context"
	"slices"

	"github.com/incidentkit/incident"
)

// EraseUser implements [incident.RetentionStore]. It finds the incidents with a trace of the user on
// a connection that reads, and changes them in a write.
func (s *Store) EraseUser(ctx context.Context, eq incident.EraseQuery) (incident.EraseBatch, error) {
	if s.tx != nil {
		return incident.EraseBatch{}, translate(ctx, "erase user", errRetentionTx)
	}
	eq.Limit = min(eq.Limit, mostVisited)
	found, err := read(ctx, s, "erase user", longSnapshot, func(ctx context.Context, q session) (traced, error) {
		return findTraces(ctx, q, &eq)
	})
	if err != nil || len(found.identifiers) == 0 {
		return incident.EraseBatch{Next: found.next}, err
	}
	return put(ctx, s, "erase user", func(ctx context.Context, q session) (b incident.EraseBatch, err error) {
		e := erasure{portion: s.newPortion(ctx, q, eq.OrganizationID), user: eq.UserID, as: eq.As}
		for i, identifier := range found.identifiers {
			if err := e.erase(identifier); err != nil {
				return b, err
			}
			if last := i == len(found.identifiers)-1; e.isLate() && !last {
				return incident.EraseBatch{Changed: e.changed, Next: identifier}, nil
			}
		}
		return incident.EraseBatch{Changed: e.changed, Next: found.next}, nil
	})
}

// traced are the incidents with a trace of a user among those that a call visits.
type traced struct {
	identifiers []int64 // in ascending order
	next        int64   // the last visited incident, or 0 if there is none after it
}

// tracesSQL finds the identifiers ?2 to ?3 with a trace of the user ?4. Each statement reads a
// range of a primary key.
var tracesSQL = [...]string{
	`SELECT identifier FROM incident
	WHERE organization_id = ?1 AND identifier BETWEEN ?2 AND ?3 AND ?4 IN (optional ->> '$.response.assignee', optional ->> '$.response.by')`,
	`SELECT DISTINCT identifier FROM incident_activity
	WHERE organization_id = ?1 AND identifier BETWEEN ?2 AND ?3 AND (user_id = ?4 OR field = 'assignee' AND ?4 IN (old_text, new_text))`,
	`SELECT identifier FROM incident_seen WHERE organization_id = ?1 AND identifier BETWEEN ?2 AND ?3 AND user_id = ?4`,
	`SELECT identifier FROM incident_subscription WHERE organization_id = ?1 AND identifier BETWEEN ?2 AND ?3 AND user_id = ?4`,
	`SELECT DISTINCT identifier FROM incident_queue WHERE organization_id = ?1 AND identifier BETWEEN ?2 AND ?3 AND instr(error, ?4) > 0`,
}

// findTraces finds the traces in the next incidents.
func findTraces(ctx context.Context, q session, eq *incident.EraseQuery) (t traced, err error) {
	visited, err := identifiersAfter(ctx, q, eq.OrganizationID, eq.After, eq.Limit+1)
	if err != nil || len(visited) == 0 {
		return t, err
	}
	if len(visited) > eq.Limit {
		visited = visited[:eq.Limit]
		t.next = visited[len(visited)-1]
	}
	args := []any{string(eq.OrganizationID), visited[0], visited[len(visited)-1], string(eq.UserID)}
	var n int64
	for _, statement := range tracesSQL {
		if err := queryEach(ctx, q, statement, args, func() { t.identifiers = append(t.identifiers, n) }, integer(&n)); err != nil {
			return t, err
		}
	}
	slices.Sort(t.identifiers)
	t.identifiers = slices.Compact(t.identifiers)
	return t, nil
}

// erasure replaces a user in incidents.
type erasure struct {
	portion
	user, as incident.UserID
	changed  []incident.IncidentVersion
}

// erase replaces the user in an incident. It ignores an incident that was deleted meanwhile.
func (e *erasure) erase(identifier int64) error {
	inc, found, err := e.read(identifier)
	if err != nil || !found {
		return err
	}
	comments, others, err := e.eraseRows(identifier)
	if err != nil {
		return err
	}
	responded := e.eraseResponse(&inc.Incident)
	if comments == 0 && others == 0 && !responded {
		return nil // only an error named the user, or the trace was removed meanwhile
	}
	switch {
	case responded:
		err = e.writeResponse(&inc)
	case comments > 0:
		err = e.touch(identifier)
	}
	e.changed = append(e.changed, inc.version())
	return err
}

const (
	eraseCommentsSQL = `
UPDATE incident_activity SET user_id = ?4, revision = revision + 1
WHERE organization_id = ?1 AND identifier = ?2 AND user_id = ?3 AND type = 3`
	eraseAuthorsSQL = `
UPDATE incident_activity SET user_id = ?4 WHERE organization_id = ?1 AND identifier = ?2 AND user_id = ?3`
	eraseAssigneesSQL = `
UPDATE incident_activity SET
	old_text = CASE old_text WHEN ?3 THEN nullif(?4, '') ELSE old_text END,
	new_text = CASE new_text WHEN ?3 THEN nullif(?4, '') ELSE new_text END
WHERE organization_id = ?1 AND identifier = ?2 AND field = 'assignee' AND ?3 IN (old_text, new_text)`
	mergeSeenSQL = `
INSERT INTO incident_seen (organization_id, identifier, user_id, last_seen)
SELECT organization_id, identifier, ?4, last_seen FROM incident_seen
WHERE organization_id = ?1 AND identifier = ?2 AND user_id = ?3 AND ?4 <> ''
ON CONFLICT DO UPDATE SET last_seen = max(last_seen, excluded.last_seen)`
	eraseSeenSQL         = `DELETE FROM incident_seen WHERE organization_id = ?1 AND identifier = ?2 AND user_id = ?3`
	mergeSubscriptionSQL = `
INSERT INTO incident_subscription (organization_id, identifier, user_id, date_added)
SELECT organization_id, identifier, ?4, date_added FROM incident_subscription
WHERE organization_id = ?1 AND identifier = ?2 AND user_id = ?3 AND ?4 <> ''
ON CONFLICT DO UPDATE SET date_added = min(date_added, excluded.date_added)`
	eraseSubscriptionSQL = `DELETE FROM incident_subscription WHERE organization_id = ?1 AND identifier = ?2 AND user_id = ?3`
	eraseErrorsSQL       = `
UPDATE incident_queue SET error = '' WHERE organization_id = ?1 AND identifier = ?2 AND instr(error, ?3) > 0`
)

// eraseRows replaces the user in the rows that belong to an incident. It returns the number of
// changed comments, and of other rows, except errors.
func (e *erasure) eraseRows(identifier int64) (comments, others int64, err error) {
	args := []any{string(e.org), identifier, string(e.user), string(e.as)}
	var errors int64
	for _, change := range []struct {
		statement string
		args      []any
		count     *int64
	}{
		{eraseCommentsSQL, args, &comments},
		{eraseAuthorsSQL, args, &others},
		{eraseAssigneesSQL, args, &others},
		{mergeSeenSQL, args, &others},
		{eraseSeenSQL, args[:3], &others},
		{mergeSubscriptionSQL, args, &others},
		{eraseSubscriptionSQL, args[:3], &others},
		{eraseErrorsSQL, args[:3], &errors},
	} {
		n, err := e.exec(e.ctx, change.statement, change.args...)
		if err != nil {
			return 0, 0, err
		}
		*change.count += n
	}
	return comments, others, nil
}

// eraseResponse replaces the user in the response, and reports whether that is a change. A response
// that names nobody any more, and has no acknowledgement, becomes nil.
func (e *erasure) eraseResponse(inc *incident.Incident) bool {
	r := inc.Response
	if r == nil || r.Assignee != e.user && r.AcknowledgedBy != e.user {
		return false
	}
	for _, user := range []*incident.UserID{&r.Assignee, &r.AcknowledgedBy} {
		if *user == e.user {
			*user = e.as
		}
	}
	if *r == (incident.Response{}) {
		inc.Response = nil
	}
	return true
}

// writeResponse writes the response after a change, and moves the incident to the list of its
// assignee.
func (e *erasure) writeResponse(inc *listed) error {
	number, err := nextTransaction(e.ctx, e.session)
	if err != nil {
		return err
	}
	inc.Version++
	_, err = e.exec(e.ctx, `UPDATE incident SET optional = ?3, version = ?4, changed = ?5 WHERE organization_id = ?1 AND identifier = ?2`,
		string(e.org), inc.Identifier, optionalOf(&inc.Incident), inc.Version, number)
	if err != nil {
		return err
	}
	list := func(user incident.UserID) []any {
		return []any{string(e.org), assigneeDigest(user), micro(inc.DateStarted), inc.Identifier}
	}
	n, err := e.exec(e.ctx, unlabelSQL, list(e.user)...)
	if err == nil && n > 0 && e.as != "" {
		_, err = e.exec(e.ctx, labelSQL, list(e.as)...)
	}
	return err
}

// touch has the feed report an incident whose comments have changed.
func (e *erasure) touch(identifier int64) error {
	number, err := nextTransaction(e.ctx, e.session)
	if err == nil {
		_, err = e.exec(e.ctx, touchSQL, number, string(e.org), identifier)
	}
	return err
}
