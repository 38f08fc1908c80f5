-- Drops all tables of the library, with all incidents.
DROP TABLE incident_queue;
DROP TABLE incident_subscription;
DROP TABLE incident_seen;
DROP TABLE incident_slot;
DROP TABLE incident_trigger;
DROP TABLE incident_activity;
DROP TABLE incident_label;
DROP TABLE incident_project;
DROP TABLE incident;
DROP TABLE incident_organization;
DROP TABLE incident_history;
DROP TABLE incident_schema;
