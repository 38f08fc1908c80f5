-- Makes schema version 2, which also serves libraries of version 1 until the first incident is
-- deleted. The deletion makes the tables serve version 2 only: older libraries do not look for
-- deletion records.

-- A record is what the feed reports of a deleted incident, in the order of the feed. It is
-- removed some time after the deletion.
CREATE TABLE incident_deleted (
    organization_id TEXT    NOT NULL,
    identifier      INTEGER NOT NULL,
    version         INTEGER NOT NULL, -- greater than all versions of the incident
    activities      INTEGER NOT NULL, -- the sequence of the last activity
    changed         INTEGER NOT NULL, -- the transaction that deleted the incident
    date_deleted    INTEGER NOT NULL,
    PRIMARY KEY (changed, organization_id, identifier)
) STRICT, WITHOUT ROWID;

-- The last transaction whose deletion records are incomplete. The feed does not know the changes
-- after an earlier position.
ALTER TABLE incident_history ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;

-- The right of a holder to do a task.
CREATE TABLE incident_task (
    task   TEXT    NOT NULL PRIMARY KEY,
    holder TEXT    NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Finds the acknowledgements of a time. A host can create the index before the migration, which
-- otherwise reads all activities while other writes wait.
CREATE INDEX IF NOT EXISTS incident_acknowledged ON incident_activity (organization_id, date_added, identifier)
    WHERE type = 100;

-- Fails unless the tables have version 1.
UPDATE incident_schema SET version = CASE version WHEN 1 THEN 2 END, serves = 1;
