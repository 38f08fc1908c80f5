package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// write is a call that writes to the incident of mustBegin.
type write struct {
	name string
	call func(ctx context.Context, m incident.Manager, key incident.Key) error
}

// result returns the error of a call, or an error if the call changed nothing.
func result(r incident.Result, err error) error {
	if err == nil && !r.Changed {
		return errors.New("the call reports no change")
	}
	return err
}

var comment = incident.NewComment{UserID: "ada", Comment: "It is the cache", Mentions: []incident.UserID{"eve"}}

func writes() []write {
	second := firing
	second.TriggerID = "warning 2" // the same severity: only the trigger changes
	return []write{
		{"Create", func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return result(m.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Down", UserID: "ada"}))
		}},
		{"Create with a DetectionUUID", func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return result(m.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Down", DetectionUUID: uuid.UUID{1}}))
		}},
		{"Fire that opens", func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return result(m.Fire(ctx, with(firing, "errors")))
		}},
		{"Fire that joins", func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return result(m.Fire(ctx, second))
		}},
		{"Resolve", func(ctx context.Context, m incident.Manager, _ incident.Key) error {
			return result(m.Resolve(ctx, incident.Resolution{Slot: firing.Slot, TriggerID: firing.TriggerID}))
		}},
		{"UpdateStatus", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return result(m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed, UserID: "ada"}))
		}},
		{"LinkProject", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return result(m.LinkProject(ctx, key, "web"))
		}},
		{"UnlinkProject", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return result(m.UnlinkProject(ctx, key, "db"))
		}},
		{"Comment", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Comment(ctx, key, comment))
		}},
		{"EditComment", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.EditComment(ctx, key, incident.CommentEdit{Sequence: 5, UserID: "ada", Comment: "It is not"}))
		}},
		{"DeleteComment", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.DeleteComment(ctx, key, incident.CommentEdit{Sequence: 5, UserID: "ada"}))
		}},
		{"MarkSeen", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.MarkSeen(ctx, key, "bob"))
		}},
		{"Subscribe", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return only(m.Subscribe(ctx, key, "bob"))
		}},
		{"Unsubscribe", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return m.Unsubscribe(ctx, key, "ada")
		}},
		{"Remind", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return m.Remind(ctx, key, incident.Reminder{Name: "page the manager", At: inYears})
		}},
		{"Remind that moves", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return m.Remind(ctx, key, incident.Reminder{Name: escalation.Name, At: inYears.Add(time.Hour)})
		}},
		{"CancelReminder", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return m.CancelReminder(ctx, key, escalation.Name)
		}},
		{"InTx", func(ctx context.Context, m incident.Manager, key incident.Key) error {
			return m.InTx(ctx, func(tx incident.Manager) error {
				if _, err := tx.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Down"}); err != nil {
					return err
				}
				if err := tx.Remind(ctx, key, incident.Reminder{Name: escalation.Name, At: inYears.Add(time.Hour)}); err != nil {
					return err
				}
				return only(tx.Comment(ctx, key, comment))
			})
		}},
	}
}

// inYears is a time when no test runs any more.
var inYears = time.Date(2100, time.January, 1, 0, 0, 0, 0, time.UTC)

// escalation is the reminder of mustBegin.
var escalation = incident.Reminder{Name: "escalate", At: inYears, Unless: incident.UnlessAcknowledged}

// clock stands still, so that equal calls leave equal traces.
func clock() time.Time { return time.Date(2026, time.March, 1, 3, 4, 5, 678_901_000, time.UTC) }

func mustManager(t *testing.T, s incident.Store) incident.Manager {
	t.Helper()
	m, err := incident.New(s, &incident.Options{Now: clock, Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// mustBegin creates the incident for the writes, with a comment, a second project, a
// subscriber and, if the Manager has a notifier, a reminder.
func mustBegin(t *testing.T, m incident.Manager) incident.Key {
	t.Helper()
	ctx := t.Context()
	r, err := m.Fire(ctx, firing)
	if err == nil {
		_, err = m.LinkProject(ctx, r.Key(), "db")
	}
	if err == nil {
		_, err = m.Comment(ctx, r.Key(), incident.NewComment{UserID: "ada", Comment: "Looking"})
	}
	if err == nil {
		if err = m.Remind(ctx, r.Key(), escalation); errors.Is(err, incident.ErrInvalid) {
			err = nil
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return r.Key()
}

// trace returns all data of the organization except random values.
func trace(t *testing.T, m incident.Manager) string {
	t.Helper()
	ctx := context.Background()
	page, err := m.List(ctx, incident.IncidentFilter{OrganizationID: "acme", Limit: incident.MaxPageSize})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, inc := range page.Incidents {
		d, err1 := m.Details(ctx, inc.Key(), "ada")
		activities, err2 := m.Activities(ctx, inc.Key(), incident.ActivityFilter{Limit: incident.MaxPageSize})
		subscribers, err3 := m.Subscribers(ctx, inc.Key())
		reminders, err4 := m.Reminders(ctx, inc.Key())
		for i := range activities.Activities {
			activities.Activities[i].NotificationUUID = uuid.Nil
		}
		for i := range reminders {
			reminders[i].NotificationUUID = uuid.Nil
		}
		text, err5 := json.MarshalIndent([]any{d, activities, subscribers, reminders}, "", " ")
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	return b.String()
}

// knownTraces holds the traces of each write, which are the same in all tests.
var knownTraces sync.Map // from name to func() ([2]string, error)

// traces returns the traces before and after an undisturbed call.
func traces(t *testing.T, w write) (before, after string) {
	t.Helper()
	find, _ := knownTraces.LoadOrStore(w.name, sync.OnceValues(func() (found [2]string, err error) {
		s, _ := newStore(t)
		m := mustManager(t, s)
		key := mustBegin(t, m)
		found[0] = trace(t, m)
		if err := w.call(t.Context(), m, key); err != nil {
			return found, err // a failed test would end its goroutine, and sync panics then
		}
		found[1] = trace(t, m)
		return found, nil
	}))
	both, err := find.(func() ([2]string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return both[0], both[1]
}

// lossy is a store behind a proxy, and a pool that bypasses the proxy.
type lossy struct {
	proxy         *pgtest.Proxy
	proxied       *sqlx.DB // the pool of through
	pool          *sqlx.DB // bypasses the proxy
	store         *postgres.Store
	through, past incident.Manager
	ready         func(t *testing.T) // begins prepare, if not nil
}

func newLossy(t *testing.T) *lossy {
	t.Helper()
	url := newTables(t)
	l := &lossy{pool: mustOpen(t, url, 4), proxy: pgtest.NewProxy(t, url)}
	l.store = mustNew(t, l.pool, nil)
	l.past = mustManager(t, l.store)
	l.proxied = mustOpen(t, l.proxy.URL(), 2)
	l.through = mustManager(t, mustNew(t, l.proxied, nil))
	return l
}

// lossiesInTurn returns a factory of stores that the subtests of t use in turn.
func lossiesInTurn(t *testing.T) func(*testing.T) *lossy { return lossiesOf(t, newLossy) }

func lossiesOf(t *testing.T, newLossy func(t *testing.T) *lossy) func(*testing.T) *lossy {
	return pgtest.InTurn(
		func(*testing.T, int) *lossy { return newLossy(t) },
		func(t *testing.T, l *lossy) {
			pgtest.AwaitIdle(t, l.proxied)
			l.empty(t)
		})
}

func (l *lossy) empty(t *testing.T) {
	t.Helper()
	mustExec(t, l.pool, deleteAllSQL)
}

// checkOutbox checks that every activity is queued, and every active incident listed.
func (l *lossy) checkOutbox(t *testing.T) {
	t.Helper()
	if err := managertest.AuditOutbox(context.Background(), l.past, l.store, "acme"); err != nil {
		t.Error(err)
	}
	checkActive(t, l.store, 0)
}

// dropIdle drops the idle connections of a pool, which a proxy has cut: their ends may arrive later,
// and a read that meets such an end may fail.
func dropIdle(t *testing.T, pool *sqlx.DB) {
	t.Helper()
	pgtest.AwaitIdle(t, pool)
	most := pool.Stats().MaxOpenConnections
	pool.SetMaxIdleConns(0)
	pool.SetMaxIdleConns(most)
}

// prepare prepares the statements of a write behind the proxy, so that every later round trip
// belongs to the write. It returns the incident for the write.
func (l *lossy) prepare(t *testing.T, w write) incident.Key {
	t.Helper()
	dropIdle(t, l.proxied)
	if l.ready != nil {
		l.ready(t)
	}
	l.empty(t)
	if err := w.call(t.Context(), l.through, mustBegin(t, l.through)); err != nil {
		t.Fatal(err)
	}
	l.empty(t)
	return mustBegin(t, l.past)
}

// lose makes a write and loses count of its round trips from the n-th on. It returns the
// number of lost round trips and the write's error.
func (l *lossy) lose(t *testing.T, w write, f pgtest.Fault, cut pgtest.Cut, n, count int) (lost int, err error) {
	t.Helper()
	key := l.prepare(t, w)
	l.proxy.Do(f, cut, n, count)
	err = w.call(t.Context(), l.through, key)
	return l.proxy.Heal(), err
}

// checkTrace checks that the trace after a write agrees with its error.
func checkTrace(t *testing.T, got, before, after string, err error) {
	t.Helper()
	switch {
	case err == nil:
		if got != after {
			t.Errorf("after a success the trace is\n%s\nwant\n%s", got, after)
		}
	case errors.Is(err, incident.ErrUnknownOutcome):
		if got != before && got != after {
			t.Errorf("after %v the trace is\n%s\nwant all or nothing:\n%s", err, got, after)
		}
	case got != before:
		t.Errorf("after %v the trace is\n%s\nwant nothing new:\n%s", err, got, before)
	case !errors.Is(err, incident.ErrUnavailable) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
		t.Errorf("error = %v, want ErrUnavailable or the context's", err)
	}
}

// Whichever request or reply of a write is lost, and however its connection ends, it is
// written once and succeeds. Only a lost commit of a transaction leaves the outcome
// unknown.
func TestStore_lostReply(t *testing.T) {
	t.Parallel()
	lossies := lossiesInTurn(t)
	for i, w := range writes() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			checkLostReply(t, lossies(t), w, cuts(i))
		})
	}
}

// cuts returns how connections are cut. In the short form the i-th write has one of the two.
func cuts(i int) []pgtest.Cut {
	both := []pgtest.Cut{pgtest.CutFIN, pgtest.CutRST}
	if long {
		return both
	}
	return both[i%2:][:1]
}

// A server that never answers again leaves the outcome unknown.
func TestStore_lostReplies(t *testing.T) {
	t.Parallel()
	lossies := lossiesInTurn(t)
	for i, w := range writes() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			before, after := traces(t, w)
			l := lossies(t)
			for _, cut := range cuts(i) {
				unknown := false
				for n := 1; n < 5; n++ { // a read may come first, and a connection may have prepared neither
					_, err := l.lose(t, w, pgtest.LoseReply, cut, n, 1000)
					checkTrace(t, trace(t, l.past), before, after, err)
					l.checkOutbox(t)
					unknown = unknown || errors.Is(err, incident.ErrUnknownOutcome)
				}
				if !unknown && w.name != "InTx" {
					t.Errorf("cut %d: no error is ErrUnknownOutcome", cut)
				}
			}
		})
	}
}

// If the reply of a write is lost, and the server refuses its repetitions, the outcome is unknown:
// the first attempt may have been written.
func TestStore_refusedAfterLostReply(t *testing.T) {
	t.Parallel()
	lossies := lossiesInTurn(t)
	for name, refusal := range map[string]struct{ begin, end string }{
		"write":   {forNewSessionsSQL("SET default_transaction_read_only = on"), forNewSessionsSQL("RESET default_transaction_read_only")},
		"prepare": {"ALTER SCHEMA public RENAME TO gone", "ALTER SCHEMA gone RENAME TO public"},
	} {
		for _, w := range writes() {
			t.Run(name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				before, after := traces(t, w)
				l := lossies(t)
				unknown := false
				// On a connection without its statement a write has more round trips, and a later attempt
				// meets the one that is wanted.
				for turn := 0; turn < 20 && !unknown; turn++ {
					for n, lost := 1, 1; lost > 0; n++ {
						key := l.prepare(t, w)
						l.proxy.Before(n, func() {
							if _, err := l.pool.Exec(refusal.begin); err != nil {
								t.Error(err) // not Fatal, nor a panic: the goroutine is the proxy's
							}
							l.proxy.Heal() // cuts the connections
						})
						err := w.call(t.Context(), l.through, key)
						if lost = l.proxy.Heal(); lost > 0 {
							mustExec(t, l.pool, refusal.end)
						}
						t.Logf("round trip %d: %v", n, err)
						checkTrace(t, trace(t, l.past), before, after, err)
						unknown = unknown || errors.Is(err, incident.ErrUnknownOutcome)
					}
				}
				if !unknown {
					t.Error("no error is ErrUnknownOutcome")
				}
			})
		}
	}
}

// forNewSessionsSQL changes a setting of the database, which counts for new sessions.
func forNewSessionsSQL(change string) string {
	return "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I " + change + "', current_database()); END $$"
}
