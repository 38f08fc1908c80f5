package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// mustParkMany parks activities and reminders of two incidents for a notifier, in no order, and
// returns their positions in order. It also parks for another notifier and another organization.
func mustParkMany(t *trial, s incident.OutboxStore, notifier string) (want []incident.ParkedPosition) {
	t.Helper()
	other := map[string]string{"": mail, mail: pager, pager: ""}[notifier]
	first, second, foreign := mustQueue(t, s, acme, 0), mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0)
	reminders := []incident.Reminder{
		reminder("B", notifier), reminder("a", notifier), reminder("a", notifier), reminder("a", notifier), reminder("é", notifier),
	}
	reminders[1].At, reminders[3].At = at(2*time.Microsecond), at(-time.Hour)
	for _, key := range []incident.Key{second, first, foreign} {
		for _, r := range reminders {
			mustParkReminder(t, s, key, r)
			r.Notifier = other
			mustParkReminder(t, s, key, r)
		}
		for sequence := int64(3); sequence <= 4; sequence++ {
			for _, name := range []string{notifier, other} {
				mustNotifyTo(t, s, key, name)
				c := mustClaim(t, s, anythingOf(name))[0]
				mustSettle(t, s, park(c, "no receiver"))
			}
		}
	}
	for _, key := range []incident.Key{first, second} {
		id := key.Identifier
		want = append(want,
			incident.ParkedPosition{Identifier: id, Sequence: 3}, incident.ParkedPosition{Identifier: id, Sequence: 5},
			incident.ParkedPosition{Identifier: id, Reminder: "B", Sequence: t0.UnixMicro()},
			incident.ParkedPosition{Identifier: id, Reminder: "a", Sequence: at(-time.Hour).UnixMicro()},
			incident.ParkedPosition{Identifier: id, Reminder: "a", Sequence: t0.UnixMicro()},
			incident.ParkedPosition{Identifier: id, Reminder: "a", Sequence: at(2 * time.Microsecond).UnixMicro()},
			incident.ParkedPosition{Identifier: id, Reminder: "é", Sequence: t0.UnixMicro()},
		)
	}
	return want
}

// Pages have the activities and reminders of a notifier in order of position, and begin after
// any position.
func parkedAreInOrderOfPosition(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		want := mustParkMany(t, s, notifier)
		first, second := want[0].Identifier, want[len(want)-1].Identifier
		q := parkedFor(acme, notifier)
		q.After = incident.ParkedPosition{Identifier: first - 1, Reminder: "\U0010ffff", Sequence: never.UnixMicro()}
		for limit := 1; limit <= len(want)+1; limit++ {
			var got []incident.ParkedPosition
			page := q
			for page.Limit = limit; len(got) <= len(want); {
				list := mustParked(t, s, page)
				got = append(got, positionsOfParked(list)...)
				if len(list) < limit {
					break
				}
				page.After = got[len(got)-1]
			}
			if !slices.Equal(got, want) {
				t.Errorf("in pages of %d, parked are %+v, want %+v", limit, got, want)
			}
		}
		for _, step := range []struct {
			after incident.ParkedPosition
			from  int
		}{
			{incident.ParkedPosition{Identifier: first}, 0},
			{incident.ParkedPosition{Identifier: first, Sequence: 4}, 1},
			{incident.ParkedPosition{Identifier: first, Sequence: never.UnixMicro()}, 2},
			{incident.ParkedPosition{Identifier: first, Reminder: "A"}, 2},
			{incident.ParkedPosition{Identifier: first, Reminder: "B", Sequence: t0.UnixMicro() - 1}, 2},
			{incident.ParkedPosition{Identifier: first, Reminder: "Z", Sequence: never.UnixMicro()}, 3},
			{incident.ParkedPosition{Identifier: first, Reminder: "a", Sequence: t0.UnixMicro()}, 5},
			{incident.ParkedPosition{Identifier: first, Reminder: "aa"}, 6},
			{incident.ParkedPosition{Identifier: first, Reminder: "é", Sequence: t0.UnixMicro()}, 7},
			{incident.ParkedPosition{Identifier: second, Sequence: 5}, 9},
			{incident.ParkedPosition{Identifier: second, Reminder: "é", Sequence: t0.UnixMicro()}, 14},
		} {
			q.After, q.Identifier = step.after, 0
			wantPositions(t, s, q, want[step.from:]...)
			q.Identifier = step.after.Identifier
			end := len(want)
			if q.Identifier == first {
				end = len(want) / 2
			}
			wantPositions(t, s, q, want[step.from:end]...)
		}
		mustDiscardAll(t, s)
	}
}

// mustDiscardAll empties the outbox.
func mustDiscardAll(t *trial, s incident.OutboxStore) {
	t.Helper()
	for _, name := range someNotifiers() {
		for mustDiscard(t, s, name, everything) > 0 {
			continue
		}
	}
}

// batchCall is Replay or DiscardParked.
type batchCall struct {
	name string
	call func(ctx context.Context, s incident.OutboxStore, q incident.ParkedQuery) (incident.ParkedBatch, error)
}

func replayCall() batchCall {
	return batchCall{"Replay", func(ctx context.Context, s incident.OutboxStore, q incident.ParkedQuery) (incident.ParkedBatch, error) {
		return s.Replay(ctx, q)
	}}
}

func discardParkedCall() batchCall {
	return batchCall{"DiscardParked", func(ctx context.Context, s incident.OutboxStore, q incident.ParkedQuery) (incident.ParkedBatch, error) {
		return s.DiscardParked(ctx, q)
	}}
}

// worksInBatches checks that a call takes the notifications that Parked returns: of an
// organization, of an incident, of a notifier, after a position, and up to a limit.
func (b batchCall) worksInBatches(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		want := mustParkMany(t, s, notifier)
		all := mustBacklogs(t, s)
		q := parkedFor(acme, notifier)
		take := func(q incident.ParkedQuery) {
			t.Helper()
			taken := positionsOfParked(mustParked(t, s, q))
			got, err := b.call(t.Context(), s, q)
			expected := incident.ParkedBatch{Count: len(taken)}
			if len(taken) > 0 {
				expected.Last = taken[len(taken)-1]
			}
			if err != nil || got != expected {
				t.Fatalf("%s(%+v) = %+v, %v, want %+v and no error", b.name, q, got, err, expected)
			}
			want = slices.DeleteFunc(want, func(p incident.ParkedPosition) bool { return slices.Contains(taken, p) })
			wantPositions(t, s, parkedFor(acme, notifier), want...)
		}
		q.Limit, q.After = 2, want[3]
		take(q) // in the middle
		q.Identifier, q.After = want[len(want)-1].Identifier, incident.ParkedPosition{}
		take(q)
		q.After = want[len(want)-2]
		take(q)
		q.Limit, q.After = everything, incident.ParkedPosition{}
		take(q)
		take(q) // nothing is left of this incident
		q.Identifier, q.Limit = 0, 3
		for len(want) > 0 {
			take(q)
		}
		take(q)
		b.wantTaken(t, s, all, notifier, 14)
		mustDiscardAll(t, s)
	}
}

// wantTaken checks the backlogs after a call for n parked notifications.
func (b batchCall) wantTaken(t *trial, s incident.OutboxStore, before map[string]incident.Backlog, notifier string, n int64) {
	t.Helper()
	for _, name := range someNotifiers() {
		want := counts{parked: before[name].Parked}
		if name == notifier {
			want.parked -= n
			if b.name == "Replay" {
				want.pending = n
			}
		}
		wantBacklogOf(t, s, name, "after "+b.name+"()", want)
	}
	if b.name != "Replay" {
		wantNoClaimOf(t, s, notifier, "after "+b.name+"()")
		return
	}
	for _, c := range mustClaimAll(t, s, anythingOf(notifier), int(n)) {
		if !c.Replayed || c.Key.OrganizationID != acme {
			t.Errorf("after Replay() of an organization the claim is %s", show(c.Ticket))
		}
	}
}

// Replay and DiscardParked return ErrNotFound for an unknown incident. An unknown organization has
// nothing parked.
func (b batchCall) returnsErrNotFound(t *trial, s incident.OutboxStore) {
	keys := []incident.Key{mustQueue(t, s, acme, 0), mustQueue(t, s, umbrella, 0), mustQueue(t, s, umbrella, 0)}
	for _, key := range keys {
		mustParkReminder(t, s, key, reminder("parked", ""))
		mustParkReminder(t, s, key, reminder("parked", mail))
	}
	for _, notifier := range someNotifiers() {
		for _, unknown := range unknownKeys() {
			q := parkedFor(unknown.OrganizationID, notifier)
			q.Identifier = unknown.Identifier
			got, err := b.call(t.Context(), s, q)
			wantError(t, b.name+"("+unknown.String()+")", err, incident.ErrNotFound)
			if got != (incident.ParkedBatch{}) {
				t.Errorf("%s(%s) = %+v, want the zero batch", b.name, unknown, got)
			}
		}
		if got, err := b.call(t.Context(), s, parkedFor("nobody", notifier)); err != nil || got != (incident.ParkedBatch{}) {
			t.Errorf("%s() of an organization without incidents = %+v, %v, want the zero batch and no error", b.name, got, err)
		}
	}
	wantBacklogs(t, s, "after calls for unknown incidents", map[string]counts{"": {parked: 3}, mail: {parked: 3}})
}

// Discarding leaves pending notifications: queues, reminders, and notifications that were replayed
// before.
func discardParkedLeavesTheRest(t *trial, s incident.OutboxStore) {
	for _, notifier := range []string{"", pager} {
		key, r := mustQueue(t, s, acme, 0), reminder("parked", notifier)
		mustNotifyTo(t, s, key, notifier)
		mustNotifyTo(t, s, key, notifier)
		mustSettle(t, s, park(mustClaimOneOf(t, s, notifier, key, 3), "no receiver"))
		mustReplayBatch(t, s, parkedFor(acme, notifier))
		for _, c := range mustClaimAll(t, s, anythingOf(notifier), 2) {
			if c.Replayed {
				mustSettle(t, s, retry(c, longLease))
			} else {
				mustSettle(t, s, park(c, "no receiver"))
			}
		}
		mustParkReminder(t, s, key, r)
		next := moved(r, never)
		mustRemind(t, s, key, next)
		mustNotifyTo(t, s, key, notifier)
		c := mustClaimOneOf(t, s, notifier, key, 5)
		if b := mustDiscardParked(t, s, parkedFor(acme, notifier)); b.Count != 2 {
			t.Errorf("DiscardParked() = %+v, want two", b)
		}
		wantPositions(t, s, parkedFor(acme, notifier))
		wantReminders(t, s, key, "after DiscardParked()", next)
		wantBacklogOf(t, s, notifier, "after DiscardParked()", counts{pending: 2, reminders: 1})
		mustSettle(t, s, deliver(c))
		wantBacklogOf(t, s, notifier, "after a delivery", counts{pending: 1, reminders: 1})
		mustDiscardAll(t, s)
	}
}
