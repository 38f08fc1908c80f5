package alertmanager_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/web/alertmanager"
)

const (
	org   = incident.OrganizationID("acme")
	token = "3b0c2d7e-secret-token"
)

var epoch = time.Date(2026, 3, 14, 2, 0, 0, 0, time.UTC)

// at returns the time of a minute.
func at(minute int) time.Time { return epoch.Add(time.Duration(minute) * time.Minute) }

// world is a handler on a store in memory, at the times of a clock that the test sets.
type world struct {
	t       *testing.T
	manager incident.Manager
	handler *alertmanager.Handler
	log     *logBuffer

	mu    sync.Mutex
	clock time.Time
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) set(minute int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = at(minute)
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newWorld returns a world whose options the changes have changed.
func newWorld(t *testing.T, changes ...func(o *alertmanager.Options)) *world {
	t.Helper()
	return newWorldOver(t, func(m incident.Manager) incident.Manager { return m }, changes...)
}

// newWorldOver is newWorld with a handler that writes through the result of wrap.
func newWorldOver(t *testing.T, wrap func(incident.Manager) incident.Manager, changes ...func(o *alertmanager.Options)) *world {
	t.Helper()
	w := &world{t: t, log: new(logBuffer), clock: at(60)}
	m, err := incident.New(memory.New(), &incident.Options{Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	w.manager = m
	o := &alertmanager.Options{
		Organization: org, Tokens: []string{token}, ProjectLabel: "service",
		Now: w.now, Logger: slog.New(slog.NewTextHandler(w.log, nil)),
		Timeout: 5 * time.Minute, // a machine may be busy
	}
	for _, change := range changes {
		change(o)
	}
	if w.handler, err = alertmanager.New(wrap(m), o); err != nil {
		t.Fatal(err)
	}
	return w
}

// alert is an alert in JSON.
type alert map[string]any

type labels = map[string]string

// firing and resolved return the alert "Latency" of the service checkout.
func firing(severity string, start int) alert {
	return alert{
		"status": "firing", "startsAt": at(start), "endsAt": time.Time{}, "fingerprint": "f" + severity,
		"labels":       labels{"alertname": "Latency", "service": "checkout", "instance": "a", "severity": severity},
		"annotations":  labels{"summary": "Checkout is slow"},
		"generatorURL": "https://prometheus.example.com/graph?g0.expr=x",
	}
}

func resolved(severity string, start, end int) alert {
	a := firing(severity, start)
	a["status"], a["endsAt"] = "resolved", at(end)
	return a
}

func webhook(alerts ...alert) string {
	text, err := json.Marshal(map[string]any{
		"version": "4", "groupKey": "{}:{alertname=\"Latency\"}", "truncatedAlerts": 0, "status": "firing", "receiver": "incidents",
		"groupLabels": labels{}, "commonLabels": labels{}, "commonAnnotations": labels{},
		"externalURL": "https://alertmanager.example.com", "alerts": alerts,
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func request(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/alerts", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func (w *world) do(r *http.Request) (status int, body string) {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	text, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return rec.Code, string(text)
}

// post sends a webhook. It fails unless the status is 200. Alerts of different slots in a webhook are
// handled side by side: their incidents come in any order.
func (w *world) post(alerts ...alert) {
	w.t.Helper()
	w.postBody(webhook(alerts...), http.StatusOK)
}

func (w *world) postBody(body string, want int) string {
	w.t.Helper()
	status, answer := w.do(request(body))
	if status != want {
		w.t.Fatalf("status %d, want %d: %s\n%s", status, want, answer, w.log)
	}
	return answer
}

// list returns all incidents, the oldest first.
func (w *world) list() []incident.Incident {
	w.t.Helper()
	var all []incident.Incident
	for id := int64(1); ; id++ {
		inc, err := w.manager.Get(w.t.Context(), incident.Key{OrganizationID: org, Identifier: id})
		if err != nil {
			return all
		}
		all = append(all, inc)
	}
}

// want fails unless the incidents have these statuses, the oldest first.
func (w *world) want(statuses ...incident.Status) {
	w.t.Helper()
	all := w.list()
	var got []incident.Status
	for _, inc := range all {
		got = append(got, inc.Status)
	}
	if len(got) != len(statuses) {
		w.t.Fatalf("incidents have the statuses %v, want %v", got, statuses)
	}
	for i := range got {
		if got[i] != statuses[i] {
			w.t.Fatalf("incidents have the statuses %v, want %v", got, statuses)
		}
	}
}

// versions returns the versions of all incidents.
func (w *world) versions() (versions []int64) {
	for _, inc := range w.list() {
		versions = append(versions, inc.Version)
	}
	return versions
}

const (
	closed   = incident.StatusClosed
	warning  = incident.StatusWarning
	critical = incident.StatusCritical
)
