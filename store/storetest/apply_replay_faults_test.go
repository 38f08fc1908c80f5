package storetest

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

func replayFaults() []fault {
	return []fault{
		{"NotificationUUIDForgotten", notificationUUIDForgotten, []string{
			"Replay/OfACreation", "Replay/OfAStatusChange", "Replay/OfAComment", "Replay/UnderConcurrency",
		}},
		{"DetectionUUIDForgotten", detectionUUIDForgotten, []string{"Replay/OfAKnownDetectionUUID", "Replay/UnderConcurrency"}},
		{"NoDetectionUUIDIsOne", noDetectionUUIDIsOne, []string{"Replay/TakesAZeroDetectionUUIDForNone"}},
		{"UUIDOfAnyOrganization", uuidOfAnyOrganization, []string{"Replay/KeepsOrganizationsApart"}},
		{"UUIDOfAnyIncident", uuidOfAnyIncident, []string{"Replay/RefusesAnotherIncidentsUUID"}},
		{"VersionBeforeReplay", versionBeforeReplay, []string{"Replay/OfAStatusChange", "Replay/UnderConcurrency"}},
		{"ReplayLookedUpBefore", replayLookedUpBefore, []string{"Replay/UnderConcurrency"}},
		{"UUIDsAreCut", uuidsAreCut, []string{"Replay/ComparesWholeUUIDs"}},
		{"FailureIsRemembered", failureIsRemembered, []string{"Replay/ForgetsUUIDsOfFailures"}},
		{"ReplayAnswersWithTheFirst", replayAnswersWithTheFirst, []string{
			"Replay/OfAKnownDetectionUUID", "Replay/OfACreation", "Replay/OfAStatusChange",
		}},
	}
}

// notificationUUIDForgotten writes each activity with another UUID and returns the
// caller's UUID.
func notificationUUIDForgotten(s incident.Store) incident.Store {
	var given registry[uuid.UUID, uuid.UUID]
	restore := func(a *incident.Activity) { a.NotificationUUID, _ = given.get(a.NotificationUUID) }
	return &broken{
		Store: s,
		apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			c = cloneChange(c)
			for i, a := range c.Activities {
				c.Activities[i].NotificationUUID = uuid.New()
				given.put(c.Activities[i].NotificationUUID, a.NotificationUUID)
			}
			applied, err := s.Apply(ctx, c)
			if applied.Activity != nil {
				restore(applied.Activity)
			}
			return applied, err
		},
		activities: func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
			page, err := s.Activities(ctx, key, q)
			for i := range page.Activities {
				restore(&page.Activities[i])
			}
			return page, err
		},
		activity: func(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
			a, err := s.Activity(ctx, key, sequence)
			restore(&a)
			return a, err
		},
	}
}

func detectionUUIDForgotten(s incident.Store) incident.Store {
	return altering(s, func(_ context.Context, c *incident.Change) {
		if c.Incident != nil {
			c.Incident.DetectionUUID = uuid.Nil
		}
	})
}

func noDetectionUUIDIsOne(s incident.Store) incident.Store {
	return altering(s, func(_ context.Context, c *incident.Change) {
		if isNew(*c) && c.Incident.DetectionUUID == uuid.Nil {
			c.Incident.DetectionUUID = uuid.Max
		}
	})
}

func uuidsAreCut(s incident.Store) incident.Store {
	return altering(s, func(_ context.Context, c *incident.Change) {
		for i := range c.Activities {
			c.Activities[i].NotificationUUID[15] = 0
		}
	})
}

func uuidOfAnyOrganization(s incident.Store) incident.Store {
	var known registry[uuid.UUID, incident.Applied]
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		if len(c.Activities) > 0 {
			if first, ok := known.get(c.Activities[0].NotificationUUID); ok {
				first.Replayed = true
				return first, nil
			}
		}
		applied, err := s.Apply(ctx, c)
		if err == nil && len(c.Activities) > 0 {
			known.put(c.Activities[0].NotificationUUID, applied)
		}
		return applied, err
	})
}

// uuidOfAnyIncident replays the change of another incident that has the UUID.
func uuidOfAnyIncident(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		_, taken := errors.AsType[*incident.ConflictError](err)
		if errors.Is(err, incident.ErrConflict) && !errors.Is(err, incident.ErrVersionConflict) && !taken {
			return incident.Applied{Replayed: true}, nil
		}
		return applied, err
	})
}

func versionBeforeReplay(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		if st, err := s.Load(ctx, c.Key); err == nil && c.Incident != nil && st.Incident.Version != c.ExpectVersion {
			return incident.Applied{}, incident.ErrVersionConflict
		}
		return s.Apply(ctx, c)
	})
}

// replayLookedUpBefore looks up the UUIDs in a call before the write.
func replayLookedUpBefore(s incident.Store) incident.Store {
	forgetful := notificationUUIDForgotten(s)
	var known registry[uuid.UUID, bool]
	return applying(forgetful, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		if len(c.Activities) > 0 {
			if done, _ := known.get(c.Activities[0].NotificationUUID); done {
				return incident.Applied{Replayed: true}, nil
			}
		}
		pause()
		applied, err := forgetful.Apply(ctx, c)
		if err == nil && len(c.Activities) > 0 {
			known.put(c.Activities[0].NotificationUUID, true)
		}
		return applied, err
	})
}

// failureIsRemembered remembers UUIDs before the write succeeds.
func failureIsRemembered(s incident.Store) incident.Store {
	var known registry[uuid.UUID, bool]
	remember := func(store incident.Store) incident.Store {
		return applying(store, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			if isNew(c) && c.Incident.DetectionUUID != uuid.Nil && known.put(c.Incident.DetectionUUID, true) {
				return incident.Applied{Replayed: true}, nil
			}
			return store.Apply(ctx, c)
		})
	}
	return &broken{Store: remember(s), inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		return s.InTx(ctx, func(tx incident.Store) error { return fn(remember(tx)) })
	}}
}

// replayAnswersWithTheFirst returns the incident as it was after the first call.
func replayAnswersWithTheFirst(s incident.Store) incident.Store {
	var firsts registry[incident.Key, incident.Incident]
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		switch {
		case err != nil || c.Incident == nil:
		case applied.Replayed && isNew(c):
			applied.Incident, _ = firsts.get(applied.Incident.Key())
		case applied.Replayed:
			applied.Incident = *c.Incident
		case isNew(c):
			firsts.put(applied.Incident.Key(), applied.Incident)
		}
		return applied, err
	})
}
