package console_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/console"
)

// A panic of the host's functions ends the request, and not the process.
func TestHostile_panicOfTheHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *console.Options) {
		o.Assignees = func(context.Context, console.Viewer) ([]incident.UserID, error) { panic("no such table") }
	})
	path := w.create("Checkout fails")
	defer func() {
		if p := recover(); p != "no such table" {
			t.Errorf("the handler's panic is %v, want that of the host", p)
		}
	}()
	w.do("dana", http.MethodGet, path, nil)
}

// The time limit of a request includes the host's look-up of the viewer.
func TestHostile_slowAuthenticate(t *testing.T) {
	t.Parallel()
	limited := false
	w := newWorld(t, func(o *console.Options) {
		o.Authenticate = func(r *http.Request) (console.Viewer, error) {
			_, limited = r.Context().Deadline()
			return viewerOf(r)
		}
	})
	if w.page("dana", "/", http.StatusOK); !limited {
		t.Error("Authenticate has no deadline")
	}
}

// A host that returns no user, and no error, does not let anybody write in the name of a program.
func TestHostile_viewerWithoutUser(t *testing.T) {
	t.Parallel()
	for _, v := range []console.Viewer{{Organization: "acme"}, {User: "dana"}, {}} {
		w := newWorld(t, func(o *console.Options) {
			o.Authenticate = func(*http.Request) (console.Viewer, error) { return v, nil }
		})
		path := w.create("Checkout fails")
		w.page("", path, http.StatusServiceUnavailable)
		w.post("", path+"/comment", url.Values{"comment": {"x"}, "uuid": {strings.Repeat("0", 32)}}, http.StatusServiceUnavailable)
		if n := w.activities(incident.Key{OrganizationID: "acme", Identifier: 1}); n != 2 {
			t.Errorf("as %+v a comment is written", v)
		}
	}
}

// A page repeats the filter in its links: a long query would cost many times its length.
func TestHostile_longQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create("Checkout fails")
	for _, path := range []string{"/?label=", "/lanes?label=", "/?q=", "/?cursor=", "/incidents/1?cursor="} {
		answer := w.do("dana", http.MethodGet, path+strings.Repeat("x", 500_000), nil)
		if answer.Code != http.StatusRequestURITooLong && answer.Code != http.StatusBadRequest || answer.Body.Len() > 20_000 {
			t.Errorf("%s… has status %d and %d bytes, want 414 and a short page", path, answer.Code, answer.Body.Len())
		}
	}
	// All projects of a filter fit.
	query := url.Values{"status": {"all"}}
	for i := range incident.MaxProjects {
		query.Add("project", strings.Repeat("災", incident.MaxIDSize/3-1)+string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	w.page("dana", "/?"+query.Encode(), http.StatusOK)
}

// The page of an incident is bounded, and so is the memory of its request, whatever was commented.
func TestHostile_longComments(t *testing.T) {
	w := newWorld(t)
	path := w.create("Checkout fails")
	key := incident.Key{OrganizationID: "acme", Identifier: 1}
	const size = 64 << 10
	for range 50 {
		if _, err := w.incidents.Comment(t.Context(), key, incident.NewComment{UserID: "mallory", Comment: strings.Repeat(`"`, size-1)}); err != nil {
			if errors.Is(err, incident.ErrInvalid) {
				t.Fatalf("a comment of %d bytes: %v", size, err)
			}
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	page := w.page("dana", path, http.StatusOK)
	runtime.ReadMemStats(&after)
	t.Logf("%d bytes, %d allocated", len(page), after.TotalAlloc-before.TotalAlloc)
	if len(page) > 2<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 32<<20 {
		t.Errorf("the request allocates %d bytes", n)
	}
}
