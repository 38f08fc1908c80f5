// Package incident manages incidents inside a Go program's own process. The host application
// brings users, organizations, projects and HTTP handlers. The package keeps incidents with
// their history, comments, triggers, subscribers and views, and keeps them correct under any
// concurrency.
//
// The next sections are for hosts. The section on stores is for authors of stores.
//
// # Managing incidents
//
// A host calls a [Manager], which it creates from a store. Package store/memory keeps incidents in
// the process, store/sqlite in a file, and store/postgres in PostgreSQL:
//
//	incidents, err := incident.New(memory.New(), nil)
//
// An [Incident] is created by hand with [IncidentManager.Create], or opened by a trigger of an
// alert rule with [TriggerManager.Fire]. Its [Status] is open, warning or critical while the
// incident is active, and closed afterwards. Its history consists of activities: detection,
// creation, status changes and comments. An [Activity] never changes, except that a comment
// can be edited and deleted.
//
// A [Key] names an incident. Every call names its organization, and the records of other
// organizations look as if they did not exist.
//
// # Alert rules
//
// An active incident of an alert rule occupies a [Slot]: the combination of organization,
// rule, project and query. At most one incident is active in a slot, under any concurrency, so
// that [TriggerManager.Fire] and [TriggerManager.Resolve] find their incident by its slot. Both
// may be repeated at any time: a repetition changes nothing.
//
// # Consistency
//
// Every call is atomic, and takes effect at one moment; only a long List may span several.
// Rules decide a write on a version of the incident. The write is saved only if the version is
// still current; otherwise it is decided again.
//
// [IncidentManager.Get], [TriggerManager.Triggers] and [IncidentManager.Active] read through a
// [Cache]. They never return an older version than an acknowledged write of this process, or
// than an earlier read of this process. All other reads ask the store.
//
// If several processes write to one store, [Manager.Run] follows the writes of the others. A
// cached read may then miss their writes of the last second at most. Without Run, and while
// the store does not answer, nothing is read from the cache.
//
// # Notifications
//
// A Manager with a [Notifier] queues each activity in the commit that writes it. [Manager.Run]
// delivers it with the incident and its subscribers. Delivery is at least once and in order per
// incident, even across crashes; without failures it is exactly once, however many processes
// run. A failed delivery is retried with growing delays and then parked;
// [NotificationManager.Replay] queues it again. A failing incident delays no other incident,
// and an organization no other organization.
//
// [Options.Notifiers] are several notifiers by name, such as a pager and a chat. Each has queues,
// attempts and parked notifications of its own, so that none waits for another, and a failure of
// one repeats no delivery of another.
//
// [ReminderManager.Remind] sets a reminder: a notification at a later time, unless the incident
// was acknowledged, lowered or closed by then. The store keeps reminders with the incident, so
// that they survive crashes.
//
// # Watching
//
// [WatchManager.Watch] reports which incidents of an organization have changed, in all processes
// that share the store. A host refreshes its pages with it, without asking again and again.
//
// # Pages and endpoints
//
// A host can mount handlers that use this package alone: package web/console has pages for people,
// web/alertmanager receives the webhooks of Alertmanager and Grafana, and web/events receives events
// in the form of PagerDuty's. Package web/webhook posts notifications as Standard Webhooks.
//
// # Health
//
// [Manager.Stats] reports the state of the cache, the feed and the delivery. [Options.Logger]
// receives a record when the feed or the store is lost and when it is back, and when
// notifications fail, are late or are parked. [Options.Trace] reports each call.
//
// # Errors
//
// Errors match a sentinel such as [ErrNotFound] or [ErrInvalid] with [errors.Is], and their
// text suggests a remedy. A [*FieldError] names the refused input field. A [*ConflictError]
// names the incident that is in the way.
//
// # Times and texts
//
// Times are UTC in whole microseconds, in the years 1970 to 9999. Texts are valid UTF-8 without
// control characters other than newline and tab. The store returns every value as it was given,
// to the byte and to the microsecond. [NormalizeTitle] and [NormalizeComment] make any text
// acceptable. Lists search titles in the form of [FoldTitle].
//
// The model, and the numbers of its enumerations, are those of Sentry's incidents module.
//
// # JSON
//
// Results, parameters and pages have camelCase names in JSON. Those of results are Sentry's, and
// stay so where they are uneven: identifiers, sequences and the statuses of an activity are
// texts, the user of an activity is "user" and of a view "userId", and a trigger is
// "alertRuleTrigger". A parameter has the name that [FieldError.Field] reports, such as "trigger"
// or "userId". Optional parameters may be absent.
//
// A host that decodes parameters from a client then sets all fields that it does not leave to the
// client, such as the organization, the user, [CommentEdit.Moderator] and
// [IncidentFilter.Access].
//
// # Stores
//
// An author of a store implements [Store], whose parts are [IncidentStore], [ActivityStore],
// [SeenStore] and [SubscriptionStore]. A store persists [Change] values and answers queries; all
// rules are in the Manager. Optional interfaces add capabilities:
//
//   - [FeedStore] reports the writes of other processes, so that the Manager of a shared store
//     can serve reads from its cache;
//   - [OutboxStore] queues activities for notifiers, and keeps reminders. [UsedOutbox] knows
//     whether any activities were queued;
//   - [ReportStore] computes reports, perhaps with a [ReportTally];
//   - [LocalStore] declares that reads cost no more than the cache;
//   - [JoinedStore] takes part in a transaction of the host. [StoreAs] gives the package of a
//     store access to the store of a transaction.
//
// Package store/storetest proves a store: Run tests a Store, RunFeed a FeedStore, RunOutbox an
// OutboxStore, and RunReport a ReportStore. Each "must" of a contract is a case there.
package incident
