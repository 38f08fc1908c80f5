-- +goose Up

-- All names of the host are compared byte for byte, which is what COLLATE "C"
-- does. Every key begins with the organization, so that the tables can be
-- partitioned by it; distribution over several servers is in the package's
-- documentation. There are no foreign keys: no statement of
-- the library writes for an incident that it has not found in the same
-- statement, and none ever deletes an incident.

-- The version of this schema. A library refuses one that it does not know.
CREATE TABLE incident_schema (
    version integer NOT NULL
);
INSERT INTO incident_schema (version) VALUES (1);

-- Counts the incidents of an organization: the next one has the identifier
-- incidents + 1. A row is updated by every creation and stays on its page.
CREATE TABLE incident_organization (
    organization_id text COLLATE "C" NOT NULL,
    incidents       bigint           NOT NULL CHECK (incidents >= 1),
    PRIMARY KEY (organization_id)
) WITH (fillfactor = 50);

CREATE TABLE incident (
    organization_id text COLLATE "C" NOT NULL,
    identifier      bigint           NOT NULL CHECK (identifier >= 1),
    version         bigint           NOT NULL CHECK (version >= 1),
    activities      bigint           NOT NULL, -- the sequence of the last one
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
    PRIMARY KEY (organization_id, identifier),
    CHECK ((status = 2) = (date_closed IS NOT NULL)),
    CHECK (date_closed >= date_started)
) WITH (fillfactor = 90);

-- What other processes have written since they were last asked. A transaction is told
-- by its own number, since it can be seen later than one with a higher number.
CREATE INDEX incident_changed ON incident (changed);

-- Lists of incidents, the newest started first.
CREATE INDEX incident_list ON incident (organization_id, status, date_started, identifier);
CREATE INDEX incident_rule ON incident (organization_id, alert_rule_id, status, date_started, identifier)
    WHERE alert_rule_id <> '';

-- The list of the incidents that affect no project, as incident_project has those of
-- each project.
CREATE INDEX incident_unaffecting ON incident (organization_id, date_started, identifier)
    WHERE projects = '{}';

CREATE UNIQUE INDEX incident_detection ON incident (organization_id, detection_uuid)
    WHERE detection_uuid IS NOT NULL;

-- The longest duration says how far before a window an incident can have begun
-- that was closed within it.
CREATE INDEX incident_duration ON incident (organization_id, (date_closed - date_started))
    WHERE date_closed IS NOT NULL;

-- The list of a project's incidents. What an incident affects is also in
-- incident.projects, which is where it is read from.
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

-- What the active incident of an alert rule occupies. A row stays when its slot
-- is free, so that everyone who claims it meets there: a second holder violates
-- the check, which undoes the whole statement.
CREATE TABLE incident_slot (
    organization_id text COLLATE "C" NOT NULL,
    alert_rule_id   text COLLATE "C" NOT NULL,
    project_id      text COLLATE "C" NOT NULL,
    query_id        text COLLATE "C" NOT NULL,
    version         bigint           NOT NULL,
    holder          bigint           NOT NULL, -- an identifier, 0 for nobody
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

-- What is to be delivered: a row is the queue of one incident, from the activity next to
-- the activity last. A notification that was given up is a row of its own, which is never
-- due until it is replayed. Rows come and go, so that their pages have room for new
-- versions, and are cleaned often.
CREATE TABLE incident_outbox (
    organization_id text COLLATE "C" NOT NULL,
    identifier      bigint           NOT NULL,
    replayed        bigint           NOT NULL, -- the sequence of one that was given up, and otherwise 0
    next            bigint           NOT NULL,
    last            bigint           NOT NULL,
    due             timestamptz      NOT NULL, -- 'infinity' for one that is given up
    since           timestamptz      NOT NULL, -- when next came to its place
    fence           bigint           NOT NULL DEFAULT 0, -- counts the claims
    attempts        integer          NOT NULL DEFAULT 0,
    error           text             NOT NULL DEFAULT '',
    PRIMARY KEY (organization_id, identifier, replayed)
    -- There is no check of next <= last. An update that meets a concurrent one checks the
    -- row of before once, in which last has not grown yet.
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX incident_outbox_due ON incident_outbox (organization_id, due) WHERE due < 'infinity';
CREATE INDEX incident_outbox_parked ON incident_outbox (organization_id, identifier, replayed) WHERE due = 'infinity';

-- A prepared statement is planned once for all arguments. These let the planner
-- count on the largest organization, project and rule, for which a list must be
-- read in the order of its index; on the average one it would sort the whole list.
ALTER TABLE incident ALTER COLUMN organization_id SET (n_distinct = 1);
ALTER TABLE incident ALTER COLUMN alert_rule_id SET (n_distinct = 1);
ALTER TABLE incident_project ALTER COLUMN organization_id SET (n_distinct = 1);
ALTER TABLE incident_project ALTER COLUMN project_id SET (n_distinct = 1);

-- +goose Down

DROP TABLE incident_outbox;
DROP TABLE incident_subscription;
DROP TABLE incident_seen;
DROP TABLE incident_slot;
DROP TABLE incident_trigger;
DROP TABLE incident_activity;
DROP TABLE incident_project;
DROP TABLE incident;
DROP TABLE incident_organization;
DROP TABLE incident_schema;
