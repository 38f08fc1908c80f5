package postgres

import (
	"archive/zip"
	"bytes"
	"embed"
	"io/fs"
	"path"
	"strings"
)

// A migration is a pair of files in the folder migrations, NUMBER_name.up.sql and
// NUMBER_name.down.sql. The n-th pair makes schema version n from version n-1, and undoes
// that. During a rolling deployment, libraries of several versions share a database, and a
// migration decides whether each of them can use it. Rules:
//
//   - Migrate runs before the first process of the new library starts. A library refuses
//     a database that is older than itself.
//   - A migration that leaves every statement of version m and later correct is additive:
//     it sets incident_schema.serves to at most m. New columns have a default or are
//     nullable, and new tables and indexes restrict no write of version m. A row that
//     version m writes without the new columns must be correct for the new library.
//   - Any other migration is breaking, and sets serves to its own version. A library reads
//     incident_schema before its first statement, and again after a statement has failed on
//     a missing table or column. Therefore a breaking migration should rename or drop
//     an object that the obsolete statements name. Then processes that were not stopped
//     fail, instead of writing data that the new library misreads.
//   - A removal takes two releases: an additive migration when the library stops using
//     the object, and a breaking migration in the next release. Each release serves
//     the previous release.
//   - The last statement of an up file is
//     UPDATE incident_schema SET version = CASE version WHEN n-1 THEN n END, serves = m;
//     and of a down file the reverse. Version 4 raises serves later, so that since version 5 a file
//     keeps a higher one: serves = greatest(serves, m). On any other version NULL violates NOT NULL, and the
//     file is undone.
//   - A file that changes several tables begins with a LOCK TABLE of all of them. No file
//     waits for more than ten locks: see prologueSQL.
//   - Files are plain SQL without psql commands, transaction control, CONCURRENTLY, DO
//     blocks or schema names, because hosts run them with tools of their own.
//   - The number is the date followed by the version in six digits. Hosts do not use it for
//     migrations of their own, whether they number from 1 or by date and time.
//   - The file NUMBER_name.txt lists the tables, columns, indexes and constraints of
//     version n, for Migrate to recognize. TestMigrate_objects -update writes it.
//   - schemaVersion is n. A released file never changes.
//
// TestStore_ahead runs the suites with tables an additive migration ahead of the library.
type migration struct {
	up, down string
	objects  []string
}

//go:embed migrations/*.sql
var migrationFiles embed.FS

//go:embed migrations/*.txt
var objectFiles embed.FS

// migrations are the library's migrations: migrations[n] makes version n+1.
var migrations = readMigrations()

// Migrations returns the SQL files that [Migrate] runs, for hosts that run them with a tool of
// their own. They are pairs of NUMBER_name.up.sql and NUMBER_name.down.sql. golang-migrate
// reads them as they are (iofs), Atlas reads them with format=golang-migrate, and psql singly.
// [os.CopyFS] writes them to a folder. For goose see [GooseMigrations].
//
// Run each file in a transaction (golang-migrate and Atlas do; psql needs
// --single-transaction and --set ON_ERROR_STOP=1), in the first schema of the
// connection's search_path; the schema must exist. Numbers have 14 digits and begin with a
// date, as in 20261125000001. Give the tool a version table of its own for these
// files, such as x-migrations-table=incident_migrations with golang-migrate: a version
// table shared with the host's own numbers would skip the lower ones.
//
// [Migrate] and [Store] inspect the tables and ignore the records of tools. They accept tables
// that any tool made with these files.
func Migrations() fs.FS {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return files
}

// GooseMigrations returns the files of [Migrations] in the form of pressly/goose: one
// file NUMBER_name.sql for each version, with the sections Up and Down. Give goose a
// version table of its own for them, such as goose.WithTableName("incident_goose").
func GooseMigrations() fs.FS {
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for _, name := range migrationNames() {
		up, down := mustRead(name+".up.sql"), mustRead(name+".down.sql")
		f, err := w.CreateHeader(&zip.FileHeader{Name: name + ".sql", Method: zip.Store})
		if err == nil {
			_, err = f.Write([]byte("-- +goose Up\n" + up + "\n-- +goose Down\n" + down))
		}
		if err != nil {
			panic(err) // a buffer takes everything
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	files, err := zip.NewReader(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
	if err != nil {
		panic(err) // it was written above
	}
	return files
}

// migrationNames returns the common prefix of each migration's files, in order.
func migrationNames() (names []string) {
	files, err := fs.Glob(migrationFiles, "migrations/*.up.sql")
	if err != nil {
		panic(err) // the pattern is well formed
	}
	for _, file := range files {
		names = append(names, strings.TrimSuffix(path.Base(file), ".up.sql"))
	}
	return names
}

func mustRead(name string) string {
	files := migrationFiles
	if path.Ext(name) == ".txt" {
		files = objectFiles
	}
	content, err := files.ReadFile("migrations/" + name)
	if err != nil {
		panic(err) // a test reads all
	}
	return string(content)
}

func readMigrations() (all []migration) {
	for _, name := range migrationNames() {
		all = append(all, migration{
			up:      mustRead(name + ".up.sql"),
			down:    mustRead(name + ".down.sql"),
			objects: strings.Split(strings.TrimSpace(mustRead(name+".txt")), "\n"),
		})
	}
	return all
}
