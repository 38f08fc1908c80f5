//go:build unix

package postgres_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/relay"
)

// Processes deliver the notifications of the incidents that they create without a claim. When they
// are killed, or the server is, nothing is lost, and order is kept. A kill repeats only what was
// not settled.
func TestRelay_killedDuringCreations(t *testing.T) {
	t.Parallel()
	const concurrency, enough = 16, 100 // deliveries before a kill
	rounds := 3
	if long {
		rounds = 50
	}
	r := newRelays(t)
	task := relayTask{Concurrency: concurrency, Timeout: 100 * time.Millisecond, Slow: 5 * time.Millisecond, Creates: 4}
	kills := 0
	for round := range rounds {
		first, second := r.start(t, 2*round, task), r.start(t, 2*round+1, task)
		deadline := time.Now().Add(2 * time.Minute)
		for r.inbox.countOf(2*round) < enough || r.inbox.countOf(2*round+1) < enough || r.inbox.firsts() < 2*enough*(round+1) {
			if time.Now().After(deadline) {
				t.Fatal("the relays deliver nothing")
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(rand.N(20 * time.Millisecond))
		if round == 1 {
			r.server.Kill()
			if err := r.server.Restart(); err != nil {
				t.Fatal(err)
			}
		}
		first.kill()
		second.kill()
		kills += 2
	}
	last := r.start(t, 2*rounds, relayTask{Concurrency: concurrency, Timeout: 10 * time.Second})
	n := r.countIncidents(t)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if v, err := r.inbox.judge(t.Context(), r.manager, n); err == nil && v.Lost == 0 {
			break
		}
	}
	_ = last.stdin.Close()
	last.wait(t)
	r.end(t)
	v, err := r.inbox.judge(t.Context(), r.manager, n)
	if err != nil {
		t.Fatal(err)
	}
	if v.Lost+v.Invented+v.OutOfOrder > 0 || v.Wanted < 2*enough*rounds {
		t.Errorf("%+v", v)
	}
	if most := (kills + 2) * concurrency * (1 + relay.UnsettledPerPermit); v.Repeated > most { // the server was killed for two
		t.Errorf("%d notifications came again after %d kills, want at most %d", v.Repeated, kills, most)
	}
	t.Logf("%+v, %d kills", v, kills)
}

// countIncidents returns the number of incidents. Its connections may be from before the server was
// killed.
func (r *relays) countIncidents(t *testing.T) (n int) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		_, err := r.manager.Get(t.Context(), incident.Key{OrganizationID: "acme", Identifier: int64(n) + 1})
		switch {
		case err == nil:
			n++
		case errors.Is(err, incident.ErrNotFound):
			return n
		case time.Now().After(deadline):
			t.Fatal(err)
		}
	}
}
