-- Makes schema version 1 of version 2. The activities of types that version 1 does not
-- know become comments, because their sequences must not have gaps. All else that version
-- 2 added is dropped.

LOCK TABLE incident, incident_activity, incident_label, incident_slot;

ALTER TABLE incident_slot DROP COLUMN last;

UPDATE incident_activity SET type = 3, value = 0, previous_value = 0,
    comment = concat_ws(E'\n', 'Activity of type ' || type, field, old_text, new_text, nullif(comment, ''))
WHERE type >= 100;

ALTER TABLE incident_activity
    DROP COLUMN changed,
    DROP COLUMN trigger_id,
    DROP COLUMN field,
    DROP COLUMN old_text,
    DROP COLUMN new_text,
    DROP CONSTRAINT incident_activity_type_check,
    ADD CONSTRAINT incident_activity_type_check CHECK (type BETWEEN 1 AND 4);

DROP TABLE incident_label;

ALTER TABLE incident DROP COLUMN optional;

UPDATE incident_schema SET version = CASE version WHEN 2 THEN 1 END, serves = 1;
