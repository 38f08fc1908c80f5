-- Makes schema version 3 of version 4. Deleted incidents stay deleted. Processes that have read
-- one within the last hour may still have it in their cache, and must be restarted.

LOCK TABLE incident_schema, incident_activity, incident_deleted, incident_task;

DROP INDEX incident_acknowledged;
DROP TABLE incident_task;
DROP TABLE incident_deleted;

ALTER TABLE incident_schema
    DROP COLUMN resets,
    DROP COLUMN forgotten;

UPDATE incident_schema SET version = CASE version WHEN 4 THEN 3 END, serves = 1;
