package alertmanagertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident/web/alertmanager"
)

// Two Alertmanagers of a cluster send what a Prometheus reports, while they are killed and the
// receiver fails and restarts. Critical alerts inhibit warnings. In the end each alert that fires and
// is not inhibited has an active trigger, only alerts that fire have, and no episode has opened two
// incidents. A Reconciler of each process ends what an
// Alertmanager has forgotten, since it was killed or the alert was inhibited.
func TestProgram(t *testing.T) {
	if !long {
		t.Log("the program is compiled and run in the long form")
		return
	}
	path := buildProgram(t)
	for i, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			r := newLateReceiver(t, s.open(t), time.Now, lateAfter)
			peers := newCluster(t, path, r.url)
			p := newPrometheus(t, peers)
			reconcile(t, r, peers)
			random := rand.New(rand.NewPCG(uint64(i), 2))
			for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond) {
				trouble(p, r, random)
			}
			r.set(healthy)
			await(t, func() error { return differ(r, p) })
		})
	}
}

// trouble lets alerts begin or end, faults of the receiver, and kills.
func trouble(p *prometheus, r *receiver, random *rand.Rand) {
	p.toggle(random.IntN(len(p.alerts)))
	switch random.IntN(10) {
	case 0, 1:
		r.set(fault(random.IntN(int(faultCount))))
	case 2, 3:
		r.set(healthy)
	case 4:
		r.restart()
	case 5:
		if random.IntN(3) == 0 {
			peer := p.peers[random.IntN(2)]
			peer.kill()
			peer.start()
		}
	}
}

// reconcile runs a Reconciler of the receiver's present handler until the test ends.
func reconcile(t *testing.T, r *receiver, peers [2]*program) {
	t.Helper()
	source := &alertmanager.API{URLs: []string{"http://" + peers[0].web, "http://" + peers[1].web}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		var (
			handler *alertmanager.Handler
			current *alertmanager.Reconciler
		)
		for ctx.Err() == nil {
			r.mu.Lock()
			now := r.handler
			r.mu.Unlock()
			if now != handler {
				var err error
				handler = now
				current, err = handler.NewReconciler(&alertmanager.ReconcileOptions{
					Alerts: source.Alerts, Watchdog: "Watchdog", Grace: lateAfter, Interval: time.Second,
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
			_, _ = current.Reconcile(ctx) // a peer may be down, and the receiver faulty
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// await waits until check returns nil.
func await(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(6 * time.Minute); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// differ returns the first difference between the incidents and the alerts.
func differ(r *receiver, p *prometheus) error {
	active, opened := map[string][]string{}, map[string]int{}
	for _, inc := range r.incidents() {
		if inc.AlertRuleID == "Watchdog" {
			continue
		}
		service := string(inc.Projects[0])
		opened[service]++
		if inc.Status.Active() {
			active[service] = append(active[service], r.activeTriggers(inc.Key())...)
		}
	}
	episodes := map[string]int{}
	for _, rule := range p.alerts {
		episodes[rule.service] += len(rule.episodes)
		if got := slices.Contains(active[rule.service], rule.severity); got != rule.isFiring() && !p.isHeldBack(rule) {
			return fmt.Errorf("%s %s has an active trigger: %v, and fires: %v", rule.service, rule.severity, got, rule.isFiring())
		}
	}
	for service, n := range opened {
		if n > episodes[service] {
			return fmt.Errorf("%s has %d incidents of %d episodes", service, n, episodes[service])
		}
		if len(active[service]) > 2 {
			return fmt.Errorf("%s has the active triggers %v", service, active[service])
		}
	}
	return nil
}
