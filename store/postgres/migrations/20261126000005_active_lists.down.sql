-- Makes schema version 4 of version 5.

LOCK TABLE incident_schema, incident, incident_active;

DROP TABLE incident_active;
DROP INDEX incident_outdated;

ALTER TABLE incident DROP COLUMN listed;

UPDATE incident_schema SET version = CASE version WHEN 5 THEN 4 END, serves = greatest(serves, 1);
