package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// bareRow has the columns of an incident.
type bareRow struct {
	org, title, rule, query, projects string
	identifier, version               int64
	kind, status, method              int64
	started, detected, added          int64
	detection                         []byte
	closed                            sql.NullInt64
	optional                          sql.NullString
}

// scanner is a row, or the rows of a query.
type scanner interface{ Scan(dest ...any) error }

func (r *bareRow) scan(from scanner) error {
	return from.Scan(&r.org, &r.identifier, &r.title, &r.kind, &r.status, &r.method, &r.rule, &r.query, &r.detection, &r.projects,
		&r.started, &r.detected, &r.added, &r.closed, &r.version, &r.optional)
}

// row reads an incident by its key.
func (b *bareSQLite) row(org string, identifier int64) error {
	var r bareRow
	return r.scan(b.stmts[bareRowSQL].QueryRow(org, identifier))
}

// list reads the latest 26 incidents of an organization.
func (b *bareSQLite) list(org string) error {
	page := make([]bareRow, 0, 26)
	err := each(b.stmts[bareListSQL], func(rows scanner) error {
		var r bareRow
		err := r.scan(rows)
		page = append(page, r)
		return err
	}, org)
	if err == nil && len(page) != cap(page) {
		err = fmt.Errorf("the list has %d rows, want %d", len(page), cap(page))
	}
	return err
}

// details reads everything that Details returns, in a transaction that reads.
func (b *bareSQLite) details(org string, identifier int64) error {
	tx, err := b.pool.BeginTxx(context.Background(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // it does nothing after the commit
	var r bareRow
	if err := r.scan(tx.Stmtx(b.stmts[bareRowSQL]).QueryRow(org, identifier)); err != nil {
		return err
	}
	var trigger, by string
	var status, severity, added, modified, at int64
	err = each(tx.Stmtx(b.stmts[bareTriggersSQL]), func(rows scanner) error {
		return rows.Scan(&trigger, &status, &severity, &added, &modified)
	}, org, identifier)
	if err != nil {
		return err
	}
	err = each(tx.Stmtx(b.stmts[bareSeenSQL]), func(rows scanner) error { return rows.Scan(&by, &at) }, org, identifier)
	if err != nil {
		return err
	}
	err = tx.Stmtx(b.stmts[bareSubscribedSQL]).QueryRow(org, identifier, user).Scan(&at)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return tx.Commit()
}

// each calls scan for each row.
func each(stmt *sqlx.Stmt, scan func(scanner) error, args ...any) error {
	rows, err := stmt.Query(args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
