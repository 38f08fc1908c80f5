package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// found describes the library's tables in a database, whichever tool made them.
type found struct {
	databaseFacts          // schema is 0 if incident_schema has no row
	exists        bool     // the schema exists
	isSpread      bool     // by MigrateCitus, which drops checks
	readOnly      bool     // the connection is read-only by default
	objects       []string // the objects with names of the library, as listed by a migration
}

// findSQL lists the objects with the names of the library's tables and indexes. It has no
// parameters, so that every driver sends it in a single round trip.
const findSQL = `
WITH here AS (SELECT oid FROM pg_namespace WHERE nspname = %[1]s),
named AS (
	SELECT c.* FROM pg_class c, here WHERE c.relnamespace = here.oid AND c.relname = ANY (%[2]s::text[])
),
objects AS (
	SELECT CASE WHEN relkind IN ('r', 'p') THEN 'table ' WHEN relkind IN ('i', 'I') THEN 'index '
		WHEN relkind IN ('v', 'm') THEN 'view ' ELSE 'relation ' END || relname AS object
	FROM named
UNION ALL
	SELECT concat('column ', n.relname, '.', a.attname, ' ', format_type(a.atttypid, a.atttypmod),
		' COLLATE ' || nullif(l.collname, 'default'), CASE WHEN a.attnotnull THEN ' NOT NULL' END)
	FROM named n JOIN pg_attribute a ON a.attrelid = n.oid LEFT JOIN pg_collation l ON l.oid = a.attcollation
	WHERE n.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
	SELECT concat('constraint ', n.relname, '.', k.conname)
	FROM named n JOIN pg_constraint k ON k.conrelid = n.oid WHERE k.contype IN ('c', 'p', 'u')
UNION ALL
	SELECT 'type ' || t.typname FROM pg_type t, here
	WHERE t.typnamespace = here.oid AND t.typrelid = 0 AND t.typelem = 0 AND t.typname = ANY (%[2]s::text[])
)
SELECT current_setting('server_version_num')::integer, current_setting('server_encoding'),
	EXISTS (SELECT FROM here),
	EXISTS (SELECT FROM pg_class c, here WHERE c.relnamespace = here.oid AND c.relname = 'incident_statement'),
	current_setting('default_transaction_read_only')::boolean OR pg_is_in_recovery(),
	coalesce((SELECT string_agg(object, E'\n' ORDER BY object COLLATE "C") FROM objects), '')`

// findVersionSQL reads the version of a schema.
const findVersionSQL = `SELECT version, serves FROM %s.incident_schema`

// versionColumns are the columns that findVersionSQL reads.
var versionColumns = []string{
	"column incident_schema.version integer NOT NULL", "column incident_schema.serves integer NOT NULL",
}

// find inspects the database with two statements. A tool that does not take the lock can make
// a version between them.
func (m *migrator) find(ctx context.Context, q sqlx.QueryerContext) (f found, err error) {
	var objects string
	text := fmt.Sprintf(findSQL, pq.QuoteLiteral(m.options.Schema), pq.QuoteLiteral("{"+strings.Join(m.names(), ",")+"}"))
	err = q.QueryRowxContext(ctx, text).Scan(&f.server, &f.encoding, &f.exists, &f.isSpread, &f.readOnly, &objects)
	if err != nil || objects == "" {
		return f, err
	}
	f.objects = strings.Split(objects, "\n")
	if missing(versionColumns, f.objects) != nil {
		return f, nil
	}
	err = q.QueryRowxContext(ctx, fmt.Sprintf(findVersionSQL, quoteName(m.options.Schema))).Scan(&f.schema, &f.serves)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return f, err
}

// names returns the names of all tables and indexes of the migrations.
func (m *migrator) names() (names []string) {
	for _, v := range m.known {
		for _, object := range v.objects {
			kind, name, _ := strings.Cut(object, " ")
			if (kind == "table" || kind == "index") && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// check refuses a database that the migrations cannot continue from. A later version passes if
// it serves this library.
func (m *migrator) check(f found) error {
	if err := f.checkServer(); err != nil {
		return err
	}
	schema := m.options.Schema
	switch {
	case len(f.objects) == 0:
		return nil
	case f.schema == 0:
		return fmt.Errorf("%w: schema %q has no version in incident_schema, but %s; if a migration was interrupted, "+
			"drop these and migrate again; if they are not this library's, name another schema in Options.Schema",
			incident.ErrUnavailable, schema, enumerate(relations(f.objects)))
	case f.schema > len(m.known):
		return f.checkVersion(schema, len(m.known))
	}
	lacks := missing(m.known[f.schema-1].objects, f.objects)
	if f.isSpread {
		lacks = slices.DeleteFunc(lacks, checkConstraint.MatchString)
	}
	if len(lacks) > 0 {
		return fmt.Errorf("%w: the tables in schema %q are incomplete: incident_schema says version %d, which also has %s; "+
			"if a migration ran without a transaction, drop its tables and migrate again; "+
			"if a table with such a name is not this library's, name another schema in Options.Schema",
			incident.ErrUnavailable, schema, f.schema, enumerate(lacks))
	}
	return nil
}

// checkConstraint matches the checks of the migrations, except that of the holders of a slot, which statements
// rely on.
var checkConstraint = regexp.MustCompile(`^constraint .*_check\d*$`)

// missing returns the objects that are not among existing, without the columns and constraints
// of a missing table.
func missing(objects, existing []string) (lacks []string) {
	for _, object := range objects {
		if slices.Contains(existing, object) {
			continue
		}
		_, name, _ := strings.Cut(object, " ")
		table, _, isPart := strings.Cut(name, ".")
		if isPart && slices.Contains(objects, "table "+table) && !slices.Contains(existing, "table "+table) {
			continue
		}
		lacks = append(lacks, object)
	}
	return lacks
}

// relations returns the objects except the parts of tables.
func relations(objects []string) (names []string) {
	for _, object := range objects {
		if !strings.HasPrefix(object, "column ") && !strings.HasPrefix(object, "constraint ") {
			names = append(names, object)
		}
	}
	return names
}

// enumerate lists the first objects and counts the rest. Indexes come last.
func enumerate(objects []string) string {
	const most = 5
	sorted := slices.Clone(objects)
	slices.SortStableFunc(sorted, func(a, b string) int { return isIndex(a) - isIndex(b) })
	if n := len(sorted) - most; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(sorted[:most], ", "), n)
	}
	return strings.Join(sorted, ", ")
}

func isIndex(object string) int {
	if strings.HasPrefix(object, "index ") {
		return 1
	}
	return 0
}
