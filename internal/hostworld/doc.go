// Package hostworld runs the suites of the library in the worlds of its hosts:
// over each supported driver, through wrappers and poolers, and with session
// defaults other than PostgreSQL's.
//
// It is a module of its own, so that the drivers and wrappers which it needs are
// not required of every host.
package hostworld
