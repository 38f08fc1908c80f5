-- Makes schema version 1.
--
-- Every key begins with the organization, except that of the notification UUIDs: those of a
-- process ascend, so that an index that begins with the UUID appends to one page. Texts are
-- compared byte by byte. Times are in microseconds since 1970.

-- Has one row. A library of schema version n uses the tables if serves <= n <= version.
CREATE TABLE incident_schema (
    singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    version   INTEGER NOT NULL,
    serves    INTEGER NOT NULL -- the oldest version whose library can use these tables
) STRICT;

-- Has one row. Commits are serial, so that the number of a transaction is its place in the
-- history. A backup begins a history of its own.
CREATE TABLE incident_history (
    singleton    INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    history      BLOB    NOT NULL CHECK (length(history) = 16),
    transactions INTEGER NOT NULL, -- the number of the last transaction that changed an incident
    claims       INTEGER NOT NULL  -- counts the claims of the outbox
) STRICT;

-- Counts the incidents of an organization. The next incident gets the identifier
-- incidents + 1.
CREATE TABLE incident_organization (
    organization_id TEXT    NOT NULL PRIMARY KEY,
    incidents       INTEGER NOT NULL CHECK (incidents >= 1)
) STRICT, WITHOUT ROWID;

CREATE TABLE incident (
    organization_id TEXT    NOT NULL,
    identifier      INTEGER NOT NULL CHECK (identifier >= 1),
    version         INTEGER NOT NULL CHECK (version >= 1),
    activities      INTEGER NOT NULL, -- the sequence of the last activity
    changed         INTEGER NOT NULL, -- the last transaction that changed the incident or its comments
    type            INTEGER NOT NULL,
    status          INTEGER NOT NULL CHECK (status IN (1, 2, 10, 20)),
    status_method   INTEGER NOT NULL,
    date_started    INTEGER NOT NULL,
    date_detected   INTEGER NOT NULL,
    date_added      INTEGER NOT NULL,
    date_closed     INTEGER,
    detection_uuid  BLOB CHECK (length(detection_uuid) = 16),
    title           TEXT    NOT NULL,
    title_folded    TEXT    NOT NULL,
    alert_rule_id   TEXT    NOT NULL, -- '' for none
    query_id        TEXT    NOT NULL, -- '' for none
    projects        TEXT    NOT NULL, -- a JSON array
    optional        TEXT,             -- JSON of the fields that most incidents lack
    PRIMARY KEY (organization_id, identifier),
    CHECK ((status = 2) = (date_closed IS NOT NULL)),
    CHECK (date_closed >= date_started)
) STRICT, WITHOUT ROWID;

-- Finds the incidents that other processes changed.
CREATE INDEX incident_changed ON incident (changed);

-- Lists of incidents, latest start first.
CREATE INDEX incident_list ON incident (organization_id, status, date_started, identifier);
CREATE INDEX incident_rule ON incident (organization_id, alert_rule_id, status, date_started, identifier)
    WHERE alert_rule_id <> '';

-- Lists the incidents that affect no project.
CREATE INDEX incident_unaffecting ON incident (organization_id, date_started, identifier)
    WHERE projects = '[]';

CREATE UNIQUE INDEX incident_detection ON incident (organization_id, detection_uuid)
    WHERE detection_uuid IS NOT NULL;

-- The longest duration bounds how long before a window an incident closed within
-- the window can have started.
CREATE INDEX incident_duration ON incident (organization_id, date_closed - date_started)
    WHERE date_closed IS NOT NULL;

-- Lists the incidents of a project. It repeats incident.projects, from which the
-- projects of an incident are read.
CREATE TABLE incident_project (
    organization_id TEXT    NOT NULL,
    project_id      TEXT    NOT NULL,
    date_started    INTEGER NOT NULL,
    identifier      INTEGER NOT NULL,
    PRIMARY KEY (organization_id, project_id, date_started, identifier)
) STRICT, WITHOUT ROWID;

-- Lists the incidents with a label, and those of an assignee. It repeats incident.optional,
-- from which the label or the assignee is read.
CREATE TABLE incident_label (
    organization_id TEXT    NOT NULL,
    digest          BLOB    NOT NULL CHECK (length(digest) = 32),
    date_started    INTEGER NOT NULL,
    identifier      INTEGER NOT NULL,
    PRIMARY KEY (organization_id, digest, date_started, identifier)
) STRICT, WITHOUT ROWID;

CREATE TABLE incident_activity (
    organization_id   TEXT    NOT NULL,
    identifier        INTEGER NOT NULL,
    sequence          INTEGER NOT NULL CHECK (sequence >= 1),
    revision          INTEGER NOT NULL,
    type              INTEGER NOT NULL CHECK (type BETWEEN 1 AND 4 OR type >= 100),
    value             INTEGER NOT NULL, -- 0 for none
    previous_value    INTEGER NOT NULL, -- 0 for none
    date_added        INTEGER NOT NULL,
    date_edited       INTEGER,
    date_deleted      INTEGER,
    notification_uuid BLOB    NOT NULL CHECK (length(notification_uuid) = 16),
    user_id           TEXT    NOT NULL, -- '' for a program
    comment           TEXT    NOT NULL,
    trigger_id        TEXT,
    field             TEXT,
    old_text          TEXT,
    new_text          TEXT,
    PRIMARY KEY (organization_id, identifier, sequence)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX incident_notification ON incident_activity (notification_uuid, organization_id);

CREATE TABLE incident_trigger (
    organization_id TEXT    NOT NULL,
    identifier      INTEGER NOT NULL,
    trigger_id      TEXT    NOT NULL,
    status          INTEGER NOT NULL CHECK (status IN (0, 1)),
    severity        INTEGER NOT NULL,
    date_added      INTEGER NOT NULL,
    date_modified   INTEGER NOT NULL,
    PRIMARY KEY (organization_id, identifier, trigger_id)
) STRICT, WITHOUT ROWID;

-- A slot is held by the active incident of an alert rule. The row of a free slot stays, with
-- its version and its last holder.
CREATE TABLE incident_slot (
    organization_id TEXT    NOT NULL,
    alert_rule_id   TEXT    NOT NULL,
    project_id      TEXT    NOT NULL,
    query_id        TEXT    NOT NULL,
    version         INTEGER NOT NULL,
    holder          INTEGER NOT NULL, -- an identifier, or 0 if the slot is free
    last            INTEGER NOT NULL, -- the holder or, of a free slot, the last holder
    changed         INTEGER NOT NULL,
    PRIMARY KEY (organization_id, alert_rule_id, project_id, query_id),
    CHECK (holder IN (0, last))
) STRICT, WITHOUT ROWID;

CREATE INDEX incident_slot_changed ON incident_slot (changed);

CREATE TABLE incident_seen (
    organization_id TEXT    NOT NULL,
    identifier      INTEGER NOT NULL,
    user_id         TEXT    NOT NULL,
    last_seen       INTEGER NOT NULL,
    PRIMARY KEY (organization_id, identifier, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE incident_subscription (
    organization_id TEXT    NOT NULL,
    identifier      INTEGER NOT NULL,
    user_id         TEXT    NOT NULL,
    date_added      INTEGER NOT NULL,
    PRIMARY KEY (organization_id, identifier, user_id)
) STRICT, WITHOUT ROWID;

-- A row is the delivery queue of one incident for a notifier, from the activity next to the
-- activity last; a notification that was parked, and perhaps replayed; or a reminder. A
-- reminder has its time as next and last, and as replayed once it was parked.
CREATE TABLE incident_queue (
    organization_id   TEXT    NOT NULL,
    identifier        INTEGER NOT NULL,
    notifier          TEXT    NOT NULL, -- '' for the notifier without a name
    reminder          TEXT    NOT NULL, -- the name of a reminder, otherwise ''
    replayed          INTEGER NOT NULL, -- the sequence of a parked notification, otherwise 0
    next              INTEGER NOT NULL,
    last              INTEGER NOT NULL,
    pending           INTEGER NOT NULL CHECK (pending >= 1), -- the number of queued activities
    due               INTEGER NOT NULL, -- 9223372036854775807 for a parked notification
    ready             INTEGER NOT NULL CHECK (ready IN (0, 1)), -- due at once; otherwise a claim compares due with the time
    since             INTEGER NOT NULL, -- when next reached the head of the queue, or was parked; of a reminder, its time
    fence             INTEGER NOT NULL DEFAULT 0, -- the number of the claim, or 0 if it was settled
    attempts          INTEGER NOT NULL DEFAULT 0,
    error             TEXT    NOT NULL DEFAULT '',
    unless            INTEGER, -- the conditions of a reminder
    status            INTEGER, -- of the incident when the reminder was set
    notification_uuid BLOB CHECK (length(notification_uuid) = 16), -- of a reminder
    PRIMARY KEY (organization_id, identifier, notifier, reminder, replayed),
    CHECK (next <= last)
) STRICT, WITHOUT ROWID;

-- A claim walks the organizations of the first index, which has no row that is leased,
-- delayed or parked. The second index finds the leases and delays that have ended.
CREATE INDEX incident_queue_ready ON incident_queue (notifier, organization_id, due) WHERE ready = 1;
CREATE INDEX incident_queue_delayed ON incident_queue (notifier, due)
    WHERE ready = 0 AND due < 9223372036854775807;
CREATE INDEX incident_queue_parked ON incident_queue (notifier, organization_id, identifier, reminder, replayed)
    WHERE due = 9223372036854775807;

-- An incident has one pending reminder of a name, whatever its notifier.
CREATE UNIQUE INDEX incident_queue_reminder ON incident_queue (organization_id, identifier, reminder)
    WHERE reminder <> '' AND replayed = 0;

INSERT INTO incident_history (singleton, history, transactions, claims) VALUES (1, randomblob(16), 0, 0);

-- The last statement, so that tables without this row are known to be incomplete.
INSERT INTO incident_schema (singleton, version, serves) VALUES (1, 1, 1);
