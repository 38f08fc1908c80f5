-- Makes schema version 1.
--
-- COLLATE "C" compares the host's names byte by byte. Every key begins with the
-- organization, so that the tables can be partitioned by it; the package
-- documentation describes distribution over several servers. There are no foreign
-- keys: each statement of the library finds the incident that it writes for, or
-- deletes everything that belongs to it.

-- Has one row. A library of schema version n uses the tables if serves <= n <= version.
CREATE TABLE incident_schema (
    version   integer NOT NULL,
    serves    integer NOT NULL, -- the oldest version whose library can use these tables
    singleton boolean NOT NULL DEFAULT true CHECK (singleton),
    PRIMARY KEY (singleton)
);

-- Counts the incidents of an organization. The next incident gets the identifier
-- incidents + 1. Each creation updates a row; the fillfactor keeps the new row
-- version on the same page.
CREATE TABLE incident_organization (
    organization_id text COLLATE "C" NOT NULL,
    incidents       bigint           NOT NULL CHECK (incidents >= 1),
    PRIMARY KEY (organization_id)
) WITH (fillfactor = 50);

CREATE TABLE incident (
    organization_id text COLLATE "C" NOT NULL,
    identifier      bigint           NOT NULL CHECK (identifier >= 1),
    version         bigint           NOT NULL CHECK (version >= 1),
    activities      bigint           NOT NULL, -- the sequence of the last activity
    call_id         bigint           NOT NULL, -- the call that wrote this version
    changed         xid8             NOT NULL DEFAULT pg_current_xact_id(), -- the transaction of this version
    type            smallint         NOT NULL,
    status          smallint         NOT NULL CHECK (status IN (1, 2, 10, 20)),
    status_method   smallint         NOT NULL,
    date_started    timestamptz      NOT NULL CHECK (isfinite(date_started)),
    date_detected   timestamptz      NOT NULL CHECK (isfinite(date_detected)),
    date_added      timestamptz      NOT NULL CHECK (isfinite(date_added)),
    date_closed     timestamptz               CHECK (isfinite(date_closed)),
    detection_uuid  uuid,
    title           text             NOT NULL,
    title_folded    text COLLATE "C" NOT NULL,
    alert_rule_id   text COLLATE "C" NOT NULL, -- '' for none
    query_id        text COLLATE "C" NOT NULL, -- '' for none
    projects        text[] COLLATE "C" NOT NULL,
    CHECK ((status = 2) = (date_closed IS NOT NULL)),
    CHECK (date_closed >= date_started)
) WITH (fillfactor = 90);

-- Finds the incidents that other processes changed. Transactions become visible in
-- another order than their numbers have, so that the feed names each by its number.
CREATE INDEX incident_changed ON incident (changed);

-- Lists of incidents, latest start first.
CREATE INDEX incident_list ON incident (organization_id, status, date_started, identifier);
CREATE INDEX incident_rule ON incident (organization_id, alert_rule_id, status, date_started, identifier)
    WHERE alert_rule_id <> '';

-- Lists the incidents that affect no project.
CREATE INDEX incident_unaffecting ON incident (organization_id, date_started, identifier)
    WHERE projects = '{}';

CREATE UNIQUE INDEX incident_detection ON incident (organization_id, detection_uuid)
    WHERE detection_uuid IS NOT NULL;

-- The longest duration bounds how long before a window an incident closed within
-- the window can have started.
CREATE INDEX incident_duration ON incident (organization_id, (date_closed - date_started))
    WHERE date_closed IS NOT NULL;

-- This comes after incident_list, because the server prefers the younger of two indexes with the same cost. While the
-- table is small it would find an incident by incident_list, and sessions would keep that plan until the table is
-- analyzed.
ALTER TABLE incident ADD PRIMARY KEY (organization_id, identifier);

-- Lists the incidents of a project. It repeats incident.projects, from which the
-- projects of an incident are read.
CREATE TABLE incident_project (
    organization_id text COLLATE "C" NOT NULL,
    project_id      text COLLATE "C" NOT NULL,
    date_started    timestamptz      NOT NULL,
    identifier      bigint           NOT NULL,
    PRIMARY KEY (organization_id, project_id, date_started, identifier)
);

CREATE TABLE incident_activity (
    organization_id   text COLLATE "C" NOT NULL,
    identifier        bigint           NOT NULL,
    sequence          bigint           NOT NULL CHECK (sequence >= 1),
    revision          bigint           NOT NULL,
    call_id           bigint           NOT NULL, -- the call that wrote it
    type              smallint         NOT NULL CHECK (type BETWEEN 1 AND 4),
    value             smallint         NOT NULL, -- 0 for none
    previous_value    smallint         NOT NULL, -- 0 for none
    date_added        timestamptz      NOT NULL CHECK (isfinite(date_added)),
    date_edited       timestamptz,
    date_deleted      timestamptz,
    notification_uuid uuid             NOT NULL,
    user_id           text COLLATE "C" NOT NULL, -- '' for a program
    comment           text             NOT NULL,
    PRIMARY KEY (organization_id, identifier, sequence)
);

CREATE UNIQUE INDEX incident_notification ON incident_activity (organization_id, notification_uuid);

CREATE TABLE incident_trigger (
    organization_id text COLLATE "C" NOT NULL,
    identifier      bigint           NOT NULL,
    trigger_id      text COLLATE "C" NOT NULL,
    status          smallint         NOT NULL CHECK (status IN (0, 1)),
    severity        smallint         NOT NULL,
    date_added      timestamptz      NOT NULL,
    date_modified   timestamptz      NOT NULL,
    PRIMARY KEY (organization_id, identifier, trigger_id)
);

-- A slot is held by the active incident of an alert rule. The row of a free slot
-- stays, so that all claims meet in it: a second holder violates the check, which
-- undoes the whole statement.
CREATE TABLE incident_slot (
    organization_id text COLLATE "C" NOT NULL,
    alert_rule_id   text COLLATE "C" NOT NULL,
    project_id      text COLLATE "C" NOT NULL,
    query_id        text COLLATE "C" NOT NULL,
    version         bigint           NOT NULL,
    holder          bigint           NOT NULL, -- an identifier, or 0 if the slot is free
    holders         smallint         NOT NULL,
    changed         xid8             NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (organization_id, alert_rule_id, project_id, query_id),
    CONSTRAINT incident_slot_holders CHECK (holders BETWEEN 0 AND 1),
    CHECK ((holders = 0) = (holder = 0))
);

CREATE INDEX incident_slot_changed ON incident_slot (changed);

CREATE TABLE incident_seen (
    organization_id text COLLATE "C" NOT NULL,
    identifier      bigint           NOT NULL,
    user_id         text COLLATE "C" NOT NULL,
    last_seen       timestamptz      NOT NULL,
    PRIMARY KEY (organization_id, identifier, user_id)
);

CREATE TABLE incident_subscription (
    organization_id text COLLATE "C" NOT NULL,
    identifier      bigint           NOT NULL,
    user_id         text COLLATE "C" NOT NULL,
    date_added      timestamptz      NOT NULL,
    PRIMARY KEY (organization_id, identifier, user_id)
);

-- A row is the delivery queue of one incident, from the activity next to the activity
-- last. A parked notification is a row of its own, which is not due until it is
-- replayed. Rows are short-lived: pages have room for new row versions, and autovacuum
-- cleans often.
CREATE TABLE incident_outbox (
    organization_id text COLLATE "C" NOT NULL,
    identifier      bigint           NOT NULL,
    replayed        bigint           NOT NULL, -- the sequence of a parked notification, otherwise 0
    next            bigint           NOT NULL,
    last            bigint           NOT NULL,
    due             timestamptz      NOT NULL, -- 'infinity' for a parked notification
    ready           boolean          NOT NULL DEFAULT false, -- due at once; otherwise a claim compares due with the time
    since           timestamptz      NOT NULL, -- when next reached the head of the queue
    fence           bigint           NOT NULL DEFAULT 0, -- counts the claims
    attempts        integer          NOT NULL DEFAULT 0,
    error           text             NOT NULL DEFAULT '',
    PRIMARY KEY (organization_id, identifier, replayed)
    -- There is no check of next <= last: an update that waits for a concurrent update
    -- checks the old row first, in which last has not grown yet.
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- A claim walks the organizations of the first index, which has no row that is leased,
-- delayed or parked. The second index finds the leases and delays that have ended.
-- Rows that were queued together are due together. As one entry, they would stay in the
-- first index and be read by each claim until the last of them was delivered.
CREATE INDEX incident_outbox_ready ON incident_outbox (organization_id, due) WITH (deduplicate_items = off) WHERE ready;
CREATE INDEX incident_outbox_delayed ON incident_outbox (due) WHERE NOT ready AND due < 'infinity';
CREATE INDEX incident_outbox_parked ON incident_outbox (organization_id, identifier, replayed) WHERE due = 'infinity';

-- A prepared statement is planned once for all arguments. These settings make the
-- planner expect the largest organization, project and rule, where a list must be read
-- in index order. For an average organization it would sort the whole list.
ALTER TABLE incident ALTER COLUMN organization_id SET (n_distinct = 1);
ALTER TABLE incident ALTER COLUMN alert_rule_id SET (n_distinct = 1);
-- Where many organizations have few incidents each, few identifiers come up. With the
-- setting of organization_id, one incident would be expected to be most of the table.
ALTER TABLE incident ALTER COLUMN identifier SET (n_distinct = -1);
ALTER TABLE incident_project ALTER COLUMN organization_id SET (n_distinct = 1);
ALTER TABLE incident_project ALTER COLUMN project_id SET (n_distinct = 1);

-- The last statement, so that tables without this row are known to be incomplete.
INSERT INTO incident_schema (version, serves) VALUES (1, 1);
