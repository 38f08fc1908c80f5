package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// wantGone checks that no read finds an incident.
func wantGone(t *trial, s incident.Store, st incident.State) {
	t.Helper()
	w := world{state: st, comment: incident.Activity{Incident: st.Incident.Key(), Sequence: 3}}
	for _, op := range []operation{
		{"Load", load},
		{"LoadDetails", loadDetails},
		{"Activities", activities},
		{"Activity", oneActivity},
		{"SeenBy", seenBy},
		{"Subscribers", subscribers},
	} {
		_, err := op.do(t.Context(), s, w)
		wantError(t, op.name+" of a deleted incident", err, incident.ErrNotFound)
	}
	wantUnlisted(t, s, st.Incident)
}

// wantUnlisted checks that no list and no count has an incident.
func wantUnlisted(t *trial, s incident.Store, inc incident.Incident) {
	t.Helper()
	queries := append(listQueries(inc.OrganizationID), incident.IncidentQuery{}, incident.IncidentQuery{Reverse: true})
	for name, value := range inc.Labels {
		queries = append(queries, incident.IncidentQuery{Labels: []incident.Label{{Name: name, Value: value}}})
	}
	if inc.Response != nil {
		queries = append(queries, incident.IncidentQuery{Assignee: inc.Response.Assignee})
	}
	for _, q := range queries {
		q.OrganizationID, q.Limit = inc.OrganizationID, everything
		list := mustIncidents(t, s, q)
		if slices.Contains(identifiersOf(list), inc.Identifier) {
			t.Errorf("Incidents(%s) has the deleted incident %s", show(q), inc.Key())
		}
		n := 0
		for _, count := range mustCount(t, s, q) {
			n += count
		}
		if n != len(list) {
			t.Errorf("CountIncidents(%s) counts %d incidents, want %d as in the list", show(q), n, len(list))
		}
	}
}

// A purged incident cannot be read, listed or counted.
func purgeDeletesAllOfAnIncident(t *trial, s incident.RetentionStore) {
	st := mustRemains(t, s, acme)
	wantPurged(t, mustPurgeAll(t, s, anyDue(acme)), 1)
	wantGone(t, s, st)
	mustInTx(t, s, func(tx incident.Store) error {
		wantGone(t, tx, st)
		return nil
	})
}

// The other incidents of the organization stay as they are.
func purgeLeavesOthersAlone(t *trial, s incident.RetentionStore) {
	alike := mustRemains(t, s, acme)
	before := mustSnapshot(t, s, acme)
	mustRemains(t, s, acme)
	q := anyDue(acme)
	q.After = positionOf(alike.Incident)
	wantPurged(t, mustPurgeAll(t, s, q), 2)
	after := mustSnapshot(t, s, acme)
	wantEqual(t, "the remaining records", after.Incidents, before.Incidents)
	wantEqual(t, "the lists", after.Lists, before.Lists)
	wantEqual(t, "the list by label", identifiersOf(mustIncidents(t, s, incident.IncidentQuery{
		OrganizationID: acme, Labels: []incident.Label{{Name: "team", Value: "shop"}}, Limit: everything,
	})), []int64{1})
}

// Of the writes to a purged incident, each returns ErrNotFound and writes nothing.
func purgeRefusesWrites(t *trial, s incident.RetentionStore) {
	st := mustRemains(t, s, acme)
	said := mustActivity(t, s, st.Incident.Key(), 3)
	other := mustCreate(t, s, draft(acme))
	mustPurgeAll(t, s, anyDue(acme))
	w := world{state: st, comment: said}
	wantUnchanged(t, s, acme, func() {
		for _, op := range []operation{
			{"Apply of a change", func(ctx context.Context, s incident.Store, w world) (any, error) {
				return s.Apply(ctx, transition(w.state, incident.StatusOpen))
			}},
			{"Apply of a comment", applyComment},
			{"ReviseActivity", reviseActivity},
			{"MarkSeen", markSeen},
			{"Subscribe", subscribe},
			{"Unsubscribe", unsubscribe},
		} {
			_, err := op.do(t.Context(), s, w)
			wantError(t, op.name+" of a deleted incident", err, incident.ErrNotFound)
			err = s.InTx(t.Context(), func(tx incident.Store) error {
				_, err := op.do(t.Context(), tx, w)
				return err
			})
			wantError(t, op.name+" of a deleted incident in a transaction", err, incident.ErrNotFound)
		}
	})
	if both, ok := s.(retentionOutbox); ok {
		_, err := setUnknownReminder(t.Context(), both, st.Incident.Key(), st.Incident.Version)
		wantError(t, "SetReminder() of a deleted incident", err, incident.ErrNotFound)
		wantError(t, "CancelReminder() of a deleted incident", both.CancelReminder(t.Context(), st.Incident.Key(), "r"), incident.ErrNotFound)
		_, err = both.Reminders(t.Context(), st.Incident.Key())
		wantError(t, "Reminders() of a deleted incident", err, incident.ErrNotFound)
		_, err = replay(t.Context(), both, st.Incident.Key())
		wantError(t, "Replay() of a deleted incident", err, incident.ErrNotFound)
		_, err = both.DiscardParked(t.Context(), parkedOf(st.Incident.Key()))
		wantError(t, "DiscardParked() of a deleted incident", err, incident.ErrNotFound)
	}
	wantRead(t, s, other)
}

func setUnknownReminder(ctx context.Context, s incident.OutboxStore, key incident.Key, version int64) (bool, error) {
	return s.SetReminder(ctx, incident.ReminderWrite{Key: key, ExpectVersion: version, Reminder: reminderAt("r", never), Most: everything})
}

// A purge visits the closed incidents whose DateClosed is before a time: not those that were
// closed at that time, nor active incidents, nor reopened incidents.
func purgeVisitsClosedIncidents(t *trial, s incident.RetentionStore) {
	before := minute(60)
	due := mustClosed(t, s, acme, t0, before.Add(-time.Microsecond))
	mustClosed(t, s, acme, t0, before)
	mustClosed(t, s, acme, t0, before.Add(time.Microsecond))
	mustCreate(t, s, draft(acme))
	mustChange(t, s, transition(mustClosed(t, s, acme, t0, minute(30)), incident.StatusOpen))
	early := mustClosed(t, s, acme, t0.Add(-1000*24*time.Hour), before.Add(time.Hour))
	short := mustClosed(t, s, acme, before.Add(-time.Microsecond), before.Add(-time.Microsecond))
	mustClosed(t, s, acme, before, before)
	q := anyDue(acme)
	q.ClosedBefore = before
	b := mustPurgeAll(t, s, q)
	wantPurged(t, b, due.Incident.Identifier, short.Incident.Identifier)
	if b.Held != 0 {
		t.Errorf("Purge() held %d incidents back, want none", b.Held)
	}
	wantEqual(t, "the remaining incidents", without([]int64{1, 2, 3, 4, 5, 6, 7, 8}, allIdentifiers(t, s, acme)), []int64{1, 7})
	q.ClosedBefore = before.Add(2 * time.Hour)
	if got := mustPurgeAll(t, s, q); len(got.Purged) == 0 || got.Purged[0].Key != early.Incident.Key() {
		t.Errorf("Purge() later deletes %v, want the incident %s that started first before others", got.Purged, early.Incident.Key())
	}
	wantEqual(t, "the active incidents", without([]int64{4, 5}, allIdentifiers(t, s, acme)), []int64(nil))
}

func allIdentifiers(t *trial, s incident.Store, org incident.OrganizationID) []int64 {
	t.Helper()
	return identifiersOf(mustIncidents(t, s, incident.IncidentQuery{OrganizationID: org, Limit: everything}))
}

// mustDueShelf creates 12 due incidents. Neither their identifiers nor their dates of closing
// are in the order of their starts. Some starts are equal. It returns the identifiers in the
// order of a purge.
func mustDueShelf(t *trial, s incident.Store) []int64 {
	t.Helper()
	var all []incident.Incident
	for i := range 12 {
		started := at(time.Duration(i*5%4) * time.Microsecond)
		all = append(all, mustClosed(t, s, acme, started, minute(60-i)).Incident)
		if i%4 == 0 {
			inc := draft(acme)
			inc.DateStarted = started
			mustCreate(t, s, inc)
		}
	}
	slices.SortFunc(all, func(a, b incident.Incident) int {
		if isBehind(*positionOf(a), *positionOf(b)) {
			return 1
		}
		return -1
	})
	return identifiersOf(all)
}

// A purge visits incidents in order of DateStarted, then Identifier.
func purgeIsInOrder(t *trial, s incident.RetentionStore) {
	want := mustDueShelf(t, s)
	wantPurged(t, mustPurgeAll(t, s, anyDue(acme)), want...)
}

// A batch visits at most Limit incidents. The position for the next batch is nil exactly if no
// incident after the batch is due.
func purgeIsLimited(t *trial, s incident.RetentionStore) {
	want := mustDueShelf(t, s)
	q := anyDue(acme)
	for _, limit := range []int{1, 2, 5, 3, 1} {
		q.Limit = limit
		b := mustPurge(t, s, q)
		if n := len(b.Purged); n < 1 || n > limit {
			t.Fatalf("Purge() with limit %d deletes %d incidents", limit, n)
		}
		wantPurged(t, b, want[:len(b.Purged)]...)
		want = want[len(b.Purged):]
		if len(want) == 0 && b.Next != nil {
			t.Errorf("the last Purge() continues after %s, want nil", show(b.Next))
		}
		if len(want) > 0 && (b.Next == nil || b.Next.Identifier != b.Purged[len(b.Purged)-1].Key.Identifier) {
			t.Fatalf("Purge() continues after %s, want the position of the last of %v", show(b.Next), b.Purged)
		}
		if q.After = b.Next; q.After == nil {
			return
		}
	}
	q.Limit = everything
	wantPurged(t, mustPurgeAll(t, s, q), want...)
}

// A purge after a position leaves out the incidents up to it, whether or not an incident is
// there.
func purgeContinuesAfterAPosition(t *trial, s incident.RetentionStore) {
	first := mustClosed(t, s, acme, minute(1), minute(2))
	second := mustClosed(t, s, acme, minute(1), minute(2))
	third := mustClosed(t, s, acme, minute(2), minute(3))
	q := anyDue(acme)
	for _, vacant := range []incident.Position{
		{DateStarted: minute(2), Identifier: third.Incident.Identifier},
		{DateStarted: minute(2).Add(time.Microsecond), Identifier: 0},
	} {
		q.After = &vacant
		wantPurged(t, mustPurgeAll(t, s, q))
	}
	q.After = positionOf(first.Incident)
	wantPurged(t, mustPurgeAll(t, s, q), second.Incident.Identifier, third.Incident.Identifier)
	q.After = &incident.Position{DateStarted: minute(1), Identifier: 0}
	wantPurged(t, mustPurgeAll(t, s, q), first.Incident.Identifier)
}

// A purge without a due incident returns the zero batch.
func purgeOfNothing(t *trial, s incident.RetentionStore) {
	wantEqual(t, "Purge() of an unknown organization", mustPurge(t, s, anyDue("nobody")), incident.PurgeBatch{})
	mustCreate(t, s, draft(acme))
	wantEqual(t, "Purge() of active incidents", mustPurge(t, s, anyDue(acme)), incident.PurgeBatch{})
	wantEqual(t, "the organizations", mustOrganizations(t, s, "", everything), []incident.OrganizationID{acme})
}

// The returned version of a deleted incident is greater than all that the incident had.
func purgeReturnsGreaterVersions(t *trial, s incident.RetentionStore) {
	versions := map[int64]incident.IncidentVersion{}
	for i := range 3 {
		st := mustRemains(t, s, acme)
		for range i {
			st = mustChange(t, s, retitling(st, "Newer"))
		}
		versions[st.Incident.Identifier] = incident.IncidentVersion{
			Key: st.Incident.Key(), Version: st.Incident.Version,
			Activities: int64(len(mustActivities(t, s, st.Incident.Key(), incident.ActivityQuery{Limit: everything}))),
		}
	}
	b := mustPurgeAll(t, s, anyDue(acme))
	wantPurged(t, b, 1, 2, 3)
	for _, v := range b.Purged {
		if last := versions[v.Key.Identifier]; v.Key != last.Key || v.Version <= last.Version || v.Activities != last.Activities {
			t.Errorf("Purge() returns %s, want a version greater than that of %s, and its activities", show(v), show(last))
		}
	}
}

// Another organization with the same incidents is not touched.
func purgeIsolatesOrganizations(t *trial, s incident.RetentionStore) {
	for range 2 {
		mustRemains(t, s, acme)
		mustRemains(t, s, umbrella)
	}
	wantUnchanged(t, s, umbrella, func() { wantPurged(t, mustPurgeAll(t, s, anyDue(acme)), 1, 2) })
	wantUnchanged(t, s, acme, func() { wantPurged(t, mustPurgeAll(t, s, anyDue("acm%"))) })
	wantPurged(t, mustPurgeAll(t, s, anyDue(umbrella)), 1, 2)
}

// wantDoneContext checks that a call in a context that is done returns the context's error and
// writes nothing.
func wantDoneContext(t *trial, s incident.Store, name string, call func(ctx context.Context) error) {
	t.Helper()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	wantUnchanged(t, s, acme, func() {
		wantError(t, name+" in a cancelled context", call(cancelled), context.Canceled)
		wantError(t, name+" in an expired context", call(expired), context.DeadlineExceeded)
	})
}

func purgeObeysTheContext(t *trial, s incident.RetentionStore) {
	mustRemains(t, s, acme)
	wantDoneContext(t, s, "Purge()", func(ctx context.Context) error {
		_, err := s.Purge(ctx, anyDue(acme))
		return err
	})
	wantDoneContext(t, s, "Purge() of nothing", func(ctx context.Context) error {
		_, err := s.Purge(ctx, anyDue("nobody"))
		return err
	})
}

// The caller's query stays as it is, and the result belongs to the caller.
func purgeLeavesTheQueryAlone(t *trial, s incident.RetentionStore) {
	first := mustRemains(t, s, acme)
	for range 2 {
		mustRemains(t, s, acme)
	}
	q := anyDue(acme)
	q.After, q.Limit = positionOf(first.Incident), 1
	b := mustPurge(t, s, q)
	wantEqual(t, "the caller's position", q.After, positionOf(first.Incident))
	scribble(b)
	scribble(*q.After)
	wantPurged(t, mustPurgeAll(t, s, anyDue(acme)), 1, 3)
}
