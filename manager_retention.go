package incident

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident/internal/coherence"
)

// erasures takes the place of an identifier in the line of the erasures of an organization. They
// may wait for transactions of the host, and deletions must not wait with them.
const erasures = -1

// blockedFor is how long DeleteOrganization waits for incidents that other transactions are
// changing.
const blockedFor = 10 * time.Second

func (m *manager) Purge(ctx context.Context, p Purge) (Purged, error) {
	done, err := m.purge(ctx, p)
	return done, wrap(err, "purge %q", p.OrganizationID)
}

func (m *manager) purge(ctx context.Context, p Purge) (done Purged, err error) {
	store, err := m.deletes(ctx)
	if err != nil {
		return done, err
	}
	if p, err = p.canonical(); err != nil {
		return done, err
	}
	q := PurgeQuery{OrganizationID: p.OrganizationID, ClosedBefore: p.ClosedBefore}
	pace := newPace(maxPurgeBatch)
	for {
		q.Limit = pace.size
		if p.Limit > 0 {
			q.Limit = min(q.Limit, p.Limit-done.Incidents)
		}
		began := time.Now()
		b, err := m.purgeBatch(ctx, store, q)
		done.Incidents += len(b.Purged)
		done.Held += b.Held
		if err != nil || b.Next == nil || p.Limit > 0 && done.Incidents >= p.Limit {
			return done, err
		}
		q.After = b.Next
		if err := pace.rest(ctx, time.Since(began), len(b.Purged)+b.Held); err != nil {
			return done, err
		}
	}
}

// canonical validates the parameters and returns their canonical form.
func (p Purge) canonical() (Purge, error) {
	if err := checkID("organizationId", p.OrganizationID, false); err != nil {
		return p, err
	}
	switch {
	case p.ClosedBefore.IsZero():
		return p, invalid("closedBefore", "is required")
	case p.Limit < 0:
		return p, invalid("limit", "must not be negative")
	}
	var err error
	p.ClosedBefore, err = checkBound("closedBefore", p.ClosedBefore)
	return p, err
}

// purgeBatch deletes a batch of incidents.
func (m *manager) purgeBatch(ctx context.Context, store RetentionStore, q PurgeQuery) (PurgeBatch, error) {
	b, err := deletion(ctx, m, Key{OrganizationID: q.OrganizationID}, func(began coherence.Deletion) (PurgeBatch, error) {
		b, err := store.Purge(ctx, q)
		m.deleted(ctx, began, b.Purged)
		return b, err
	})
	if err == nil && b.Next != nil && q.After != nil && !q.After.startedBefore(b.Next) {
		err = errStands
	}
	return b, err
}

// errStands is returned if the store would visit the same incidents without end.
var errStands = fmt.Errorf("%w: the store returned a position that it had already reached", ErrUnavailable)

// startedBefore reports whether a position is before another in ascending order.
func (p *Position) startedBefore(other *Position) bool {
	if p.DateStarted.Equal(other.DateStarted) {
		return p.Identifier < other.Identifier
	}
	return p.DateStarted.Before(other.DateStarted)
}

func (m *manager) EraseUser(ctx context.Context, e Erasure) (int, error) {
	n, err := m.eraseUser(ctx, e)
	return n, wrap(err, "erase a user of %q", e.OrganizationID) // the ID of the user would remain in logs
}

func (m *manager) eraseUser(ctx context.Context, e Erasure) (n int, err error) {
	store, err := m.deletes(ctx)
	if err != nil {
		return 0, err
	}
	if err := e.check(); err != nil {
		return 0, err
	}
	q := EraseQuery{OrganizationID: e.OrganizationID, UserID: e.UserID, As: e.As}
	pace := newPace(maxEraseBatch)
	for {
		q.Limit = pace.size
		began := time.Now()
		b, err := m.eraseBatch(ctx, store, q)
		n += len(b.Changed)
		if err != nil || b.Next == 0 {
			return n, err
		}
		q.After = b.Next
		if err := pace.rest(ctx, time.Since(began), q.Limit); err != nil {
			return n, err
		}
	}
}

// check returns a [*FieldError] for the first field that breaks a rule.
func (e *Erasure) check() error {
	err := checkID("organizationId", e.OrganizationID, false)
	if err == nil {
		err = checkID("userId", e.UserID, false)
	}
	if err == nil {
		err = checkID("as", e.As, true)
	}
	if err == nil && e.As == e.UserID {
		err = invalid("as", "must not be the user itself")
	}
	return err
}

// eraseBatch replaces a user in a batch of incidents.
func (m *manager) eraseBatch(ctx context.Context, store RetentionStore, q EraseQuery) (EraseBatch, error) {
	b, err := deletion(ctx, m, Key{q.OrganizationID, erasures}, func(began coherence.Deletion) (EraseBatch, error) {
		b, err := store.EraseUser(ctx, q)
		for _, v := range b.Changed {
			began.Changed(ctx, v.Key.cacheKey(), v.Version)
			m.report(v.Key)
		}
		return b, err
	})
	if err == nil && b.Next != 0 && b.Next <= q.After {
		err = errStands
	}
	return b, err
}

func (m *manager) DeleteOrganization(ctx context.Context, org OrganizationID) (int, error) {
	n, err := m.deleteOrganization(ctx, org)
	return n, wrap(err, "delete organization %q", org)
}

func (m *manager) deleteOrganization(ctx context.Context, org OrganizationID) (n int, err error) {
	store, err := m.deletes(ctx)
	if err != nil {
		return 0, err
	}
	if err := checkID("organizationId", org, false); err != nil {
		return 0, err
	}
	pace, progress := newPace(maxPurgeBatch), time.Now()
	for {
		began := time.Now()
		b, err := m.deleteBatch(ctx, store, org, pace.size)
		n += len(b.Deleted)
		if err != nil || b.Done {
			return n, err
		}
		took := time.Since(began)
		if len(b.Deleted) > 0 {
			progress = time.Now()
		} else if took = max(took, blockedPause); time.Since(progress) > blockedFor {
			return n, fmt.Errorf("%w: other calls are changing the incidents that are left; stop them, and repeat the call", ErrUnavailable)
		}
		if err := pace.rest(ctx, took, len(b.Deleted)); err != nil {
			return n, err
		}
	}
}

// deleteBatch deletes a batch of an organization's incidents. The last batch also deletes its
// slots, whose versions begin again: all entries of the cache end.
func (m *manager) deleteBatch(ctx context.Context, store RetentionStore, org OrganizationID, limit int) (DeleteBatch, error) {
	return deletion(ctx, m, Key{OrganizationID: org}, func(began coherence.Deletion) (DeleteBatch, error) {
		b, err := store.DeleteOrganization(ctx, org, limit)
		if err == nil && b.Done {
			m.coherence.StartOver(ctx, "an organization was deleted")
		}
		m.deleted(ctx, began, b.Deleted)
		return b, err
	})
}

func (m *manager) Organizations(ctx context.Context, after OrganizationID, limit int) ([]OrganizationID, error) {
	page, err := m.organizations(ctx, after, limit)
	return page, wrap(err, "organizations")
}

func (m *manager) organizations(ctx context.Context, after OrganizationID, limit int) ([]OrganizationID, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	if err := checkID("after", after, true); err != nil {
		return nil, err
	}
	if limit < 1 || limit > MaxPageSize {
		return nil, invalid("limit", "must be 1 to %d", MaxPageSize)
	}
	store, err := m.retentionStore()
	if err != nil {
		return nil, err
	}
	page, err := store.Organizations(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	return listed(page), nil
}

// deletes returns the store for a call that deletes, or an error if the call must not begin.
func (m *manager) deletes(ctx context.Context) (RetentionStore, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	if m.tx != nil {
		return nil, invalid("tx", "does not delete; call the Manager itself")
	}
	return m.retentionStore()
}

// retentionStore returns the store as a RetentionStore.
func (m *manager) retentionStore() (RetentionStore, error) {
	if store, ok := storeAs[RetentionStore](m.store); ok {
		return store, nil
	}
	return nil, invalid("store", "deletes nothing; use one that is a RetentionStore")
}

// deletion calls a method of the store that deletes incidents of an organization, or changes those
// that it selects. call reports them to the cache and the watchers before it returns. If it panics,
// it may have done a part of its work.
//
// Calls with the same line take turns. Otherwise a call might find nothing to do, and return while
// another call has yet to report the same incidents to the cache.
func deletion[B any](ctx context.Context, m *manager, line Key, call func(coherence.Deletion) (B, error)) (b B, err error) {
	turn := m.turns.Turn()
	defer turn.Leave()
	if _, err := turn.Take(ctx, subject{key: line}); err != nil {
		return b, err
	}
	if err := ctx.Err(); err != nil {
		return b, err
	}
	began := m.coherence.BeginDeletion()
	defer began.End()
	outcome := ErrUnknownOutcome
	defer func() {
		if outcome != nil {
			m.partDone(ctx, began, line.OrganizationID, outcome)
		}
	}()
	b, err = call(began)
	outcome = err
	return b, err
}

// deleted reports deleted incidents to the cache and the watchers.
func (m *manager) deleted(ctx context.Context, began coherence.Deletion, all []IncidentVersion) {
	for _, v := range all {
		began.Deleted(ctx, v.Key.cacheKey(), v.Version)
		m.reportDeleted(v)
	}
}

// partDone reports to the cache and the watchers that a call of the store has failed and may have
// done a part of its work. Unless the outcome is unknown, a feed reports that part.
func (m *manager) partDone(ctx context.Context, began coherence.Deletion, org OrganizationID, err error) {
	if m.feed == nil || errors.Is(err, ErrUnknownOutcome) {
		began.Unknown(ctx, "a deletion failed, and may have done a part of its work")
		return
	}
	m.watchers.Missed(org)
}

// retain deletes incidents by Options.Retention until ctx ends.
func (m *manager) retain(ctx context.Context) {
	store, err := m.retentionStore()
	if err != nil {
		return // New has refused such a store
	}
	r := &retainer{
		m: m, store: store, holder: uuid.NewString(), record: &m.retention,
		refused: map[OrganizationID]struct{}{},
	}
	r.run(ctx)
}
