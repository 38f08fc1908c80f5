package storetest

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/incidentkit/incident"
)

func activityFaults() []fault {
	return []fault{
		{"ActivitiesByDate", activitiesByDate, []string{"Activities/AreOrderedBySequence", "Activities/ArePagedBySequence"}},
		{"VersionOfTheFirst", versionOfTheFirst, []string{"Activities/ReturnTheVersion"}},
		{"PagesIncludeAfter", pagesIncludeAfter, []string{"Activities/ArePagedBySequence"}},
		{"OtherActivity", otherActivity, []string{"Activity/IsThatOfTheList"}},
		{"LastForUnknownActivity", lastForUnknownActivity, []string{
			"Activity/ReturnsErrNotFoundForTheSequence", "Activity/ReturnsErrNotFound",
		}},
		{"RevisionNotChecked", revisionNotChecked, []string{"ReviseActivity/ChecksTheRevision", "ReviseActivity/LetsOneOfARevisionWin"}},
		{"RevisionCheckedBefore", revisionCheckedBefore, []string{"ReviseActivity/LetsOneOfARevisionWin"}},
		{"RevisionNotInTheList", revisionNotInTheList, []string{"ReviseActivity/StoresTheRevision"}},
		{"RevisionIsEverything", revisionIsEverything, []string{"ReviseActivity/LeavesTheRest"}},
	}
}

func activitiesByDate(s incident.Store) incident.Store {
	return &broken{Store: s, activities: func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
		all, err := s.Activities(ctx, key, incident.ActivityQuery{Limit: everything})
		slices.SortStableFunc(all.Activities, func(a, b incident.Activity) int { return a.DateAdded.Compare(b.DateAdded) })
		if q.Descending {
			slices.Reverse(all.Activities)
		}
		all.Activities = all.Activities[:min(len(all.Activities), q.Limit)]
		return all, err
	}}
}

// versionOfTheFirst returns the incident's first version.
func versionOfTheFirst(s incident.Store) incident.Store {
	return &broken{Store: s, activities: func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
		log, err := s.Activities(ctx, key, q)
		log.Version = 1
		return log, err
	}}
}

func pagesIncludeAfter(s incident.Store) incident.Store {
	return &broken{Store: s, activities: func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
		if q.After > 0 && q.Descending {
			q.After++
		} else if q.After > 0 {
			q.After--
		}
		return s.Activities(ctx, key, q)
	}}
}

// otherActivity finds the sequence in the first incident.
func otherActivity(s incident.Store) incident.Store {
	return &broken{Store: s, activity: func(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
		key.Identifier = 1
		return s.Activity(ctx, key, sequence)
	}}
}

func lastForUnknownActivity(s incident.Store) incident.Store {
	return &broken{Store: s, activity: func(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
		a, err := s.Activity(ctx, key, sequence)
		if errors.Is(err, incident.ErrNotFound) {
			return incident.Activity{}, nil
		}
		return a, err
	}}
}

func revisionNotChecked(s incident.Store) incident.Store {
	return &broken{Store: s, revise: func(ctx context.Context, a incident.Activity) error {
		for {
			err := s.ReviseActivity(ctx, a)
			if !errors.Is(err, incident.ErrVersionConflict) {
				return err
			}
			stored, err := s.Activity(ctx, a.Incident, a.Sequence)
			if err != nil {
				return err
			}
			a.Revision = stored.Revision + 1
		}
	}}
}

// revisionCheckedBefore checks the revision in a call before the write.
func revisionCheckedBefore(s incident.Store) incident.Store {
	unchecked := revisionNotChecked(s)
	return &broken{Store: s, revise: func(ctx context.Context, a incident.Activity) error {
		if stored, err := s.Activity(ctx, a.Incident, a.Sequence); err != nil || stored.Revision != a.Revision-1 {
			return s.ReviseActivity(ctx, a)
		}
		pause()
		return unchecked.ReviseActivity(ctx, a)
	}}
}

func revisionNotInTheList(s incident.Store) incident.Store {
	return &broken{Store: s, activities: func(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
		page, err := s.Activities(ctx, key, q)
		for i := range page.Activities {
			page.Activities[i].DateEdited, page.Activities[i].DateDeleted = nil, nil
		}
		return page, err
	}}
}

func revisionIsEverything(s incident.Store) incident.Store {
	var revised registry[int64, incident.Activity]
	return &broken{
		Store: s,
		revise: func(ctx context.Context, a incident.Activity) error {
			revised.put(a.Sequence, a)
			return s.ReviseActivity(ctx, a)
		},
		activity: func(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
			if a, ok := revised.get(sequence); ok {
				return a, nil
			}
			return s.Activity(ctx, key, sequence)
		},
	}
}

func seenAndSubscriptionFaults() []fault {
	return []fault{
		{"SeenGoesBack", seenGoesBack, []string{"MarkSeen/NeverGoesBack", "MarkSeen/NeverGoesBackUnderConcurrency"}},
		{"SeenReturnsWhatItGot", seenReturnsWhatItGot, []string{"MarkSeen/NeverGoesBack"}},
		{"SeenRaces", seenRaces, []string{"MarkSeen/NeverGoesBackUnderConcurrency"}},
		{"SeenOfAllIncidents", seenOfAllIncidents, []string{"MarkSeen/IsAboutOneIncident"}},
		{"SeenTiesUnordered", seenTiesUnordered, []string{"SeenBy/IsOrderedByTimeThenUser"}},
		{"SubscribeOverwrites", subscribeOverwrites, []string{"Subscribe/KeepsTheFirstDate", "Subscribe/HasOneFirst"}},
		{"SubscribeTwiceFails", subscribeTwiceFails, []string{"Subscribe/KeepsTheFirstDate", "Subscribe/MeetsUnsubscribe"}},
		{"UnsubscribeTwiceFails", unsubscribeTwiceFails, []string{"Unsubscribe/EndsIt", "Subscribe/MeetsUnsubscribe"}},
		{"UnsubscribeEverywhere", unsubscribeEverywhere, []string{"Subscribers/AreThoseOfTheIncident"}},
		{"SubscribersByDate", subscribersByDate, []string{"Subscribers/AreOrderedByUser"}},
	}
}

// seenAsWritten keeps for each user the result of next for the old and the new view.
func seenAsWritten(s incident.Store, next func(before, seen incident.Seen) incident.Seen) incident.Store {
	var views registry[incident.UserID, incident.Seen]
	return &broken{
		Store: s,
		markSeen: func(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
			if _, err := s.MarkSeen(ctx, seen); err != nil {
				return incident.Seen{}, err
			}
			before, _ := views.get(seen.UserID)
			pause()
			seen = next(before, seen)
			views.put(seen.UserID, seen)
			return seen, nil
		},
		seenBy: func(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
			all, err := s.SeenBy(ctx, key)
			for i, seen := range all {
				all[i], _ = views.get(seen.UserID)
			}
			return all, err
		},
	}
}

func seenGoesBack(s incident.Store) incident.Store {
	return seenAsWritten(s, func(_, seen incident.Seen) incident.Seen { return seen })
}

// seenRaces reads the old time in a call before the write.
func seenRaces(s incident.Store) incident.Store {
	return seenAsWritten(s, func(before, seen incident.Seen) incident.Seen {
		if before.LastSeen.After(seen.LastSeen) {
			return before
		}
		return seen
	})
}

func seenReturnsWhatItGot(s incident.Store) incident.Store {
	return &broken{Store: s, markSeen: func(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
		_, err := s.MarkSeen(ctx, seen)
		return seen, err
	}}
}

func seenOfAllIncidents(s incident.Store) incident.Store {
	return &broken{Store: s, seenBy: func(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
		key.Identifier = 1
		return s.SeenBy(ctx, key)
	}}
}

func seenTiesUnordered(s incident.Store) incident.Store {
	return &broken{Store: s, seenBy: func(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
		all, err := s.SeenBy(ctx, key)
		slices.Reverse(all)
		slices.SortStableFunc(all, func(a, b incident.Seen) int { return b.LastSeen.Compare(a.LastSeen) })
		return all, err
	}}
}

func subscribeOverwrites(s incident.Store) incident.Store {
	return &broken{Store: s, subscribe: func(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
		if err := s.Unsubscribe(ctx, sub.Incident, sub.UserID); err != nil {
			return incident.Subscription{}, err
		}
		return s.Subscribe(ctx, sub)
	}}
}

// isSubscribed reads the subscription from the store.
func isSubscribed(ctx context.Context, s incident.Store, key incident.Key, user incident.UserID) bool {
	d, err := s.LoadDetails(ctx, key, user)
	return err == nil && d.IsSubscribed
}

func subscribeTwiceFails(s incident.Store) incident.Store {
	return &broken{Store: s, subscribe: func(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
		if isSubscribed(ctx, s, sub.Incident, sub.UserID) {
			return incident.Subscription{}, incident.ErrConflict
		}
		return s.Subscribe(ctx, sub)
	}}
}

func unsubscribeTwiceFails(s incident.Store) incident.Store {
	return &broken{Store: s, unsubscribe: func(ctx context.Context, key incident.Key, user incident.UserID) error {
		if !isSubscribed(ctx, s, key, user) {
			return incident.ErrNotFound
		}
		return s.Unsubscribe(ctx, key, user)
	}}
}

// unsubscribeEverywhere leaves the incident out of its condition.
func unsubscribeEverywhere(s incident.Store) incident.Store {
	return &broken{Store: s, unsubscribe: func(ctx context.Context, key incident.Key, user incident.UserID) error {
		err := s.Unsubscribe(ctx, key, user)
		for other := key.Identifier - 1; other > 0 && other < math.MaxInt8; other-- {
			_ = s.Unsubscribe(ctx, incident.Key{OrganizationID: key.OrganizationID, Identifier: other}, user)
		}
		return err
	}}
}

func subscribersByDate(s incident.Store) incident.Store {
	return &broken{Store: s, subscribers: func(ctx context.Context, key incident.Key) ([]incident.Subscription, error) {
		all, err := s.Subscribers(ctx, key)
		slices.SortStableFunc(all, func(a, b incident.Subscription) int { return a.DateAdded.Compare(b.DateAdded) })
		return all, err
	}}
}
