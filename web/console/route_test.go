package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/console"
)

// routeCase is a route with an incident in its path.
type routeCase struct {
	console.Route
	method string
	path   string
	named  bool // the path names an incident
}

// routeCases returns all routes of the console for an incident.
func routeCases(id string) (all []routeCase) {
	for _, rt := range console.Routes() {
		method, path, _ := strings.Cut(rt.Pattern, " ")
		all = append(all, routeCase{rt, method, strings.ReplaceAll(path, "{id}", id), strings.Contains(path, "{id}")})
	}
	return all
}

// visit serves a request of a route with a form that every route accepts. A stream ends soon.
func (w *world) visit(viewer string, rt *routeCase, header ...string) *httptest.ResponseRecorder {
	w.Helper()
	var form url.Values
	if rt.method == http.MethodPost {
		form = url.Values{
			"version": {"2"}, "since": {"2"}, "uuid": {strings.Repeat("0a", 16)}, "comment": {"a comment"}, "title": {"a title"},
			"until": {"1h"}, "status": {"critical"}, "assignee": {"erin"}, "action": {"resolve"}, "key": {"1", "2"}, "confirm": {"yes"},
			"identifier": {"1"}, "notifier": {"pager"}, "sequence": {"4"},
		}
	}
	r := httptest.NewRequest(rt.method, rt.path, strings.NewReader(form.Encode()))
	if strings.Contains(rt.path, "stream") {
		ctx, cancel := context.WithTimeout(w.Context(), 30*time.Millisecond)
		defer cancel()
		r = r.WithContext(ctx)
	}
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

// newRouteWorld returns a world with the incident 1 of the project pay, which dana has acknowledged and
// commented on, and the incident 2 without a project.
func newRouteWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.create("A secret", "pay")
	w.create("For all")
	key := incident.Key{OrganizationID: "acme", Identifier: 1}
	if _, err := w.incidents.Acknowledge(t.Context(), key, incident.Acknowledgement{UserID: "dana"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.incidents.Comment(t.Context(), key, incident.NewComment{UserID: "dana", Comment: "Looking"}); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestRoutes_refuseViewersWithoutAccess(t *testing.T) {
	t.Parallel()
	for _, rt := range routeCases("1") {
		w := newRouteWorld(t)
		w.store.writes.Store(0)
		unknown := rt
		unknown.path = strings.Replace(rt.path, "/1", "/9", 1)
		if got := w.visit("", &rt); got.Code != http.StatusUnauthorized {
			t.Errorf("%s without a sign-in has status %d", rt.Pattern, got.Code)
		}
		for _, viewer := range []string{"foreign", "limited", "none"} {
			got, missing := w.visit(viewer, &rt), w.visit(viewer, &unknown)
			if strings.Contains(got.Body.String(), "secret") {
				t.Errorf("%s shows %s a hidden incident: %s", rt.Pattern, viewer, got.Body)
			}
			if !rt.named {
				continue
			}
			if got.Code != http.StatusNotFound || got.Body.String() != missing.Body.String() || fmt.Sprint(got.Header()) != fmt.Sprint(missing.Header()) {
				t.Errorf("%s for %s has status %d: %s\nan unknown incident has %d: %s", rt.Pattern, viewer, got.Code, got.Body, missing.Code, missing.Body)
			}
		}
		if rt.Operator {
			if got := w.visit("dana", &rt); got.Code != http.StatusNotFound {
				t.Errorf("%s for no operator has status %d", rt.Pattern, got.Code)
			}
		}
		if rt.method == http.MethodPost && !rt.Seen && !rt.Operator {
			if got := w.visit("reader", &rt); got.Code != http.StatusForbidden {
				t.Errorf("%s for a read-only viewer has status %d", rt.Pattern, got.Code)
			}
		}
		if n := w.store.writes.Load(); n != 0 && rt.Pattern != "POST /bulk" {
			t.Errorf("%s: %d writes of viewers without access", rt.Pattern, n)
		}
		if inc, err := w.incidents.Get(t.Context(), incident.Key{OrganizationID: "acme", Identifier: 1}); err != nil || inc.Version != 2 {
			t.Errorf("%s: a viewer without access has changed the incident: %v %v", rt.Pattern, inc, err)
		}
	}
}

func TestRoutes_answerTheirViewers(t *testing.T) {
	t.Parallel()
	for _, rt := range routeCases("1") {
		w := newRouteWorld(t)
		w.store.writes.Store(0)
		viewer := "dana"
		if rt.Operator {
			viewer = "operator"
		}
		switch got := w.visit(viewer, &rt); {
		case got.Code >= http.StatusBadRequest && rt.Pattern != "POST /incidents/{id}/reopen":
			t.Errorf("%s has status %d: %s", rt.Pattern, got.Code, got.Body)
		case rt.method == http.MethodGet && w.store.writes.Load() != 0:
			t.Errorf("%s writes", rt.Pattern)
		case rt.method == http.MethodPost && w.store.writes.Load() == 0:
			t.Errorf("%s does not write", rt.Pattern)
		}
	}
}

func TestRoutes_refuseOtherSites(t *testing.T) {
	t.Parallel()
	w := newRouteWorld(t)
	w.store.writes.Store(0)
	for _, rt := range routeCases("1") {
		if rt.method == http.MethodGet {
			continue
		}
		for _, header := range [][]string{
			{"Sec-Fetch-Site", "cross-site"},
			{"Sec-Fetch-Site", "same-site"},
			{"Origin", "https://evil.example"},
			{"Origin", "null"},
		} {
			if got := w.visit("operator", &rt, header...); got.Code != http.StatusForbidden || !strings.Contains(got.Body.String(), "another site") {
				t.Errorf("%s with %v has status %d", rt.Pattern, header, got.Code)
			}
		}
	}
	if n := w.store.writes.Load(); n != 0 {
		t.Errorf("%d writes of another site", n)
	}
	if got := w.visit("dana", &routeCase{method: http.MethodPost, path: "/incidents/1/comment"}, "Sec-Fetch-Site", "same-origin"); got.Code != http.StatusSeeOther {
		t.Errorf("the own site has status %d", got.Code)
	}
}

func TestRoutes_seenIsForReadersToo(t *testing.T) {
	t.Parallel()
	w := newRouteWorld(t)
	if got := w.do("reader", http.MethodPost, "/incidents/2/seen", nil); got.Code != http.StatusNoContent || got.Body.Len() != 0 {
		t.Errorf("status %d: %s", got.Code, got.Body)
	}
	w.wants(w.page("dana", "/incidents/2", http.StatusOK), "<li><bdi>rae</bdi> <span")
}

func TestRoutes_readersHaveNoForms(t *testing.T) {
	t.Parallel()
	w := newRouteWorld(t)
	for _, path := range []string{"/", "/incidents/1"} {
		w.lacks(w.page("reader", path, http.StatusOK), `method="post"`, "checkbox", "formaction")
	}
}

func TestRoutes_identifiersHaveASingleForm(t *testing.T) {
	t.Parallel()
	w := newRouteWorld(t)
	for _, id := range []string{"0", "-1", "01", "+1", "1.0", "x", "99999999999999999999", "1%20", "%31x"} {
		w.page("dana", "/incidents/"+id, http.StatusNotFound)
	}
}

// strict are the headers of every answer.
var strict = map[string]string{
	"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
	"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
}

func TestRoutes_setHeadersOnEveryAnswer(t *testing.T) {
	t.Parallel()
	w := newRouteWorld(t)
	answers := map[string]*httptest.ResponseRecorder{
		"404":        w.do("dana", http.MethodGet, "/nothing", nil),
		"404 deep":   w.do("dana", http.MethodGet, "/a/b/c", nil),
		"405":        w.do("dana", http.MethodDelete, "/incidents/1", nil),
		"415":        w.do("dana", http.MethodPost, "/incidents/1/comment", nil),
		"413":        w.do("dana", http.MethodPost, "/incidents/1/comment", url.Values{"comment": {strings.Repeat("x", 300_000)}}),
		"400":        w.do("dana", http.MethodPost, "/incidents/1/comment", url.Values{"comment": {""}}),
		"cross-site": w.do("dana", http.MethodPost, "/bulk", url.Values{}, "Sec-Fetch-Site", "cross-site"),
		"css":        w.do("", http.MethodGet, "/assets/console.css", nil),
		"js":         w.do("", http.MethodGet, "/assets/console.js", nil),
		"no asset":   w.do("", http.MethodGet, "/assets/nothing", nil),
		"HEAD":       w.do("dana", http.MethodHead, "/", nil),
		"unclean":    w.do("dana", http.MethodGet, "/incidents/../incidents/1", nil),
	}
	for _, rt := range routeCases("1") {
		answers[rt.Pattern] = w.visit("operator", &rt)
		answers[rt.Pattern+" 401"] = w.visit("", &rt)
	}
	for _, status := range []string{"404", "405", "415", "413", "400"} {
		if got := fmt.Sprint(answers[status].Code); got != status {
			t.Errorf("the answer %s has status %s", status, got)
		}
	}
	for name, a := range answers {
		for header, want := range strict {
			if got := a.Header().Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
		csp := a.Header().Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: the policy %q lacks %s", name, csp, part)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy %q is unsafe", name, csp)
		}
		if !strings.HasPrefix(name, "css") && !strings.HasPrefix(name, "js") && a.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control is %q", name, a.Header().Get("Cache-Control"))
		}
		inline := regexp.MustCompile(`(?i)<[^>]+ (style|on[a-z]+)=|<style|<script[^>]*>[^<]`)
		if found := inline.FindString(a.Body.String()); found != "" && strings.HasPrefix(a.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s has inline code: %s", name, found)
		}
	}
}
