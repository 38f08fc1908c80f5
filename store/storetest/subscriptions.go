package storetest

import (
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// A user is subscribed to an incident once, since the first date.
func subscribeKeepsTheFirstDate(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	first := incident.Subscription{Incident: key, UserID: ada, DateAdded: at(time.Hour)}
	wantEqual(t, "the first Subscribe()", mustSubscribe(t, s, first), first)
	for _, d := range []time.Duration{2 * time.Hour, time.Hour, 0, -time.Hour} {
		again := first
		again.DateAdded = at(d)
		wantEqual(t, "the repeated Subscribe()", mustSubscribe(t, s, again), first)
	}
	wantEqual(t, "the subscribers", mustSubscribers(t, s, key), []incident.Subscription{first})
}

// The same is true for the subscriptions of a change.
func applyKeepsTheFirstSubscription(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	sub := func(user incident.UserID, d time.Duration) incident.Subscription {
		return incident.Subscription{Incident: key, UserID: user, DateAdded: at(d)}
	}
	mustSubscribe(t, s, sub(bob, 0))
	c := comment(key, "text")
	c.Subscriptions = []incident.Subscription{sub(ada, time.Hour), sub(bob, time.Hour)}
	mustApply(t, s, c)
	c = comment(key, "text")
	c.Subscriptions = []incident.Subscription{sub(ada, time.Minute), sub(bob, time.Minute), sub(eve, time.Minute)}
	mustApply(t, s, c)
	want := []incident.Subscription{sub(ada, time.Hour), sub(bob, 0), sub(eve, time.Minute)}
	wantEqual(t, "the subscribers", mustSubscribers(t, s, key), want)
	wantEqual(t, "Subscribe()", mustSubscribe(t, s, sub(ada, 0)), want[0])
}

// A change may contain nothing but subscriptions.
func applyOfSubscriptionsOnly(t *trial, s incident.Store) {
	st := mustCreate(t, s, draft(acme))
	sub := incident.Subscription{Incident: st.Incident.Key(), UserID: eve, DateAdded: t0}
	mustApply(t, s, incident.Change{Key: sub.Incident, Subscriptions: []incident.Subscription{sub}})
	wantEqual(t, "the subscribers", mustSubscribers(t, s, sub.Incident), []incident.Subscription{sub})
	wantEqual(t, "the state", mustLoad(t, s, sub.Incident), st)
}

// Unsubscribing twice is no error, and the user can subscribe again.
func unsubscribeEndsIt(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	mustUnsubscribe(t, s, key, ada)
	bobs := mustSubscribe(t, s, incident.Subscription{Incident: key, UserID: bob, DateAdded: t0})
	mustSubscribe(t, s, incident.Subscription{Incident: key, UserID: ada, DateAdded: t0})
	mustUnsubscribe(t, s, key, ada)
	mustUnsubscribe(t, s, key, ada)
	wantEqual(t, "the subscribers", mustSubscribers(t, s, key), []incident.Subscription{bobs})
	if mustLoadDetails(t, s, key, ada).IsSubscribed {
		t.Error("IsSubscribed is true after Unsubscribe()")
	}
	anew := incident.Subscription{Incident: key, UserID: ada, DateAdded: at(time.Hour)}
	wantEqual(t, "the new subscription", mustSubscribe(t, s, anew), anew)
}

// A subscription concerns its incident only.
func subscribersAreThoseOfTheIncident(t *trial, s incident.Store) {
	first := mustCreate(t, s, draft(acme)).Incident.Key()
	second := mustCreate(t, s, draft(acme)).Incident.Key()
	sub := mustSubscribe(t, s, incident.Subscription{Incident: first, UserID: ada, DateAdded: t0})
	mustUnsubscribe(t, s, second, ada)
	wantEqual(t, "the subscribers of the first", mustSubscribers(t, s, first), []incident.Subscription{sub})
	wantEqual(t, "the subscribers of the second", mustSubscribers(t, s, second), []incident.Subscription(nil))
	if mustLoadDetails(t, s, second, ada).IsSubscribed {
		t.Error("IsSubscribed is true for a subscriber of another incident")
	}
}

func subscribersAreOrderedByUser(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	users := []incident.UserID{"10", "9", "Zoe", "ada", "bob", "émile"}
	for i, n := range []int{3, 0, 5, 1, 4, 2} {
		date := at(-time.Duration(i) * time.Hour)
		mustSubscribe(t, s, incident.Subscription{Incident: key, UserID: users[n], DateAdded: date})
	}
	subs := mustSubscribers(t, s, key)
	got := make([]incident.UserID, len(subs))
	for i, sub := range subs {
		got[i] = sub.UserID
	}
	wantEqual(t, "the users", got, users)
}

// Many concurrent first subscriptions keep a single date, and all callers get it.
func subscribeHasOneFirst(t *trial, s incident.Store) {
	const rounds = 4
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	for range rounds {
		returned := subscribeTogether(t, s, key)
		final := mustSubscribers(t, s, key)
		if len(final) != 1 {
			t.Fatalf("Subscribers() = %s, want one subscription", show(final))
		}
		for _, sub := range returned {
			wantEqual(t, "a concurrent Subscribe()", sub, final[0])
		}
		mustUnsubscribe(t, s, key, ada)
	}
}

// subscribeTogether subscribes ada concurrently, by two methods and with different
// dates, and returns the results.
func subscribeTogether(t *trial, s incident.Store, key incident.Key) []incident.Subscription {
	var (
		mu       sync.Mutex // guards returned
		returned []incident.Subscription
	)
	t.together(12, func(i int) {
		sub := incident.Subscription{Incident: key, UserID: ada, DateAdded: at(time.Duration(i) * time.Second)}
		c := comment(key, "text")
		c.Subscriptions[0] = sub
		var err error
		if i%3 == 0 {
			_, err = s.Apply(t.Context(), c)
		} else if sub, err = s.Subscribe(t.Context(), sub); err == nil {
			mu.Lock()
			defer mu.Unlock()
			returned = append(returned, sub)
		}
		if err != nil {
			t.Errorf("Subscribe() or Apply() = %v, want no error", err)
		}
	})
	return returned
}

// Concurrent calls of Subscribe and Unsubscribe never fail. One of them is the last.
func subscribeAndUnsubscribeMeet(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	t.together(8, func(i int) {
		for range 10 {
			var err error
			if i%2 == 0 {
				_, err = s.Subscribe(t.Context(), incident.Subscription{Incident: key, UserID: ada, DateAdded: t0})
			} else {
				err = s.Unsubscribe(t.Context(), key, ada)
			}
			if err != nil {
				t.Errorf("Subscribe() or Unsubscribe() = %v, want no error", err)
			}
		}
	})
	got := mustSubscribers(t, s, key)
	if len(got) > 1 || mustLoadDetails(t, s, key, ada).IsSubscribed != (len(got) == 1) {
		t.Errorf("Subscribers() = %s, want none or one, as LoadDetails() reports", show(got))
	}
}
