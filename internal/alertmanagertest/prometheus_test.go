package alertmanagertest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// Times of Prometheus, and so of the handler, for a test of a minute.
const (
	resend    = 300 * time.Millisecond
	lifetime  = 10 * time.Second // after which an alert ends that is not sent again
	lateAfter = 12 * time.Second // longer than lifetime and group_interval
)

// prometheus sends alerts to each Alertmanager of a cluster again and again, as Prometheus does.
type prometheus struct {
	peers [2]*program

	mu     sync.Mutex
	alerts []*rule
}

// rule is an alert with its episodes.
type rule struct {
	service, severity string
	episodes          []span
}

// span is an episode. The end is zero while it fires.
type span struct{ start, end time.Time }

func (r *rule) isFiring() bool {
	return len(r.episodes) > 0 && r.episodes[len(r.episodes)-1].end.IsZero()
}

// newPrometheus sends the alerts of some rules, and an alert that is always firing, until the test
// ends.
func newPrometheus(t *testing.T, peers [2]*program) *prometheus {
	t.Helper()
	p := &prometheus{peers: peers}
	for _, service := range []string{"checkout", "search", "login", "mail"} {
		for _, severity := range []string{"warning", "critical"} {
			p.alerts = append(p.alerts, &rule{service: service, severity: severity})
		}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, peer := range peers {
		wg.Go(func() {
			for {
				p.send(peer)
				select {
				case <-done:
					return
				case <-time.After(resend):
				}
			}
		})
	}
	t.Cleanup(func() { close(done); wg.Wait() })
	return p
}

// toggle begins an episode of a rule, or ends it.
func (p *prometheus) toggle(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, now := p.alerts[i], time.Now().UTC().Truncate(time.Millisecond)
	if r.isFiring() {
		r.episodes[len(r.episodes)-1].end = now
		return
	}
	r.episodes = append(r.episodes, span{start: now})
}

// isHeldBack reports whether an alert fires that the critical alert of its service inhibits.
func (p *prometheus) isHeldBack(r *rule) bool {
	return r.severity == "warning" && r.isFiring() && slices.ContainsFunc(p.alerts, func(s *rule) bool {
		return s.service == r.service && s.severity == "critical" && s.isFiring()
	})
}

// send posts the state of all rules. The end of an episode is sent until the next begins.
func (p *prometheus) send(peer *program) {
	type labels = map[string]string
	type alert struct {
		Labels      labels    `json:"labels"`
		Annotations labels    `json:"annotations"`
		StartsAt    time.Time `json:"startsAt"`
		EndsAt      time.Time `json:"endsAt"`
	}
	now := time.Now().UTC()
	alerts := []alert{{Labels: labels{"alertname": "Watchdog", "severity": "none"}, StartsAt: started, EndsAt: now.Add(lifetime)}}
	p.mu.Lock()
	for _, r := range p.alerts {
		if len(r.episodes) == 0 {
			continue
		}
		last := r.episodes[len(r.episodes)-1]
		if last.end.IsZero() {
			last.end = now.Add(lifetime)
		}
		alerts = append(alerts, alert{
			labels{"alertname": "Latency", "service": r.service, "severity": r.severity}, labels{"summary": r.service + " is slow"}, last.start, last.end,
		})
	}
	p.mu.Unlock()
	body, err := json.Marshal(alerts)
	if err != nil {
		panic(err)
	}
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Post("http://"+peer.web+"/api/v2/alerts", "application/json", bytes.NewReader(body))
	if err != nil { // the peer was killed
		return
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
}

// started is the start of the alert that is always firing.
var started = time.Now().UTC().Add(-time.Hour)
