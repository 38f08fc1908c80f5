package storetest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// The named notifiers of the cases.
const (
	mail  = "mail"
	pager = "pager"
)

// someNotifiers returns the notifier without a name and two others, in order.
func someNotifiers() []string { return []string{"", mail, pager} }

// notifyingTo returns the change for these notifiers. They must be in order of name.
func notifyingTo(c incident.Change, notifiers ...string) incident.Change {
	c.Notify = nil
	for _, name := range notifiers {
		c.Notify = append(c.Notify, incident.NotifyTarget{Notifier: name})
	}
	return c
}

// mustNotifyTo appends a comment for these notifiers.
func mustNotifyTo(t *trial, s incident.Store, key incident.Key, notifiers ...string) {
	t.Helper()
	mustApply(t, s, notifyingTo(comment(key, fmt.Sprint("text of ", key)), notifiers...))
}

// anythingOf claims all due queues of a notifier.
func anythingOf(notifier string) incident.ClaimQuery {
	q := anything()
	q.Notifier = notifier
	return q
}

// mustClaimOneOf claims the only queue of a notifier that is due.
func mustClaimOneOf(t *trial, s incident.OutboxStore, notifier string, key incident.Key, sequence int64) incident.Claim {
	t.Helper()
	c := mustClaim(t, s, anythingOf(notifier))
	wantClaimed(t, fmt.Sprintf("the claims of notifier %q", notifier), c, activityKey{key, sequence})
	return c[0]
}

// mustClaimAll claims until it has n claims.
func mustClaimAll(t *trial, s incident.OutboxStore, q incident.ClaimQuery, n int) []incident.Claim {
	t.Helper()
	var all []incident.Claim
	for len(all) < n {
		all = append(all, mustClaim(t, s, q)...)
	}
	if len(all) > n {
		t.Fatalf("Claim(%+v) returns %d claims in total, want %d", q, len(all), n)
	}
	return all
}

func wantNoClaimOf(t *trial, s incident.OutboxStore, notifier, when string) {
	t.Helper()
	wantNoClaimBy(t, s, anythingOf(notifier), when)
}

func wantNoClaimBy(t *trial, s incident.OutboxStore, q incident.ClaimQuery, when string) {
	t.Helper()
	claims, err := try(t.Context(), s, q)
	if err != nil {
		t.Fatal(err)
	}
	if len(claims) > 0 {
		t.Fatalf("%s Claim() for notifier %q = %s, want nothing", when, q.Notifier, show(claims[0]))
	}
}

// mustDrainOf delivers all of a notifier, and checks the order of each incident's activities.
func mustDrainOf(t *trial, s incident.OutboxStore, q incident.ClaimQuery, want map[incident.Key][]int64) {
	t.Helper()
	got, n, total := map[incident.Key][]int64{}, 0, 0
	for _, sequences := range want {
		total += len(sequences)
	}
	for n < total {
		for _, c := range mustClaim(t, s, q) {
			got[c.Key] = append(got[c.Key], c.Sequence)
			n++
			mustSettle(t, s, deliver(c))
		}
	}
	wantNoClaimBy(t, s, q, "after all was delivered")
	for _, key := range slices.Collect(maps.Keys(want)) {
		wantEqual(t, fmt.Sprintf("the deliveries of %s to notifier %q", key, q.Notifier), got[key], want[key])
	}
}

// mustBacklogs returns the backlogs of all notifiers, except empty ones.
func mustBacklogs(t *trial, s incident.OutboxStore) map[string]incident.Backlog {
	t.Helper()
	all, err := s.Backlog(t.Context())
	if err != nil {
		t.Fatalf("Backlog() = %v, want no error", err)
	}
	maps.DeleteFunc(all, func(_ string, b incident.Backlog) bool { return b == incident.Backlog{} })
	return all
}

// counts are the numbers of a backlog.
type counts struct{ pending, parked, reminders int64 }

func wantBacklogOf(t *trial, s incident.OutboxStore, notifier, when string, want counts) {
	t.Helper()
	b := mustBacklogs(t, s)[notifier]
	if got := (counts{b.Pending, b.Parked, b.Reminders}); got != want {
		t.Errorf("%s the Backlog() of notifier %q is %+v, want %+v", when, notifier, got, want)
	}
}

// wantBacklogs checks the numbers of all notifiers.
func wantBacklogs(t *trial, s incident.OutboxStore, when string, want map[string]counts) {
	t.Helper()
	got := map[string]counts{}
	for name, b := range mustBacklogs(t, s) {
		got[name] = counts{b.Pending, b.Parked, b.Reminders}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s Backlog() = %+v, want %+v", when, got, want)
	}
}

// clock is the clock of a store, as the process knows it.
type clock struct {
	offset    time.Duration
	tolerance time.Duration // of a comparison with the clock
}

// mustClock reads the clock of a store. It uses an organization and a notifier of its own. A claim
// that takes long does not tell the clock well, and is repeated.
func mustClock(t *trial, s incident.OutboxStore) (c clock) {
	t.Helper()
	key := mustQueue(t, s, "clock", 0)
	best, start := t.patience, time.Now()
	for best > rounding && (time.Since(start) < time.Second || best == t.patience) {
		if time.Since(start) > t.patience {
			t.Fatal("Claim() returns nothing, want a queue that is due")
		}
		mustNotifyTo(t, s, key, "clock")
		before := time.Now()
		claims, err := try(t.Context(), s, anythingOf("clock"))
		took := time.Since(before)
		if err != nil {
			t.Fatal(err)
		}
		for _, claim := range claims {
			mustSettle(t, s, deliver(claim))
		}
		if len(claims) > 0 && took < best {
			best, c = took, clock{claims[0].Now.Sub(before.Add(took / 2)), rounding + took/2}
		}
	}
	return c
}

// now returns the time of the store in whole microseconds.
func (c clock) now() time.Time { return time.Now().Add(c.offset).UTC().Truncate(time.Microsecond) }
