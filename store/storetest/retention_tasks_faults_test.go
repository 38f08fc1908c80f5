package storetest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

type removeFunc = func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error)

// removing replaces DeleteOrganization.
func removing(replace func(b *brokenRetention, remove removeFunc) removeFunc) func(s retentionAll) incident.RetentionStore {
	return planting(func(b *brokenRetention) { b.remove = replace(b, b.base.DeleteOrganization) })
}

func organizationDeletionFaults() []retentionFault {
	return []retentionFault{
		{"ActiveIncidentsRemain", removing(func(b *brokenRetention, _ removeFunc) removeFunc {
			return func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				q := anyDue(org)
				q.Limit = limit
				batch, err := b.base.Purge(ctx, q)
				return incident.DeleteBatch{Deleted: batch.Purged, Done: batch.Next == nil}, err
			}
		}), []string{
			"DeleteOrganization/DeletesAll", "DeleteOrganization/IsolatesOrganizations", "DeleteOrganization/ForgetsUUIDs",
			"DeleteOrganization/ExcludesWriters", "DeleteOrganizationOutbox/EndsClaims",
		}},
		{"DeleteOrganizationIgnoresTheLimit", removing(func(_ *brokenRetention, remove removeFunc) removeFunc {
			return func(ctx context.Context, org incident.OrganizationID, _ int) (incident.DeleteBatch, error) {
				return remove(ctx, org, everything)
			}
		}), []string{"DeleteOrganization/IsLimited", "DeleteOrganization/FreesSlots", "DeleteOrganizationFeed/ReportsTheDeleted"}},
		{"DeleteOrganizationIsDoneEarly", removing(func(_ *brokenRetention, remove removeFunc) removeFunc {
			return func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				batch, err := remove(ctx, org, limit)
				batch.Done = true
				return batch, err
			}
		}), []string{"DeleteOrganization/IsLimited", "DeleteOrganization/FreesSlots"}},
		{"DeleteOrganizationIsNeverDone", removing(func(_ *brokenRetention, remove removeFunc) removeFunc {
			return func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				batch, err := remove(ctx, org, limit)
				batch.Done = false
				return batch, err
			}
		}), []string{"DeleteOrganization/OfNothing", "DeleteOrganization/DeletesAll"}},
		{"DeleteOrganizationIsDoneLate", removing(func(_ *brokenRetention, remove removeFunc) removeFunc {
			deleted, idle := 0, 0
			return func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				batch, err := remove(ctx, org, limit)
				if deleted += len(batch.Deleted); deleted > 10 && idle < 2 {
					idle++
					batch.Done = false
				}
				return batch, err
			}
		}), []string{"DeleteOrganization/OfManySlots"}},
		{"NothingToDeleteIsAnError", removing(func(_ *brokenRetention, remove removeFunc) removeFunc {
			return func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				batch, err := remove(ctx, org, limit)
				if err == nil && len(batch.Deleted) == 0 {
					err = incident.ErrNotFound
				}
				return batch, err
			}
		}), []string{"DeleteOrganization/OfNothing"}},
		{"DeleteOrganizationReturnsTheLastVersion", removing(func(_ *brokenRetention, remove removeFunc) removeFunc {
			return func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				batch, err := remove(ctx, org, limit)
				for i := range batch.Deleted {
					batch.Deleted[i].Version--
				}
				return batch, err
			}
		}), []string{"DeleteOrganization/ReturnsGreaterVersions"}},
		{"DeleteOrganizationTouchesOthers", removing(func(_ *brokenRetention, remove removeFunc) removeFunc {
			return func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				_, _ = remove(ctx, "Acme", 1)
				return remove(ctx, org, limit)
			}
		}), []string{"DeleteOrganization/IsolatesOrganizations"}},
		{"DeleteOrganizationIgnoresTheContext", removing(func(_ *brokenRetention, remove removeFunc) removeFunc {
			return func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				return remove(context.WithoutCancel(ctx), org, limit)
			}
		}), []string{"DeleteOrganization/ObeysTheContext"}},
		{"DeleteOrganizationReissuesIdentifiers", removing(func(b *brokenRetention, _ removeFunc) removeFunc {
			return func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				batch, err := b.base.DeleteOrganization(ctx, org, limit)
				b.restart(ctx)
				return batch, err
			}
		}), []string{"DeleteOrganization/UsesUpIdentifiers"}},
		{"DeletionsAreNotReturned", removing(func(_ *brokenRetention, remove removeFunc) removeFunc {
			return func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				batch, err := remove(ctx, org, limit)
				if len(batch.Deleted) > 1 {
					batch.Deleted = batch.Deleted[1:]
				}
				return batch, err
			}
		}), []string{"DeleteOrganization/DeletesAll", "DeleteOrganization/ExcludesWriters"}},
	}
}

// organizationList replaces Organizations, outside of transactions.
func organizationList(alter func(all []incident.OrganizationID, after incident.OrganizationID, limit int) []incident.OrganizationID) func(s retentionAll) incident.RetentionStore {
	return planting(func(b *brokenRetention) {
		b.organizations = func(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
			all, err := b.base.Organizations(ctx, "", everything)
			return alter(all, after, limit), err
		}
	})
}

func organizationListFaults() []retentionFault {
	pageOf := func(all []incident.OrganizationID, limit int, in func(org incident.OrganizationID) bool) []incident.OrganizationID {
		page := slices.DeleteFunc(slices.Clone(all), func(org incident.OrganizationID) bool { return !in(org) })
		return page[:min(limit, len(page))]
	}
	fold := func(org incident.OrganizationID) string { return strings.ToLower(string(org)) }
	return []retentionFault{
		{"OrganizationsInOrderOfLetters", organizationList(func(all []incident.OrganizationID, after incident.OrganizationID, limit int) []incident.OrganizationID {
			slices.SortStableFunc(all, func(a, b incident.OrganizationID) int { return strings.Compare(fold(a), fold(b)) })
			return pageOf(all, limit, func(org incident.OrganizationID) bool { return org > after })
		}), []string{"Organizations/AreInOrder"}},
		{"OrganizationsAfterLetters", organizationList(func(all []incident.OrganizationID, after incident.OrganizationID, limit int) []incident.OrganizationID {
			return pageOf(all, limit, func(org incident.OrganizationID) bool { return fold(org) > fold(after) })
		}), []string{"Organizations/AreInOrder"}},
		{"OrganizationsFromTheOneBefore", organizationList(func(all []incident.OrganizationID, after incident.OrganizationID, limit int) []incident.OrganizationID {
			return pageOf(all, limit, func(org incident.OrganizationID) bool { return org >= after })
		}), []string{"Organizations/AreInOrder", "Organizations/AreLimited"}},
		{"OrganizationsWithoutLimit", organizationList(func(all []incident.OrganizationID, after incident.OrganizationID, _ int) []incident.OrganizationID {
			return pageOf(all, everything, func(org incident.OrganizationID) bool { return org > after })
		}), []string{"Organizations/AreLimited"}},
		{"OrganizationsOfThePast", planting(organizationsOfThePast), []string{"Organizations/HaveIncidents", "DeleteOrganization/DeletesAll"}},
		{"OrganizationsWithActiveIncidents", planting(func(b *brokenRetention) {
			b.organizations = func(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
				all, err := b.base.Organizations(ctx, after, limit)
				return slices.DeleteFunc(all, func(org incident.OrganizationID) bool {
					active, _ := b.base.Incidents(ctx, incident.IncidentQuery{OrganizationID: org, Statuses: incident.ActiveStatuses(), Limit: 1})
					return len(active) == 0
				}), err
			}
		}), []string{"Organizations/HaveIncidents"}},
		{"OrganizationsOutsideOfTransactions", planting(func(b *brokenRetention) {
			b.inTx = func(ctx context.Context, fn func(tx incident.Store) error) error {
				before, _ := b.base.Organizations(ctx, "", everything)
				return b.base.InTx(ctx, func(tx incident.Store) error {
					within := newBroken(b.base)
					within.broken.Store = tx
					within.organizations = func(context.Context, incident.OrganizationID, int) ([]incident.OrganizationID, error) {
						return before, nil
					}
					return fn(within)
				})
			}
		}), []string{"Organizations/FollowTransactions"}},
		{"OrganizationsAreTheStores", planting(func(b *brokenRetention) {
			var mu sync.Mutex // guards page
			var page []incident.OrganizationID
			b.organizations = func(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
				if after != "" || limit != everything {
					return b.base.Organizations(ctx, after, limit)
				}
				mu.Lock()
				defer mu.Unlock()
				var err error
				if page == nil {
					page, err = b.base.Organizations(ctx, after, limit)
				}
				return page, err
			}
		}), []string{"Organizations/AreLimited"}},
		{"OrganizationsIgnoreTheContext", planting(func(b *brokenRetention) {
			b.organizations = func(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
				return b.base.Organizations(context.WithoutCancel(ctx), after, limit)
			}
		}), []string{"Organizations/ObeyTheContext"}},
	}
}

// organizationsOfThePast lists each organization that had an incident at the time of an earlier
// call, or of a deletion.
func organizationsOfThePast(b *brokenRetention) {
	known := map[incident.OrganizationID]bool{}
	b.organizations = func(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
		all, err := b.base.Organizations(ctx, after, limit)
		for _, org := range all {
			known[org] = true
		}
		all = nil
		for org := range known {
			all = append(all, org)
		}
		slices.Sort(all)
		return all, err
	}
	b.remove = func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
		known[org] = true
		return b.base.DeleteOrganization(ctx, org, limit)
	}
}

type leaseFunc = func(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error)

// leasing replaces Lease.
func leasing(replace func(lease leaseFunc) leaseFunc) func(s retentionAll) incident.RetentionStore {
	return planting(func(b *brokenRetention) { b.lease = replace(b.base.Lease) })
}

// leaseOf changes the arguments of Lease.
func leaseOf(alter func(task, holder string, d time.Duration) (string, string, time.Duration)) func(s retentionAll) incident.RetentionStore {
	return leasing(func(lease leaseFunc) leaseFunc {
		return func(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error) {
			task, holder, d = alter(task, holder, d)
			return lease(ctx, task, holder, d)
		}
	})
}

// leaseAnswer changes the result of Lease.
func leaseAnswer(alter func(l *incident.TaskLease)) func(s retentionAll) incident.RetentionStore {
	return leasing(func(lease leaseFunc) leaseFunc {
		return func(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error) {
			l, err := lease(ctx, task, holder, d)
			alter(&l)
			return l, err
		}
	})
}

func leaseFaults() []retentionFault {
	return []retentionFault{
		{"EverybodyHasTheLease", leaseAnswer(func(l *incident.TaskLease) { l.Wait = 0 }), []string{
			"Lease/ExcludesOthers", "Lease/Ends", "Lease/IsProlonged", "Lease/IsOfATask", "Lease/ComparesNames", "Lease/GoesToOneOfMany",
		}},
		{"NobodyHasTheLease", leaseAnswer(func(l *incident.TaskLease) { l.Wait = max(l.Wait, time.Second) }), []string{"Lease/ExcludesOthers", "Lease/GoesToOneOfMany"}},
		{"LeasesLastForever", leaseOf(func(task, holder string, _ time.Duration) (string, string, time.Duration) {
			return task, holder, longLease
		}), []string{
			"Lease/Ends", "Lease/IsShortened",
		}},
		{"WaitIsTooLong", leaseAnswer(func(l *incident.TaskLease) { l.Wait *= 2 }), []string{"Lease/ExcludesOthers"}},
		{"LeasesAreNotProlonged", leasing(renewing(func(old, asked time.Duration) bool { return asked > old })), []string{"Lease/IsProlonged"}},
		{"LeasesAreNotShortened", leasing(renewing(func(old, asked time.Duration) bool { return asked < old })), []string{"Lease/IsShortened"}},
		{"OneTask", leaseOf(func(_, holder string, d time.Duration) (string, string, time.Duration) { return "", holder, d }), []string{"Lease/IsOfATask", "Lease/ComparesNames"}},
		{"TasksAreFolded", leaseOf(func(task, holder string, d time.Duration) (string, string, time.Duration) {
			return strings.ToLower(task), holder, d
		}), []string{"Lease/IsOfATask", "Lease/ComparesNames"}},
		{"HoldersAreFolded", leaseOf(func(task, holder string, d time.Duration) (string, string, time.Duration) {
			return task, strings.ToLower(holder), d
		}), []string{"Lease/ComparesNames"}},
		{"TimeStands", leaseAnswer(func(l *incident.TaskLease) { l.Now = t0 }), []string{"Lease/TellsTheTime"}},
		{"TimeIsTheEnd", leaseAnswer(func(l *incident.TaskLease) { l.Now = l.Now.Add(l.Wait) }), []string{"Lease/TellsTheTime"}},
		{"TimeIsLocal", leaseAnswer(func(l *incident.TaskLease) { l.Now = l.Now.In(time.FixedZone("", 3600)) }), []string{"Lease/ExcludesOthers"}},
		{"LeaseIgnoresTheContext", leasing(func(lease leaseFunc) leaseFunc {
			return func(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error) {
				return lease(context.WithoutCancel(ctx), task, holder, d)
			}
		}), []string{"Lease/ObeysTheContext"}},
	}
}

// renewing leaves a lease of the same holder as it is, if ignores says so.
func renewing(ignores func(old, asked time.Duration) bool) func(lease leaseFunc) leaseFunc {
	return func(lease leaseFunc) leaseFunc {
		holders, durations := map[string]string{}, map[string]time.Duration{}
		return func(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error) {
			if holders[task] == holder && ignores(durations[task], d) {
				return incident.TaskLease{Now: time.Now().UTC()}, ctx.Err()
			}
			l, err := lease(ctx, task, holder, d)
			if l.Wait == 0 {
				holders[task], durations[task] = holder, d
			}
			return l, err
		}
	}
}
