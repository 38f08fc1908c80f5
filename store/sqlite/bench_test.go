package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// bare has the statements of a creation, as a host would write them: database/sql, prepared, in
// a transaction. It has the tables of the library.
type bare struct {
	pool  *sqlx.DB
	stmts []*sqlx.Stmt
}

func newBare(b *testing.B) *bare {
	path := newPath(b)
	mustOpen(b, path, nil)
	pool := mustHostPool(b, path, "_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)")
	pool.SetMaxOpenConns(1)
	x := &bare{pool: pool}
	for _, text := range []string{
		`INSERT INTO incident_organization VALUES ('acme', 1) ON CONFLICT DO UPDATE SET incidents = incidents + 1 RETURNING incidents`,
		`INSERT INTO incident (organization_id, identifier, version, activities, changed, type, status, status_method,
			date_started, date_detected, date_added, title, title_folded, alert_rule_id, query_id, projects)
			VALUES ('acme', ?, 1, 2, ?, 0, 1, 1, ?, ?, ?, ?, ?, '', '', '["api"]')`,
		`INSERT INTO incident_project VALUES ('acme', 'api', ?, ?)`,
		`INSERT INTO incident_activity (organization_id, identifier, sequence, revision, type, value, previous_value, date_added,
			notification_uuid, user_id, comment) VALUES ('acme', ?, ?, 0, ?, 0, 0, ?, ?, '', '')`,
		`SELECT status, activities FROM incident WHERE organization_id = ? AND identifier = ?`,
		`UPDATE incident SET status = ?, version = version + 1, activities = ?, changed = ? WHERE organization_id = ? AND identifier = ?`,
		`SELECT organization_id, identifier, title, type, status, status_method, alert_rule_id, query_id, detection_uuid, projects,
			date_started, date_detected, date_added, date_closed, version, optional
			FROM incident WHERE organization_id = ? AND identifier = ?`,
	} {
		stmt, err := pool.Preparex(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { stmt.Close() })
		x.stmts = append(x.stmts, stmt)
	}
	return x
}

func (x *bare) create() error {
	tx, err := x.pool.Beginx()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var n int64
	if err := tx.Stmtx(x.stmts[0]).Get(&n); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	at := int64(1773446400000000) + n
	if _, err := tx.Stmtx(x.stmts[1]).Exec(n, n, at, at, at, "Checkout is slow", "checkout is slow"); err != nil {
		return err
	}
	if _, err := tx.Stmtx(x.stmts[2]).Exec(at, n); err != nil {
		return err
	}
	for i := range 2 {
		id[15] = byte(i)
		if _, err := tx.Stmtx(x.stmts[3]).Exec(n, i+1, 4-3*i, at, id[:]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// update changes the status of an incident.
func (x *bare) update(n int64) error {
	tx, err := x.pool.Beginx()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var status, activities int64
	if err := tx.Stmtx(x.stmts[4]).QueryRow("acme", 1).Scan(&status, &activities); err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	if _, err := tx.Stmtx(x.stmts[5]).Exec(10+10*(n%2), activities+1, n, "acme", 1); err != nil {
		return err
	}
	if _, err := tx.Stmtx(x.stmts[3]).Exec(1, activities+1, 2, 1773446400000000+n, id[:]); err != nil {
		return err
	}
	return tx.Commit()
}

// row reads an incident by its key.
func (x *bare) row() error {
	var org, title, rule, query, projects string
	var n, kind, status, method, started, detected, added, version int64
	var id []byte
	var closed sql.NullInt64
	var optional sql.NullString
	return x.stmts[6].QueryRow("acme", 1).Scan(&org, &n, &title, &kind, &status, &method, &rule, &query, &id, &projects,
		&started, &detected, &added, &closed, &version, &optional)
}

func BenchmarkBare_update(b *testing.B) {
	x := newBare(b)
	if err := x.create(); err != nil {
		b.Fatal(err)
	}
	for n := int64(0); b.Loop(); n++ {
		if err := x.update(n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBare_row(b *testing.B) {
	x := newBare(b)
	if err := x.create(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := x.row(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFire_unchanged(b *testing.B) {
	m := newManager(b, nil)
	f := incident.Firing{
		Slot:      incident.Slot{OrganizationID: "acme", AlertRuleID: "errors", ProjectID: "api"},
		TriggerID: "critical", Severity: incident.StatusCritical, Title: "Checkout is slow",
	}
	for b.Loop() {
		if _, err := m.Fire(context.Background(), f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBare_create(b *testing.B) {
	x := newBare(b)
	for b.Loop() {
		if err := x.create(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBare_create16(b *testing.B) {
	x := newBare(b)
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := x.create(); err != nil {
				b.Error(err)
			}
		}
	})
}

func newManager(b *testing.B, notifier incident.Notifier) incident.Manager {
	s := mustOpen(b, newPath(b), &sqlite.Options{SingleProcess: true})
	m, err := incident.New(s, &incident.Options{Notifier: notifier})
	if err != nil {
		b.Fatal(err)
	}
	return m
}

var created = incident.NewIncident{OrganizationID: "acme", Title: "Checkout is slow", Projects: []incident.ProjectID{"api"}}

func BenchmarkCreate(b *testing.B) {
	m := newManager(b, nil)
	for b.Loop() {
		if _, err := m.Create(context.Background(), created); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreate_notifier(b *testing.B) {
	m := newManager(b, incident.NotifyElsewhere)
	for b.Loop() {
		if _, err := m.Create(context.Background(), created); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreate16(b *testing.B) {
	m := newManager(b, nil)
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := m.Create(context.Background(), created); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkUpdateStatus(b *testing.B) {
	m := newManager(b, nil)
	r, err := m.Create(context.Background(), created)
	if err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	for b.Loop() {
		to := []incident.Status{incident.StatusWarning, incident.StatusCritical}[n.Add(1)%2]
		if _, err := m.UpdateStatus(context.Background(), r.Key(), incident.StatusUpdate{Status: to}); err != nil {
			b.Fatal(err)
		}
	}
}

func withMany(b *testing.B) incident.Manager {
	m := newManager(b, nil)
	for i := range 200 {
		n := created
		n.Title = fmt.Sprint("incident ", i)
		if _, err := m.Create(context.Background(), n); err != nil {
			b.Fatal(err)
		}
	}
	return m
}

func BenchmarkList25(b *testing.B) {
	m := withMany(b)
	for b.Loop() {
		if _, err := m.List(context.Background(), incident.IncidentFilter{OrganizationID: "acme"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkList25_project(b *testing.B) {
	m := withMany(b)
	for b.Loop() {
		if _, err := m.List(context.Background(), incident.IncidentFilter{OrganizationID: "acme", Projects: []incident.ProjectID{"api"}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDetails(b *testing.B) {
	m := withMany(b)
	for b.Loop() {
		if _, err := m.Details(context.Background(), incident.Key{OrganizationID: "acme", Identifier: 7}, "ada"); err != nil {
			b.Fatal(err)
		}
	}
}
