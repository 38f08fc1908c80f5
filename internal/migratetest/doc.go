// Package migratetest runs the library's exported migrations with the migration tools of
// hosts: golang-migrate, goose, Atlas and psql. It has only tests.
//
// It is a separate module, so that hosts do not depend on these tools.
package migratetest
