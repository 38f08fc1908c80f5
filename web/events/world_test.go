package events

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/leaktest"
	"github.com/incidentkit/incident/store/memory"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var t0 = time.Date(2026, 3, 14, 2, 31, 0, 0, time.UTC)

const (
	key      = "0123456789abcdef0123456789abcdef"
	otherKey = "fedcba9876543210fedcba9876543210"
	rawKey   = "ignores-timestamps-0123456789abc"
)

// world is a Handler with its store and clock.
type world struct {
	*Handler
	store     *faultyStore
	incidents incident.Manager
	log       bytes.Buffer

	mu  sync.Mutex // guards now
	now time.Time
}

func newWorld(t testing.TB, change func(*Options, *incident.Options)) *world {
	t.Helper()
	w := &world{now: t0, store: &faultyStore{Store: memory.New()}}
	logger := slog.New(slog.NewTextHandler(&w.log, nil))
	o := &Options{
		Routes: []Route{
			{Key: key, OrganizationID: "acme", ProjectID: "checkout"},
			{Key: otherKey, OrganizationID: "globex", ProjectID: "search", AlertRuleID: "probes"},
			{Key: rawKey, OrganizationID: "acme", ProjectID: "billing", IgnoreTimestamps: true},
		},
		Logger: logger,
	}
	of := &incident.Options{Now: w.clock, Logger: logger}
	if change != nil {
		change(o, of)
	}
	var err error
	if w.incidents, err = incident.New(w.store, of); err != nil {
		t.Fatal(err)
	}
	if w.Handler, err = New(w.incidents, o); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// pass moves the clock.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// faultyStore is a store whose writes fail with fault.
type faultyStore struct {
	*memory.Store
	fault error // nil for none
	lost  bool  // the write succeeds, and its reply is the fault
}

func (s *faultyStore) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	if s.fault == nil {
		return s.Store.Apply(ctx, c)
	}
	if s.lost {
		if _, err := s.Store.Apply(ctx, c); err != nil {
			return incident.Applied{}, err
		}
	}
	return incident.Applied{}, s.fault
}

func (s *faultyStore) InTx(ctx context.Context, fn func(incident.Store) error) error {
	if s.fault != nil {
		return s.fault
	}
	return s.Store.InTx(ctx, fn)
}

// fields is a JSON object.
type fields map[string]any

// with returns a copy with further fields. A nil value removes a field.
func (f fields) with(more fields) fields {
	all := fields{}
	for _, from := range []fields{f, more} {
		for name, value := range from {
			if all[name] = value; value == nil {
				delete(all, name)
			}
		}
	}
	return all
}

func described(more fields) fields {
	return fields{"summary": "Payments fail", "source": "db-1", "severity": "critical"}.with(more)
}

func trigger(dedupKey string, more fields) fields {
	return fields{"routing_key": key, "event_action": "trigger", "dedup_key": dedupKey, "payload": described(more)}
}

func ofAction(action, dedupKey string) fields {
	return fields{"routing_key": key, "event_action": action, "dedup_key": dedupKey}
}

func stamped(e fields, at time.Time) fields {
	about, _ := e["payload"].(fields)
	return e.with(fields{"payload": about.with(fields{"timestamp": at.Format(time.RFC3339)})})
}

// reply is an answer that was read.
type reply struct {
	code   int
	header http.Header
	answer
	text string
}

func (w *world) send(t testing.TB, r *http.Request) reply {
	t.Helper()
	recorder := httptest.NewRecorder()
	w.ServeHTTP(recorder, r)
	got := reply{code: recorder.Code, header: recorder.Header(), text: recorder.Body.String()}
	if err := json.Unmarshal(recorder.Body.Bytes(), &got.answer); err != nil || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("the answer is no JSON: %s", got.text)
	}
	return got
}

func (w *world) postText(t testing.TB, body string) reply {
	t.Helper()
	return w.send(t, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v2/enqueue", strings.NewReader(body)))
}

func (w *world) post(t testing.TB, e fields) reply {
	t.Helper()
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return w.postText(t, string(body))
}

// mustPost posts an event that must be accepted, and returns its dedup_key.
func (w *world) mustPost(t testing.TB, e fields) string {
	t.Helper()
	got := w.post(t, e)
	if got.code != http.StatusAccepted || got.Status != "success" || got.Message != "Event processed" || got.DedupKey == "" {
		t.Fatalf("%v is answered %d %s", e, got.code, got.text)
	}
	return got.DedupKey
}

// list returns the incidents of an organization, the latest first.
func (w *world) list(t testing.TB, organization incident.OrganizationID) []incident.Incident {
	t.Helper()
	page, err := w.incidents.List(t.Context(), incident.IncidentFilter{OrganizationID: organization})
	if err != nil {
		t.Fatal(err)
	}
	return page.Incidents
}

// only returns the only incident of acme.
func (w *world) only(t testing.TB) incident.Incident {
	t.Helper()
	list := w.list(t, "acme")
	if len(list) != 1 {
		t.Fatalf("got %d incidents, want one: %+v", len(list), list)
	}
	return list[0]
}

// activities returns the number of an incident's activities.
func (w *world) activities(t testing.TB, key incident.Key) int {
	t.Helper()
	page, err := w.incidents.Activities(t.Context(), key, incident.ActivityFilter{Limit: incident.MaxPageSize})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Activities)
}
