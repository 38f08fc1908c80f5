package storetest

import (
	"context"
	"slices"

	"github.com/incidentkit/incident"
)

// preparing calls fn before each purge.
func preparing(fn func(ctx context.Context, s retentionAll, org incident.OrganizationID)) func(s retentionAll) incident.RetentionStore {
	return planting(func(b *brokenRetention) {
		b.purge = func(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
			fn(ctx, b.base, q.OrganizationID)
			return b.base.Purge(ctx, q)
		}
	})
}

func purgeOutboxFaults() []retentionFault {
	return []retentionFault{
		{"PurgeLosesQueues", preparing(func(ctx context.Context, s retentionAll, _ incident.OrganizationID) {
			for _, notifier := range someNotifiers() {
				_, _ = s.Discard(ctx, notifier, everything)
			}
		}), []string{
			"PurgeOutbox/HoldsBackTheUndelivered", "PurgeOutbox/PassesTheHeldBack", "PurgeOutbox/DeletesParked",
			"PurgeOutbox/LosesNoReplay", "PurgeOutbox/LosesNoReminder", "PurgeOutbox/LosesNoNotification",
		}},
		{"PurgeLosesReminders", preparing(func(ctx context.Context, s retentionAll, org incident.OrganizationID) {
			list, _ := allOf(ctx, s, incident.IncidentQuery{OrganizationID: org})
			for _, inc := range list {
				_, _ = s.Apply(ctx, incident.Change{Key: inc.Key(), EndReminders: true})
			}
		}), []string{"PurgeOutbox/HoldsBackTheUndelivered", "PurgeOutbox/LosesNoReminder"}},
		{"PurgeLosesReplays", preparing(func(ctx context.Context, s retentionAll, org incident.OrganizationID) {
			for _, notifier := range someNotifiers() {
				claims, _ := s.Claim(ctx, anythingOf(notifier))
				for _, c := range claims {
					end := release(c)
					if c.Replayed {
						end = deliver(c)
					}
					_, _ = s.Settle(ctx, []incident.Settlement{end})
				}
			}
		}), []string{"PurgeOutbox/HoldsBackTheUndelivered", "PurgeOutbox/LosesNoReplay"}},
		{"PurgeDeletesParkedOfOthers", preparing(func(ctx context.Context, s retentionAll, org incident.OrganizationID) {
			for _, notifier := range someNotifiers() {
				_, _ = s.DiscardParked(ctx, parkedFor(org, notifier))
			}
		}), []string{"PurgeOutbox/DeletesParked"}},
		{"HeldIsNotCounted", purged(func(_ incident.PurgeQuery, b *incident.PurgeBatch) { b.Held = 0 }), []string{
			"PurgeOutbox/HoldsBackTheUndelivered", "PurgeOutbox/PassesTheHeldBack",
		}},
		{"PurgeStopsAtTheHeldBack", purged(func(_ incident.PurgeQuery, b *incident.PurgeBatch) {
			if b.Held > 0 {
				b.Next = nil
			}
		}), []string{"PurgeOutbox/PassesTheHeldBack"}},
		{"ClaimsHaveTheUser", planting(func(b *brokenRetention) {
			b.claim = func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
				claims, err := b.base.Claim(ctx, q)
				for i := range claims {
					claims[i].Subscribers = []incident.UserID{ada}
				}
				return claims, err
			}
		}), []string{"EraseUserOutbox/ChangesClaims"}},
		{"ErrorsRemain", planting(func(b *brokenRetention) {
			var before []incident.ParkedNotification
			b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
				before, _ = b.base.Parked(ctx, parkedFor(q.OrganizationID, ""))
				return b.base.EraseUser(ctx, q)
			}
			b.parked = func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
				if before != nil && q.OrganizationID == acme && q.Notifier == "" {
					return slices.Clone(before), nil
				}
				return b.base.Parked(ctx, q)
			}
		}), []string{"EraseUserOutbox/EmptiesErrors"}},
		{"AllErrorsAreEmptied", planting(errorsEmptied(func(string, incident.UserID) bool { return true })), []string{"EraseUserOutbox/EmptiesErrors"}},
		{"ErrorsAreComparedFolded", planting(errorsEmptied(func(text string, user incident.UserID) bool { return text == "Ada" && user == ada })), []string{"EraseUserOutbox/EmptiesErrors"}},
		{"UsersArePatterns", planting(errorsEmptied(func(_ string, user incident.UserID) bool { return user == "a%" })), []string{"EraseUserOutbox/EmptiesErrors"}},
		{"NotificationsRemain", planting(func(b *brokenRetention) {
			b.remove = func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				before, _ := b.base.Backlog(ctx)
				b.backlog = func(context.Context) (map[string]incident.Backlog, error) { return before, nil }
				return b.base.DeleteOrganization(ctx, org, limit)
			}
		}), []string{"DeleteOrganizationOutbox/DeletesNotifications"}},
		{"ClaimsOutlive", planting(func(b *brokenRetention) {
			b.settle = func(ctx context.Context, all []incident.Settlement) ([]int, error) {
				for _, end := range all {
					if end.Error == "too late" {
						b.parked = func(context.Context, incident.ParkedQuery) ([]incident.ParkedNotification, error) {
							return []incident.ParkedNotification{{Incident: end.Key, Sequence: end.Sequence}}, nil
						}
					}
				}
				return b.base.Settle(ctx, all)
			}
		}), []string{"DeleteOrganizationOutbox/EndsClaims"}},
	}
}

// errorsEmptied also empties the errors of other parked notifications after an erasure.
func errorsEmptied(also func(text string, user incident.UserID) bool) func(b *brokenRetention) {
	return func(b *brokenRetention) {
		b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
			b.parked = func(ctx context.Context, p incident.ParkedQuery) ([]incident.ParkedNotification, error) {
				got, err := b.base.Parked(ctx, p)
				for i := range got {
					if also(got[i].Error, q.UserID) {
						got[i].Error = ""
					}
				}
				return got, err
			}
			return b.base.EraseUser(ctx, q)
		}
	}
}

// told changes the answers of the feed.
func told(alter func(c *incident.FeedChanges, deleted func(incident.Key) bool)) func(s retentionAll) incident.RetentionStore {
	return planting(func(b *brokenRetention) {
		b.changes = func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
			c, err := b.base.Changes(ctx, since)
			alter(&c, func(key incident.Key) bool {
				_, err := b.base.Load(ctx, key)
				return err != nil
			})
			return c, err
		}
	})
}

func retentionFeedFaults() []retentionFault {
	return []retentionFault{
		{"DeletionsAreNotTold", told(func(c *incident.FeedChanges, deleted func(incident.Key) bool) {
			c.Incidents = slices.DeleteFunc(c.Incidents, func(v incident.IncidentVersion) bool { return deleted(v.Key) })
		}), []string{"PurgeFeed/ReportsTheDeleted", "PurgeFeed/ReportsAllUnderConcurrency", "DeleteOrganizationFeed/ReportsTheDeleted"}},
		{"DeletionsHaveTheLastVersion", told(func(c *incident.FeedChanges, deleted func(incident.Key) bool) {
			for i := range c.Incidents {
				if deleted(c.Incidents[i].Key) {
					c.Incidents[i].Version--
				}
			}
		}), []string{"PurgeFeed/ReportsTheDeleted", "DeleteOrganizationFeed/ReportsTheDeleted"}},
		{"OthersAreTold", told(func(c *incident.FeedChanges, _ func(incident.Key) bool) {
			if len(c.Incidents) > 0 {
				c.Incidents = append(c.Incidents, incident.IncidentVersion{Key: incident.Key{OrganizationID: umbrella, Identifier: 1}, Version: 1})
			}
		}), []string{"PurgeFeed/ReportsTheDeleted", "EraseUserFeed/ReportsTheChanged", "DeleteOrganizationFeed/ReportsTheDeleted"}},
		{"ErasuresAreNotTold", planting(func(b *brokenRetention) {
			k := b.base.(*keeper)
			b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
				return k.retentionOutbox.EraseUser(ctx, q)
			}
		}), []string{"EraseUserFeed/ReportsTheChanged"}},
		{"NoResetAfterDeleteOrganization", told(func(c *incident.FeedChanges, _ func(incident.Key) bool) { c.Reset = false }), []string{
			"DeleteOrganizationFeed/ResetsOldPositions",
		}},
		{"AlwaysResetsAfterDeleteOrganization", planting(func(b *brokenRetention) {
			b.remove = func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				batch, err := b.base.DeleteOrganization(ctx, org, limit)
				b.changes = func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
					c, err := b.base.Changes(ctx, since)
					c.Reset = true
					return c, err
				}
				return batch, err
			}
		}), []string{"DeleteOrganizationFeed/OfNothingResetsNothing", "DeleteOrganizationFeed/ReportsTheDeleted"}},
	}
}
