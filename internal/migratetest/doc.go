// Package migratetest runs the library's exported migrations with the tools that hosts
// have for their own: golang-migrate, goose, Atlas and psql. It is a module of its own,
// so that no host inherits them.
package migratetest
