-- Makes schema version 2 of version 3. Reminders, and the queued and parked notifications of
-- notifiers with a name, are dropped. The notifier without a name keeps its queues.

LOCK TABLE incident, incident_outbox, incident_queue;

DROP TABLE incident_queue;

ALTER TABLE incident DROP COLUMN reminded;
ALTER TABLE incident_outbox DROP COLUMN pending;

UPDATE incident_schema SET version = CASE version WHEN 3 THEN 2 END, serves = 1;
