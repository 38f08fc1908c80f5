package storetest

import (
	"context"
	"sync/atomic"

	"github.com/incidentkit/incident"
)

func retentionFailureFaults() []retentionFault {
	return []retentionFault{
		{"FailedPurgeReturnsABatch", planting(func(b *brokenRetention) {
			b.purge = func(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
				batch, err := b.base.Purge(ctx, q)
				if err != nil {
					batch.Held = 1
				}
				return batch, err
			}
		}), []string{"Purge/CompletesAfterFailures"}},
		{"FailedPurgeIsNotRepeated", planting(func(b *brokenRetention) {
			var failed atomic.Bool
			b.purge = func(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
				if ctx.Err() == nil && failed.Swap(false) {
					return incident.PurgeBatch{}, nil
				}
				batch, err := b.base.Purge(ctx, q)
				failed.Store(err != nil)
				return batch, err
			}
		}), []string{"Purge/CompletesAfterFailures"}},
		{"FailedEraseReturnsABatch", planting(func(b *brokenRetention) {
			b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
				batch, err := b.base.EraseUser(ctx, q)
				if err != nil {
					batch.Next = q.After + 1
				}
				return batch, err
			}
		}), []string{"EraseUser/CompletesAfterFailures"}},
		{"FailedEraseIsNotRepeated", planting(func(b *brokenRetention) {
			var failed atomic.Bool
			b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
				if ctx.Err() == nil && failed.Swap(false) {
					return incident.EraseBatch{}, nil
				}
				batch, err := b.base.EraseUser(ctx, q)
				failed.Store(err != nil)
				return batch, err
			}
		}), []string{"EraseUser/CompletesAfterFailures"}},
		{"FailedDeleteOrganizationReturnsABatch", removing(func(_ *brokenRetention, remove removeFunc) removeFunc {
			return func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				batch, err := remove(ctx, org, limit)
				batch.Done = batch.Done || err != nil
				return batch, err
			}
		}), []string{"DeleteOrganization/CompletesAfterFailures"}},
		{"FailedDeleteOrganizationIsNotRepeated", removing(func(_ *brokenRetention, remove removeFunc) removeFunc {
			var failed atomic.Bool
			return func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
				if ctx.Err() == nil && failed.Swap(false) {
					return incident.DeleteBatch{Done: true}, nil
				}
				batch, err := remove(ctx, org, limit)
				failed.Store(err != nil)
				return batch, err
			}
		}), []string{"DeleteOrganization/CompletesAfterFailures"}},
		{"EraseReturnsErrors", planting(func(b *brokenRetention) {
			b.erase = func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
				parked, _ := b.base.Parked(ctx, parkedFor(q.OrganizationID, ""))
				batch, err := b.base.EraseUser(ctx, q)
				if err == nil && len(parked) > 0 {
					batch.Changed = append([]incident.IncidentVersion{{Key: parked[0].Incident, Version: 1, Activities: 3}}, batch.Changed...)
				}
				return batch, err
			}
		}), []string{"EraseUserOutbox/ReturnsNoErrors"}},
	}
}
