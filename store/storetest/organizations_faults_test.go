package storetest

import (
	"context"
	"errors"
	"strings"

	"github.com/incidentkit/incident"
)

func organizationFaults() []fault {
	return []fault{
		{"OrganizationMissingInLoad", organizationMissing("Load"), []string{"Load/ReturnsErrNotFound"}},
		{"OrganizationMissingInLoadDetails", organizationMissing("LoadDetails"), []string{"LoadDetails/ReturnsErrNotFound"}},
		{"OrganizationMissingInLoadSlot", organizationMissing("LoadSlot"), []string{
			"Isolation/OfHolders", "Isolation/OfReads", "LoadSlot/IsZeroWhenUnclaimed",
		}},
		{"OrganizationMissingInIncidents", organizationMissingInIncidents, []string{
			"Isolation/OfReads", "Incidents/MeetAllConditions", "Incidents/ArePagedFromBothEnds", "Incidents/MayBeNone",
		}},
		{"OrganizationMissingInApply", organizationMissing("Apply"), []string{
			"Apply/ReturnsErrNotFoundForAChange", "Apply/ReturnsErrNotFoundForAComment",
		}},
		{"OrganizationMissingInActivities", organizationMissing("Activities"), []string{"Activities/ReturnsErrNotFound"}},
		{"OrganizationMissingInActivity", organizationMissing("Activity"), []string{"Activity/ReturnsErrNotFound"}},
		{"OrganizationMissingInReviseActivity", organizationMissing("ReviseActivity"), []string{"ReviseActivity/ReturnsErrNotFound"}},
		{"OrganizationMissingInMarkSeen", organizationMissing("MarkSeen"), []string{"MarkSeen/ReturnsErrNotFound"}},
		{"OrganizationMissingInSeenBy", organizationMissing("SeenBy"), []string{"SeenBy/ReturnsErrNotFound"}},
		{"OrganizationMissingInSubscribe", organizationMissing("Subscribe"), []string{"Subscribe/ReturnsErrNotFound"}},
		{"OrganizationMissingInUnsubscribe", organizationMissing("Unsubscribe"), []string{"Unsubscribe/ReturnsErrNotFound"}},
		{"OrganizationMissingInSubscribers", organizationMissing("Subscribers"), []string{"Subscribers/ReturnsErrNotFound"}},
		{"UnsubscribedInAllOrganizations", unsubscribedInAll, []string{"Isolation/OfWrites"}},
		{"SeenInAllOrganizations", seenInAll, []string{"Isolation/OfWrites"}},
		{"OrganizationsInAnyCase", organizationsAre(strings.ToLower), []string{"Names/OfOrganizationsAreBytes"}},
		{"OrganizationsAreTrimmed", organizationsAre(strings.TrimSpace), []string{"Names/OfOrganizationsAreBytes"}},
		{"OrganizationsAreComposed", organizationsAre(composed), []string{"Names/OfOrganizationsAreBytes"}},
	}
}

// theOthers are the organizations that a fault also reads.
func theOthers(org incident.OrganizationID) []incident.OrganizationID {
	return without([]incident.OrganizationID{acme, umbrella}, []incident.OrganizationID{org})
}

// anywhere repeats a call with another organization if the key is not found.
func anywhere[T any](key incident.Key, call func(key incident.Key) (T, error)) (T, error) {
	v, err := call(key)
	for _, org := range theOthers(key.OrganizationID) {
		if errors.Is(err, incident.ErrNotFound) {
			v, err = call(incident.Key{OrganizationID: org, Identifier: key.Identifier})
		}
	}
	return v, err
}

// organizationMissing leaves the organization out of the condition of one method.
func organizationMissing(method string) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		everywhere := anywhereStore(s)
		b := &broken{Store: s}
		switch method {
		case "Load":
			b.load = everywhere.load
		case "LoadSlot":
			b.loadSlot = everywhere.loadSlot
		case "LoadDetails":
			b.loadDetails = everywhere.loadDetails
		case "Apply":
			b.apply = everywhere.apply
		case "Activities":
			b.activities = everywhere.activities
		case "Activity":
			b.activity = everywhere.activity
		case "ReviseActivity":
			b.revise = everywhere.revise
		case "MarkSeen":
			b.markSeen = everywhere.markSeen
		case "SeenBy":
			b.seenBy = everywhere.seenBy
		case "Subscribe":
			b.subscribe = everywhere.subscribe
		case "Unsubscribe":
			b.unsubscribe = everywhere.unsubscribe
		case "Subscribers":
			b.subscribers = everywhere.subscribers
		default:
			panic("no method " + method)
		}
		return b
	}
}

func anywhereStore(s incident.Store) *broken {
	b := &broken{Store: s}
	b.load = func(ctx context.Context, key incident.Key) (incident.State, error) {
		return anywhere(key, func(key incident.Key) (incident.State, error) { return s.Load(ctx, key) })
	}
	b.loadSlot = func(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
		st, err := s.LoadSlot(ctx, slot)
		for _, slot.OrganizationID = range theOthers(slot.OrganizationID) {
			if err == nil && st.Version == 0 {
				st, err = s.LoadSlot(ctx, slot)
			}
		}
		return st, err
	}
	b.loadDetails = func(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
		return anywhere(key, func(key incident.Key) (incident.Details, error) { return s.LoadDetails(ctx, key, user) })
	}
	b.apply = func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		return anywhere(c.Key, func(key incident.Key) (incident.Applied, error) {
			c.Key = key
			if st, err := s.Load(ctx, key); err == nil && c.Incident != nil && key.OrganizationID != c.Incident.OrganizationID {
				c.ExpectVersion = st.Incident.Version
			}
			return s.Apply(ctx, c)
		})
	}
	b.activities = func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
		return anywhere(key, func(key incident.Key) (incident.ActivityLog, error) { return s.Activities(ctx, key, q) })
	}
	b.activity = func(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
		return anywhere(key, func(key incident.Key) (incident.Activity, error) { return s.Activity(ctx, key, 1) })
	}
	b.revise = func(ctx context.Context, a incident.Activity) error {
		_, err := anywhere(a.Incident, func(key incident.Key) (any, error) {
			a.Incident = key
			return nil, s.ReviseActivity(ctx, a)
		})
		return err
	}
	anywherePeople(b)
	return b
}

func anywherePeople(b *broken) {
	s := b.Store
	b.markSeen = func(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
		return anywhere(seen.Incident, func(key incident.Key) (incident.Seen, error) {
			seen.Incident = key
			return s.MarkSeen(ctx, seen)
		})
	}
	b.seenBy = func(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
		return anywhere(key, func(key incident.Key) ([]incident.Seen, error) { return s.SeenBy(ctx, key) })
	}
	b.subscribe = func(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
		return anywhere(sub.Incident, func(key incident.Key) (incident.Subscription, error) {
			sub.Incident = key
			return s.Subscribe(ctx, sub)
		})
	}
	b.unsubscribe = func(ctx context.Context, key incident.Key, user incident.UserID) error {
		_, err := anywhere(key, func(key incident.Key) (any, error) { return nil, s.Unsubscribe(ctx, key, user) })
		return err
	}
	b.subscribers = func(ctx context.Context, key incident.Key) ([]incident.Subscription, error) {
		return anywhere(key, func(key incident.Key) ([]incident.Subscription, error) { return s.Subscribers(ctx, key) })
	}
}

func organizationMissingInIncidents(s incident.Store) incident.Store {
	return &broken{Store: s, incidents: func(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
		all, err := allOf(ctx, s, q)
		for _, q.OrganizationID = range theOthers(q.OrganizationID) {
			more, more2 := allOf(ctx, s, q)
			all, err = append(all, more...), errors.Join(err, more2)
		}
		return pageOf(all, q), err
	}}
}

func unsubscribedInAll(s incident.Store) incident.Store {
	return &broken{Store: s, unsubscribe: func(ctx context.Context, key incident.Key, user incident.UserID) error {
		err := s.Unsubscribe(ctx, key, user)
		for _, key.OrganizationID = range theOthers(key.OrganizationID) {
			_ = s.Unsubscribe(ctx, key, user)
		}
		return err
	}}
}

func seenInAll(s incident.Store) incident.Store {
	return &broken{Store: s, markSeen: func(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
		stored, err := s.MarkSeen(ctx, seen)
		for _, seen.Incident.OrganizationID = range theOthers(seen.Incident.OrganizationID) {
			_, _ = s.MarkSeen(ctx, seen)
		}
		return stored, err
	}}
}

// organizationsAre takes organizations with the same folded name for one.
func organizationsAre(same func(string) string) func(s incident.Store) incident.Store {
	return func(s incident.Store) incident.Store {
		var first registry[string, incident.OrganizationID]
		return altering(s, func(_ context.Context, c *incident.Change) {
			name := same(string(c.Key.OrganizationID))
			org, ok := first.get(name)
			if !ok {
				org = c.Key.OrganizationID
				first.put(name, org)
			}
			c.Key.OrganizationID = org
			if c.Incident != nil {
				c.Incident.OrganizationID = org
			}
			for i := range c.Claim {
				c.Claim[i].OrganizationID = org
			}
		})
	}
}
