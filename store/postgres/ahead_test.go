package postgres_test

import (
	"github.com/incidentkit/incident/store/postgres"
)

// additive is a migration that serves the library's version: a column with a default, a
// table, an index and a wider check.
func additive() postgres.Migration {
	objects := postgres.Embedded()[postgres.SchemaVersion-1].Objects
	return postgres.Migration{
		Up: `
ALTER TABLE incident ADD COLUMN severity smallint NOT NULL DEFAULT 3;
ALTER TABLE incident_activity ADD COLUMN source text;
ALTER TABLE incident_outbox ADD COLUMN lane smallint NOT NULL DEFAULT 0;
CREATE TABLE incident_note (organization_id text COLLATE "C" NOT NULL, note text NOT NULL);
CREATE INDEX incident_severity ON incident (organization_id, severity);
UPDATE incident_schema SET version = CASE version WHEN 1 THEN 2 END, serves = 1;`,
		Down: `
DROP INDEX incident_severity;
DROP TABLE incident_note;
ALTER TABLE incident_outbox DROP COLUMN lane;
ALTER TABLE incident_activity DROP COLUMN source;
ALTER TABLE incident DROP COLUMN severity;
UPDATE incident_schema SET version = CASE version WHEN 2 THEN 1 END, serves = 1;`,
		Objects: append(objects, "table incident_note", "index incident_severity", "column incident.severity smallint NOT NULL"),
	}
}
