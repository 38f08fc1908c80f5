package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// explanation is what there is in the way of a change.
type explanation struct {
	version   int64  // of the incident that the change names
	versionBy callID // the call that wrote it
	started   time.Time
	holder    int64 // of a slot that the change claims, another incident

	activity  incident.Activity // of the first NotificationUUID
	writtenBy callID            // the call that wrote the activity
	notified  incident.Incident // that of the activity

	detected *incident.Incident // that of the DetectionUUID of a creation
}

const explainSQL = `
SELECT o.version, o.call_id, o.date_started, h.holder, d.identifier, a.call_id,
	` + activityColumns + `, ` + incidentColumns + `
FROM (SELECT 1) one
LEFT JOIN @incident o ON o.organization_id = $1 AND o.identifier = ?
LEFT JOIN @incident_activity a ON a.organization_id = $1 AND a.notification_uuid = ?
LEFT JOIN @incident d ON d.organization_id = $1 AND d.detection_uuid = ?
LEFT JOIN @incident i ON i.organization_id = $1 AND i.identifier = coalesce(d.identifier, a.identifier)
LEFT JOIN LATERAL (
	SELECT s.holder
	FROM unnest(?::text[], ?::text[], ?::text[]) AS claimed (rule, project, query)
	JOIN @incident_slot s ON s.organization_id = $1
		AND s.alert_rule_id = claimed.rule AND s.project_id = claimed.project AND s.query_id = claimed.query
	WHERE s.holder NOT IN (0, ?)
	LIMIT 1
) h ON true`

// explain looks for what is in the way of a change, all at one moment.
func (s *Store) explain(ctx context.Context, c incident.Change) (explanation, error) {
	var notification, detection any
	if len(c.Activities) > 0 {
		notification = c.Activities[0].NotificationUUID
	}
	if c.Key.Identifier == 0 && c.Incident.DetectionUUID != uuid.Nil {
		detection = c.Incident.DetectionUUID
	}
	rules, projects, queries := slotArrays(c.Claim)
	st := s.statement(string(c.Key.OrganizationID)).
		add(explainSQL, c.Key.Identifier, notification, detection, rules, projects, queries, c.Key.Identifier)
	return ask(ctx, s, st, func(rows rowSet) (x explanation, err error) {
		var inc incident.Incident
		var detected int64
		dest := slices.Concat([]any{
			integer(&x.version), integer(&x.versionBy), instant(&x.started), integer(&x.holder), integer(&detected), integer(&x.writtenBy),
		}, scanActivity(&x.activity), scanIncident(&inc))
		err = each(rows, func() {}, dest...)
		x.activity.Incident.OrganizationID = c.Key.OrganizationID
		x.notified = inc
		if detected != 0 {
			x.detected = &inc
		}
		return x, err
	})
}

// movesFrom reports whether nothing was written only because the change moves
// the incident's start.
func (x explanation) movesFrom(w writing) bool {
	return w.Key.Identifier != 0 && w.Incident != nil && x.version == w.ExpectVersion &&
		x.activity.Sequence == 0 && x.holder == 0 && !x.started.Equal(w.startedBefore)
}
