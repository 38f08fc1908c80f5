package main

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// The floor is the fastest way to write the rows of a Create: a single hand-written
// prepared statement without any look-up.
const floorCreateSQL = `
WITH o AS (
	INSERT INTO @incident_organization AS o (organization_id, incidents)
	VALUES ($1, 1)
	ON CONFLICT (organization_id) DO UPDATE SET incidents = o.incidents + 1
	RETURNING incidents AS identifier
), i AS (
	INSERT INTO @incident (organization_id, identifier, version, activities, call_id,
		type, status, status_method, date_started, date_detected, date_added, date_closed,
		detection_uuid, title, title_folded, alert_rule_id, query_id, projects)
	SELECT $1, identifier, 1, 2, $2::bigint, 0, 1, 1, $3::timestamptz, $3::timestamptz, $3::timestamptz, NULL,
		NULL, $4::text, $5::text, '', '', ARRAY[$6::text]
	FROM o
), p AS (
	INSERT INTO @incident_project (organization_id, project_id, date_started, identifier)
	SELECT $1, $6::text, $3::timestamptz, identifier FROM o
), a AS (
	INSERT INTO @incident_activity (organization_id, identifier, sequence, revision, call_id,
		type, value, previous_value, date_added, notification_uuid, user_id, comment)
	SELECT $1, o.identifier, v.sequence, 0, $2::bigint, v.type, v.value, 0, $3::timestamptz, v.id, $7::text, ''
	FROM o, (VALUES (1, 4, 0, $8::uuid), (2, 1, 1, $9::uuid)) AS v (sequence, type, value, id)
)
SELECT identifier FROM o`

const floorSelectSQL = `
SELECT organization_id, identifier, title, type, status, status_method, alert_rule_id, query_id, detection_uuid, projects,
	date_started, date_detected, date_added, date_closed, version
FROM @incident
WHERE organization_id = $1 AND identifier = $2`

func prepare(ctx context.Context, db *sqlx.DB, schema, text string) (*sql.Stmt, error) {
	return db.PrepareContext(ctx, strings.ReplaceAll(text, "@", schema+"."))
}

// floorCreate returns a call that creates an incident in an organization.
func floorCreate(ctx context.Context, db *sqlx.DB, schema string) (func(org string) error, error) {
	stmt, err := prepare(ctx, db, schema, floorCreateSQL)
	return func(org string) error {
		var identifier int64
		first, second := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
		return stmt.QueryRowContext(ctx, org, rand.Int64(), time.Now(), title, strings.ToLower(title), project, user, first, second).
			Scan(&identifier)
	}, err
}

// floorSelect returns a call that reads an incident's row.
func floorSelect(ctx context.Context, db *sqlx.DB, schema string) (func(org string, identifier int64) error, error) {
	stmt, err := prepare(ctx, db, schema, floorSelectSQL)
	return func(org string, identifier int64) error {
		var columns [15]any
		dest := make([]any, len(columns))
		for i := range columns {
			dest[i] = &columns[i]
		}
		return stmt.QueryRowContext(ctx, org, identifier).Scan(dest...)
	}, err
}
