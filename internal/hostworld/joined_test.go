package hostworld_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/postgres"
	"github.com/incidentkit/incident/store/storetest"
)

// joined is a store whose every call joins a separate transaction of the host. The host
// commits, and repeats a transaction that conflicted with another.
type joined struct {
	pool  *sqlx.DB
	store *postgres.Store
}

// maxRepetitions is how often the host repeats a transaction.
const maxRepetitions = 100

func inHostTx[T any](ctx context.Context, j joined, call func(s *postgres.Store) (T, error)) (v T, err error) {
	for range maxRepetitions {
		v, err = inOneHostTx(ctx, j, call)
		if !errors.Is(err, incident.ErrUnavailable) || ctx.Err() != nil {
			return v, err
		}
	}
	return v, err
}

func inOneHostTx[T any](ctx context.Context, j joined, call func(s *postgres.Store) (T, error)) (v T, err error) {
	if err := ctx.Err(); err != nil { // the host checks before it commits
		return v, err
	}
	// The wait for a connection ends with ctx. The transaction does not: database/sql would
	// roll it back in the middle of a call.
	conn, err := j.pool.Connx(ctx)
	if err != nil {
		return v, err
	}
	defer conn.Close()
	tx, err := conn.BeginTxx(context.WithoutCancel(ctx), nil)
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

func withNothing(err error) (struct{}, error) { return struct{}{}, err }

func (j joined) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) (incident.State, error) { return s.Load(ctx, key) })
}

func (j joined) Report(ctx context.Context, q incident.ReportQuery) (incident.ReportNumbers, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) (incident.ReportNumbers, error) { return s.Report(ctx, q) })
}

func (j joined) CountIncidents(ctx context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) (map[incident.Status]int, error) { return s.CountIncidents(ctx, q) })
}

func (j joined) LoadSlot(ctx context.Context, slot incident.Slot) (incident.SlotState, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) (incident.SlotState, error) { return s.LoadSlot(ctx, slot) })
}

func (j joined) LoadDetails(ctx context.Context, key incident.Key, user incident.UserID) (incident.Details, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) (incident.Details, error) { return s.LoadDetails(ctx, key, user) })
}

func (j joined) Incidents(ctx context.Context, q incident.IncidentQuery) ([]incident.Incident, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) ([]incident.Incident, error) { return s.Incidents(ctx, q) })
}

func (j joined) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) (incident.Applied, error) { return s.Apply(ctx, c) })
}

func (j joined) Activities(ctx context.Context, key incident.Key, q incident.ActivityQuery) (incident.ActivityLog, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) (incident.ActivityLog, error) { return s.Activities(ctx, key, q) })
}

func (j joined) Activity(ctx context.Context, key incident.Key, sequence int64) (incident.Activity, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) (incident.Activity, error) { return s.Activity(ctx, key, sequence) })
}

func (j joined) ReviseActivity(ctx context.Context, a incident.Activity) error {
	_, err := inHostTx(ctx, j, func(s *postgres.Store) (struct{}, error) { return withNothing(s.ReviseActivity(ctx, a)) })
	return err
}

func (j joined) MarkSeen(ctx context.Context, seen incident.Seen) (incident.Seen, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) (incident.Seen, error) { return s.MarkSeen(ctx, seen) })
}

func (j joined) SeenBy(ctx context.Context, key incident.Key) ([]incident.Seen, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) ([]incident.Seen, error) { return s.SeenBy(ctx, key) })
}

func (j joined) Subscribe(ctx context.Context, sub incident.Subscription) (incident.Subscription, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) (incident.Subscription, error) { return s.Subscribe(ctx, sub) })
}

func (j joined) Unsubscribe(ctx context.Context, key incident.Key, user incident.UserID) error {
	_, err := inHostTx(ctx, j, func(s *postgres.Store) (struct{}, error) { return withNothing(s.Unsubscribe(ctx, key, user)) })
	return err
}

func (j joined) Subscribers(ctx context.Context, key incident.Key) ([]incident.Subscription, error) {
	return inHostTx(ctx, j, func(s *postgres.Store) ([]incident.Subscription, error) { return s.Subscribers(ctx, key) })
}

// InTx never repeats fn, because fn may have effects of its own.
func (j joined) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	_, err := inOneHostTx(ctx, j, func(s *postgres.Store) (struct{}, error) { return withNothing(s.InTx(ctx, fn)) })
	return err
}

func (j joined) Shared() bool { return j.store.Shared() }

// joinedStores returns a factory of joined stores of the world.
func (w world) joinedStores(t *testing.T) func(t *testing.T) incident.Store {
	stores := w.stores(t)
	return func(t *testing.T) incident.Store {
		s := stores(t)
		return joined{pool: s.Pool(), store: s}
	}
}

var joining = []world{
	{name: "pq", open: openPQ, conns: 16},
	{name: "pgx", open: openPGX, conns: 16, longOnly: true},
	{name: "pq, one connection", open: openPQ, conns: 1, longOnly: true},
}

func inEachJoined(t *testing.T, suite func(t *testing.T, w world)) {
	t.Helper()
	for _, w := range joining {
		if long || !w.longOnly {
			t.Run(w.name, func(t *testing.T) { suite(t, w) })
		}
	}
}

func TestJoined_store(t *testing.T) {
	inEachJoined(t, func(t *testing.T, w world) { storetest.Run(t, w.joinedStores(t)) })
}

func TestJoined_report(t *testing.T) {
	inEachJoined(t, func(t *testing.T, w world) {
		stores := w.joinedStores(t)
		storetest.RunReport(t, func(t *testing.T) incident.ReportStore { return stores(t).(incident.ReportStore) })
	})
}

func TestJoined_model(t *testing.T) {
	inEachJoined(t, func(t *testing.T, w world) { managertest.Model(t, w.joinedStores(t)) })
}
