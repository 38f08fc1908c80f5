package storetest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// assigned returns the activity of an assignment by a user.
func assigned(key incident.Key, by, from, to incident.UserID) incident.Activity {
	a := activity(key, incident.ActivityTypeAssigned)
	a.UserID, a.Field, a.Old, a.New = by, "assignee", string(from), string(to)
	return a
}

// mustTraces creates an incident that names a user in each place, and in texts that stay as they
// are. The other user of the incident is eve.
func mustTraces(t *trial, s incident.Store, org incident.OrganizationID, user incident.UserID) incident.Key {
	t.Helper()
	name := string(user)
	inc := ruled(org, incident.ProjectID(name))
	inc.Title = name
	inc.AlertRuleID, inc.QueryID = incident.AlertRuleID(name), incident.QueryID(uuid.NewString()) // a slot of its own
	inc.Labels, inc.Annotations = map[string]string{"owner": name}, map[string]string{"note": name}
	inc.Response = acknowledged(user, user, minute(9))
	c := creation(inc, firing(incident.TriggerID(name)), firing(critical))
	c.Activities[0].UserID, c.Activities[1].UserID = user, eve
	key := mustApply(t, s, c).Incident.Key()
	say := comment(key, name)
	say.Activities[0].UserID, say.Subscriptions = user, nil
	mustRevise(t, s, edited(mustActivity(t, s, key, mustApply(t, s, say).Sequence), "It was "+name))
	say = comment(key, name)
	say.Activities[0].UserID, say.Activities[0].NotificationUUID, say.Subscriptions = eve, uuid.New(), nil
	mustApply(t, s, say)
	byTrigger, renamed, plain := activity(key, incident.ActivityTypeTriggerFired), activity(key, incident.ActivityTypeEdited), activity(key, incident.ActivityTypeEdited)
	byTrigger.TriggerID = incident.TriggerID(name)
	renamed.UserID, renamed.TriggerID, renamed.Field, renamed.Old, renamed.New = user, critical, "title", name, name
	plain.UserID, plain.Field, plain.Old, plain.New = eve, "label assignee", name, name
	mustApply(t, s, incident.Change{Key: key, Activities: []incident.Activity{
		assigned(key, eve, "", user), assigned(key, user, user, eve), assigned(key, eve, eve, user), assigned(key, user, user, user),
		byTrigger, renamed, plain,
	}})
	for i, who := range []incident.UserID{user, eve} {
		when := at(time.Duration(i) * time.Second)
		mustMarkSeen(t, s, incident.Seen{Incident: key, UserID: who, LastSeen: when})
		mustSubscribe(t, s, incident.Subscription{Incident: key, UserID: who, DateAdded: when})
	}
	return key
}

// withoutUser returns the record after user was replaced by as. It expects that as has neither seen
// the incident nor subscribed to it.
func withoutUser(r record, user, as incident.UserID) record {
	replace := func(id *incident.UserID) (changed bool) {
		if changed = *id == user; changed {
			*id = as
		}
		return changed
	}
	if r.State.Incident.Response != nil {
		response := *r.State.Incident.Response
		assignee := replace(&response.Assignee)
		if by := replace(&response.AcknowledgedBy); assignee || by {
			r.State.Incident.Version++
			r.State.Incident.Response = &response
		}
	}
	r.Activities.Version = r.State.Incident.Version
	r.Activities.Activities = slices.Clone(r.Activities.Activities)
	for i := range r.Activities.Activities {
		a := &r.Activities.Activities[i]
		if replace(&a.UserID) && a.Type == incident.ActivityTypeComment {
			a.Revision++
		}
		if a.Field == "assignee" {
			for _, text := range []*string{&a.Old, &a.New} {
				if *text == string(user) {
					*text = string(as)
				}
			}
		}
	}
	var subs []incident.Subscription
	for _, sub := range r.Subscribers {
		if replace(&sub.UserID); sub.UserID != "" {
			subs = append(subs, sub)
		}
	}
	slices.SortFunc(subs, func(a, b incident.Subscription) int { return strings.Compare(string(a.UserID), string(b.UserID)) })
	var seen []incident.Seen
	for _, v := range r.SeenBy {
		if replace(&v.UserID); v.UserID != "" {
			seen = append(seen, v)
		}
	}
	r.Subscribers, r.SeenBy = subs, seen
	r.Details.Incident, r.Details.SeenBy = r.State.Incident, seen
	r.Details.HasSeen = slices.ContainsFunc(seen, func(v incident.Seen) bool { return v.UserID == ada })
	r.Details.IsSubscribed = slices.ContainsFunc(subs, func(v incident.Subscription) bool { return v.UserID == ada })
	return r
}

// wantErased erases a user of acme and checks all records.
func wantErased(t *trial, s incident.RetentionStore, user, as incident.UserID) {
	t.Helper()
	before := mustSnapshot(t, s, acme)
	var want []record
	for _, r := range before.Incidents {
		want = append(want, withoutUser(r, user, as))
	}
	mustErase(t, s, erasing(acme, user, as))
	after := mustSnapshot(t, s, acme)
	wantEqual(t, "the records after EraseUser()", after.Incidents, want)
	wantEqual(t, "the lists after EraseUser()", after.Lists, before.Lists)
	for i, slot := range after.Slots {
		if held := slot.State.State; held != nil && !equal(*held, mustLoad(t, s, held.Incident.Key())) {
			t.Errorf("LoadSlot(%+v) after EraseUser() = %s, want the present state", slot.Slot, show(held))
		}
		wantEqual(t, "the version of a slot after EraseUser()", slot.State.Version, before.Slots[i].State.Version)
	}
}

// EraseUser replaces the user by another in each place, of active and of closed incidents.
func eraseReplacesTheUser(t *trial, s incident.RetentionStore) {
	key := mustTraces(t, s, acme, ada)
	mustRemains(t, s, acme)
	mustChange(t, s, closing(mustLoad(t, s, key), minute(9)))
	mustTraces(t, s, acme, "adam")
	wantErased(t, s, ada, "former user")
	wantErased(t, s, bob, "former user 2")
}

// If there is no other, the entries of the user are deleted, and the activities look as if a
// program had made them. A response in which nothing remains is nil.
func eraseLeavesNobody(t *trial, s incident.RetentionStore) {
	mustTraces(t, s, acme, ada)
	mustRemains(t, s, acme)
	wantErased(t, s, ada, "")
	st := mustCreate(t, s, draft(acme))
	st = mustChange(t, s, responding(st, &incident.Response{Assignee: ada}))
	mustErase(t, s, erasing(acme, ada, ""))
	st.Incident.Response = nil
	st.Incident.Version++
	wantRead(t, s, st)
}

// If the other user has seen the incident too, the later view remains.
func eraseMergesViews(t *trial, s incident.RetentionStore) {
	for _, d := range []time.Duration{-time.Microsecond, 0, time.Microsecond} {
		key := mustCreate(t, s, draft(acme)).Incident.Key()
		mustMarkSeen(t, s, incident.Seen{Incident: key, UserID: bob, LastSeen: t0})
		mustMarkSeen(t, s, incident.Seen{Incident: key, UserID: ada, LastSeen: at(d)})
		mustMarkSeen(t, s, incident.Seen{Incident: key, UserID: "adam", LastSeen: at(time.Hour)})
		mustErase(t, s, erasing(acme, ada, bob))
		wantEqual(t, "SeenBy() after two views were merged", mustSeenBy(t, s, key), []incident.Seen{
			{Incident: key, UserID: "adam", LastSeen: at(time.Hour)},
			{Incident: key, UserID: bob, LastSeen: at(max(0, d))},
		})
	}
}

// If the other user is subscribed too, the earlier subscription remains.
func eraseMergesSubscriptions(t *trial, s incident.RetentionStore) {
	for _, d := range []time.Duration{-time.Microsecond, 0, time.Microsecond} {
		key := mustCreate(t, s, draft(acme)).Incident.Key()
		mustSubscribe(t, s, incident.Subscription{Incident: key, UserID: bob, DateAdded: t0})
		mustSubscribe(t, s, incident.Subscription{Incident: key, UserID: ada, DateAdded: at(d)})
		mustSubscribe(t, s, incident.Subscription{Incident: key, UserID: "adam", DateAdded: at(time.Hour)})
		mustErase(t, s, erasing(acme, ada, bob))
		wantEqual(t, "the subscribers after two subscriptions were merged", mustSubscribers(t, s, key), []incident.Subscription{
			{Incident: key, UserID: "adam", DateAdded: at(time.Hour)},
			{Incident: key, UserID: bob, DateAdded: at(min(0, d))},
		})
	}
}

// The lists and counts by assignee follow, of active and closed incidents.
func eraseMovesAssignments(t *trial, s incident.RetentionStore) {
	for i, assignee := range []incident.UserID{ada, bob, ada, eve} {
		inc := draft(acme)
		inc.Response = &incident.Response{Assignee: assignee}
		st := mustCreate(t, s, inc)
		if i == 2 {
			mustChange(t, s, closing(st, minute(9)))
		}
	}
	list := func(assignee incident.UserID, want ...int64) {
		t.Helper()
		q := incident.IncidentQuery{OrganizationID: acme, Assignee: assignee, Limit: everything}
		wantEqual(t, "the incidents assigned to "+string(assignee), identifiersOf(mustIncidents(t, s, q)), want)
		n := 0
		for _, count := range mustCount(t, s, q) {
			n += count
		}
		if n != len(want) {
			t.Errorf("CountIncidents() of the incidents assigned to %s = %d, want %d", assignee, n, len(want))
		}
	}
	list(ada, 3, 1)
	mustErase(t, s, erasing(acme, ada, bob))
	list(ada)
	list(bob, 3, 2, 1)
	mustErase(t, s, erasing(acme, bob, ""))
	list(bob)
	list(eve, 4)
}

// A user who is not there changes nothing. Texts that contain the user's ID stay.
func eraseLeavesTheRest(t *trial, s incident.RetentionStore) {
	mustTraces(t, s, acme, ada)
	mustRemains(t, s, acme)
	mustTraces(t, s, acme, "adam")
	wantUnchanged(t, s, acme, func() {
		for _, user := range []incident.UserID{"nobody", "ad", "a%", "_da", "ada ", "Ada", "critical", "shop", "Remains"} {
			if changed := mustErase(t, s, erasing(acme, user, eve)); len(changed) > 0 {
				t.Errorf("EraseUser() of %q, who is not there, changes %v", user, changed)
			}
		}
		if changed := mustErase(t, s, erasing("nobody", ada, eve)); len(changed) > 0 {
			t.Errorf("EraseUser() of an unknown organization changes %v", changed)
		}
	})
}

// Users are compared byte for byte.
func eraseComparesUsersByteForByte(t *trial, s incident.RetentionStore) {
	var keys []incident.Key
	for _, name := range names() {
		user := incident.UserID(name)
		inc := draft(acme)
		inc.Response = &incident.Response{Assignee: user}
		key := mustCreate(t, s, inc).Incident.Key()
		say := comment(key, "text")
		say.Activities[0].UserID, say.Subscriptions[0].UserID = user, user
		mustApply(t, s, say)
		mustMarkSeen(t, s, incident.Seen{Incident: key, UserID: user, LastSeen: t0})
		keys = append(keys, key)
	}
	for i, name := range slices.Backward(names()) {
		changed := mustErase(t, s, erasing(acme, incident.UserID(name), "\U0001F47B"))
		if len(changed) != 1 || changed[0].Key != keys[i] {
			t.Errorf("EraseUser() of %+q changes %v, want %s", name, changed, keys[i])
		}
	}
	for _, key := range keys {
		got := []incident.UserID{
			mustLoad(t, s, key).Incident.Response.Assignee, mustActivity(t, s, key, 3).UserID, mustSeenBy(t, s, key)[0].UserID, mustSubscribers(t, s, key)[0].UserID,
		}
		for _, user := range got {
			if user != "\U0001F47B" {
				t.Errorf("after EraseUser() of all users %s has %+q", key, got)
			}
		}
	}
}

func eraseObeysTheContext(t *trial, s incident.RetentionStore) {
	mustTraces(t, s, acme, ada)
	for _, org := range []incident.OrganizationID{acme, "nobody"} {
		wantDoneContext(t, s, "EraseUser()", func(ctx context.Context) error {
			_, err := s.EraseUser(ctx, erasing(org, ada, ""))
			return err
		})
	}
}
