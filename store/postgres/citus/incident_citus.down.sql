-- Drops the tables of incident_citus.up.sql and of the migrations, with all their data. The down
-- files of the migrations are not for Citus, which refuses some of their commands.

SET LOCAL citus.multi_shard_modify_mode TO 'sequential';

DROP FUNCTION IF EXISTS incident_run_all(text, uuid, text, text);
DROP FUNCTION IF EXISTS incident_run_many(text, uuid, text, text[], text[]);
DROP FUNCTION IF EXISTS incident_execute(text), incident_execute(text[]); -- the second is of an earlier commit
DROP FUNCTION IF EXISTS incident_read_shards(text, uuid, text, bigint[], text[]);
DROP FUNCTION IF EXISTS incident_read_many(text, uuid, text, bigint[], text[]); -- of an earlier commit
DROP FUNCTION IF EXISTS incident_run(text, uuid, text, text);
DROP FUNCTION IF EXISTS incident_prepare(bigint, uuid, text);
DROP FUNCTION IF EXISTS incident_plan(bigint, uuid, text);
DROP FUNCTION IF EXISTS incident_guard(bigint[]);
DROP TABLE IF EXISTS incident_organization, incident_activity, incident_trigger, incident_slot, incident_project, incident_label, incident_active,
    incident_seen, incident_subscription, incident_outbox, incident_queue, incident_deleted, incident_task, incident_forgotten,
    incident, incident_statement, incident_schema;
