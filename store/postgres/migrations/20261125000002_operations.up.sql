-- Makes schema version 2, which also serves libraries of version 1: each column is
-- nullable or has a default, and only the index on incident_activity reads a whole table.
--
-- A library of version 1 leaves the new columns of a row as they are. It sets no
-- incident_slot.last. Until the next claim or release by a library of version 2, the slot
-- then has an earlier last holder, or none.

LOCK TABLE incident, incident_activity, incident_slot;

-- The fields that most incidents lack: the response, labels and annotations, and the
-- incident that is repeated.
ALTER TABLE incident ADD COLUMN optional jsonb;

-- Lists the incidents with a label, and those of an assignee. A value may be too long for
-- an index, so that the table has a digest. It repeats incident.optional, from which the
-- label or the assignee is read.
CREATE TABLE incident_label (
    organization_id text COLLATE "C" NOT NULL,
    digest          uuid             NOT NULL,
    date_started    timestamptz      NOT NULL,
    identifier      bigint           NOT NULL,
    PRIMARY KEY (organization_id, digest, date_started, identifier)
);

-- The planner must expect the largest label, as it expects the largest project.
ALTER TABLE incident_label ALTER COLUMN organization_id SET (n_distinct = 1);
ALTER TABLE incident_label ALTER COLUMN digest SET (n_distinct = 1);

-- The activity types from 100 on belong to the library. The rows need not be checked:
-- the previous check admitted fewer.
ALTER TABLE incident_activity
    ADD COLUMN trigger_id text COLLATE "C",
    ADD COLUMN field text COLLATE "C",
    ADD COLUMN old_text text,
    ADD COLUMN new_text text,
    DROP CONSTRAINT incident_activity_type_check,
    ADD CONSTRAINT incident_activity_type_check CHECK (type BETWEEN 1 AND 4 OR type >= 100) NOT VALID;

-- The transaction of a comment and of its last revision. Finds the comments of other
-- processes. A comment does not change incident.changed, because that would add it to every
-- index of the table. Comments of libraries of version 1 get the default, too.
--
-- The index reads the table once and stays empty. A host with so many activities that this
-- takes too long can add the column and create the index before, without a lock.
ALTER TABLE incident_activity ADD COLUMN IF NOT EXISTS changed xid8;
ALTER TABLE incident_activity ALTER COLUMN changed SET DEFAULT pg_current_xact_id();
CREATE INDEX IF NOT EXISTS incident_commented ON incident_activity (changed)
    WHERE type = 3 AND changed IS NOT NULL;
-- The planner must expect few comments of a transaction, even if an import wrote most.
ALTER TABLE incident_activity ALTER COLUMN changed SET (n_distinct = -1);

-- The holder or, of a free slot, the last holder. 0 if that is not known.
ALTER TABLE incident_slot ADD COLUMN last bigint NOT NULL DEFAULT 0;

UPDATE incident_schema SET version = CASE version WHEN 1 THEN 2 END, serves = 1;
