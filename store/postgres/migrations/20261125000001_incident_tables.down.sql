-- Drops the tables of schema version 1, and all data in them.

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
