-- Makes schema version 5, which also serves libraries of version 4, and of versions 1 to 3 until the
-- first incident is deleted: the new column is nullable.
--
-- Libraries of versions 1 to 4 leave incident_active and incident.listed as they are. The lists find
-- what those libraries write by the index incident_outdated.
--
-- The index reads the table incident once, and the active incidents are written again. Of a million
-- incidents, of which 20,000 are active, that takes some five seconds. Meanwhile incidents can be neither
-- read nor written.

LOCK TABLE incident_schema, incident;

-- Lists the active incidents of a project, of a label and of an assignee. It repeats the columns of
-- incident.
CREATE TABLE incident_active (
    organization_id text COLLATE "C" NOT NULL,
    digest          uuid             NOT NULL,
    date_started    timestamptz      NOT NULL,
    identifier      bigint           NOT NULL,
    PRIMARY KEY (organization_id, digest, date_started, identifier)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- The planner must expect the largest project, as it does in incident_project.
ALTER TABLE incident_active ALTER COLUMN organization_id SET (n_distinct = 1);
ALTER TABLE incident_active ALTER COLUMN digest SET (n_distinct = 1);

INSERT INTO incident_active (organization_id, digest, date_started, identifier)
SELECT i.organization_id, left(encode(sha256(convert_to('project:' || p.id, 'UTF8')), 'hex'), 32)::uuid,
    i.date_started, i.identifier
FROM incident i, unnest(i.projects) AS p (id)
WHERE i.status <> 2
ON CONFLICT DO NOTHING;

INSERT INTO incident_active (organization_id, digest, date_started, identifier)
SELECT i.organization_id, l.digest, i.date_started, i.identifier
FROM incident i
JOIN incident_label l ON l.organization_id = i.organization_id AND l.date_started = i.date_started AND l.identifier = i.identifier
WHERE i.status <> 2 AND i.optional IS NOT NULL
ON CONFLICT DO NOTHING;

-- The version that incident_active lists. NULL if the incident is closed.
ALTER TABLE incident ADD COLUMN listed bigint;

UPDATE incident SET listed = version WHERE status <> 2;

-- Finds the active incidents that incident_active may not list as they are. The planner expects few rows
-- for a comparison.
CREATE INDEX incident_outdated ON incident (organization_id, date_started, identifier)
    WHERE CASE WHEN status <> 2 AND listed IS DISTINCT FROM version THEN 1 ELSE 0 END = 1;

UPDATE incident_schema SET version = CASE version WHEN 4 THEN 5 END, serves = greatest(serves, 1);
