package console

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// healthView is the data of health.html.
type healthView struct {
	Worries  []string // needs of attention; empty if all is well
	Sections []section
}

// section is a table of facts.
type section struct {
	Title string
	Name  string // of a notifier, after the title
	Facts []fact
}

// fact is a number with its meaning.
type fact struct{ Term, Text string }

// lateAfter is the age of a waiting notification that is worth attention.
const lateAfter = 5 * time.Minute

// healthPage shows the state of the Manager in this process, for all organizations.
func (c *console) healthPage(req *request) error {
	s := c.manager.Stats()
	view := &healthView{Sections: []section{feedSection(&s), cacheSection(&s)}}
	if !s.Running {
		view.Worries = append(view.Worries, "Run is not running in this process. It does not deliver notifications, and reads everything from the store.")
	}
	if s.Feed.State == incident.FeedLost {
		view.Worries = append(view.Worries, "The writes of other processes are not known now. The store may not answer.")
	}
	if s.Notifications != (incident.NotificationStats{}) {
		view.addNotifier("", s.Notifications.Backlog, &s.Notifications)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Notifiers)) {
		of := s.Notifiers[name]
		view.addNotifier(name, of.Backlog, &of)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Abandoned)) {
		view.Worries = append(view.Worries, "Notifications wait for the notifier "+name+", which this process does not have.")
		view.addNotifier(name, s.Abandoned[name], nil)
	}
	view.Sections = append(view.Sections, retentionSection(&s))
	return c.render(req, page{name: "health", title: "Health", heading: "Health", main: view})
}

func feedSection(s *incident.Stats) section {
	states := map[incident.FeedState]string{
		incident.FeedNone:      "not needed",
		incident.FeedStopped:   "stopped: Run is not running",
		incident.FeedLost:      "lost: the writes of other processes are not known",
		incident.FeedFollowing: "following",
		incident.FeedAsleep:    "asleep: nothing reads",
	}
	return section{Title: "Writes of other processes", Facts: []fact{
		{"Feed", states[s.Feed.State]},
		{"Lag", exact(s.Feed.Lag)},
		{"Reported versions", fmt.Sprint(s.Feed.Told)},
		{"Drops of the cache", fmt.Sprint(s.Feed.Resets)},
	}}
}

func cacheSection(s *incident.Stats) section {
	return section{Title: "Cache", Facts: []fact{
		{"Answered", share(s.CacheHits, s.CacheHits+s.CacheMisses+s.CacheBypassed)},
		{"Not answered", fmt.Sprint(s.CacheMisses)},
		{"Bypassed", fmt.Sprint(s.CacheBypassed)},
		{"Outdated entries", fmt.Sprint(s.StaleDrops)},
		{"Shared reads", fmt.Sprint(s.LoadsShared)},
		{"Writes decided again", fmt.Sprint(s.Conflicts)},
	}}
}

func retentionSection(s *incident.Stats) section {
	facts := []fact{
		{"Deleted incidents", fmt.Sprint(s.Retention.Purged)},
		{"Complete passes", fmt.Sprint(s.Retention.Passes)},
	}
	if s.Retention.Passes > 0 {
		facts = append(facts, fact{"Last pass", words(s.Retention.PassAge) + " ago"}, fact{"Held back", fmt.Sprint(s.Retention.Held)})
	}
	return section{Title: "Retention", Facts: facts}
}

// addNotifier adds a notifier. The counters are nil if this process does not deliver to it.
func (v *healthView) addNotifier(name string, b incident.Backlog, counters *incident.NotificationStats) {
	label := name
	if label == "" {
		label = "the notifier without a name"
	}
	facts := []fact{
		{"Waiting", fmt.Sprint(b.Pending)},
		{"Longest wait", exact(b.Oldest)},
		{"Parked", fmt.Sprint(b.Parked)},
		{"Reminders", fmt.Sprint(b.Reminders)},
	}
	if counters != nil {
		facts = append(facts, fact{"Counted", words(counters.BacklogAge) + " ago"}, fact{"Delivered", fmt.Sprint(counters.Delivered)},
			fact{"Failed attempts", fmt.Sprint(counters.Failed)}, fact{"Given up", fmt.Sprint(counters.GivenUp)})
	}
	if b.Oldest >= lateAfter {
		v.Worries = append(v.Worries, "Notifications are late for "+label+": the longest wait is "+words(b.Oldest)+".")
	}
	if b.Parked > 0 {
		v.Worries = append(v.Worries, count(b.Parked, "notification")+" parked for "+label+".")
	}
	v.Sections = append(v.Sections, section{Title: "Notifications", Name: name, Facts: facts})
}

// share returns a part of a whole in percent.
func share(part, whole uint64) string {
	if whole == 0 {
		return "0"
	}
	return fmt.Sprintf("%d of %d (%.1f %%)", part, whole, float64(part)/float64(whole)*100)
}

// exact returns a duration of less than a minute in milliseconds, and a longer duration in words.
func exact(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return words(d)
}
