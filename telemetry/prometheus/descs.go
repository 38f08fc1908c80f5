package prometheus

import "github.com/prometheus/client_golang/prometheus"

// descs are the descriptions of all metrics.
type descs struct {
	all []*prometheus.Desc

	running, cacheHits, cacheMisses, cacheBypassed, staleDrops *prometheus.Desc
	loadsShared, conflicts                                     *prometheus.Desc
	feedState, feedLag, feedVersions, feedResets               *prometheus.Desc
	delivered, failures, givenUp                               *prometheus.Desc
	pending, parked, reminders, oldest, backlogTime, abandoned *prometheus.Desc
	purged, passes, held, passTime                             *prometheus.Desc
}

func newDescs(constLabels prometheus.Labels) descs {
	var d descs
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		desc := prometheus.NewDesc("incident_"+name, help, labels, constLabels)
		d.all = append(d.all, desc)
		return desc
	}
	const notifier = "notifier"

	d.running = describe("running", "Whether Run of the Manager is running.")
	d.cacheHits = describe("cache_hits_total", "Look-ups that the cache answered.")
	d.cacheMisses = describe("cache_misses_total", "Look-ups that the cache did not answer.")
	d.cacheBypassed = describe("cache_bypassed_total", "Look-ups that were not made, because the writes of other processes were not known.")
	d.staleDrops = describe("cache_stale_drops_total", "Outdated entries that were removed from the cache or not stored.")
	d.loadsShared = describe("loads_shared_total", "Calls that another call's read of the store answered.")
	d.conflicts = describe("write_conflicts_total", "Writes that were decided again, because another writer was faster.")

	d.feedState = describe("feed_state", "Whether the feed of other processes' writes is in the state.", "state")
	d.feedLag = describe("feed_lag_seconds", "Bound of how outdated an answer of the cache can be. 0 while the cache is not served.")
	d.feedVersions = describe("feed_versions_total", "Versions of incidents and slots that the feed reported.")
	d.feedResets = describe("feed_resets_total", "How often the cache was dropped.")

	d.delivered = describe("notifications_delivered_total", "Successful attempts of this process to deliver a notification.", notifier)
	d.failures = describe("notification_failures_total", "Failed attempts of this process to deliver a notification.", notifier)
	d.givenUp = describe("notifications_given_up_total", "Notifications that this process parked after their last attempt.", notifier)
	d.pending = describe("notifications_pending", "Notifications of all processes that are to be delivered.", notifier)
	d.parked = describe("notifications_parked", "Notifications of all processes that were given up and parked.", notifier)
	d.reminders = describe("reminders_pending", "Reminders of all processes that are not due yet.", notifier)
	d.oldest = describe("notifications_oldest_seconds", "How long the longest-waiting notification has been at the head of its queue.", notifier)
	d.backlogTime = describe("notifications_backlog_timestamp_seconds", "When the backlog was last counted, as a Unix timestamp.", notifier)
	d.abandoned = describe("notifications_abandoned", "Notifications and reminders of notifiers that are not in the options of the Manager.", notifier)

	d.purged = describe("retention_purged_total", "Incidents that Run of this process deleted.")
	d.passes = describe("retention_passes_total", "Complete passes of this process over all organizations.")
	d.held = describe("retention_held", "Incidents that the last complete pass held back.")
	d.passTime = describe("retention_last_pass_timestamp_seconds", "When the last complete pass ended, as a Unix timestamp.")
	return d
}
