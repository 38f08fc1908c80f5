package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// The reference is the creation of an incident in Sentry's code: logic.py and
// IncidentManager.create, statement by statement, in tables with the keys and indexes of
// its models. A concurrent creation with the same identifier is a unique violation. Then
// everything is repeated, for up to five seconds.
const referenceTables = `
CREATE SCHEMA @;
CREATE TABLE @.incident (
	id bigserial PRIMARY KEY,
	organization_id text NOT NULL,
	identifier integer NOT NULL,
	detection_uuid uuid,
	status smallint NOT NULL,
	status_method smallint NOT NULL,
	type smallint NOT NULL,
	title text NOT NULL,
	date_started timestamptz NOT NULL,
	date_detected timestamptz NOT NULL,
	date_added timestamptz NOT NULL,
	date_closed timestamptz,
	UNIQUE (organization_id, identifier)
);
CREATE INDEX ON @.incident (organization_id);
CREATE INDEX ON @.incident (detection_uuid);
CREATE TABLE @.incident_project (
	id bigserial PRIMARY KEY,
	project_id text NOT NULL,
	incident_id bigint NOT NULL REFERENCES @.incident,
	UNIQUE (project_id, incident_id)
);
CREATE INDEX ON @.incident_project (project_id);
CREATE INDEX ON @.incident_project (incident_id);
CREATE TABLE @.incident_activity (
	id bigserial PRIMARY KEY,
	incident_id bigint NOT NULL REFERENCES @.incident,
	user_id text,
	type integer NOT NULL,
	value text,
	previous_value text,
	comment text,
	notification_uuid uuid,
	date_added timestamptz NOT NULL
);
CREATE INDEX ON @.incident_activity (incident_id);
CREATE INDEX ON @.incident_activity (user_id)`

type reference struct {
	db      *sqlx.DB
	schema  string
	retries atomic.Int64
}

// uniqueViolation is a SQLSTATE.
const uniqueViolation = "23505"

const referencePatience = 5 * time.Second

func (r *reference) create(ctx context.Context, org string) error {
	for start := time.Now(); ; r.retries.Add(1) {
		err := r.try(ctx, org)
		var taken *pq.Error
		if !errors.As(err, &taken) || taken.Code != uniqueViolation || time.Since(start) > referencePatience {
			return err
		}
	}
}

func (r *reference) try(ctx context.Context, org string) error {
	tx, err := r.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var last, id int64
	now := time.Now()
	if err := tx.GetContext(ctx, &last, r.sql(`SELECT coalesce(max(identifier), 0) FROM @.incident WHERE organization_id = $1`), org); err != nil {
		return err
	}
	err = tx.GetContext(ctx, &id, r.sql(`INSERT INTO @.incident (organization_id, identifier, status, status_method, type, title,
		date_started, date_detected, date_added) VALUES ($1, $2, 1, 1, 0, $3, $4, $4, $4) RETURNING id`), org, last+1, title, now)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, r.sql(`INSERT INTO @.incident_project (project_id, incident_id) VALUES ($1, $2)`), project, id); err != nil {
		return err
	}
	for _, kind := range []int{4, 1} {
		_, err := tx.ExecContext(ctx, r.sql(`INSERT INTO @.incident_activity (incident_id, user_id, type, notification_uuid, date_added)
			VALUES ($1, $2, $3, $4, $5)`), id, user, kind, uuid.Must(uuid.NewV7()), now)
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (r *reference) sql(text string) string { return inSchema(text, r.schema) }

func newReference(ctx context.Context, s *server) (*reference, error) {
	db, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	s.schemas++
	r := &reference{db: db, schema: fmt.Sprintf("reference_%d", s.schemas)}
	_, err = db.ExecContext(ctx, r.sql(referenceTables))
	return r, err
}
