package alertmanager_test

import (
	"slices"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/alertmanager"
)

func TestHandler_repeatedGroupsChangeNothing(t *testing.T) {
	w := newWorld(t)
	fire, end := webhook(firing("warning", 0)), webhook(resolved("warning", 0, 10))
	for _, step := range []struct {
		body string
		want incident.Status
	}{{fire, warning}, {end, closed}} {
		w.postBody(step.body, 200)
		w.want(step.want)
		before := w.versions()
		for range 3 {
			w.postBody(step.body, 200)
		}
		if after := w.versions(); !slices.Equal(before, after) {
			t.Errorf("repeating changed versions from %v to %v", before, after)
		}
	}
	if got := w.handler.Stats(); got.Fired != 1 || got.Resolved != 1 || got.Unchanged != 6 || got.Received != 8 {
		t.Errorf("counted %+v", got)
	}
}

// Each step sends an alert. The incidents have the statuses of want after the last.
func TestHandler_ordersEpisodes(t *testing.T) {
	episode1, end1 := firing("warning", 0), resolved("warning", 0, 10)
	episode2, end2 := firing("warning", 40), resolved("warning", 40, 50)
	worse, endWorse := firing("critical", 5), resolved("critical", 5, 20)
	for name, c := range map[string]struct {
		steps []alert
		want  []incident.Status
	}{
		"in order":                            {[]alert{episode1, end1, episode2, end2}, []incident.Status{closed, closed}},
		"an old firing after its end":         {[]alert{episode1, end1, episode1}, []incident.Status{closed}},
		"an old end after a new firing":       {[]alert{episode1, end1, episode2, end1}, []incident.Status{closed, warning}},
		"an end delivered after the next":     {[]alert{episode1, episode2, end1}, []incident.Status{warning}},
		"all of it repeated":                  {[]alert{episode1, end1, episode2, end2, episode1, end1, episode2, end2}, []incident.Status{closed, closed}},
		"reversed":                            {[]alert{episode2, episode1, end1}, []incident.Status{warning}},
		"an unknown end":                      {[]alert{end1}, nil},
		"an unknown end of a known slot":      {[]alert{worse, end1}, []incident.Status{critical}},
		"two severities are one incident":     {[]alert{episode1, worse}, []incident.Status{critical}},
		"the worse ends":                      {[]alert{episode1, worse, endWorse}, []incident.Status{warning}},
		"the milder ends":                     {[]alert{episode1, worse, end1}, []incident.Status{critical}},
		"both end":                            {[]alert{episode1, worse, end1, endWorse}, []incident.Status{closed}},
		"held back until the worse has ended": {[]alert{worse, endWorse, firing("warning", 10)}, []incident.Status{closed, warning}},
		"the milder again, late":              {[]alert{episode1, worse, end1, endWorse, episode1}, []incident.Status{closed}},
		"an end that equals the start":        {[]alert{episode1, resolved("warning", 0, 0), episode1}, []incident.Status{closed}},
		"an end before the start":             {[]alert{episode2, resolved("warning", 40, 30)}, []incident.Status{closed}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *alertmanager.Options) { o.LateDelivery = 2 * time.Hour })
			for _, a := range c.steps {
				w.post(a)
			}
			w.want(c.want...)
		})
	}
}

// Two peers of a cluster deliver the same, in any interleaving that keeps the order of each.
func TestHandler_peersDeliverTwice(t *testing.T) {
	steps := []alert{firing("warning", 0), resolved("warning", 0, 10), firing("warning", 40), resolved("warning", 40, 50)}
	for choice := range 1 << (2 * len(steps)) {
		var next [2]int
		var order []alert
		for bit := range 2 * len(steps) {
			peer := choice >> bit & 1
			if next[peer] < len(steps) {
				order = append(order, steps[next[peer]])
				next[peer]++
			}
		}
		if next != [2]int{len(steps), len(steps)} {
			continue
		}
		w := newWorld(t, func(o *alertmanager.Options) { o.LateDelivery = 2 * time.Hour })
		for _, a := range order {
			w.post(a)
		}
		w.want(closed, closed)
	}
}

func TestHandler_escalationInOneGroupIsOneIncident(t *testing.T) {
	w := newWorld(t)
	w.post(firing("warning", 0))
	w.post(resolved("warning", 0, 10), firing("critical", 10))
	w.want(critical)
}

// With max_alerts a group is "resolved" while an alert fires that was cut off.
func TestHandler_statusOfTheGroupIsIgnored(t *testing.T) {
	w := newWorld(t)
	b := firing("warning", 0)
	b["labels"] = labels{"alertname": "Latency", "service": "search", "severity": "warning"}
	w.post(firing("warning", 0))
	w.post(firing("warning", 0), b)
	w.postBody(`{"version":"4","status":"resolved","truncatedAlerts":1,"alerts":[`+jsonOf(resolved("warning", 0, 10))+`]}`, 200)
	w.want(closed, warning)
	w.postBody(`{"version":"4","status":"firing","truncatedAlerts":2,"alerts":[]}`, 200)
	w.want(closed, warning)
	if got := w.handler.Stats().Truncated; got != 3 {
		t.Errorf("counted %d truncated alerts, want 3", got)
	}
}

func TestHandler_userClosesUntilTheNextEpisode(t *testing.T) {
	w := newWorld(t)
	w.set(5)
	w.post(firing("warning", 0))
	w.set(10)
	key := incident.Key{OrganizationID: org, Identifier: 1}
	if _, err := w.manager.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: closed, UserID: "ada"}); err != nil {
		t.Fatal(err)
	}
	w.set(600)
	w.post(firing("warning", 0))
	w.want(closed)
	w.post(firing("warning", 500))
	w.want(closed, warning)
}

// Alertmanager resolves what Prometheus cannot renew, and Prometheus continues the episode.
func TestHandler_firesAgainAfterAWrongEnd(t *testing.T) {
	w := newWorld(t)
	w.set(11)
	w.post(firing("warning", 0))
	w.post(resolved("warning", 0, 10))
	w.want(closed)
	w.set(35) // a late delivery
	w.post(firing("warning", 0))
	w.want(closed)
	w.set(45)
	w.post(firing("warning", 0))
	w.want(closed, warning)
	w.post(firing("warning", 0), resolved("warning", 0, 10))
	w.want(closed, warning)
	if got := w.list()[1].DateStarted; !got.After(at(10)) || got.After(at(11)) {
		t.Errorf("the second incident started at %s, want just after %s", got, at(10))
	}
	w.set(60)
	w.post(resolved("warning", 0, 55))
	w.want(closed, closed)
}

// The same within an incident that another trigger keeps active.
func TestHandler_firesAgainInAnActiveIncident(t *testing.T) {
	w := newWorld(t)
	w.post(firing("critical", 0), firing("warning", 0))
	w.post(resolved("critical", 0, 10))
	w.want(warning)
	w.post(firing("critical", 0))
	w.want(critical)
}

func TestHandler_reopensWithin(t *testing.T) {
	w := newWorld(t, func(o *alertmanager.Options) { o.ReopenWithin = 15 * time.Minute })
	for _, a := range []alert{firing("warning", 0), resolved("warning", 0, 10), firing("warning", 20)} {
		w.post(a)
	}
	w.want(warning)
}

// A clock that is days ahead, or a date in 1969, loses no alert.
func TestHandler_datesOutOfRangeCountAsNow(t *testing.T) {
	for _, start := range []int{5 * 24 * 60, -60 * 24 * 365 * 60} {
		w := newWorld(t)
		w.post(firing("warning", start))
		w.want(warning)
		if got := w.list()[0].DateStarted; !got.Equal(w.now()) {
			t.Errorf("started at %s, want %s", got, w.now())
		}
		w.post(resolved("warning", start, start+1))
		w.want(closed)
	}
}
