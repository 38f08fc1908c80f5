// Package prometheus exports the statistics of an [incident.Manager] to Prometheus.
//
// A host registers a [Collector] once, and serves the registry as usual:
//
//	incidents, err := incident.New(store, nil)
//	…
//	registry := prometheus.NewRegistry()
//	err = registry.Register(incidentprometheus.NewCollector(incidents, nil))
//	…
//	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
//
// A scrape reads [incident.Manager] Stats and nothing else: it never asks the store, so it works and
// costs microseconds while the store fails.
//
// # Metrics
//
// Counters begin at 0 in each process:
//
//	incident_cache_hits_total                     look-ups that the cache answered
//	incident_cache_misses_total                   look-ups that it did not answer
//	incident_cache_bypassed_total                 look-ups that were not made
//	incident_cache_stale_drops_total              outdated entries that were removed or refused
//	incident_loads_shared_total                   calls that another call's read of the store answered
//	incident_write_conflicts_total                writes that were decided again
//	incident_feed_versions_total                  versions that the feed has reported
//	incident_feed_resets_total                    times that the cache was dropped
//	incident_notifications_delivered_total        successful attempts, by notifier
//	incident_notification_failures_total          failed attempts, by notifier
//	incident_notifications_given_up_total         notifications that were parked, by notifier
//	incident_retention_purged_total               incidents that were deleted by Options.Retention
//	incident_retention_passes_total               complete passes of the retention
//
// Gauges:
//
//	incident_running                              1 while Run is running, otherwise 0
//	incident_feed_state                           1 for the present state, 0 for the others, by state
//	incident_feed_lag_seconds                     how outdated an answer of the cache can be
//	incident_notifications_pending                notifications to deliver, by notifier
//	incident_notifications_parked                 notifications that were given up, by notifier
//	incident_reminders_pending                    reminders that are not due yet, by notifier
//	incident_notifications_oldest_seconds         longest wait at the head of a queue, by notifier
//	incident_notifications_backlog_timestamp_seconds
//	                                              when the four above were counted, by notifier
//	incident_notifications_abandoned              notifications and reminders of notifiers that are
//	                                              not in the options, by notifier
//	incident_retention_held                       incidents that the last complete pass held back
//	incident_retention_last_pass_timestamp_seconds
//	                                              when the last complete pass ended
//
// The gauges of notifications and reminders count those of all processes that share the store. Each
// process reports its last count, so that a query takes their max, and not their sum. A gauge is
// absent until its first count or pass.
//
// The label notifier is empty for [incident.Options].Notifier. Its series are absent if the Manager
// has only named notifiers. No label names an organization, an incident or a user.
//
// # Alerts
//
//	incident_feed_state{state="lost"} == 1                                 for 5 minutes
//	max by (notifier) (incident_notifications_oldest_seconds) > 300
//	max by (notifier) (incident_notifications_parked) > 0
//	max by (notifier) (incident_notifications_abandoned) > 0               see NotificationManager.Discard
//	time() - max(incident_notifications_backlog_timestamp_seconds) > 120   no Run counts
package prometheus
