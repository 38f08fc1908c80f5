// Package hostworld runs the library's suites in the environments of its hosts: over each
// supported driver, through wrappers and poolers, and with session defaults that differ
// from PostgreSQL's. It has only tests.
//
// It is a separate module, so that hosts do not depend on these drivers and wrappers.
package hostworld
