package alertmanagertest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/store/postgres"
	"github.com/incidentkit/incident/store/sqlite"
	"github.com/incidentkit/incident/web/alertmanager"
)

// long reports whether the long form of the tests runs.
var long = os.Getenv("INCIDENT_TEST_LONG") != ""

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	org   = incident.OrganizationID("acme")
	token = "3b0c2d7e-secret-token"
)

// stores opens a store of each kind.
var stores = []struct {
	name string
	open func(t *testing.T) incident.Store
}{
	{"memory", func(*testing.T) incident.Store { return memory.New() }},
	{"sqlite", func(t *testing.T) incident.Store {
		s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "incidents.db"), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}},
	{"postgres", func(t *testing.T) incident.Store {
		s, err := postgres.Open(t.Context(), pgtest.NewDatabase(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	}},
}

// receiver is a program with a handler, which can fail and restart.
type receiver struct {
	t     *testing.T
	store incident.Store
	now   func() time.Time
	late  time.Duration // Options.LateDelivery
	url   string

	mu       sync.Mutex
	manager  incident.Manager
	handler  *alertmanager.Handler
	requests int
	fault    fault
}

// fault is what the receiver does with requests.
type fault int

const (
	healthy    fault = iota
	down             // 503 before anything was written
	replyLost        // everything was written, and the connection breaks
	storeLost        // each second write fails
	faultCount       // the number of faults
)

// newReceiver serves a handler on a store.
func newReceiver(t *testing.T, store incident.Store, now func() time.Time) *receiver {
	t.Helper()
	return newLateReceiver(t, store, now, 0)
}

func newLateReceiver(t *testing.T, store incident.Store, now func() time.Time, late time.Duration) *receiver {
	t.Helper()
	r := &receiver{t: t, store: store, now: now, late: late}
	r.restart()
	server := httptest.NewUnstartedServer(r)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// restart replaces the Manager and the handler, as a new process would.
func (r *receiver) restart() {
	r.t.Helper()
	m, err := incident.New(r.store, &incident.Options{Now: r.now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	h, err := alertmanager.New(&unsteady{Manager: m, receiver: r}, &alertmanager.Options{
		Organization: org, Tokens: []string{token}, ProjectLabel: "service", Now: r.now, LateDelivery: r.late,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manager, r.handler = m, h
}

func (r *receiver) set(f fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
}

// ServeHTTP is the handler, with the faults.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	handler, fault := r.handler, r.fault
	r.requests++
	r.mu.Unlock()
	switch fault {
	case down:
		w.WriteHeader(http.StatusServiceUnavailable)
	case replyLost:
		handler.ServeHTTP(httptest.NewRecorder(), req)
		panic(http.ErrAbortHandler)
	default:
		handler.ServeHTTP(w, req)
	}
	_, _ = io.Copy(io.Discard, req.Body)
}

// unsteady is a Manager of which each second write fails with storeLost, half of them after the
// commit.
type unsteady struct {
	incident.Manager
	receiver *receiver

	mu     sync.Mutex
	writes int
}

func (u *unsteady) fails() (before, after bool) {
	u.receiver.mu.Lock()
	lost := u.receiver.fault == storeLost
	u.receiver.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.writes++
	return lost && u.writes%4 == 1, lost && u.writes%4 == 3
}

func (u *unsteady) Fire(ctx context.Context, f incident.Firing) (incident.Result, error) {
	before, after := u.fails()
	if before {
		return incident.Result{}, incident.ErrUnavailable
	}
	r, err := u.Manager.Fire(ctx, f)
	if after {
		return incident.Result{}, incident.ErrUnknownOutcome
	}
	return r, err
}

func (u *unsteady) Resolve(ctx context.Context, r incident.Resolution) (incident.Result, error) {
	before, after := u.fails()
	if before {
		return incident.Result{}, incident.ErrUnavailable
	}
	res, err := u.Manager.Resolve(ctx, r)
	if after {
		return incident.Result{}, incident.ErrUnknownOutcome
	}
	return res, err
}

// incidents returns all incidents of the store, in order of identifier.
func (r *receiver) incidents() (all []incident.Incident) {
	r.t.Helper()
	for number := int64(1); ; number++ {
		inc, err := r.manager.Get(r.t.Context(), incident.Key{OrganizationID: org, Identifier: number})
		if errors.Is(err, incident.ErrNotFound) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, inc)
	}
}

// activeTriggers returns the active triggers of an incident.
func (r *receiver) activeTriggers(key incident.Key) (active []string) {
	r.t.Helper()
	triggers, err := r.manager.Triggers(r.t.Context(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, t := range triggers {
		if t.Status == incident.TriggerStatusActive {
			active = append(active, string(t.TriggerID))
		}
	}
	return active
}
