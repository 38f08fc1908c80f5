-- Drops the tables of schema version 1, and all data in them.

LOCK TABLE incident, incident_activity, incident_organization, incident_outbox, incident_project,
    incident_schema, incident_seen, incident_slot, incident_subscription, incident_trigger;

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
