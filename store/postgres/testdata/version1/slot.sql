SELECT s.version, i.organization_id, i.identifier, i.title, i.type, i.status, i.status_method,
	i.alert_rule_id, i.query_id, i.detection_uuid, i.projects,
	i.date_started, i.date_detected, i.date_added, i.date_closed, i.version, t.identifier, t.trigger_id, t.status, t.severity, t.date_added, t.date_modified
FROM "public".incident_slot s
LEFT JOIN "public".incident i ON i.organization_id = $1 AND i.identifier = s.holder
LEFT JOIN "public".incident_trigger t ON t.organization_id = $1 AND t.identifier = s.holder
WHERE s.organization_id = $1 AND s.alert_rule_id = $2 AND s.project_id = $3 AND s.query_id = $4
