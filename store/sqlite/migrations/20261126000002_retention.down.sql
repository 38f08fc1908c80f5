-- Makes schema version 1 again. Processes with a library of version 1 must not have been running
-- since the last deletion: their caches may have deleted incidents.
DROP INDEX incident_acknowledged;
DROP TABLE incident_task;
ALTER TABLE incident_history DROP COLUMN forgotten;
DROP TABLE incident_deleted;
UPDATE incident_schema SET version = 1, serves = 1;
