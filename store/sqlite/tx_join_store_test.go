package sqlite_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
	"github.com/incidentkit/incident/store/storetest"
)

// joinedStore is a store whose every call joins a separate transaction of the host. The host
// commits.
type joinedStore struct {
	reads, writes *sqlx.DB // transactions of writes begin with the right to write
	store         *sqlite.Store
}

func inHostTx[T any](ctx context.Context, j joinedStore, pool *sqlx.DB, call func(s *sqlite.Store) (T, error)) (v T, err error) {
	if err := ctx.Err(); err != nil { // the host checks before it commits
		return v, err
	}
	tx, err := beginHostTx(ctx, pool)
	if err != nil {
		return v, err
	}
	defer tx.Rollback() //nolint:errcheck // returns an error after the commit
	if v, err = call(j.store.Join(tx)); err != nil {
		return v, err
	}
	if err := ctx.Err(); err != nil { // the host's own look before it commits
		var none T
		return none, err
	}
	return v, tx.Commit()
}

// beginHostTx waits until the context ends. The transaction does not end then: database/sql
// would roll it back in the middle of a call.
func beginHostTx(ctx context.Context, pool *sqlx.DB) (*sqlx.Tx, error) {
	for {
		tx, err := pool.BeginTxx(context.WithoutCancel(ctx), nil)
		if err == nil || !strings.Contains(err.Error(), "SQLITE_BUSY") {
			return tx, err
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func withNothing(err error) (struct{}, error) { return struct{}{}, err }

func (j joinedStore) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	return inHostTx(ctx, j, j.reads, func(s *sqlite.Store) (incident.State, error) { return s.Load(ctx, key) })
}

func (j joinedStore) CountIncidents(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
	return inHostTx(ctx, j, j.reads, func(s *sqlite.Store) (map[incident.Status]int, error) { return s.CountIncidents(ctx, q) })
}

func (j joinedStore) LoadSlot(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
	return inHostTx(ctx, j, j.reads, func(s *sqlite.Store) (incident.SlotState, error) { return s.LoadSlot(ctx, slot) })
}

func (j joinedStore) LoadDetails(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
	return inHostTx(ctx, j, j.reads, func(s *sqlite.Store) (incident.Details, error) { return s.LoadDetails(ctx, key, user) })
}

func (j joinedStore) Incidents(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
	return inHostTx(ctx, j, j.reads, func(s *sqlite.Store) ([]incident.Incident, error) { return s.Incidents(ctx, q) })
}

func (j joinedStore) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	return inHostTx(ctx, j, j.writes, func(s *sqlite.Store) (incident.Applied, error) { return s.Apply(ctx, c) })
}

func (j joinedStore) Activities(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
	return inHostTx(ctx, j, j.reads, func(s *sqlite.Store) (incident.ActivityLog, error) { return s.Activities(ctx, key, q) })
}

func (j joinedStore) Activity(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
	return inHostTx(ctx, j, j.reads, func(s *sqlite.Store) (incident.Activity, error) { return s.Activity(ctx, key, sequence) })
}

func (j joinedStore) ReviseActivity(ctx context.Context, a incident.Activity) error {
	_, err := inHostTx(ctx, j, j.writes, func(s *sqlite.Store) (struct{}, error) { return withNothing(s.ReviseActivity(ctx, a)) })
	return err
}

func (j joinedStore) MarkSeen(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
	return inHostTx(ctx, j, j.writes, func(s *sqlite.Store) (incident.Seen, error) { return s.MarkSeen(ctx, seen) })
}

func (j joinedStore) SeenBy(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
	return inHostTx(ctx, j, j.reads, func(s *sqlite.Store) ([]incident.Seen, error) { return s.SeenBy(ctx, key) })
}

func (j joinedStore) Subscribe(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
	return inHostTx(ctx, j, j.writes, func(s *sqlite.Store) (incident.Subscription, error) { return s.Subscribe(ctx, sub) })
}

func (j joinedStore) Unsubscribe(ctx context.Context, key incident.Key, user incident.UserID) error {
	_, err := inHostTx(ctx, j, j.writes, func(s *sqlite.Store) (struct{}, error) { return withNothing(s.Unsubscribe(ctx, key, user)) })
	return err
}

func (j joinedStore) Subscribers(ctx context.Context, key incident.Key) ([]incident.Subscription, error) {
	return inHostTx(ctx, j, j.reads, func(s *sqlite.Store) ([]incident.Subscription, error) { return s.Subscribers(ctx, key) })
}

func (j joinedStore) Report(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
	return inHostTx(ctx, j, j.reads, func(s *sqlite.Store) (incident.ReportNumbers, error) { return s.Report(ctx, q) })
}

// InTx never repeats fn, because fn may have effects of its own.
func (j joinedStore) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	_, err := inHostTx(ctx, j, j.writes, func(s *sqlite.Store) (struct{}, error) { return withNothing(s.InTx(ctx, fn)) })
	return err
}

func (j joinedStore) Shared() bool { return j.store.Shared() }

// A store in transactions of the host keeps the contract too.
func TestStore_joined(t *testing.T) {
	storetest.Run(t, func(t *testing.T) incident.Store { return newJoinedStore(t) })
}

func TestStore_joinedReport(t *testing.T) {
	storetest.RunReport(t, func(t *testing.T) incident.ReportStore { return newJoinedStore(t) })
}

func newJoinedStore(t *testing.T) joinedStore {
	h := newHost(t, "_txlock=immediate&_pragma=busy_timeout(0)") // beginHostTx waits
	return joinedStore{reads: mustHostPool(t, h.store.Path(), ""), writes: h.pool, store: h.store}
}
