package storetest

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// EraseUser returns the incidents in which the user was replaced, with their present versions and
// last activities. Each place of the user counts.
func eraseReturnsTheChanged(t *trial, s incident.RetentionStore) {
	mark := []func(st incident.State){
		func(st incident.State) { mustChange(t, s, responding(st, &incident.Response{Assignee: ada})) },
		func(st incident.State) {
			mustChange(t, s, responding(st, &incident.Response{AcknowledgedBy: ada, DateAcknowledged: new(t0), AcknowledgedStatus: incident.StatusOpen}))
		},
		func(st incident.State) {
			mustApply(t, s, incident.Change{Key: st.Incident.Key(), Activities: []incident.Activity{assigned(st.Incident.Key(), ada, "", "")}})
		},
		func(st incident.State) {
			mustApply(t, s, incident.Change{Key: st.Incident.Key(), Activities: []incident.Activity{assigned(st.Incident.Key(), "", ada, "")}})
		},
		func(st incident.State) {
			mustApply(t, s, incident.Change{Key: st.Incident.Key(), Activities: []incident.Activity{assigned(st.Incident.Key(), "", "", ada)}})
		},
		func(st incident.State) {
			mustMarkSeen(t, s, incident.Seen{Incident: st.Incident.Key(), UserID: ada, LastSeen: t0})
		},
		func(st incident.State) {
			mustSubscribe(t, s, incident.Subscription{Incident: st.Incident.Key(), UserID: ada, DateAdded: t0})
		},
	}
	var want []incident.IncidentVersion
	for _, put := range mark {
		mustCreate(t, s, draft(acme))
		st := mustCreate(t, s, draft(acme))
		put(st)
	}
	changed := mustErase(t, s, erasing(acme, ada, bob))
	for i := range mark {
		key := incident.Key{OrganizationID: acme, Identifier: int64(2*i + 2)}
		log := mustActivities(t, s, key, incident.ActivityQuery{Limit: everything})
		want = append(want, incident.IncidentVersion{
			Key: key, Version: mustLoad(t, s, key).Incident.Version, Activities: int64(len(log)),
		})
	}
	wantEqual(t, "the changed incidents", changed, want)
	wantEqual(t, "the changed incidents of a user who is gone", mustErase(t, s, erasing(acme, ada, bob)), []incident.IncidentVersion(nil))
	scribble(changed)
	wantEqual(t, "the changed incidents, in order", identifiersOfVersions(mustErase(t, s, erasing(acme, bob, ""))), []int64{2, 4, 6, 8, 10, 12, 14})
}

// A batch visits at most Limit incidents in order of Identifier, whenever they started. The
// identifier for the next batch is 0 exactly if no incident follows.
func eraseIsInOrder(t *trial, s incident.RetentionStore) {
	const n = 9
	for i := range n {
		inc := draft(acme)
		inc.DateStarted = at(-time.Duration(i) * time.Hour)
		key := mustCreate(t, s, inc).Incident.Key()
		mustMarkSeen(t, s, incident.Seen{Incident: key, UserID: ada, LastSeen: t0})
	}
	q := erasing(acme, ada, bob)
	for _, limit := range []int{1, 3, 2, 1, 9, 9, 9, 9, 9, 9} {
		q.Limit = limit
		b, err := s.EraseUser(t.Context(), q)
		if err != nil {
			t.Fatalf("EraseUser() = %v, want no error", err)
		}
		last := q.After + int64(len(b.Changed))
		for i, id := range identifiersOfVersions(b.Changed) {
			if id != q.After+int64(i)+1 {
				t.Fatalf("EraseUser() after %d changes %v, want the next incidents", q.After, b.Changed)
			}
		}
		if len(b.Changed) < 1 || len(b.Changed) > limit || (last == n) != (b.Next == 0) || b.Next != 0 && b.Next != last {
			t.Fatalf("EraseUser() with limit %d after %d = %s, want up to %d incidents and the last as the next", limit, q.After, show(b), limit)
		}
		if q.After = b.Next; q.After == 0 {
			return
		}
	}
	t.Error("EraseUser() does not come to an end")
}

// Identifiers of purged incidents, and incidents without the user, are passed.
func erasePassesGaps(t *trial, s incident.RetentionStore) {
	for i := range 10 {
		st := mustCreate(t, s, draft(acme))
		switch {
		case i%5 == 4:
			mustMarkSeen(t, s, incident.Seen{Incident: st.Incident.Key(), UserID: ada, LastSeen: t0})
		case i%2 == 0:
			mustChange(t, s, closing(st, minute(9)))
		}
	}
	mustPurgeAll(t, s, anyDue(acme))
	q := erasing(acme, ada, bob)
	q.Limit = 1
	wantEqual(t, "the changed incidents", identifiersOfVersions(mustErase(t, s, q)), []int64{5, 10})
	q.After = 10
	wantEqual(t, "the changed incidents after the last", identifiersOfVersions(mustErase(t, s, q)), []int64(nil))
}

// An erasure that ended early is completed by a repetition, and changes only the rest.
func eraseCanBeRepeated(t *trial, s incident.RetentionStore) {
	for range 4 {
		mustTraces(t, s, acme, ada)
	}
	q := erasing(acme, ada, bob)
	q.Limit = 2
	b, err := s.EraseUser(t.Context(), q)
	if err != nil || len(b.Changed) < 1 || len(b.Changed) > 2 {
		t.Fatalf("EraseUser() = %s, %v, want 1 or 2 changed incidents", show(b), err)
	}
	rest := mustErase(t, s, erasing(acme, ada, bob))
	wantEqual(t, "the changed incidents of both", append(identifiersOfVersions(b.Changed), identifiersOfVersions(rest)...), []int64{1, 2, 3, 4})
	wantUnchanged(t, s, acme, func() {
		if again := mustErase(t, s, erasing(acme, ada, bob)); len(again) > 0 {
			t.Errorf("a repeated EraseUser() changes %v, want nothing", again)
		}
	})
}

// A change on the version before an erasure conflicts if the response was changed, and a revision
// on the revision before conflicts. On the present numbers both succeed.
func eraseRaisesVersions(t *trial, s incident.RetentionStore) {
	st := mustCreate(t, s, draft(acme))
	st = mustChange(t, s, responding(st, acknowledged(ada, bob, minute(9))))
	said := mustComment(t, s, st.Incident.Key(), "text")
	stale, same := retitling(st, "Newer"), mustCreate(t, s, draft(acme))
	mustComment(t, s, same.Incident.Key(), "text")
	mustErase(t, s, erasing(acme, ada, eve))
	_, err := s.Apply(t.Context(), stale)
	wantError(t, "Apply() on the version before EraseUser()", err, incident.ErrVersionConflict)
	wantError(t, "ReviseActivity() on the revision before EraseUser()", s.ReviseActivity(t.Context(), edited(said, "other")), incident.ErrVersionConflict)
	mustWrite(t, s, retitling(mustLoad(t, s, st.Incident.Key()), "Newer"))
	mustRevise(t, s, edited(mustActivity(t, s, st.Incident.Key(), said.Sequence), "other"))
	mustWrite(t, s, retitling(same, "Newer")) // its response did not change
}

// Another organization with the same users is not touched.
func eraseIsolatesOrganizations(t *trial, s incident.RetentionStore) {
	for _, org := range []incident.OrganizationID{acme, umbrella, "Acme"} {
		mustTraces(t, s, org, ada)
		mustRemains(t, s, org)
	}
	for _, org := range []incident.OrganizationID{umbrella, "Acme"} {
		wantUnchanged(t, s, org, func() { mustErase(t, s, erasing(acme, ada, "")) })
	}
}

// No write beside an erasure is lost, and none brings the user back into a part that it did not
// write.
func eraseLosesNoWrite(t *trial, s incident.RetentionStore) {
	const n, before = 6, 11 // activities of each
	var keys []incident.Key
	for range n {
		keys = append(keys, mustTraces(t, s, acme, ada))
	}
	var over atomic.Bool
	var written [n]atomic.Int64
	t.together(racers+1, func(i int) {
		if i == racers {
			defer over.Store(true)
			for start := time.Now(); written[0].Load() == 0 && time.Since(start) < t.patience; {
				time.Sleep(100 * time.Microsecond)
			}
			q := erasing(acme, ada, "former user")
			q.Limit = 2
			for next := true; next; {
				b, err := s.EraseUser(t.Context(), q)
				if err != nil {
					t.Errorf("EraseUser() beside writers = %v, want no error", err)
					return
				}
				q.After, next = b.Next, b.Next != 0
			}
			return
		}
		for i := range keys {
			for last := false; !last; time.Sleep(rand.N(100 * time.Microsecond)) {
				last = i < n-1 || over.Load() // the writers do not end before EraseUser
				c := retitling(mustLoad(t, s, keys[i]), "Newer")
				c.Activities = []incident.Activity{activity(keys[i], incident.ActivityTypeEdited)}
				switch _, err := s.Apply(t.Context(), c); {
				case err == nil:
					written[i].Add(1)
				case !errors.Is(err, incident.ErrVersionConflict):
					t.Errorf("Apply() beside EraseUser() = %v, want no error or ErrVersionConflict", err)
					return
				}
			}
		}
	})
	for i, key := range keys {
		st, changes := mustLoad(t, s, key), written[i].Load()
		if want := 1 + changes + 1; st.Incident.Version != want {
			t.Errorf("after %d changes and EraseUser() %s has version %d, want %d", changes, key, st.Incident.Version, want)
		}
		if r := st.Incident.Response; r == nil || r.Assignee != "former user" || r.AcknowledgedBy != "former user" {
			t.Errorf("after EraseUser() beside writers the response is %s", show(r))
		}
		log := mustActivities(t, s, key, incident.ActivityQuery{Descending: true, Limit: 1})
		if len(log) != 1 || log[0].Sequence != before+changes {
			t.Errorf("the last activity of %s is %s, want that of sequence %d", key, show(log), before+changes)
		}
	}
}

// The error of a parked notification becomes empty if it contains the user's ID, byte for byte.
// The notification stays parked.
func eraseEmptiesErrors(t *trial, s retentionOutbox) {
	texts := []string{"ada", "no address of ada@acme.example", "bob and ada", "Ada", "ad", "no receiver", ""}
	for _, org := range []incident.OrganizationID{acme, umbrella} {
		for _, notifier := range []string{"", mail} {
			key := mustCreate(t, s, draft(org)).Incident.Key()
			for _, text := range texts {
				mustNotifyTo(t, s, key, notifier)
				mustSettle(t, s, park(mustClaim(t, s, anythingOf(notifier))[0], text))
			}
			r := reminder("parked", notifier)
			mustRemind(t, s, key, r)
			mustSettle(t, s, park(mustClaimReminder(t, s, key, r), "by ada"))
		}
	}
	for _, notifier := range []string{"", mail} {
		before := mustParked(t, s, parkedFor(acme, notifier))
		others := mustParked(t, s, parkedFor(umbrella, notifier))
		for _, user := range []incident.UserID{"a%", "_da", "eve"} {
			mustErase(t, s, erasing(acme, user, "ghost"))
			wantEqual(t, "Parked() after EraseUser() of "+string(user), mustParked(t, s, parkedFor(acme, notifier)), before)
		}
		defer func() {
			for i := range before {
				if i < 3 || before[i].Reminder != nil {
					before[i].Error = ""
				}
			}
			wantEqual(t, "Parked() after EraseUser()", mustParked(t, s, parkedFor(acme, notifier)), before)
			wantEqual(t, "Parked() of another organization after EraseUser()", mustParked(t, s, parkedFor(umbrella, notifier)), others)
		}()
	}
	mustErase(t, s, erasing(acme, ada, "ghost"))
}

// EraseUser does not return an incident of which only the error of a parked notification named the
// user, and repeats no error of an incident that it returns.
func eraseReturnsNoErrors(t *trial, s retentionOutbox) {
	const dan incident.UserID = "dan" // wrote nothing
	for i := range 4 {
		key := mustCreate(t, s, draft(acme)).Incident.Key()
		notifier := []string{"", mail}[i/2]
		mustNotifyTo(t, s, key, notifier)
		mustSettle(t, s, park(mustClaimOneOf(t, s, notifier, key, 3), "no address of dan"))
		if i%2 == 1 {
			mustMarkSeen(t, s, incident.Seen{Incident: key, UserID: dan, LastSeen: t0})
		}
	}
	wantEqual(t, "the changed incidents", identifiersOfVersions(mustErase(t, s, erasing(acme, dan, bob))), []int64{2, 4})
	for _, notifier := range []string{"", mail} {
		for _, p := range mustParked(t, s, parkedFor(acme, notifier)) {
			wantEqual(t, "the error of a parked notification", p.Error, "")
		}
	}
}

// A claim after an erasure has the other user.
func eraseChangesClaims(t *trial, s retentionOutbox) {
	key := mustQueue(t, s, acme, 2)
	mustChange(t, s, responding(mustLoad(t, s, key), acknowledged(ada, ada, minute(9))))
	first := mustClaimOne(t, s, key, 3)
	mustErase(t, s, erasing(acme, ada, eve))
	mustSettle(t, s, deliver(first))
	c := mustClaimOne(t, s, key, 4)
	wantEqual(t, "the claimed activity", c.Activity, mustActivity(t, s, key, 4))
	wantEqual(t, "the claimed incident", c.Incident, mustLoad(t, s, key).Incident)
	if c.Activity.UserID != eve || len(c.Subscribers) != 1 || c.Subscribers[0] != eve {
		t.Errorf("Claim() after EraseUser() has the author %q and the subscribers %q, want %q", c.Activity.UserID, c.Subscribers, eve)
	}
}
