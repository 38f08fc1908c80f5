// Package incident is incident management inside a Go program's own process.
// The host brings its users, organizations, projects and HTTP handlers; the
// package brings incidents with their history, comments, triggers, followers
// and views, and keeps them right under any concurrency.
//
// A [Manager] is everything that a host calls. It is made of a [Store], such as
// that of package store/memory:
//
//	incidents, err := incident.New(memory.New(), nil)
//
// An [Incident] is created by hand with [IncidentManager.Create], or opened by
// a trigger of an alert rule with [TriggerManager.Fire]. It has a [Status],
// which is open, warning or critical while it is active, and closed when it is
// over. What happens to it is an [Activity]: its detection, its creation, each
// change of its status, and comments. Activities are numbered within the
// incident and never change, but for the text of a comment.
//
// A [Key] names an incident, and every call names its organization: what
// belongs to another one looks as if it did not exist.
//
// # Alert rules
//
// An active incident of an alert rule occupies a [Slot]: the rule, the project
// and the query. At most one incident is active in a slot, under any
// concurrency, so [TriggerManager.Fire] and [TriggerManager.Resolve] need no
// more than the slot to find theirs. Both may be repeated at will: what is so
// already changes nothing.
//
// # Consistency
//
// Every call is atomic, and takes effect at one moment unless it is a long
// List. Writes are decided by pure rules on a version of the incident, and are
// stored only if that version still stands; otherwise they are decided again.
// [IncidentManager.Get], [TriggerManager.Triggers] and [IncidentManager.Active]
// read through a [Cache] and are never older than a write of this process that
// was acknowledged, nor than what this process has read before. All other reads
// ask the store.
//
// Where several processes write to one store, [Manager.Run] follows what the others
// have written. Then what the cache answers may lack their writes of the last moments,
// which is at most a second. Without Run, and while the store cannot be asked, nothing
// comes from the cache.
//
// # Notifications
//
// A Manager with a [Notifier] queues each activity in the commit that writes it, and
// [Manager.Run] hands it to the Notifier with the incident and its followers: at least
// once, in the order of the incident, whatever is killed, and without a fault exactly
// once, by however many processes. What fails is tried again after ever longer times and
// parked at last, from where [NotificationManager.Replay] brings it back. A slow or failing
// incident holds up no other, and an organization no other one.
//
// [Manager.Stats] tells how all this goes, and so do records of [Options.Logger]: the feed
// or the store lost and back, notifications failing, late or parked.
//
// # Errors
//
// Errors match one of the sentinels, such as [ErrNotFound] and [ErrInvalid],
// with errors.Is, and say in their text what to do. A [*FieldError] names the
// input field; a [*ConflictError] names the incident that is in the way.
//
// # Time and text
//
// Times are UTC in whole microseconds, in the years 1970 to 9999. Texts are
// valid UTF-8 without control characters other than newline and tab. What a
// store returns is what it was given, to the byte and to the microsecond.
//
// The model, and the numbers of its enumerations, are those of the incidents
// module of Sentry.
package incident
