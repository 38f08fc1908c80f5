package storetest

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/incidentkit/incident"
)

// The latest view is kept and returned, whatever the order of the calls.
func markSeenNeverGoesBack(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	latest := time.Time{}
	for _, minute := range []int{0, 5, 3, 5, -9, 7, 7, 6, 8, -1} {
		seen := incident.Seen{Incident: key, UserID: ada, LastSeen: at(time.Duration(minute) * time.Minute)}
		if seen.LastSeen.After(latest) {
			latest = seen.LastSeen
		}
		want := incident.Seen{Incident: key, UserID: ada, LastSeen: latest}
		wantEqual(t, "MarkSeen()", mustMarkSeen(t, s, seen), want)
		wantEqual(t, "SeenBy()", mustSeenBy(t, s, key), []incident.Seen{want})
	}
}

func markSeenNeverGoesBackUnderConcurrency(t *trial, s incident.Store) {
	const views, rounds = 16, 6
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	random := rand.New(rand.NewPCG(1, 2))
	for round := range rounds {
		order := random.Perm(views)
		when := func(view int) time.Time { return at(time.Duration(round*views+view) * time.Microsecond) }
		t.together(views, func(i int) {
			seen := incident.Seen{Incident: key, UserID: ada, LastSeen: when(order[i])}
			stored, err := s.MarkSeen(t.Context(), seen)
			if err != nil {
				t.Errorf("MarkSeen() = %v, want no error", err)
			} else if stored.LastSeen.Before(seen.LastSeen) {
				t.Errorf("MarkSeen(%v) returned the earlier %v", seen.LastSeen, stored.LastSeen)
			}
		})
		want := incident.Seen{Incident: key, UserID: ada, LastSeen: when(views - 1)}
		wantEqual(t, "SeenBy()", mustSeenBy(t, s, key), []incident.Seen{want})
	}
}

// A view concerns its incident only, and does not change the state.
func markSeenIsAboutOneIncident(t *trial, s incident.Store) {
	first := mustCreate(t, s, draft(acme))
	second := mustCreate(t, s, draft(acme)).Incident.Key()
	seen := mustMarkSeen(t, s, incident.Seen{Incident: first.Incident.Key(), UserID: ada, LastSeen: t0})
	wantEqual(t, "SeenBy() of the first", mustSeenBy(t, s, first.Incident.Key()), []incident.Seen{seen})
	wantEqual(t, "SeenBy() of the second", mustSeenBy(t, s, second), []incident.Seen(nil))
	wantEqual(t, "the state", mustLoad(t, s, first.Incident.Key()), first)
	if mustLoadDetails(t, s, second, ada).HasSeen {
		t.Error("HasSeen is true for a user who has seen only another incident")
	}
}

// The latest view comes first. Views of the same time are ordered by user.
func seenByIsOrderedByTimeThenUser(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	var want []incident.Seen
	for minute := 3; minute > 0; minute-- {
		for _, user := range []incident.UserID{"10", "9", "Zoe", "ada", "émile"} {
			user += incident.UserID(strconv.Itoa(minute))
			want = append(want, incident.Seen{Incident: key, UserID: user, LastSeen: at(time.Duration(minute) * time.Minute)})
		}
	}
	for _, i := range rand.New(rand.NewPCG(3, 4)).Perm(len(want)) {
		mustMarkSeen(t, s, want[i])
	}
	wantEqual(t, "SeenBy()", mustSeenBy(t, s, key), want)
	wantEqual(t, "SeenBy of LoadDetails()", mustLoadDetails(t, s, key, "").SeenBy, want)
}
