package storetest

import (
	"errors"
	"sync"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// mustReplay applies a known change, checks that nothing is written, and returns the
// result.
func mustReplay(t *trial, s incident.Store, c incident.Change) incident.Applied {
	t.Helper()
	var applied incident.Applied
	wantUnchanged(t, s, c.Key.OrganizationID, func() { applied = mustApply(t, s, c) })
	if !applied.Replayed {
		t.Errorf("Apply(%s) of a known UUID is not Replayed", c.Key)
	}
	if len(applied.Slots) > 0 {
		t.Errorf("a replayed change has Slots %v, want none", applied.Slots)
	}
	return applied
}

func wantReplayed(t *trial, applied incident.Applied, want incident.Activity) {
	t.Helper()
	if applied.Activity == nil {
		t.Fatalf("a replayed change has no activity, want %s", show(want))
	}
	wantEqual(t, "the replayed activity", *applied.Activity, want)
}

// A second creation with the same DetectionUUID returns the current state of the first
// incident. The other fields of the second creation do not matter, and it needs no free
// slot.
func applyReplaysKnownDetectionUUID(t *trial, s incident.Store) {
	detection := uuid.New()
	first := mustApply(t, s, creationWith(detection, ruled(acme, api)))
	st := mustLoad(t, s, first.Incident.Key())
	wantEqual(t, "DetectionUUID", st.Incident.DetectionUUID, detection)

	st = mustChange(t, s, retitling(st, "Newer"))
	again := ruled(acme, api, db)
	again.Title = "Another title"
	applied := mustReplay(t, s, creationWith(detection, again))
	wantEqual(t, "the replayed incident", applied.Incident, st.Incident)
	if applied.Activity != nil {
		t.Errorf("an incident replayed by its DetectionUUID has the activity %s, want none", show(applied.Activity))
	}

	st = mustChange(t, s, transition(st, incident.StatusClosed))
	applied = mustReplay(t, s, creationWith(detection, again))
	wantEqual(t, "the replayed incident, closed by now", applied.Incident, st.Incident)
}

// A creation is repeated because its outcome was not known.
func applyReplaysACreation(t *trial, s incident.Store) {
	c := creation(ruled(acme, api), firing(critical))
	first := mustApply(t, s, c)
	applied := mustReplay(t, s, c)
	wantEqual(t, "the replayed incident", applied.Incident, first.Incident)
	wantReplayed(t, applied, numbered(c, first.Incident.Key(), 1)[0])

	st := mustChange(t, s, transition(mustLoad(t, s, first.Incident.Key()), incident.StatusClosed))
	applied = mustReplay(t, s, c)
	wantEqual(t, "the replayed incident, closed by now", applied.Incident, st.Incident)

	c.Incident.DetectionUUID = uuid.New()
	notification := uuid.New()
	c = withNewUUIDs(c)
	c.Activities[0].NotificationUUID = notification
	first = mustApply(t, s, c)
	c = withNewUUIDs(c)
	c.Activities[0].NotificationUUID = notification
	applied = mustReplay(t, s, c)
	wantEqual(t, "the incident replayed by both UUIDs", applied.Incident, first.Incident)
}

// withNewUUIDs returns the change as a second decision would make it, with other
// NotificationUUIDs.
func withNewUUIDs(c incident.Change) incident.Change {
	c = cloneChange(c)
	for i := range c.Activities {
		c.Activities[i].NotificationUUID = uuid.New()
	}
	return c
}

// A repeated status change is recognized by its activity, before the check of its
// version. The result has the current state of the incident.
func applyReplaysAStatusChange(t *trial, s incident.Store) {
	st := mustCreate(t, s, ruled(acme, api), firing(critical))
	c := transition(st, incident.StatusClosed)
	first := mustApply(t, s, c)
	applied := mustReplay(t, s, c)
	wantEqual(t, "the replayed incident", applied.Incident, first.Incident)
	wantReplayed(t, applied, numbered(c, c.Key, first.Sequence)[0])

	other := mustCreate(t, s, ruled(acme, api)) // takes the slot
	st = mustChange(t, s, retitling(mustLoad(t, s, st.Incident.Key()), "Newer"))
	applied = mustReplay(t, s, c)
	wantEqual(t, "the replayed incident, newer by now", applied.Incident, st.Incident)

	c.Claim, c.Release = c.Release, nil // held by the other
	mustReplay(t, s, c)
	wantEqual(t, "the other incident", mustLoad(t, s, other.Incident.Key()), other)
}

func applyReplaysAComment(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	c := comment(key, "first")
	first := mustApply(t, s, c)
	applied := mustReplay(t, s, c)
	want := numbered(c, key, first.Sequence)[0]
	wantReplayed(t, applied, want)

	mustUnsubscribe(t, s, key, ada)
	again := comment(key, "second")
	again.Activities[0].NotificationUUID = c.Activities[0].NotificationUUID
	applied = mustReplay(t, s, again)
	wantReplayed(t, applied, want)

	a := edited(want, "edited")
	mustRevise(t, s, a)
	applied = mustReplay(t, s, c)
	wantReplayed(t, applied, a)
}

// UUIDs are unique within an organization only.
func applyKeepsUUIDsOfOrganizationsApart(t *trial, s incident.Store) {
	detection := uuid.New()
	c := creationWith(detection, ruled(acme, api))
	first := mustApply(t, s, c)
	other := creationWith(detection, ruled(umbrella, api))
	for i := range other.Activities {
		other.Activities[i].NotificationUUID = c.Activities[i].NotificationUUID
	}
	applied := mustApply(t, s, other)
	if applied.Replayed || applied.Incident.Key() != (incident.Key{OrganizationID: umbrella, Identifier: 1}) {
		t.Errorf("Apply() = %s, want a new incident", show(applied))
	}
	said := comment(first.Incident.Key(), "text")
	mustApply(t, s, said)
	same := comment(incident.Key{OrganizationID: umbrella, Identifier: 1}, "text")
	same.Activities[0].NotificationUUID = said.Activities[0].NotificationUUID
	if mustApply(t, s, same).Replayed {
		t.Error("Apply() of a comment is Replayed, although its UUID is another organization's")
	}
}

// UUIDs that differ in any byte are different.
func applyComparesWholeUUIDs(t *trial, s incident.Store) {
	key := mustCreate(t, s, draft(acme)).Incident.Key()
	base := uuid.New()
	for i := range len(base) + 1 {
		id := base
		if i < len(base) {
			id[i] ^= 1
		}
		c := comment(key, "text")
		c.Activities[0].NotificationUUID = id
		for name, c := range map[string]incident.Change{"comment": c, "creation": creationWith(id, draft(acme))} {
			if mustApply(t, s, c).Replayed {
				t.Errorf("Apply() of a %s with UUID %s is Replayed, but only %s is known", name, id, base)
			}
			mustReplay(t, s, c)
		}
	}
}

// A NotificationUUID that belongs to another incident of the organization is an
// ErrConflict: not a replay, and no conflict about a version or a slot.
func applyRefusesAnotherIncidentsUUID(t *trial, s incident.Store) {
	said := mustComment(t, s, mustCreate(t, s, ruled(acme, api)).Incident.Key(), "text")
	st := mustCreate(t, s, draft(acme))
	stale := retitling(st, "Stale")
	stale.ExpectVersion = 9
	unknown := comment(incident.Key{OrganizationID: acme, Identifier: 99}, "text")
	wantUnchanged(t, s, acme, func() {
		for name, c := range map[string]incident.Change{
			"a comment":               comment(st.Incident.Key(), "text"),
			"a change":                transition(st, incident.StatusClosed),
			"a change of old version": stale,
			"an unknown incident":     unknown,
		} {
			c.Activities = []incident.Activity{said}
			_, err := s.Apply(t.Context(), c)
			wantError(t, "Apply() of "+name, err, incident.ErrConflict)
			if errors.Is(err, incident.ErrVersionConflict) || errors.Is(err, incident.ErrNotFound) {
				t.Errorf("Apply() of %s = %v, want no more than ErrConflict", name, err)
			}
		}
	})
}

// The zero UUID is no DetectionUUID. Incidents without a DetectionUUID are different
// incidents.
func applyTakesAZeroDetectionUUIDForNone(t *trial, s incident.Store) {
	for range 3 {
		if mustApply(t, s, creation(draft(acme))).Replayed {
			t.Fatal("Apply() of a new incident without a DetectionUUID is Replayed")
		}
	}
}

// A change that was not written is not remembered. The same change is applied later if
// nothing prevents it.
func applyForgetsUUIDsOfFailures(t *trial, s incident.Store) {
	holder := mustCreate(t, s, ruled(acme, api))
	c := creationWith(uuid.New(), ruled(acme, api))
	_, err := s.Apply(t.Context(), c)
	wantHolder(t, "Apply() of a taken slot", err, holder.Incident.Key())
	mustApply(t, s, transition(holder, incident.StatusClosed))

	err = s.InTx(t.Context(), func(tx incident.Store) error {
		if mustApply(t, tx, c).Replayed {
			t.Error("a creation that failed is Replayed when it is repeated")
		}
		if !mustApply(t, tx, c).Replayed {
			t.Error("a creation is not Replayed in the transaction that made it")
		}
		return errUndo
	})
	wantError(t, "InTx()", err, errUndo)
	if mustApply(t, s, c).Replayed {
		t.Error("Apply() of a creation that was undone is Replayed, want a new incident")
	}
}

// The first of several identical concurrent calls writes. The others are replayed.
func applyReplaysUnderConcurrency(t *trial, s incident.Store) {
	const rounds = 3
	for range rounds {
		st := mustCreate(t, s, ruled(acme, db))
		detection, created := uuid.New(), creation(ruled(acme, api))
		changed, commented := transition(st, incident.StatusClosed), comment(st.Incident.Key(), "text")
		same := func(c incident.Change) func() incident.Change {
			return func() incident.Change { return cloneChange(c) }
		}
		detected := mustWriteOnce(t, s, "a creation of a DetectionUUID", func() incident.Change {
			return creationWith(detection, ruled(acme, web))
		})
		made := mustWriteOnce(t, s, "a creation", same(created))
		mustWriteOnce(t, s, "a status change", same(changed))
		mustWriteOnce(t, s, "a comment", same(commented))
		all := mustActivities(t, s, st.Incident.Key(), incident.ActivityQuery{Limit: everything})
		wantEqual(t, "the sequences", sequencesOf(all), upTo(4))
		for _, key := range []incident.Key{detected, made} {
			mustApply(t, s, transition(mustLoad(t, s, key), incident.StatusClosed))
		}
	}
	all := mustIncidents(t, s, incident.IncidentQuery{OrganizationID: acme, Limit: everything})
	if want := 3 * rounds; len(all) != want {
		t.Errorf("there are %d incidents, want %d", len(all), want)
	}
}

// mustWriteOnce makes the same call several times at once, checks that a single call
// writes, and returns its incident.
func mustWriteOnce(t *trial, s incident.Store, name string, next func() incident.Change) incident.Key {
	t.Helper()
	var (
		mu    sync.Mutex // guards key and wrote
		key   incident.Key
		wrote int
	)
	t.together(8, func(int) {
		applied, err := s.Apply(t.Context(), next())
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Errorf("Apply() of %s = %v, want no error", name, err)
		} else if !applied.Replayed {
			wrote++
			key = applied.Incident.Key()
		}
	})
	if wrote != 1 {
		t.Fatalf("%[2]d of 8 identical calls of %[1]s wrote, want 1", name, wrote)
	}
	return key
}
