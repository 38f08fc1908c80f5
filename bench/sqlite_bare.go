package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// bareSQLite has the statements of a host without the library, on the library's tables.
type bareSQLite struct {
	pool  *sqlx.DB
	stmts map[string]*sqlx.Stmt
}

const (
	bareNumberSQL = `INSERT INTO incident_organization VALUES (?, 1) ON CONFLICT DO UPDATE SET incidents = incidents + 1 RETURNING incidents`

	bareIncidentSQL = `INSERT INTO incident (organization_id, identifier, version, activities, changed, type, status, status_method,
		date_started, date_detected, date_added, date_closed, detection_uuid, title, title_folded, alert_rule_id, query_id, projects, optional)
		VALUES (?, ?, 1, 2, ?, 0, 1, 1, ?, ?, ?, NULL, NULL, ?, ?, '', '', ?, NULL)`

	bareProjectSQL = `INSERT INTO incident_project (organization_id, project_id, date_started, identifier) VALUES (?, ?, ?, ?)`

	bareActivitySQL = `INSERT INTO incident_activity (organization_id, identifier, sequence, revision, type, value, previous_value, date_added,
		notification_uuid, user_id, comment) VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?, '')`

	bareStatusSQL = `SELECT status, activities FROM incident WHERE organization_id = ? AND identifier = ?`

	bareUpdateSQL = `UPDATE incident SET status = ?, version = version + 1, activities = ?, changed = ? WHERE organization_id = ? AND identifier = ?`

	bareColumns = `i.organization_id, i.identifier, i.title, i.type, i.status, i.status_method, i.alert_rule_id, i.query_id,
		i.detection_uuid, i.projects, i.date_started, i.date_detected, i.date_added, i.date_closed, i.version, i.optional`

	bareRowSQL = `SELECT ` + bareColumns + ` FROM incident i WHERE organization_id = ? AND identifier = ?`

	bareTriggersSQL = `SELECT trigger_id, status, severity, date_added, date_modified FROM incident_trigger
		WHERE organization_id = ? AND identifier = ? ORDER BY trigger_id`

	bareSeenSQL = `SELECT user_id, last_seen FROM incident_seen WHERE organization_id = ? AND identifier = ? ORDER BY last_seen DESC, user_id`

	bareSubscribedSQL = `SELECT date_added FROM incident_subscription WHERE organization_id = ? AND identifier = ? AND user_id = ?`
)

// bareListSQL reads the latest incidents of all statuses from the index that lists them.
var bareListSQL = func() string {
	var parts []string
	for _, status := range []int{1, 10, 20, 2} {
		parts = append(parts, fmt.Sprintf(`SELECT `+bareColumns+` FROM incident i INDEXED BY incident_list
			WHERE organization_id = ?1 AND status = %d`, status))
	}
	return strings.Join(parts, " UNION ALL ") + " ORDER BY 11 DESC, 2 DESC LIMIT 26"
}()

// bare returns the bare statements on a database of its own, with a pool of connections.
func (f *files) bare(ctx context.Context, conns int) (*bareSQLite, error) {
	store, err := f.store(ctx, nil) // makes the tables
	if err != nil {
		return nil, err
	}
	return f.bareOn(ctx, store.Path(), conns)
}

// bareOn returns the bare statements on an existing database.
func (f *files) bareOn(ctx context.Context, path string, conns int) (*bareSQLite, error) {
	settings := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(10000)", "synchronous(FULL)", "temp_store(MEMORY)", "cache_size(-16384)",
	}}
	pool, err := sqlx.ConnectContext(ctx, "sqlite", "file:"+path+"?"+settings.Encode())
	if err != nil {
		return nil, err
	}
	f.closers = append(f.closers, pool)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	b := &bareSQLite{pool: pool, stmts: map[string]*sqlx.Stmt{}}
	for _, text := range []string{
		bareNumberSQL, bareIncidentSQL, bareProjectSQL, bareActivitySQL, bareStatusSQL, bareUpdateSQL,
		bareRowSQL, bareTriggersSQL, bareSeenSQL, bareSubscribedSQL, bareListSQL,
	} {
		if b.stmts[text], err = pool.PreparexContext(ctx, text); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// inTx runs fn in a transaction.
func (b *bareSQLite) inTx(fn func(tx *sqlx.Tx) error) error {
	tx, err := b.pool.Beginx()
	if err != nil {
		return err
	}
	defer tx.Rollback() // it does nothing after the commit
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (b *bareSQLite) exec(tx *sqlx.Tx, text string, args ...any) error {
	_, err := tx.Stmtx(b.stmts[text]).Exec(args...)
	return err
}

// create writes the rows of an incident in a transaction.
func (b *bareSQLite) create(org string) error {
	first, second, at := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7()), time.Now().UnixMicro()
	return b.inTx(func(tx *sqlx.Tx) error {
		var n int64
		if err := tx.Stmtx(b.stmts[bareNumberSQL]).QueryRow(org).Scan(&n); err != nil {
			return err
		}
		err := b.exec(tx, bareIncidentSQL, org, n, n, at, at, at, title, strings.ToLower(title), `["`+project+`"]`)
		if err != nil {
			return err
		}
		if err := b.exec(tx, bareProjectSQL, org, project, at, n); err != nil {
			return err
		}
		if err := b.exec(tx, bareActivitySQL, org, n, 1, 4, 0, 0, at, first[:], user); err != nil {
			return err
		}
		return b.exec(tx, bareActivitySQL, org, n, 2, 1, 1, 0, at, second[:], user)
	})
}

// update changes the status of an incident, and adds its activity.
func (b *bareSQLite) update(org string, identifier int64, status incident.Status) error {
	id, at := uuid.Must(uuid.NewV7()), time.Now().UnixMicro()
	return b.inTx(func(tx *sqlx.Tx) error {
		var before, activities int64
		if err := tx.Stmtx(b.stmts[bareStatusSQL]).QueryRow(org, identifier).Scan(&before, &activities); err != nil {
			return err
		}
		if err := b.exec(tx, bareUpdateSQL, int64(status), activities+1, at, org, identifier); err != nil {
			return err
		}
		return b.exec(tx, bareActivitySQL, org, identifier, activities+1, 2, int64(status), before, at, id[:], "")
	})
}
