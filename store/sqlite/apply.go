package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// Apply implements [incident.IncidentStore]. Changes that meet share a commit.
func (s *Store) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	applied, err := put(ctx, s, "apply", func(ctx context.Context, q session) (incident.Applied, error) {
		return apply(ctx, q, &c)
	})
	if err == nil && len(c.Notify) > 0 {
		s.queued.Store(true)
	}
	return applied, err
}

// apply makes all checks before it writes anything.
func apply(ctx context.Context, q session, c *incident.Change) (applied incident.Applied, err error) {
	var before stored
	if c.Key.Identifier == 0 {
		before, err = readNew(ctx, q, c)
	} else {
		before, err = readStored(ctx, q, c.Key, firstUUID(c))
	}
	switch {
	case err != nil:
		return applied, err
	case before.earlier != 0:
		return replay(ctx, q, c, before)
	case c.Key.Identifier != 0 && c.Incident != nil && before.version != c.ExpectVersion:
		return applied, incident.ErrVersionConflict
	}
	if err := checkSlots(ctx, q, c); err != nil {
		return applied, err
	}
	w := writing{Change: c, session: q, ctx: ctx, before: before}
	if err := w.write(); err != nil {
		return incident.Applied{}, err
	}
	return w.applied, nil
}

// stored is the stored state that a change needs.
type stored struct {
	incidents  int64 // of the organization; read for a new incident only
	version    int64
	activities int64 // the sequence of the last activity
	place

	// The incident that an earlier change with the same UUID wrote, and the sequence of its activity:
	// 0 for none, and the sequence is 0 if it was found by the detection UUID.
	earlier, sequence int64
}

// place identifies the position of an incident in lists. The start is part of the key of every
// list.
type place struct {
	started  time.Time
	assignee incident.UserID
}

// firstUUID returns the UUID by which a repetition of the change is recognized: nil for none.
func firstUUID(c *incident.Change) any {
	if len(c.Activities) == 0 {
		return nil
	}
	return c.Activities[0].NotificationUUID[:]
}

const earlierSQL = `SELECT identifier, sequence FROM incident_activity WHERE notification_uuid = ? AND organization_id = ?`

const storedSQL = `
SELECT i.version, i.activities, i.date_started, i.optional ->> '$.response.assignee', a.identifier, a.sequence
FROM incident i
LEFT JOIN incident_activity a ON a.notification_uuid = ? AND a.organization_id = i.organization_id
WHERE i.organization_id = ? AND i.identifier = ?`

// readStored returns the state of an existing incident, and the earlier change with a UUID.
func readStored(ctx context.Context, q session, key incident.Key, id any) (s stored, err error) {
	found, err := queryOne(ctx, q, storedSQL, []any{id, string(key.OrganizationID), key.Identifier},
		integer(&s.version), integer(&s.activities), instant(&s.started), text(&s.assignee),
		integer(&s.earlier), integer(&s.sequence))
	if err != nil || found {
		return s, err
	}
	if id != nil {
		found, err = queryOne(ctx, q, earlierSQL, []any{id, string(key.OrganizationID)}, integer(&s.earlier), integer(&s.sequence))
	}
	if err == nil && !found {
		err = incident.ErrNotFound
	}
	return s, err
}

const newSQL = `
SELECT (SELECT incidents FROM incident_organization WHERE organization_id = ?1),
	(SELECT identifier FROM incident_activity WHERE notification_uuid = ?2 AND organization_id = ?1),
	(SELECT sequence FROM incident_activity WHERE notification_uuid = ?2 AND organization_id = ?1)`

// readNew returns the state that a new incident meets.
func readNew(ctx context.Context, q session, c *incident.Change) (s stored, err error) {
	org := string(c.Key.OrganizationID)
	if c.Incident.DetectionUUID != uuid.Nil {
		found, err := queryOne(ctx, q, `SELECT identifier FROM incident WHERE organization_id = ? AND detection_uuid = ?`,
			[]any{org, c.Incident.DetectionUUID[:]}, integer(&s.earlier))
		if err != nil || found {
			return s, err
		}
	}
	_, err = queryOne(ctx, q, newSQL, []any{org, firstUUID(c)}, integer(&s.incidents), integer(&s.earlier), integer(&s.sequence))
	return s, err
}

var errOtherIncident = fmt.Errorf("%w: the notification UUID belongs to another incident", incident.ErrConflict)

// replay returns the result of an earlier change with the same UUIDs.
func replay(ctx context.Context, q session, c *incident.Change, before stored) (applied incident.Applied, err error) {
	found := incident.Key{OrganizationID: c.Key.OrganizationID, Identifier: before.earlier}
	if before.sequence != 0 {
		if c.Key.Identifier != 0 && found != c.Key {
			return applied, errOtherIncident
		}
		a, err := readActivity(ctx, q, found, before.sequence)
		if err != nil {
			return applied, err
		}
		applied.Activity = &a
	}
	applied.Replayed = true
	applied.Incident, err = loadRow(ctx, q, found)
	return applied, err
}

const loadRowSQL = `SELECT ` + incidentColumns + ` FROM incident i WHERE i.organization_id = ? AND i.identifier = ?`

// loadRow returns an incident that exists.
func loadRow(ctx context.Context, q session, key incident.Key) (inc incident.Incident, err error) {
	found, err := queryOne(ctx, q, loadRowSQL, []any{string(key.OrganizationID), key.Identifier}, scanIncident(key.OrganizationID, &inc)...)
	if err == nil && !found {
		err = fmt.Errorf("sqlite: %s is listed but missing", key)
	}
	return inc, err
}

const slotSQL = `
SELECT version, holder FROM incident_slot
WHERE organization_id = ? AND alert_rule_id = ? AND project_id = ? AND query_id = ?`

// checkSlots returns an [*incident.ConflictError] if another incident holds a slot that the
// change claims, and [incident.ErrVersionConflict] if a slot has another version than expected.
func checkSlots(ctx context.Context, q session, c *incident.Change) error {
	for _, sl := range c.Claim {
		var version, holder int64
		if _, err := queryOne(ctx, q, slotSQL, slotArgs(sl), integer(&version), integer(&holder)); err != nil {
			return err
		}
		if holder != 0 && holder != c.Key.Identifier {
			return &incident.ConflictError{Existing: incident.Key{OrganizationID: sl.OrganizationID, Identifier: holder}}
		}
	}
	if e := c.ExpectSlot; e != nil {
		var version, holder int64
		if _, err := queryOne(ctx, q, slotSQL, slotArgs(e.Slot), integer(&version), integer(&holder)); err != nil {
			return err
		}
		if version != e.Version {
			return incident.ErrVersionConflict
		}
	}
	return nil
}
