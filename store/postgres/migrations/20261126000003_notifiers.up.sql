-- Makes schema version 3, which also serves libraries of versions 1 and 2: the new columns
-- are nullable, and no table is read or rewritten.
--
-- Libraries of versions 1 and 2 continue to queue in incident_outbox, to claim there and to
-- settle there. They know neither named notifiers nor reminders, which have a table of their
-- own. They do not end the reminders of an incident that they close.

LOCK TABLE incident, incident_outbox;

-- The number of activities between next and last that are queued. NULL if all are queued.
ALTER TABLE incident_outbox ADD COLUMN pending integer;

-- Counts the reminders that were set. A change that closes the incident compares it, so that
-- the change misses no reminder.
ALTER TABLE incident ADD COLUMN reminded bigint;

-- A row is, as in incident_outbox, the delivery queue of one incident for a notifier with a
-- name; a parked notification; or a reminder for any notifier. A reminder has its time in
-- microseconds since 1970 as next and last, and as replayed once it was parked.
CREATE TABLE incident_queue (
    organization_id   text COLLATE "C" NOT NULL,
    identifier        bigint           NOT NULL,
    notifier          text COLLATE "C" NOT NULL, -- empty for the notifier without a name, of which only reminders are here
    reminder          text COLLATE "C" NOT NULL, -- the name of a reminder, otherwise empty
    replayed          bigint           NOT NULL,
    next              bigint           NOT NULL,
    last              bigint           NOT NULL,
    pending           integer,
    due               timestamptz      NOT NULL,
    ready             boolean          NOT NULL DEFAULT false,
    since             timestamptz      NOT NULL, -- of a reminder, its time
    fence             bigint           NOT NULL DEFAULT 0,
    attempts          integer          NOT NULL DEFAULT 0,
    error             text             NOT NULL DEFAULT '',
    unless            smallint, -- the conditions of a reminder
    status            smallint, -- of the incident when the reminder was set
    notification_uuid uuid,     -- of a reminder
    PRIMARY KEY (organization_id, identifier, notifier, reminder, replayed)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- The indexes of incident_outbox, by notifier.
CREATE INDEX incident_queue_ready ON incident_queue (notifier, organization_id, due) WITH (deduplicate_items = off) WHERE ready;
CREATE INDEX incident_queue_delayed ON incident_queue (notifier, due) WHERE NOT ready AND due < 'infinity';
CREATE INDEX incident_queue_parked ON incident_queue (notifier, organization_id, identifier, reminder, replayed) WHERE due = 'infinity';

-- Tells the claims of the notifier without a name, which read incident_outbox, when a reminder
-- is due.
CREATE INDEX incident_queue_unnamed ON incident_queue (due) WHERE notifier = '' AND due < 'infinity';

-- An incident has one pending reminder of a name, whatever its notifier.
CREATE UNIQUE INDEX incident_queue_reminder ON incident_queue (organization_id, identifier, reminder) WHERE reminder <> '' AND replayed = 0;

UPDATE incident_schema SET version = CASE version WHEN 2 THEN 3 END, serves = 1;
