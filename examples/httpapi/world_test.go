package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/store/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is a server with two organizations that have the same users and projects.
type world struct {
	*testing.T
	store     incident.Store
	incidents incident.Manager // the server's Manager, without faults
	faults    *faulty
	directory *directory
	api       *api // of handler
	handler   http.Handler
	server    *httptest.Server // of url
	spec      *spec
	log       *lockedBuffer

	acme, globex incident.OrganizationID
}

// worlds numbers the worlds of a store, so that they share no data.
var worlds atomic.Int64

// begun is the time at a world's first call. The clock advances a second per call.
var begun = time.Date(2026, 3, 14, 2, 31, 0, 0, time.UTC)

// patience is the time limit of a request of the tests: many times that of the program, since a machine may be busy.
const patience = 2 * time.Minute

func newWorld(t *testing.T, store incident.Store, s *spec) *world {
	t.Helper()
	n := worlds.Add(1)
	return newWorldOf(t, store, s, incident.OrganizationID(fmt.Sprintf("acme-%d", n)), incident.OrganizationID(fmt.Sprintf("globex-%d", n)))
}

func newWorldOf(t *testing.T, store incident.Store, s *spec, acme, globex incident.OrganizationID) *world {
	t.Helper()
	w := &world{T: t, store: store, spec: s, log: new(lockedBuffer), acme: acme, globex: globex}
	var clock atomic.Int64
	w.directory = w.people()
	var err error
	w.incidents, err = incident.New(store, &incident.Options{
		Authorizer: w.directory,
		Notifier:   incident.NotifyElsewhere,
		Notifiers:  map[string]incident.NamedNotifier{"pager": {Notifier: incident.NotifyElsewhere}},
		Now:        func() time.Time { return begun.Add(time.Duration(clock.Add(1)) * time.Second) },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.faults = &faulty{Manager: w.incidents}
	w.api = &api{incidents: w.faults, people: w.directory, log: slog.New(slog.NewJSONHandler(w.log, nil)), timeout: patience}
	w.handler = w.api.handler()
	return w
}

// url returns the URL of the world.
func (w *world) url() string {
	if w.server == nil {
		w.server = httptest.NewServer(w.handler)
		w.Cleanup(w.server.Close)
	}
	return w.server.URL
}

// people are ada (project checkout), grace (checkout and search), bob (search), root (all
// projects) and eve (no project), all in both organizations; and mallory, only in globex.
func (w *world) people() *directory {
	d := &directory{users: map[incident.UserID]memberships{}}
	both := func(m membership) memberships { return memberships{w.acme: m, w.globex: m} }
	for user, of := range map[incident.UserID]memberships{
		"ada":     both(membership{projects: []incident.ProjectID{"checkout"}}),
		"grace":   both(membership{projects: []incident.ProjectID{"checkout", "search"}}),
		"bob":     both(membership{projects: []incident.ProjectID{"search"}}),
		"eve":     both(membership{projects: []incident.ProjectID{}}),
		"root":    both(membership{all: true}),
		"mallory": {w.globex: {all: true}},
	} {
		d.tokens = append(d.tokens, token{sum: sha256.Sum256([]byte("token-of-" + user)), user: user})
		d.users[user] = of
	}
	return d
}

// create creates an incident without an alert rule.
func (w *world) create(organization incident.OrganizationID, title string, projects ...incident.ProjectID) incident.Key {
	w.Helper()
	r, err := w.incidents.Create(w.Context(), incident.NewIncident{OrganizationID: organization, Title: title, Projects: projects})
	if err != nil {
		w.Fatal(err)
	}
	return r.Key()
}

// fire opens an incident of an alert rule in the project checkout.
func (w *world) fire(organization incident.OrganizationID) incident.Key {
	w.Helper()
	r, err := w.incidents.Fire(w.Context(), incident.Firing{
		Slot:      incident.Slot{OrganizationID: organization, AlertRuleID: "error-rate", ProjectID: "checkout"},
		TriggerID: "above-5-percent", Severity: incident.StatusWarning, Title: "Checkout fails",
	})
	if err != nil {
		w.Fatal(err)
	}
	return r.Key()
}

// list is the path of an organization's incidents.
func list(organization incident.OrganizationID) string {
	return strings.Replace(base, "{organization}", string(organization), 1)
}

// answer is a complete response.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request as a user. header alternates names and values. A body is sent as
// JSON unless the header says otherwise.
func (w *world) do(user, method, path, body string, header ...string) answer {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, w.url()+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	if body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Type", "application/json")
	}
	if user != "" {
		r.Header.Set("Authorization", "Bearer token-of-"+user)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
		if header[i] == "Content-Type" {
			r.Header["Content-Type"] = header[i+1 : i+2]
		}
	}
	client := &http.Client{
		Transport:     &checkedTransport{w, w.spec, w.server.Client().Transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	res, err := client.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(got)}
}

// want sends a request, and checks the status and, unless it is empty, the body of the
// response.
func (w *world) want(status int, want, user, method, path, body string, header ...string) answer {
	w.Helper()
	got := w.do(user, method, path, body, header...)
	if got.status != status || want != "" && strings.TrimSpace(got.body) != want {
		w.Errorf("%s %s of %s with %.200s %v = %d %s\nwant %d %s", method, path, user, body, header, got.status, got.body, status, want)
	}
	return got
}

// decode returns the decoded JSON of a response.
func decode[T any](t testing.TB, a answer) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return v
}

// snapshot returns everything stored about the organizations' incidents.
func (w *world) snapshot() string {
	w.Helper()
	var all strings.Builder
	for _, org := range []incident.OrganizationID{w.acme, w.globex} {
		page, err := w.incidents.List(w.Context(), incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize})
		if err != nil {
			w.Fatal(err)
		}
		for _, inc := range page.Incidents {
			d, err := w.incidents.Details(w.Context(), inc.Key(), "ada")
			if err != nil {
				w.Fatal(err)
			}
			activities, err := w.incidents.Activities(w.Context(), inc.Key(), incident.ActivityFilter{Limit: incident.MaxPageSize})
			if err != nil {
				w.Fatal(err)
			}
			subscribers, err := w.incidents.Subscribers(w.Context(), inc.Key())
			if err != nil {
				w.Fatal(err)
			}
			text, err := json.Marshal([]any{d, activities, subscribers})
			if err != nil {
				w.Fatal(err)
			}
			all.Write(text)
		}
	}
	return all.String()
}

// lockedBuffer is a log that is read concurrently.
type lockedBuffer struct {
	mu sync.Mutex // guards the fields below
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// stores are the stores that the API is tested with.
var stores = []struct {
	name string
	open func(*testing.T) incident.Store
}{
	{"memory", func(*testing.T) incident.Store { return memory.New() }},
	{"postgres", func(t *testing.T) incident.Store { return mustOpen(t, pgtest.NewDatabase(t)) }},
}

func mustOpen(t *testing.T, dsn string) *postgres.Store {
	t.Helper()
	db, err := postgres.Open(t.Context(), dsn, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}
