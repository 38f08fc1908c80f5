package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

const (
	// longLease is a lease or a delay that does not end during a case.
	longLease = time.Hour

	// shortLease is a lease whose end a case waits for.
	shortLease = 40 * time.Millisecond

	// rounding is the tolerance between two clocks.
	rounding = 5 * time.Millisecond
)

// unnamed returns the notifier without a name, as the target of a change.
func unnamed() []incident.NotifyTarget { return []incident.NotifyTarget{{}} }

// parkedOf selects the parked notifications of an incident.
func parkedOf(key incident.Key) incident.ParkedQuery {
	return incident.ParkedQuery{OrganizationID: key.OrganizationID, Identifier: key.Identifier, Limit: everything}
}

// replay replays the parked notifications of an incident.
func replay(ctx context.Context, s incident.OutboxStore, key incident.Key) (int, error) {
	b, err := s.Replay(ctx, parkedOf(key))
	return b.Count, err
}

// backlogOf returns the backlog of the notifier without a name.
func backlogOf(ctx context.Context, s incident.OutboxStore) (incident.Backlog, error) {
	all, err := s.Backlog(ctx)
	return all[""], err
}

// notifying returns the change for the notifier without a name.
func notifying(c incident.Change) incident.Change {
	c.Notify = unnamed()
	return c
}

// mustQueue creates an incident whose queue has n comments, starting at sequence 3. The
// creation does not notify.
func mustQueue(t *trial, s incident.Store, org incident.OrganizationID, n int) incident.Key {
	t.Helper()
	key := mustCreate(t, s, draft(org)).Incident.Key()
	mustNotify(t, s, key, n)
	return key
}

// mustNotify appends n comments that notify.
func mustNotify(t *trial, s incident.Store, key incident.Key, n int) {
	t.Helper()
	for range n {
		mustApply(t, s, notifying(comment(key, fmt.Sprint("text of ", key))))
	}
}

// anything claims all due queues.
func anything() incident.ClaimQuery {
	return incident.ClaimQuery{Limit: everything, PerOrganization: everything, Lease: longLease}
}

// try claims once and checks the promises that every answer must keep. The claims are
// sorted by key. It may be called from any goroutine.
func try(ctx context.Context, s incident.OutboxStore, q incident.ClaimQuery) ([]incident.Claim, error) {
	claims, err := s.Claim(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("Claim(%+v) = %w, want no error", q, err)
	}
	if len(claims) > q.Limit {
		return nil, fmt.Errorf("Claim(%+v) returns %d claims", q, len(claims))
	}
	heads := map[queueName]bool{}
	for _, c := range claims {
		if c.Notifier != q.Notifier {
			return nil, fmt.Errorf("Claim(%+v) returns the claim %s of another notifier", q, show(c.Ticket))
		}
		if (c.Reminder != nil) != (c.Ticket.Reminder != "") {
			return nil, fmt.Errorf("Claim() returns %s with the ticket %s, want a Reminder in both or in none", show(c), show(c.Ticket))
		}
		if q := queueOf(c.Ticket); heads[q] {
			return nil, fmt.Errorf("Claim() returns two claims of the queue %v", q)
		}
		heads[queueOf(c.Ticket)] = true
	}
	slices.SortFunc(claims, func(a, b incident.Claim) int {
		return cmp.Or(
			cmp.Compare(a.Key.OrganizationID, b.Key.OrganizationID),
			cmp.Compare(a.Key.Identifier, b.Key.Identifier),
			cmp.Compare(a.Ticket.Reminder, b.Ticket.Reminder),
			cmp.Compare(a.Sequence, b.Sequence),
		)
	})
	return claims, nil
}

// queueName identifies a queue: the queue of an incident, a reminder, or a replayed
// notification.
type queueName struct {
	incident.Key
	notifier string
	reminder string
	replayed int64 // its sequence
}

func queueOf(t incident.Ticket) queueName {
	name := queueName{Key: t.Key, notifier: t.Notifier, reminder: t.Reminder}
	if t.Replayed {
		name.replayed = t.Sequence
	}
	return name
}

// mustClaim claims until it gets a claim. A store may pass over a due queue for a
// moment.
func mustClaim(t *trial, s incident.OutboxStore, q incident.ClaimQuery) []incident.Claim {
	t.Helper()
	for start := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		claims, err := try(t.Context(), s, q)
		if err != nil {
			t.Fatal(err)
		}
		if len(claims) > 0 {
			return claims
		}
		if time.Since(start) > t.patience {
			t.Fatalf("Claim(%+v) returns nothing, want a queue that is due", q)
		}
	}
}

// mustClaimOne claims the only queue that is due.
func mustClaimOne(t *trial, s incident.OutboxStore, key incident.Key, sequence int64) incident.Claim {
	t.Helper()
	c := mustClaim(t, s, anything())
	wantClaimed(t, "the claims", c, activityKey{key, sequence})
	return c[0]
}

// activityKey identifies an activity.
type activityKey struct {
	key      incident.Key
	sequence int64
}

func (k activityKey) String() string { return fmt.Sprint(k.key, "/", k.sequence) }

func activityKeysOf(claims []incident.Claim) []string {
	var all []string
	for _, c := range claims {
		all = append(all, activityKey{c.Key, c.Sequence}.String())
	}
	return all
}

// wantClaimed ends the case if the claims are not these.
func wantClaimed(t *trial, name string, claims []incident.Claim, want ...activityKey) {
	t.Helper()
	var names []string
	for _, p := range want {
		names = append(names, p.String())
	}
	if got := activityKeysOf(claims); !slices.Equal(got, names) {
		t.Fatalf("%s are %v, want %v", name, got, names)
	}
}

func wantNoClaim(t *trial, s incident.OutboxStore, when string) {
	t.Helper()
	claims, err := try(t.Context(), s, anything())
	if err != nil {
		t.Fatal(err)
	}
	if len(claims) > 0 {
		t.Fatalf("%s Claim() = %v, want nothing", when, activityKeysOf(claims))
	}
}

func deliver(c incident.Claim) incident.Settlement {
	return incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeDelivered}
}

func retry(c incident.Claim, after time.Duration) incident.Settlement {
	return incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeRetry, After: after}
}

func release(c incident.Claim) incident.Settlement {
	return incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomeRelease}
}

func park(c incident.Claim, text string) incident.Settlement {
	return incident.Settlement{Ticket: c.Ticket, Outcome: incident.OutcomePark, Error: text}
}

// settle ends claims, and repeats those that are busy. It may be called from any
// goroutine.
func settle(ctx context.Context, s incident.OutboxStore, patience time.Duration, all ...incident.Settlement) error {
	for start := time.Now(); len(all) > 0; {
		busy, err := s.Settle(ctx, all)
		if err != nil {
			return fmt.Errorf("Settle() = %w, want no error", err)
		}
		var rest []incident.Settlement
		for _, i := range busy {
			if i < 0 || i >= len(all) {
				return fmt.Errorf("Settle() of %d claims returns the index %d", len(all), i)
			}
			rest = append(rest, all[i])
		}
		if all = rest; len(all) > 0 && time.Since(start) > patience {
			return errors.New("Settle() still returns claims as busy, although nobody else uses the queues")
		}
	}
	return nil
}

func mustSettle(t *trial, s incident.OutboxStore, all ...incident.Settlement) {
	t.Helper()
	if err := settle(t.Context(), s, t.patience, all...); err != nil {
		t.Fatal(err)
	}
}

// mustDrain delivers everything and checks the order of each incident's activities.
func mustDrain(t *trial, s incident.OutboxStore, want map[incident.Key][]int64) {
	t.Helper()
	got, n, total := map[incident.Key][]int64{}, 0, 0
	for _, sequences := range want {
		total += len(sequences)
	}
	for n < total {
		for _, c := range mustClaim(t, s, anything()) {
			got[c.Key] = append(got[c.Key], c.Sequence)
			n++
			mustSettle(t, s, deliver(c))
		}
	}
	wantNoClaim(t, s, "after all was delivered")
	for key, sequences := range want {
		wantEqual(t, fmt.Sprintf("the deliveries of %s", key), got[key], sequences)
	}
}

func mustParked(t *trial, s incident.OutboxStore, q incident.ParkedQuery) []incident.ParkedNotification {
	t.Helper()
	parked, err := s.Parked(t.Context(), q)
	if err != nil {
		t.Fatalf("Parked(%+v) = %v, want no error", q, err)
	}
	return parked
}

// wantParked checks the parked notifications of an organization.
func wantParked(t *trial, s incident.OutboxStore, org incident.OrganizationID, want ...activityKey) {
	t.Helper()
	var got []activityKey
	for _, p := range mustParked(t, s, incident.ParkedQuery{OrganizationID: org, Limit: everything}) {
		got = append(got, activityKey{p.Incident, p.Sequence})
	}
	if !slices.Equal(got, want) {
		t.Errorf("parked in %q are %v, want %v", org, got, want)
	}
}

// mustPark parks the next n notifications of the only incident that is due.
func mustPark(t *trial, s incident.OutboxStore, n int) {
	t.Helper()
	for range n {
		mustSettle(t, s, park(mustClaim(t, s, anything())[0], "no receiver"))
	}
}

func mustReplayParked(t *trial, s incident.OutboxStore, key incident.Key, want int) {
	t.Helper()
	n, err := replay(t.Context(), s, key)
	if err != nil || n != want {
		t.Fatalf("Replay(%s) = %d, %v, want %d and no error", key, n, err, want)
	}
}

func mustBacklog(t *trial, s incident.OutboxStore) incident.Backlog {
	t.Helper()
	b, err := backlogOf(t.Context(), s)
	if err != nil {
		t.Fatalf("Backlog() = %v, want no error", err)
	}
	return b
}

func wantBacklog(t *trial, s incident.OutboxStore, when string, pending, parked int64) {
	t.Helper()
	if b := mustBacklog(t, s); b.Pending != pending || b.Parked != parked {
		t.Errorf("%s the backlog is %+v, want %d pending and %d parked", when, b, pending, parked)
	}
}
