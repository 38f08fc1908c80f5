package sqlite

import (
	"embed"
	"io/fs"
	"path"
	"strings"
)

// A migration is a pair of files in the folder migrations, NUMBER_name.up.sql and
// NUMBER_name.down.sql. The n-th pair makes schema version n from version n-1, and undoes that.
// The rules of the migrations of store/postgres hold here too: an additive migration lowers
// incident_schema.serves to the oldest version whose statements remain correct.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// Migrations returns the SQL files that [Store.Migrate] runs, for hosts that run them with a
// tool of their own. They are pairs of NUMBER_name.up.sql and NUMBER_name.down.sql, for a
// transaction each. Give the tool a version table of its own for these files. The files do not
// use user_version, so that the host can.
func Migrations() fs.FS {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return files
}

// migrations has the texts that make each version: migrations[n] makes version n+1.
var migrations = readMigrations()

func readMigrations() (all []string) {
	names, err := fs.Glob(migrationFiles, "migrations/*.up.sql")
	if err != nil {
		panic(err) // the pattern is well formed
	}
	for _, name := range names {
		content, err := migrationFiles.ReadFile(name)
		if err != nil {
			panic(path.Base(name) + ": " + err.Error()) // it is embedded
		}
		all = append(all, string(content))
	}
	return all
}

// statementsOf returns the statements of a file. No statement has a semicolon before the end of
// a line, except its last.
func statementsOf(file string) (all []string) {
	for s := range strings.SplitSeq(file, ";\n") {
		if strings.TrimSpace(s) != "" {
			all = append(all, s)
		}
	}
	return all
}
