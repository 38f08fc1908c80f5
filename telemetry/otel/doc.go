// Package otel makes an [incident.Manager] report to OpenTelemetry: a span and a duration for each
// call, a span for each attempt to notify, and metrics of its statistics.
//
//	telemetry, err := incidentotel.New(nil) // the global providers
//	…
//	incidents, err := incident.New(store, &incident.Options{
//		Trace:    telemetry.Trace,
//		Notifier: telemetry.Notifier("", notifier),
//	})
//	…
//	registration, err := telemetry.Observe(incidents)
//
// # Spans of calls
//
// A call of the Manager is a span named "incident." and the method, such as "incident.Create", of
// kind internal. The spans of an instrumented database driver and of an Authorizer are its children.
// Calls in [incident.Manager] InTx are children of its span: see [Telemetry.Trace]. Attributes:
//
//	incident.operation.name     the method, such as "Create"
//	incident.organization.id    the organization, if the call names it
//	incident.id                 the identifier of the incident, if the call names it
//	incident.outcome            "ok", or the class of the error
//	error.type                  the class of the error, if the call failed
//
// An error is an answer or a failure. Answers leave the status of the span unset, as HTTP servers leave
// it for 4xx; the status of failures is Error:
//
//   - answers: not_found, invalid, conflict, version_conflict, forbidden, and canceled: the caller
//     gave up
//   - failures: unavailable, unknown_outcome, deadline_exceeded, panic, and _OTHER for errors of the
//     host
//
// # Spans of notifications
//
// An attempt to notify is a span named "incident.Notify" of kind consumer. It is the root of a trace,
// because [incident.Manager] Run lasts, and has a link to the span of Run's context. Attributes beside
// those of a call:
//
//	incident.notifier.name           the name, empty for the Notifier without a name
//	incident.notification.id         the UUID, the same in all attempts
//	incident.notification.type       the type of the activity, such as "StatusChange", or "Reminder"
//	incident.notification.attempt    the number of the attempt, from 1
//	incident.notification.replayed   whether the notification was parked and replayed
//
// There are two more classes, undeliverable and retry_after. Each class is a failure, except canceled:
// Run has ended during the attempt, and the notification is delivered later.
//
// # Metrics
//
// Histograms of seconds, with the attributes incident.outcome and error.type of the span:
//
//	incident.operation.duration         by incident.operation.name
//	incident.notification.duration      by incident.notifier.name
//
// Counters of [incident.Stats]. They begin at 0 in each process:
//
//	incident.cache.lookups              by incident.cache.result: hit, miss, bypassed
//	incident.cache.stale_drops
//	incident.loads.shared
//	incident.write.conflicts
//	incident.feed.versions
//	incident.feed.resets
//	incident.notification.attempts      by incident.notifier.name, and by
//	                                    incident.notification.outcome: delivered, failed
//	incident.notification.given_up      by incident.notifier.name
//	incident.retention.purged
//	incident.retention.passes
//
// Gauges of [incident.Stats]. Those of notifications count for all processes that share the store.
// Gauges are absent until their first count or pass:
//
//	incident.running                    1 while Run is running, otherwise 0
//	incident.feed.state                 1 for the present incident.feed.state, 0 for the others
//	incident.feed.lag                   seconds
//	incident.notification.pending       by incident.notifier.name
//	incident.notification.parked        by incident.notifier.name
//	incident.notification.oldest        seconds, by incident.notifier.name
//	incident.notification.backlog_age   seconds since the three above and the reminders were counted
//	incident.notification.abandoned     by incident.notifier.name
//	incident.reminder.pending           by incident.notifier.name
//	incident.retention.held
//	incident.retention.pass_age         seconds
//
// # Privacy
//
// No attribute has a title, a comment, a label, a user or the text of an error, since it
// could quote them. Metrics name no organization and no incident. Spans do: see [Options].Anonymous.
package otel
