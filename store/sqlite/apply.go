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
	if replayed, err := replay(ctx, q, c, &applied); replayed || err != nil {
		return applied, err
	}
	var before stored
	if c.Key.Identifier != 0 {
		if before, err = readStored(ctx, q, c.Key); err != nil {
			return applied, err
		}
		if c.Incident != nil && before.version != c.ExpectVersion {
			return applied, incident.ErrVersionConflict
		}
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

// stored has the fields of a stored incident that a change needs.
type stored struct {
	version    int64
	activities int64 // the sequence of the last activity
	place
}

// place identifies the position of an incident in lists. The start is part of the key of every
// list.
type place struct {
	started  time.Time
	assignee incident.UserID
}

const storedSQL = `
SELECT version, activities, date_started, optional ->> '$.response.assignee' FROM incident
WHERE organization_id = ? AND identifier = ?`

func readStored(ctx context.Context, q session, key incident.Key) (s stored, err error) {
	found, err := queryOne(ctx, q, storedSQL, []any{string(key.OrganizationID), key.Identifier},
		integer(&s.version), integer(&s.activities), instant(&s.started), text(&s.assignee))
	if err == nil && !found {
		err = incident.ErrNotFound
	}
	return s, err
}

var errOtherIncident = fmt.Errorf("%w: the notification UUID belongs to another incident", incident.ErrConflict)

// replay reports whether an earlier change had the same UUIDs, and its result in applied.
func replay(ctx context.Context, q session, c *incident.Change, applied *incident.Applied) (bool, error) {
	org, isNew := c.Key.OrganizationID, c.Key.Identifier == 0
	found := incident.Key{OrganizationID: org}
	if isNew && c.Incident.DetectionUUID != uuid.Nil {
		known, err := queryOne(ctx, q, `SELECT identifier FROM incident WHERE organization_id = ? AND detection_uuid = ?`,
			[]any{string(org), c.Incident.DetectionUUID[:]}, integer(&found.Identifier))
		if err != nil {
			return false, err
		}
		if known {
			applied.Replayed = true
			applied.Incident, err = loadRow(ctx, q, found)
			return true, err
		}
	}
	if len(c.Activities) == 0 {
		return false, nil
	}
	var sequence int64
	known, err := queryOne(ctx, q,
		`SELECT identifier, sequence FROM incident_activity WHERE notification_uuid = ? AND organization_id = ?`,
		[]any{c.Activities[0].NotificationUUID[:], string(org)}, integer(&found.Identifier), integer(&sequence))
	if err != nil || !known {
		return false, err
	}
	if !isNew && found.Identifier != c.Key.Identifier {
		return false, errOtherIncident
	}
	a, err := readActivity(ctx, q, found, sequence)
	if err != nil {
		return false, err
	}
	applied.Replayed, applied.Activity = true, &a
	applied.Incident, err = loadRow(ctx, q, found)
	return true, err
}

const loadRowSQL = `SELECT ` + incidentColumns + ` FROM incident i WHERE i.organization_id = ? AND i.identifier = ?`

// loadRow returns an incident that exists.
func loadRow(ctx context.Context, q session, key incident.Key) (inc incident.Incident, err error) {
	found, err := queryOne(ctx, q, loadRowSQL, []any{string(key.OrganizationID), key.Identifier}, scanIncident(&inc)...)
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
