-- Makes schema version 4, which also serves libraries of versions 1 to 3 until the first
-- incident is deleted: those libraries would not learn that an incident in their cache was
-- deleted. The deletion itself sets serves to 4.
--
-- Only the index on incident_activity reads a whole table. Meanwhile incidents can be read, and
-- not written.

LOCK TABLE incident_schema;
LOCK TABLE incident_activity IN SHARE MODE;

-- Records that an incident was deleted, until all caches have learned it.
CREATE TABLE incident_deleted (
    organization_id text COLLATE "C" NOT NULL,
    identifier      bigint           NOT NULL,
    version         bigint           NOT NULL, -- greater than all versions of the incident
    activities      bigint           NOT NULL,
    changed         xid8             NOT NULL DEFAULT pg_current_xact_id(), -- the transaction of the deletion
    date_deleted    timestamptz      NOT NULL, -- by the clock of the server
    PRIMARY KEY (organization_id, identifier)
);

-- Finds the incidents that other processes deleted, and the oldest records.
CREATE INDEX incident_deleted_changed ON incident_deleted (changed);

-- What the feed has forgotten: forgotten is the greatest changed of the records that were
-- removed, NULL for none, and resets counts the deletions of organizations.
ALTER TABLE incident_schema
    ADD COLUMN forgotten xid8,
    ADD COLUMN resets bigint NOT NULL DEFAULT 0;

-- The processes that do what only one process may do at a time.
CREATE TABLE incident_task (
    task   text COLLATE "C" NOT NULL,
    holder text COLLATE "C" NOT NULL,
    until  timestamptz      NOT NULL, -- by the clock of the server
    PRIMARY KEY (task)
);

-- Finds the acknowledgements of a time, for reports. A host with so many activities that this
-- takes too long can create the index before, without a lock.
CREATE INDEX IF NOT EXISTS incident_acknowledged ON incident_activity (organization_id, date_added, identifier)
    WHERE type = 100;

UPDATE incident_schema SET version = CASE version WHEN 3 THEN 4 END, serves = 1;
