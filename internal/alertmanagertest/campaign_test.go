package alertmanagertest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify/webhook"
	"github.com/prometheus/common/model"

	"github.com/incidentkit/incident"
)

// groupInterval is how long a peer repeats a request, in minutes. It then sends the state of that
// time.
const groupInterval = 5

// campaign is a history of alerts that two peers of a cluster deliver to a receiver through outages.
// Its clock is that of the receiver, in minutes.
type campaign struct {
	t        *testing.T
	rand     *rand.Rand
	receiver *receiver
	peers    []*peer
	alerts   []*source

	mu     sync.Mutex
	minute int
}

// source is an alert with its episodes.
type source struct {
	service, severity string
	episodes          [][2]int // start and end; the end is 0 while it fires
}

// peer is an Alertmanager, or one of its groups. Each Alertmanager knows all alerts, since Prometheus
// sends to all peers.
type peer struct {
	severity string // of the group's alerts; empty for all
	notifier *webhook.Notifier
	payload  []*alert.Alert // that is being repeated
	built    int
	notified map[*source]bool   // firing, as far as the receiver may know
	pending  map[*source][2]int // the state that the payload reports
	sent     string             // the last state that the receiver has confirmed
}

var campaignStart = time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)

func (c *campaign) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return campaignStart.Add(time.Duration(c.minute) * time.Minute)
}

func at(minute int) time.Time { return campaignStart.Add(time.Duration(minute) * time.Minute) }

// Two peers deliver the same alerts, repeat what failed, and send old states late. The receiver is
// down, loses replies and its store, and restarts. With odd seeds the severities are groups. Critical alerts inhibit warnings. In the end each
// alert that fires and is not inhibited has an active trigger, only alerts that fire have, and no
// episode has opened two incidents.
func TestCampaign(t *testing.T) {
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for _, seed := range seeds(s.name) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { newCampaign(t, seed, s.open(t)).run(60) })
			}
		})
	}
}

// seeds returns the seeds for a store. Without Firing.Episode, 19 loses an alert.
func seeds(store string) (all []uint64) {
	if !long {
		return []uint64{0, 19}
	}
	n := uint64(40)
	if store == "memory" {
		n = 200
	}
	for seed := range n {
		all = append(all, seed)
	}
	return all
}

func newCampaign(t *testing.T, seed uint64, store incident.Store) *campaign {
	t.Helper()
	c := &campaign{t: t, rand: rand.New(rand.NewPCG(seed, 1))}
	c.receiver = newReceiver(t, store, c.now)
	groups := []string{""}
	if seed%2 == 1 {
		groups = []string{"warning", "critical"}
	}
	for range 2 {
		for _, severity := range groups {
			n := sender(t, c.receiver.url, 0, token)
			c.peers = append(c.peers, &peer{severity: severity, notifier: n, notified: map[*source]bool{}})
		}
	}
	for _, service := range []string{"checkout", "search", "login"} {
		for _, severity := range []string{"warning", "critical"} {
			c.alerts = append(c.alerts, &source{service: service, severity: severity})
		}
	}
	return c
}

func (c *campaign) run(minutes int) {
	for range minutes {
		c.step()
	}
	c.receiver.set(healthy)
	for range 2 * groupInterval { // the peers send what they have
		c.tick()
		for _, p := range c.peers {
			c.flush(p)
		}
	}
	c.check()
}

func (c *campaign) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.minute++
}

func (c *campaign) step() {
	c.tick()
	for _, a := range c.alerts {
		if c.rand.IntN(8) == 0 {
			a.toggle(c.minute)
		}
	}
	if c.rand.IntN(4) == 0 {
		c.receiver.set(fault(c.rand.IntN(int(faultCount))))
	}
	if c.rand.IntN(10) == 0 {
		c.receiver.restart()
	}
	c.rand.Shuffle(len(c.peers), func(i, j int) { c.peers[i], c.peers[j] = c.peers[j], c.peers[i] })
	for _, p := range c.peers {
		if c.rand.IntN(2) == 0 {
			c.flush(p)
		}
	}
}

// toggle begins an episode, or ends it.
func (a *source) toggle(minute int) {
	if last := len(a.episodes) - 1; last >= 0 && a.episodes[last][1] == 0 {
		a.episodes[last][1] = minute
		return
	}
	a.episodes = append(a.episodes, [2]int{minute, 0})
}

// isFiring reports whether an episode has no end yet.
func (a *source) isFiring() bool {
	return len(a.episodes) > 0 && a.episodes[len(a.episodes)-1][1] == 0
}

// isHeldBack reports whether an alert fires that the critical alert of its service inhibits.
func (c *campaign) isHeldBack(a *source) bool {
	return a.severity == "warning" && a.isFiring() && slices.ContainsFunc(c.alerts, func(b *source) bool {
		return b.service == a.service && b.severity == "critical" && b.isFiring()
	})
}

// flush sends the state of a peer, or repeats the last request until its time is over.
func (c *campaign) flush(p *peer) {
	if p.payload == nil || c.minute-p.built >= groupInterval {
		p.payload, p.pending, p.built = nil, map[*source][2]int{}, c.minute
		for _, a := range c.alerts {
			if len(a.episodes) == 0 || !a.isFiring() && !p.notified[a] || c.isHeldBack(a) || p.severity != "" && p.severity != a.severity {
				continue
			}
			last := a.episodes[len(a.episodes)-1]
			p.pending[a] = last
			p.notified[a] = p.notified[a] || last[1] == 0
			p.payload = append(p.payload, a.state(last))
		}
	}
	state := p.describe(c.alerts)
	if len(p.payload) == 0 || state == p.sent || post(c.t, p.notifier, p.payload...).Err() != nil {
		return
	}
	p.sent = state
	for a, episode := range p.pending {
		p.notified[a] = episode[1] == 0
	}
	p.payload = nil
}

// describe returns the state of the payload. Alertmanager sends no state again before its
// repeat_interval has passed.
func (p *peer) describe(alerts []*source) string {
	var b strings.Builder
	for _, a := range alerts {
		fmt.Fprint(&b, p.pending[a], " ")
	}
	return b.String()
}

// state returns an episode as an alert.
func (a *source) state(episode [2]int) *alert.Alert {
	labels := model.LabelSet{
		"alertname": "Latency", "service": model.LabelValue(a.service), "severity": model.LabelValue(a.severity), "cluster": "eu",
	}
	var end time.Time
	if episode[1] != 0 {
		end = at(episode[1])
	}
	return alertOf(labels, at(episode[0]), end)
}

// check compares the incidents with the alerts.
func (c *campaign) check() {
	c.t.Helper()
	active, opened := map[string][]string{}, map[string]int{}
	for _, inc := range c.receiver.incidents() {
		service := string(inc.Projects[0])
		opened[service]++
		triggers := c.receiver.activeTriggers(inc.Key())
		if inc.Status.Active() {
			active[service] = append(active[service], triggers...)
			if want := c.worst(service); inc.Status != want {
				c.t.Errorf("%s is %v, want %v", inc.Key(), inc.Status, want)
			}
		} else if len(triggers) > 0 {
			c.t.Errorf("%s is closed, and has the active triggers %v", inc.Key(), triggers)
		}
	}
	for _, service := range []string{"checkout", "search", "login"} {
		episodes := 0
		for _, a := range c.alerts {
			if a.service != service {
				continue
			}
			episodes += len(a.episodes)
			if got := slices.Contains(active[service], a.severity); got != a.isFiring() && !c.isHeldBack(a) {
				c.t.Errorf("%s %s has an active trigger: %v, and fires: %v\n%s", service, a.severity, got, a.isFiring(), c.history())
			}
		}
		if len(active[service]) > 2 {
			c.t.Errorf("%s has the active triggers %v\n%s", service, active[service], c.history())
		}
		if opened[service] > episodes {
			c.t.Errorf("%s has %d incidents of %d episodes\n%s", service, opened[service], episodes, c.history())
		}
	}
}

// worst returns the status of the worst alert that fires.
func (c *campaign) worst(service string) incident.Status {
	worst := incident.StatusClosed
	for _, a := range c.alerts {
		if a.service == service && a.isFiring() {
			severity := map[string]incident.Status{"warning": incident.StatusWarning, "critical": incident.StatusCritical}[a.severity]
			worst = max(worst, severity)
		}
	}
	return worst
}

// history describes the alerts and the incidents.
func (c *campaign) history() string {
	var b strings.Builder
	for _, a := range c.alerts {
		fmt.Fprintf(&b, "%s %s %v\n", a.service, a.severity, a.episodes)
	}
	all := c.receiver.incidents()
	slices.SortFunc(all, func(x, y incident.Incident) int { return cmp.Compare(x.Projects[0], y.Projects[0]) })
	for _, inc := range all {
		end := -1
		if inc.DateClosed != nil {
			end = int(inc.DateClosed.Sub(campaignStart) / time.Minute)
		}
		fmt.Fprintf(&b, "%s %s %v from %d to %d\n", inc.Key(), inc.Projects[0], inc.Status, int(inc.DateStarted.Sub(campaignStart)/time.Minute), end)
	}
	return b.String()
}
