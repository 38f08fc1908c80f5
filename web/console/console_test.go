package console_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/web/console"
)

// now is the time of all worlds.
var now = time.Date(2026, 11, 26, 10, 32, 0, 0, time.UTC)

// world is a console over a memory store, for the viewers of the header "X-Viewer".
type world struct {
	*testing.T
	store     *countingStore
	incidents incident.Manager
	faults    *faulty
	pages     http.Handler
	options   console.Options
}

// viewers are the viewers by name. Without a name the request has none.
var viewers = map[string]console.Viewer{
	"dana":     {Organization: "acme", User: "dana"},
	"erin":     {Organization: "acme", User: "erin"},
	"foreign":  {Organization: "globex", User: "dana"},
	"limited":  {Organization: "acme", User: "lin", Access: &incident.ProjectAccess{Projects: []incident.ProjectID{"shop"}}},
	"none":     {Organization: "acme", User: "nina", Access: &incident.ProjectAccess{}},
	"reader":   {Organization: "acme", User: "rae", ReadOnly: true},
	"operator": {Organization: "acme", User: "olga", Operator: true},
}

func viewerOf(r *http.Request) (console.Viewer, error) {
	v, known := viewers[r.Header.Get("X-Viewer")]
	if !known {
		return v, console.ErrSignIn
	}
	return v, nil
}

func newWorld(t *testing.T, change ...func(*console.Options)) *world {
	t.Helper()
	store := &countingStore{Store: memory.New()}
	incidents, err := incident.New(store, &incident.Options{
		Now: func() time.Time { return now }, Notifier: incident.NotifyElsewhere,
		Notifiers: map[string]incident.NamedNotifier{"pager": {Notifier: incident.NotifyElsewhere}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, store: store, incidents: incidents, faults: &faulty{Manager: incidents}}
	w.options = console.Options{
		Authenticate: viewerOf, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
		Timeout: 2 * time.Minute, // a machine may be busy
		Assignees: func(context.Context, console.Viewer) ([]incident.UserID, error) {
			return []incident.UserID{"dana", "erin"}, nil
		},
	}
	for _, c := range change {
		c(&w.options)
	}
	if w.pages, err = console.New(w.faults, &w.options); err != nil {
		t.Fatal(err)
	}
	return w
}

// create records an incident, and returns its path.
func (w *world) create(title string, projects ...incident.ProjectID) string {
	w.Helper()
	r, err := w.incidents.Create(w.Context(), incident.NewIncident{OrganizationID: "acme", Title: title, Projects: projects})
	if err != nil {
		w.Fatal(err)
	}
	return fmt.Sprintf("/incidents/%d", r.Identifier)
}

// do serves a request of a viewer. header alternates names and values.
func (w *world) do(viewer, method, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	w.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequestWithContext(w.Context(), method, path, body)
	r.Header.Set("X-Viewer", viewer)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	w.pages.ServeHTTP(answer, r)
	return answer
}

// page serves a page, which must have the status.
func (w *world) page(viewer, path string, status int) string {
	w.Helper()
	answer := w.do(viewer, http.MethodGet, path, nil)
	if answer.Code != status {
		w.Fatalf("GET %s has status %d, want %d: %s", path, answer.Code, status, answer.Body)
	}
	return answer.Body.String()
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="(version|since|uuid)" value="([^"]*)">`)

// form returns the hidden fields of a page with the given fields.
func (w *world) form(page string, fields ...string) url.Values {
	w.Helper()
	values := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(page, -1) {
		values.Set(m[1], m[2])
	}
	if values.Get("uuid") == "" {
		w.Fatalf("the page has no hidden fields: %s", page)
	}
	for i := 0; i < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	return values
}

// post sends a form, whose answer must have the status.
func (w *world) post(viewer, path string, form url.Values, status int) *httptest.ResponseRecorder {
	w.Helper()
	answer := w.do(viewer, http.MethodPost, path, form)
	if answer.Code != status {
		w.Fatalf("POST %s has status %d, want %d: %s", path, answer.Code, status, answer.Body)
	}
	return answer
}

// wants checks that a page has the texts.
func (w *world) wants(page string, texts ...string) {
	w.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			w.Errorf("the page does not have %q:\n%.4000s", text, page)
		}
	}
}

// lacks checks that a page has none of the texts.
func (w *world) lacks(page string, texts ...string) {
	w.Helper()
	for _, text := range texts {
		if strings.Contains(page, text) {
			w.Errorf("the page has %q:\n%.4000s", text, page)
		}
	}
}

// A path that no page has must not change the answers to later requests.
func TestConsole_uncleanPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"//", "/./", "/incidents/../x", "/assets//console.css"} {
		w.page("dana", path, http.StatusNotFound)
		w.page("dana", "/", http.StatusOK)
	}
}
