package storetest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// retentionFault is a store that breaks the contract of [incident.RetentionStore] in one way, with
// the cases that must reject it.
type retentionFault struct {
	name  string
	plant func(s retentionAll) incident.RetentionStore
	cases []string
}

func retentionFaults() []retentionFault {
	return slices.Concat(
		purgeFaults(), remainsFaults(), purgeOutboxFaults(), retentionFeedFaults(),
		eraseFaults(), tracesFaults(), organizationDeletionFaults(), organizationListFaults(), leaseFaults(),
		retentionFailureFaults(),
	)
}

func TestRunRetention_RejectsBrokenStores(t *testing.T) {
	byName := casesByName(retentionContract())
	for _, f := range retentionFaults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			var all sync.WaitGroup // some of them wait
			for _, name := range f.cases {
				all.Go(func() {
					wantRejected(t, byName, []string{name}, func() incident.RetentionStore { return f.plant(newKeeper()) })
				})
			}
			all.Wait()
		})
	}
}

func TestRunRetention_EachCaseRejectsAStore(t *testing.T) {
	var named []string
	for _, f := range retentionFaults() {
		named = append(named, f.cases...)
	}
	wantEachNamed(t, casesByName(retentionContract()), named)
}

// The broken stores are made of a store that keeps the contract.
func TestRunRetention_Keeper(t *testing.T) {
	RunRetention(t, func(*testing.T) incident.RetentionStore { return newKeeper() })
}

// A store needs neither an outbox nor a feed.
func TestRunRetention_AcceptsAStoreWithoutOutboxAndFeed(t *testing.T) {
	RunRetention(t, func(*testing.T) incident.RetentionStore {
		return struct{ incident.RetentionStore }{memory.New()}
	})
}

// A method that is not implemented fails its own cases, and each case that it fails names it.
func TestRunRetention_unimplementedMethodFailsItsCasesByName(t *testing.T) {
	lack := map[string]func(b *brokenRetention, fail func() error){
		"Purge": func(b *brokenRetention, fail func() error) {
			b.purge = func(context.Context, incident.PurgeQuery) (p incident.PurgeBatch, err error) { return p, fail() }
		},
		"EraseUser": func(b *brokenRetention, fail func() error) {
			b.erase = func(context.Context, incident.EraseQuery) (e incident.EraseBatch, err error) { return e, fail() }
		},
		"DeleteOrganization": func(b *brokenRetention, fail func() error) {
			b.remove = func(context.Context, incident.OrganizationID, int) (d incident.DeleteBatch, err error) {
				return d, fail()
			}
		},
		"Organizations": func(b *brokenRetention, fail func() error) {
			b.organizations = func(context.Context, incident.OrganizationID, int) ([]incident.OrganizationID, error) {
				return nil, fail()
			}
			b.inTx = func(ctx context.Context, fn func(tx incident.Store) error) error {
				return b.base.InTx(ctx, func(tx incident.Store) error {
					return fn(&brokenRetention{broken: &broken{Store: tx}, organizations: b.organizations})
				})
			}
		},
		"Lease": func(b *brokenRetention, fail func() error) {
			b.lease = func(context.Context, string, string, time.Duration) (l incident.TaskLease, err error) {
				return l, fail()
			}
		},
	}
	for method, remove := range lack {
		for _, f := range failures {
			t.Run(method+" "+f.name, func(t *testing.T) {
				t.Parallel()
				for name, run := range casesByName(retentionContract()) {
					checkNamed(t, name, method, func(patience time.Duration) (bool, string) {
						return rejectsWithin(t, patience, name, run, planting(func(b *brokenRetention) { remove(b, f.fail) })(newKeeper()))
					})
				}
			})
		}
	}
}
