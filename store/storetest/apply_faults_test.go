package storetest

import (
	"context"
	"errors"
	"slices"

	"github.com/incidentkit/incident"
)

// applying replaces Apply.
func applying(s incident.Store, apply func(ctx context.Context, c incident.Change) (incident.Applied, error)) incident.Store {
	return &broken{Store: s, apply: apply}
}

// altering changes the argument of Apply. The function owns the change.
func altering(s incident.Store, alter func(ctx context.Context, c *incident.Change)) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		c = cloneChange(c)
		alter(ctx, &c)
		return s.Apply(ctx, c)
	})
}

func isNew(c incident.Change) bool { return c.Key.Identifier == 0 }

func identifierFaults() []fault {
	return []fault{
		{"IdentifierUsedByAFailure", identifierUsedByAFailure, []string{
			"Apply/FailuresUseNoIdentifier", "Apply/IdentifiersAreGaplessUnderConcurrency",
		}},
		{"IdentifierUsedByARollback", identifierUsedByARollback, []string{"Apply/FailuresUseNoIdentifier"}},
		{"IdentifiersAcrossOrganizations", identifiersAcrossOrganizations, []string{
			"Apply/IdentifiersAreGapless", "Isolation/OfEqualHistories",
		}},
		{"SequenceUsedByAFailure", sequenceUsedByAFailure, []string{"Apply/FailuresUseNoSequence"}},
		{"SequenceUsedByARollback", sequenceUsedByARollback, []string{"Apply/SequencesAreGaplessUnderConcurrency"}},
		{"ActivitiesInAnyOrder", activitiesInAnyOrder, []string{"Apply/SequencesAreGapless"}},
		{"SequenceOfTheLast", sequenceOfTheLast, []string{"Apply/FillsInTheIdentifier", "Apply/ReturnsWhatIsStored"}},
		{"IdentifierNotFilledIn", identifierNotFilledIn, []string{"Apply/FillsInTheIdentifier", "Apply/ReturnsWhatIsStored"}},
	}
}

func identifierUsedByAFailure(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if err != nil && isNew(c) {
			_, _ = s.Apply(ctx, creation(draft(c.Key.OrganizationID)))
		}
		return applied, err
	})
}

func identifierUsedByARollback(s incident.Store) incident.Store {
	return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		err := s.InTx(ctx, fn)
		if err != nil {
			_, _ = s.Apply(ctx, creation(draft(acme)))
		}
		return err
	}}
}

// identifiersAcrossOrganizations has one counter for all organizations.
func identifiersAcrossOrganizations(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		if isNew(c) && c.Key.OrganizationID != acme {
			_, _ = s.Apply(ctx, creation(draft(acme)))
		}
		return s.Apply(ctx, c)
	})
}

func sequenceUsedByAFailure(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if errors.Is(err, incident.ErrVersionConflict) {
			_, _ = s.Apply(ctx, comment(c.Key, "This was not written"))
		}
		return applied, err
	})
}

func sequenceUsedByARollback(s incident.Store) incident.Store {
	return &broken{Store: s, inTx: func(ctx context.Context, fn func(tx incident.Store) error) error {
		err := s.InTx(ctx, fn)
		if err != nil {
			_, _ = s.Apply(ctx, comment(incident.Key{OrganizationID: acme, Identifier: 1}, "This was not written"))
		}
		return err
	}}
}

func activitiesInAnyOrder(s incident.Store) incident.Store {
	return altering(s, func(_ context.Context, c *incident.Change) { slices.Reverse(c.Activities) })
}

func sequenceOfTheLast(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if !applied.Replayed && len(c.Activities) > 1 {
			applied.Sequence += int64(len(c.Activities)) - 1
		}
		return applied, err
	})
}

func identifierNotFilledIn(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if isNew(c) {
			applied.Incident.Identifier, applied.Slots = 0, nil
		}
		return applied, err
	})
}

func applyFaults() []fault {
	return []fault{
		{"VersionNotChecked", versionNotChecked, []string{
			"Apply/ChecksTheVersion", "Apply/LetsOneOfAVersionWin", "Apply/LosesNoUpdate",
			"Slots/AreClaimedAfterTheVersionCheck",
		}},
		{"VersionCheckedBefore", versionCheckedBefore, []string{"Apply/LetsOneOfAVersionWin", "Apply/LosesNoUpdate"}},
		{"CommentChecksTheVersion", commentChecksTheVersion, []string{"Apply/OfACommentNeedsNoVersion"}},
		{"UnknownIsIgnored", unknownIsIgnored, []string{
			"Apply/ReturnsErrNotFoundForAChange", "Apply/ReturnsErrNotFoundForAComment", "ReviseActivity/ReturnsErrNotFound",
			"MarkSeen/ReturnsErrNotFound", "Subscribe/ReturnsErrNotFound", "Unsubscribe/ReturnsErrNotFound",
			"ReviseActivity/ReturnsErrNotFoundForTheSequence",
		}},
		{"DateClosedIsKept", dateClosedIsKept, []string{"Apply/ClearsDateClosed"}},
		{"ProjectsAreNotUnlinked", projectsAreNotUnlinked, []string{"Apply/LinksAndUnlinks", "RoundTrip/KeepsEveryFieldOfAChange"}},
		{"TriggersKeepTheirDate", triggersKeepTheirDate, []string{"Apply/ReplacesTriggersByName"}},
		{"RowOfAChangeInPart", rowOfAChangeInPart, []string{"RoundTrip/KeepsEveryFieldOfAChange", "Incidents/FollowChanges"}},
		{"SubscriptionNeedsAnActivity", subscriptionNeedsAnActivity, []string{"Apply/OfSubscriptionsOnly"}},
		{"ChangeSubscribesAnew", changeSubscribesAnew, []string{"Apply/KeepsTheFirstSubscription"}},
		{"ChangeIsWrittenIn", changeIsWrittenIn, []string{"Apply/LeavesTheChangeAlone"}},
	}
}

// versionNotChecked loses updates.
func versionNotChecked(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		pause()
		for {
			applied, err := s.Apply(ctx, c)
			if !errors.Is(err, incident.ErrVersionConflict) {
				return applied, err
			}
			st, err := s.Load(ctx, c.Key)
			if err != nil {
				return applied, err
			}
			c.ExpectVersion = st.Incident.Version
		}
	})
}

// versionCheckedBefore checks the version in a call before the write.
func versionCheckedBefore(s incident.Store) incident.Store {
	unchecked := versionNotChecked(s)
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		if st, err := s.Load(ctx, c.Key); err == nil && c.Incident != nil && st.Incident.Version != c.ExpectVersion {
			return s.Apply(ctx, c)
		}
		return unchecked.Apply(ctx, c)
	})
}

func commentChecksTheVersion(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		if st, err := s.Load(ctx, c.Key); err == nil && c.ExpectVersion != 0 && st.Incident.Version < c.ExpectVersion {
			return incident.Applied{}, incident.ErrVersionConflict
		}
		return s.Apply(ctx, c)
	})
}

// unknownIsIgnored returns no error for a statement that affects no row.
func unknownIsIgnored(s incident.Store) incident.Store {
	return &broken{
		Store: s,
		apply: func(ctx context.Context, c incident.Change) (incident.Applied, error) {
			return empty(s.Apply(ctx, c))
		},
		revise: func(ctx context.Context, a incident.Activity) error {
			_, err := empty(0, s.ReviseActivity(ctx, a))
			return err
		},
		markSeen: func(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
			return empty(s.MarkSeen(ctx, seen))
		},
		subscribe: func(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
			return empty(s.Subscribe(ctx, sub))
		},
		unsubscribe: func(ctx context.Context, key incident.Key, user incident.UserID) error {
			_, err := empty(0, s.Unsubscribe(ctx, key, user))
			return err
		},
	}
}

func dateClosedIsKept(s incident.Store) incident.Store {
	return altering(s, func(ctx context.Context, c *incident.Change) {
		if st, err := s.Load(ctx, c.Key); err == nil && c.Incident != nil && c.Incident.DateClosed == nil {
			c.Incident.DateClosed = st.Incident.DateClosed
		}
	})
}

func projectsAreNotUnlinked(s incident.Store) incident.Store {
	return altering(s, func(_ context.Context, c *incident.Change) {
		if c.Incident != nil {
			c.Incident.Projects = append(c.Incident.Projects, c.Unlink...)
			slices.Sort(c.Incident.Projects)
		}
	})
}

func triggersKeepTheirDate(s incident.Store) incident.Store {
	return altering(s, func(ctx context.Context, c *incident.Change) {
		st, _ := s.Load(ctx, c.Key)
		for i, trigger := range c.Triggers {
			for _, stored := range st.Triggers {
				if stored.TriggerID == trigger.TriggerID {
					c.Triggers[i].DateModified = stored.DateModified
				}
			}
		}
	})
}

// rowOfAChangeInPart writes only the fields that the Manager changes today.
func rowOfAChangeInPart(s incident.Store) incident.Store {
	return altering(s, func(ctx context.Context, c *incident.Change) {
		if st, err := s.Load(ctx, c.Key); err == nil && c.Incident != nil {
			c.Incident.Title, c.Incident.DateStarted = st.Incident.Title, st.Incident.DateStarted
		}
	})
}

func subscriptionNeedsAnActivity(s incident.Store) incident.Store {
	return altering(s, func(_ context.Context, c *incident.Change) {
		if len(c.Activities) == 0 {
			c.Subscriptions = nil
		}
	})
}

func changeSubscribesAnew(s incident.Store) incident.Store {
	return altering(s, func(ctx context.Context, c *incident.Change) {
		for _, sub := range c.Subscriptions {
			_ = s.Unsubscribe(ctx, c.Key, sub.UserID)
		}
	})
}

func changeIsWrittenIn(s incident.Store) incident.Store {
	return applying(s, func(ctx context.Context, c incident.Change) (incident.Applied, error) {
		applied, err := s.Apply(ctx, c)
		if c.Incident != nil {
			c.Incident.Identifier = applied.Incident.Identifier
		}
		return applied, err
	})
}
