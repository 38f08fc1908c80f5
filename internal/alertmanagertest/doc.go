// Package alertmanagertest tests package web/alertmanager with the webhook sender of Alertmanager
// and, in the long form, with the Alertmanager program, on each store.
//
// The package is a module of its own: Alertmanager has many dependencies, and no host inherits
// them.
package alertmanagertest
