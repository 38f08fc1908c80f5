package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// keeper is a memory store that can delete, with a feed of all writes.
type keeper struct {
	retentionOutbox
	journal *journal

	// guarded by the journal's mutex
	forgotten int // commits that the feed has forgotten
	emptied   map[incident.OrganizationID]bool
}

func newKeeper() *keeper {
	s := memory.New()
	return &keeper{retentionOutbox: s, journal: newJournal(s), emptied: map[incident.OrganizationID]bool{}}
}

func (k *keeper) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	return k.journal.Apply(ctx, c)
}

func (k *keeper) ReviseActivity(ctx context.Context, a incident.Activity) error {
	return k.journal.ReviseActivity(ctx, a)
}

func (k *keeper) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	return k.journal.InTx(ctx, func(tx incident.Store) error { return fn(newKeeperTx(tx)) })
}

// keeperTx is a transaction whose writes the journal records.
type keeperTx struct {
	retentionOutbox
	recording incident.Store
}

func newKeeperTx(recording incident.Store) *keeperTx {
	return &keeperTx{recording.(*broken).Store.(retentionOutbox), recording}
}

func (tx *keeperTx) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	return tx.recording.Apply(ctx, c)
}

func (tx *keeperTx) ReviseActivity(ctx context.Context, a incident.Activity) error {
	return tx.recording.ReviseActivity(ctx, a)
}

func (tx *keeperTx) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	return tx.recording.InTx(ctx, func(inner incident.Store) error { return fn(newKeeperTx(inner)) })
}

// note adds a commit to the feed.
func (k *keeper) note(versions []incident.IncidentVersion) {
	if len(versions) > 0 {
		k.journal.commits = append(k.journal.commits, &written{incidents: slices.Clone(versions)})
	}
}

func (k *keeper) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	b, err := k.retentionOutbox.Purge(ctx, q)
	k.journal.mu.Lock()
	defer k.journal.mu.Unlock()
	k.note(b.Purged)
	k.emptied[q.OrganizationID] = k.emptied[q.OrganizationID] || len(b.Purged) > 0
	return b, err
}

func (k *keeper) EraseUser(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
	b, err := k.retentionOutbox.EraseUser(ctx, q)
	k.journal.mu.Lock()
	defer k.journal.mu.Unlock()
	k.note(b.Changed)
	return b, err
}

func (k *keeper) DeleteOrganization(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
	b, err := k.retentionOutbox.DeleteOrganization(ctx, org, limit)
	k.journal.mu.Lock()
	defer k.journal.mu.Unlock()
	k.note(b.Deleted)
	if b.Done && (len(b.Deleted) > 0 || k.emptied[org]) {
		k.journal.commits = append(k.journal.commits, &written{})
		k.forgotten = len(k.journal.commits)
		delete(k.emptied, org)
	}
	return b, err
}

// Changes implements [incident.FeedStore].
func (k *keeper) Changes(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
	c, err := k.journal.Changes(ctx, since)
	k.journal.mu.Lock()
	defer k.journal.mu.Unlock()
	if n, invalid := commitsBefore(ctx, since); since != "" && invalid == nil && n < k.forgotten {
		c.Reset = true
	}
	return c, err
}

// retentionAll is a store with everything that RunRetention checks.
type retentionAll interface {
	retentionOutbox
	retentionFeed
}

// brokenRetention is a store with some methods replaced. Those of [incident.Store] are replaced
// in broken.
type brokenRetention struct {
	*broken
	base retentionAll

	purge         func(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error)
	erase         func(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error)
	remove        func(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error)
	organizations func(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error)
	lease         func(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error)
	changes       func(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error)
	claim         func(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error)
	settle        func(ctx context.Context, all []incident.Settlement) ([]int, error)
	parked        func(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error)
	backlog       func(ctx context.Context) (map[string]incident.Backlog, error)
}

// newBroken returns a store in which nothing is replaced yet.
func newBroken(s retentionAll) *brokenRetention {
	return &brokenRetention{
		broken: &broken{Store: s}, base: s,
		purge: s.Purge, erase: s.EraseUser, remove: s.DeleteOrganization, organizations: s.Organizations, lease: s.Lease,
		changes: s.Changes, claim: s.Claim, settle: s.Settle, parked: s.Parked, backlog: s.Backlog,
	}
}

func (b *brokenRetention) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	return b.purge(ctx, q)
}

func (b *brokenRetention) EraseUser(ctx context.Context, q incident.EraseQuery) (incident.EraseBatch, error) {
	return b.erase(ctx, q)
}

func (b *brokenRetention) DeleteOrganization(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
	return b.remove(ctx, org, limit)
}

func (b *brokenRetention) Organizations(ctx context.Context, after incident.OrganizationID, limit int) ([]incident.OrganizationID, error) {
	return b.organizations(ctx, after, limit)
}

func (b *brokenRetention) Lease(ctx context.Context, task, holder string, d time.Duration) (incident.TaskLease, error) {
	return b.lease(ctx, task, holder, d)
}

func (b *brokenRetention) Changes(ctx context.Context, since incident.FeedPosition) (incident.FeedChanges, error) {
	return b.changes(ctx, since)
}

func (b *brokenRetention) Claim(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
	return b.claim(ctx, q)
}

func (b *brokenRetention) Settle(ctx context.Context, all []incident.Settlement) ([]int, error) {
	return b.settle(ctx, all)
}

func (b *brokenRetention) Parked(ctx context.Context, q incident.ParkedQuery) ([]incident.ParkedNotification, error) {
	return b.parked(ctx, q)
}

func (b *brokenRetention) Backlog(ctx context.Context) (map[string]incident.Backlog, error) {
	return b.backlog(ctx)
}

func (b *brokenRetention) Replay(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	return b.base.Replay(ctx, q)
}

func (b *brokenRetention) DiscardParked(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	return b.base.DiscardParked(ctx, q)
}

func (b *brokenRetention) Discard(ctx context.Context, notifier string, limit int) (int, error) {
	return b.base.Discard(ctx, notifier, limit)
}

func (b *brokenRetention) SetReminder(ctx context.Context, w incident.ReminderWrite) (bool, error) {
	return b.base.SetReminder(ctx, w)
}

func (b *brokenRetention) CancelReminder(ctx context.Context, key incident.Key, name string) error {
	return b.base.CancelReminder(ctx, key, name)
}

func (b *brokenRetention) Reminders(ctx context.Context, key incident.Key) ([]incident.Reminder, error) {
	return b.base.Reminders(ctx, key)
}
