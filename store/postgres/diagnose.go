package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// diagnosis is the state of the database around a change that wrote nothing.
type diagnosis struct {
	version   int64  // of the incident named by the change
	versionBy callID // the call that wrote the version
	place
	holder   int64 // another incident that holds a slot claimed by the change
	expected int64 // the version of the slot of which the change expects a version

	activity  incident.Activity // with the first NotificationUUID of the change
	writtenBy callID            // the call that wrote the activity
	notified  incident.Incident // the activity's incident

	detected *incident.Incident // with the DetectionUUID of a creation
}

const diagnoseSQL = `
SELECT o.version, o.call_id, o.date_started, o.optional #>> '{response,assignee}', o.listing, h.holder, e.version, d.identifier, a.call_id,
	` + activityColumns + `, ` + incidentColumns + `
FROM (SELECT 1) one
LEFT JOIN LATERAL (
	SELECT *, ` + listingSQL + ` AS listing
	FROM @incident
	WHERE organization_id = $1 AND identifier = ?
) o ON true
LEFT JOIN @incident_activity a ON a.organization_id = $1 AND a.notification_uuid = ?
LEFT JOIN @incident d ON d.organization_id = $1 AND d.detection_uuid = ?
LEFT JOIN LATERAL (
	SELECT *
	FROM @incident
	WHERE organization_id = $1 AND identifier = coalesce(d.identifier, a.identifier)
	OFFSET 0
) i ON true
LEFT JOIN @incident_slot e ON e.organization_id = $1 AND e.alert_rule_id = ? AND e.project_id = ? AND e.query_id = ?
LEFT JOIN LATERAL (
	SELECT s.holder
	FROM unnest(?::text[], ?::text[], ?::text[]) AS claimed (rule, project, query)
	JOIN @incident_slot s ON s.organization_id = $1
		AND s.alert_rule_id = claimed.rule AND s.project_id = claimed.project AND s.query_id = claimed.query
	WHERE s.holder NOT IN (0, ?)
	LIMIT 1
) h ON true`

// diagnose reads, in one snapshot, the rows that may have prevented a change.
func (s *Store) diagnose(ctx context.Context, c incident.Change) (diagnosis, error) {
	var notification, detection any
	if len(c.Activities) > 0 {
		notification = c.Activities[0].NotificationUUID
	}
	if c.Key.Identifier == 0 && c.Incident.DetectionUUID != uuid.Nil {
		detection = c.Incident.DetectionUUID
	}
	var expected incident.Slot
	if c.ExpectSlot != nil {
		expected = c.ExpectSlot.Slot
	}
	rules, projects, queries := slotArrays(c.Claim)
	st := s.statement(string(c.Key.OrganizationID)).
		add(diagnoseSQL, c.Key.Identifier, notification, detection,
			string(expected.AlertRuleID), string(expected.ProjectID), string(expected.QueryID), rules, projects, queries, c.Key.Identifier)
	return queryOnce(ctx, s, st, func(rows rowSet) (d diagnosis, err error) {
		var inc incident.Incident
		var detected int64
		dest := slices.Concat([]any{
			integer(&d.version), integer(&d.versionBy), instant(&d.started), text(&d.assignee), integer(&d.listing), integer(&d.holder),
			integer(&d.expected), integer(&detected), integer(&d.writtenBy),
		}, scanActivity(&d.activity), scanIncident(&inc))
		err = scanOne(rows, dest...)
		d.activity.Incident.OrganizationID = c.Key.OrganizationID
		d.notified = inc
		if detected != 0 {
			d.detected = &inc
		}
		return d, err
	})
}

// isBaseOf reports whether a change was decided on the incident as it is.
func (d diagnosis) isBaseOf(c *incident.Change) bool {
	before := statusBefore(c)
	return d.version == c.ExpectVersion && (before == 0 || before == d.status()) &&
		(c.ExpectWrite == 0 || c.ExpectWrite == incident.WriteID(d.versionBy))
}

// onlyMoves reports whether the change wrote nothing only because the incident has another
// place than the change took for granted.
func (d diagnosis) onlyMoves(w writing) bool {
	return w.Key.Identifier != 0 && w.Incident != nil && d.isBaseOf(&w.Change) &&
		d.activity.Sequence == 0 && d.holder == 0 && !d.place.equal(w.before)
}

// verdict returns the result of a change whose latest statement wrote nothing: an earlier
// attempt or another call wrote the change, or the database refuses it. It returns errAgain
// if nothing is in the way any more.
func (d diagnosis) verdict(change incident.Change, c *call) (incident.Applied, error) {
	known := d.activity.Sequence != 0
	switch {
	case known && d.writtenBy == c.id:
		// The reply was lost, and with it the versions of the slots.
		a := incident.Applied{Sequence: d.activity.Sequence, Fence: fenceOf(&change, c)}
		if change.Incident != nil {
			a.Incident = change.Incident.Clone()
			a.Incident.Identifier = d.activity.Incident.Identifier
		}
		return a, nil
	case d.detected != nil:
		return incident.Applied{Replayed: true, Incident: *d.detected}, nil
	case known && change.Key.Identifier != 0 && change.Key.Identifier != d.activity.Incident.Identifier:
		return incident.Applied{}, fmt.Errorf("%w: the notification UUID belongs to another incident", incident.ErrConflict)
	case known:
		return incident.Applied{
			Replayed: true, Incident: d.notified, Activity: &d.activity,
		}, nil
	case change.Key.Identifier != 0 && d.version == 0:
		return incident.Applied{}, incident.ErrNotFound
	case change.Key.Identifier != 0 && change.Incident != nil && !d.isBaseOf(&change):
		return d.versionVerdict(change, c)
	case d.holder != 0:
		return incident.Applied{}, &incident.ConflictError{
			Existing: incident.Key{OrganizationID: change.Key.OrganizationID, Identifier: d.holder},
		}
	case change.ExpectSlot != nil && d.expected != change.ExpectSlot.Version:
		return incident.Applied{}, incident.ErrVersionConflict
	}
	return incident.Applied{}, errAgain
}

// versionVerdict returns the result of a change that found an unexpected version. If the
// change has no activity, only the version itself shows which call wrote it.
func (d diagnosis) versionVerdict(change incident.Change, c *call) (incident.Applied, error) {
	switch {
	case d.version == change.Incident.Version && d.versionBy == c.id:
		return incident.Applied{Incident: change.Incident.Clone()}, nil
	case c.lost() && len(change.Activities) == 0 && d.version > change.Incident.Version:
		return incident.Applied{}, incident.ErrUnknownOutcome // a later version hides whether this call wrote
	}
	return incident.Applied{}, incident.ErrVersionConflict
}
