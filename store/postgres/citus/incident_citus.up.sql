-- Spreads the tables over the servers of Citus 13, all tables by the same division of the
-- organizations. Run it after the migrations, on the coordinator, in a transaction. It may run
-- again, and then changes only what is missing.
--
-- The number of shards is the setting citus.shard_count of the session. A session on a worker
-- keeps the statements of each of its shards prepared: more shards need more memory.

SET LOCAL citus.multi_shard_modify_mode TO 'sequential';

-- A statement parses the checks of each table that it writes. Here the creations of a call are a statement each, and
-- parsing would take a good part of their time. These are the checks of the migrations without incident_slot_holders,
-- which statements rely on.
DO $do$
DECLARE
    r record;
BEGIN
    FOR r IN
        SELECT k.conrelid::regclass AS name, k.conname
        FROM pg_constraint k
        WHERE k.contype = 'c' AND (k.conrelid, k.conname) IN (
            ('incident'::regclass, 'incident_check'),
            ('incident'::regclass, 'incident_check1'),
            ('incident'::regclass, 'incident_date_added_check'),
            ('incident'::regclass, 'incident_date_closed_check'),
            ('incident'::regclass, 'incident_date_detected_check'),
            ('incident'::regclass, 'incident_date_started_check'),
            ('incident'::regclass, 'incident_identifier_check'),
            ('incident'::regclass, 'incident_status_check'),
            ('incident'::regclass, 'incident_version_check'),
            ('incident_activity'::regclass, 'incident_activity_date_added_check'),
            ('incident_activity'::regclass, 'incident_activity_sequence_check'),
            ('incident_activity'::regclass, 'incident_activity_type_check'),
            ('incident_organization'::regclass, 'incident_organization_incidents_check'),
            ('incident_slot'::regclass, 'incident_slot_check'),
            ('incident_trigger'::regclass, 'incident_trigger_status_check')
        )
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', r.name, r.conname);
    END LOOP;
END
$do$;

SELECT create_distributed_table('incident', 'organization_id', colocate_with => 'none')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident'::regclass);

SELECT create_distributed_table('incident_organization', 'organization_id', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_organization'::regclass);

SELECT create_distributed_table('incident_activity', 'organization_id', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_activity'::regclass);

SELECT create_distributed_table('incident_trigger', 'organization_id', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_trigger'::regclass);

SELECT create_distributed_table('incident_slot', 'organization_id', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_slot'::regclass);

SELECT create_distributed_table('incident_project', 'organization_id', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_project'::regclass);

SELECT create_distributed_table('incident_label', 'organization_id', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_label'::regclass);

SELECT create_distributed_table('incident_active', 'organization_id', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_active'::regclass);

SELECT create_distributed_table('incident_seen', 'organization_id', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_seen'::regclass);

SELECT create_distributed_table('incident_subscription', 'organization_id', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_subscription'::regclass);

SELECT create_distributed_table('incident_outbox', 'organization_id', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_outbox'::regclass);

SELECT create_distributed_table('incident_queue', 'organization_id', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_queue'::regclass);

SELECT create_distributed_table('incident_deleted', 'organization_id', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_deleted'::regclass);

SELECT create_reference_table('incident_schema')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_schema'::regclass);

-- Tasks are spread as if they were organizations.
SELECT create_distributed_table('incident_task', 'task', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_task'::regclass);

-- The statements of the library. Each server has them all, so that a call names its statement
-- instead of sending it.
CREATE TABLE IF NOT EXISTS incident_statement (
    form uuid NOT NULL, -- the first half of the text's SHA-256
    text text NOT NULL, -- with @ before the name of a table
    PRIMARY KEY (form)
);

SELECT create_reference_table('incident_statement')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_statement'::regclass);

-- The identity of these tables, by which a connection to a worker is recognized.
INSERT INTO incident_statement (form, text)
VALUES ('00000000-0000-0000-0000-000000000000', gen_random_uuid()::text)
ON CONFLICT (form) DO NOTHING;

-- What the feed has forgotten in a shard: forgotten is the greatest changed of the records of
-- incident_deleted that were removed, and resets counts the deletions of the organization. They
-- are in incident_schema otherwise, and transaction numbers are those of a server.
CREATE TABLE IF NOT EXISTS incident_forgotten (
    organization_id text COLLATE "C" NOT NULL,
    forgotten       xid8,
    resets          bigint           NOT NULL DEFAULT 0,
    PRIMARY KEY (organization_id)
);

SELECT create_distributed_table('incident_forgotten', 'organization_id', colocate_with => 'incident')
WHERE NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = 'incident_forgotten'::regclass);

-- Takes a lock on shards until the end of its transaction, and fails if one of them is not on this
-- server. The shards are those of table incident, in ascending order. It returns true.
--
-- A move or a division of shards takes a lock that all servers know, and holds it until the new
-- shards are in use. This function takes the same lock, in another mode. If a shard is not here after
-- that, another server has it. The OFFSET has the server look up each shard instead of reading the
-- table as a whole. The callers assign the result, because PERFORM takes longer.
CREATE OR REPLACE FUNCTION incident_guard(shards bigint[]) RETURNS boolean
LANGUAGE plpgsql
AS $function$
DECLARE
    locked boolean := lock_shard_metadata(5, shards) IS NOT NULL;
BEGIN
    IF EXISTS (
        SELECT FROM unnest(shards) s (id)
        WHERE NOT EXISTS (
            SELECT FROM pg_dist_placement p JOIN pg_dist_local_group g ON g.groupid = p.groupid WHERE p.shardid = s.id OFFSET 0
        )
    ) THEN
        RAISE EXCEPTION 'a shard of % is not on this server', shards USING ERRCODE = 'IS002';
    END IF;
    RETURN true;
END
$function$;

-- Returns the name of a prepared statement that reads and writes the shards of a division of
-- the organizations. shard_id is that of table incident. query is the text of the statement, or NULL
-- if incident_statement has it. Call incident_guard before, or look after the statement whether the shard
-- was here.
--
-- A session has each statement prepared for each shard. A setting of the session remembers that,
-- because reading pg_prepared_statements takes longer than most statements. If a transaction that
-- prepared a statement is rolled back, the setting is lost and the prepared statement is not. If a
-- transaction that dropped statements is rolled back, it is the other way round: a call with a text
-- does not trust the setting.
CREATE OR REPLACE FUNCTION incident_plan(shard_id bigint, form uuid, query text) RETURNS text
LANGUAGE plpgsql
AS $function$
DECLARE
    prepared text := 'incident_' || shard_id || '_' || replace(form::text, '-', '');
    body text := query;
    r record;
BEGIN
    IF query IS NULL AND current_setting('incident_run.' || prepared, true) = 'yes' THEN
        RETURN prepared;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_prepared_statements p WHERE p.name = prepared) THEN
        IF body IS NULL THEN
            SELECT s.text INTO body FROM incident_statement s WHERE s.form = incident_plan.form;
        END IF;
        IF body IS NULL OR substr(encode(sha256(convert_to(body, 'UTF8')), 'hex'), 1, 32)::uuid <> form THEN
            RAISE EXCEPTION 'incident_statement does not have the statement %', form USING ERRCODE = 'IS001';
        END IF;
        IF (SELECT count(*) FROM pg_prepared_statements p WHERE p.name LIKE 'incident\_%') >= 400 THEN
            FOR r IN SELECT p.name FROM pg_prepared_statements p WHERE p.name LIKE 'incident\_%' LOOP
                EXECUTE 'DEALLOCATE ' || r.name;
                PERFORM set_config('incident_run.' || r.name, '', false);
            END LOOP;
        END IF;
        FOR r IN
            SELECT c.relname AS name,
                CASE n.nspname WHEN 'public' THEN 'public.' ELSE '' END || shard_name(s.logicalrelid, s.shardid) AS shard
            FROM pg_dist_shard o
            JOIN pg_dist_partition i ON i.logicalrelid = o.logicalrelid
            JOIN pg_dist_partition p ON p.colocationid = i.colocationid
            JOIN pg_dist_shard s ON s.logicalrelid = p.logicalrelid AND s.shardminvalue = o.shardminvalue
            JOIN pg_class c ON c.oid = s.logicalrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE o.shardid = shard_id
        LOOP
            body := regexp_replace(body, '@' || r.name || '\M', r.shard, 'g');
        END LOOP;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no shard %', shard_id USING ERRCODE = 'IS002';
        END IF;
        EXECUTE 'PREPARE ' || prepared || ' AS ' || body;
    END IF;
    PERFORM set_config('incident_run.' || prepared, 'yes', false);
    RETURN prepared;
END
$function$;

-- Guards a shard, and returns the name of a statement for it.
CREATE OR REPLACE FUNCTION incident_prepare(shard_id bigint, form uuid, query text) RETURNS text
LANGUAGE plpgsql
AS $function$
DECLARE
    guarded boolean := incident_guard(ARRAY[shard_id]);
BEGIN
    RETURN incident_plan(shard_id, form, query);
END
$function$;

-- Runs a statement about an organization where the organization is, and returns the texts of its
-- rows. args has the statement's arguments as literals with commas between them, because the client quotes faster
-- than plpgsql. Citus passes the call to that server, on which the statement is an ordinary statement on ordinary
-- tables. Each session has a plan for each shard, so that it cannot make several before it keeps one, as a session
-- with a single plan can.
CREATE OR REPLACE FUNCTION incident_run(organization text, form uuid, query text, args text) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path FROM CURRENT SET datestyle = 'ISO, MDY' SET timezone = 'UTC'
    SET plan_cache_mode = 'force_generic_plan'
AS $function$
DECLARE
    r record;
BEGIN
    FOR r IN EXECUTE 'EXECUTE ' || incident_prepare(get_shard_id_for_distribution_column('incident', organization), form, query)
        || '(' || args || ')'
    LOOP
        RETURN NEXT r::text;
    END LOOP;
END
$function$;

-- Runs a statement about an organization for several organizations of a server. args has the arguments for
-- each. number counts them from 1. The shards are guarded in their order, before the first statement. The caller
-- repeats each by itself if a shard is locked for long, so that those of other shards do not wait for a move.
CREATE OR REPLACE FUNCTION incident_run_many(organization text, form uuid, query text, organizations text[], args text[])
RETURNS TABLE (number bigint, answer text)
LANGUAGE plpgsql
SET search_path FROM CURRENT SET datestyle = 'ISO, MDY' SET timezone = 'UTC'
    SET plan_cache_mode = 'force_generic_plan' SET lock_timeout = '50ms'
AS $function$
DECLARE
    shards bigint[];
    name text := '_' || replace(form::text, '-', '');
    prepared text;
    guarded boolean;
    r record;
BEGIN
    FOR i IN 1 .. array_length(organizations, 1) LOOP
        shards[i] := get_shard_id_for_distribution_column('incident', organizations[i]);
    END LOOP;
    guarded := incident_guard(ARRAY(SELECT DISTINCT s FROM unnest(shards) s ORDER BY s));
    FOR i IN 1 .. array_length(shards, 1) LOOP
        prepared := 'incident_' || shards[i] || name;
        IF query IS NOT NULL OR current_setting('incident_run.' || prepared, true) IS DISTINCT FROM 'yes' THEN
            prepared := incident_plan(shards[i], form, query);
        END IF;
        number := i;
        FOR r IN EXECUTE 'EXECUTE ' || prepared || '(' || args[i] || ')' LOOP
            answer := r::text;
            RETURN NEXT;
        END LOOP;
    END LOOP;
END
$function$;

-- Reads by a statement for several organizations of a server, without a lock. shards has the shard of each, and args
-- the arguments. The statement returns numbered rows.
--
-- The shards must have stayed here from before the first statement until after the last. The cursor has a snapshot
-- from before, and looks up the shards after: if a row of pg_dist_placement is in that snapshot, and no transaction
-- has tried to replace it since (xmax), no move or division has committed on any server. In all of them a
-- transaction replaces the row here before any of its parts commits. The xmax of a transaction that was rolled
-- back remains: incident_run_many decides then, which takes locks.
CREATE OR REPLACE FUNCTION incident_read_shards(organization text, form uuid, query text, shards bigint[], args text[])
RETURNS TABLE (number bigint, answer text)
LANGUAGE plpgsql
SET search_path FROM CURRENT SET plan_cache_mode = 'force_generic_plan'
AS $function$
DECLARE
    elsewhere CURSOR FOR
        SELECT p.xmax IS NULL
        FROM unnest(shards) s (id)
        LEFT JOIN LATERAL (
            SELECT p.xmax
            FROM pg_dist_placement p
            WHERE p.shardid = s.id AND p.groupid = (SELECT g.groupid FROM pg_dist_local_group g)
            OFFSET 0
        ) p ON true
        WHERE p.xmax IS NULL OR p.xmax <> 0;
    name text := '_' || replace(form::text, '-', '');
    prepared text;
    gone boolean;
BEGIN
    OPEN elsewhere;
    FOR i IN 1 .. array_length(shards, 1) LOOP
        prepared := 'incident_' || shards[i] || name;
        IF query IS NOT NULL OR current_setting('incident_run.' || prepared, true) IS DISTINCT FROM 'yes' THEN
            prepared := incident_plan(shards[i], form, query);
        END IF;
        RETURN QUERY EXECUTE 'EXECUTE ' || prepared || '(' || args[i] || ')';
    END LOOP;
    FETCH elsewhere INTO gone;
    IF FOUND THEN
        RAISE EXCEPTION 'a shard is not on this server, or perhaps moves' USING ERRCODE = CASE WHEN gone THEN 'IS002' ELSE 'IS003' END;
    END IF;
END
$function$;

-- Runs commands that execute prepared statements of incident_plan, without a lock. The caller sees whether the shards
-- were here. It takes less time than incident_read_shards, which puts each command together. It leaves search_path as it
-- is, because a call that sets it takes longer: the statements have the names of tables with their schema.
CREATE OR REPLACE FUNCTION incident_execute(commands text) RETURNS TABLE (number bigint, answer text)
LANGUAGE plpgsql
SET plan_cache_mode = 'force_generic_plan'
AS $function$
BEGIN
    RETURN QUERY EXECUTE commands;
END
$function$;

-- Runs a statement on each shard of the server that has the organization. A row without an answer
-- precedes the answers of each shard.
CREATE OR REPLACE FUNCTION incident_run_all(organization text, form uuid, query text, args text)
RETURNS TABLE (shard bigint, answer text)
LANGUAGE plpgsql
SET search_path FROM CURRENT SET datestyle = 'ISO, MDY' SET timezone = 'UTC'
    SET plan_cache_mode = 'force_generic_plan'
AS $function$
DECLARE
    r record;
BEGIN
    FOR shard IN
        SELECT s.shardid
        FROM pg_dist_shard s
        JOIN pg_dist_placement p ON p.shardid = s.shardid
        JOIN pg_dist_local_group g ON g.groupid = p.groupid
        WHERE s.logicalrelid = 'incident'::regclass
        ORDER BY s.shardid
    LOOP
        answer := NULL;
        RETURN NEXT;
        FOR r IN EXECUTE 'EXECUTE ' || incident_prepare(shard, form, query) || '(' || args || ')' LOOP
            answer := r::text;
            RETURN NEXT;
        END LOOP;
    END LOOP;
END
$function$;

SELECT create_distributed_function('incident_guard(bigint[])');
SELECT create_distributed_function('incident_plan(bigint, uuid, text)');
SELECT create_distributed_function('incident_prepare(bigint, uuid, text)');
SELECT create_distributed_function('incident_execute(text)');
SELECT create_distributed_function('incident_run(text, uuid, text, text)', 'organization',
    colocate_with => 'incident', force_delegation => true);
SELECT create_distributed_function('incident_run_many(text, uuid, text, text[], text[])', 'organization',
    colocate_with => 'incident', force_delegation => true);
SELECT create_distributed_function('incident_read_shards(text, uuid, text, bigint[], text[])', 'organization',
    colocate_with => 'incident', force_delegation => true);
SELECT create_distributed_function('incident_run_all(text, uuid, text, text)', 'organization',
    colocate_with => 'incident', force_delegation => true);
