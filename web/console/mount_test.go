package console_test

import (
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// mounts are the ways in which a host mounts a console.
var mounts = map[string]func(mux *http.ServeMux, pages http.Handler) (prefix string){
	"none": func(mux *http.ServeMux, pages http.Handler) string {
		mux.Handle("/", pages)
		return ""
	},
	"a prefix": func(mux *http.ServeMux, pages http.Handler) string {
		mux.Handle("/ops/", http.StripPrefix("/ops", pages))
		return "/ops"
	},
	"a prefix that is stripped with its slash": func(mux *http.ServeMux, pages http.Handler) string {
		mux.Handle("/ops/", http.StripPrefix("/ops/", pages))
		return "/ops"
	},
	"a prefix without a slash": func(mux *http.ServeMux, pages http.Handler) string {
		mux.Handle("/ops", http.StripPrefix("/ops", pages))
		mux.Handle("/ops/", http.StripPrefix("/ops", pages))
		return "/ops"
	},
	"two prefixes": func(mux *http.ServeMux, pages http.Handler) string {
		mux.Handle("/one/a%20b/", http.StripPrefix("/one/a b", pages))
		mux.Handle("/two/", http.StripPrefix("/two", pages))
		return "/one/a%20b"
	},
}

// TestMount_linksStayInside follows every link, form and redirect of the pages.
func TestMount_linksStayInside(t *testing.T) {
	t.Parallel()
	for name, mount := range mounts {
		w := newWorld(t)
		w.create("Checkout fails", "shop")
		w.create("Search fails")
		for range 60 {
			w.create("Many")
		}
		mux := http.NewServeMux()
		prefix := mount(mux, w.pages)
		c := &crawler{world: w, name: name, mux: mux, prefix: prefix, seen: map[string]bool{}}
		c.visit(prefix+"/", nil)
		if prefix != "" {
			c.visit(prefix, nil)
		}
		for _, path := range []string{"/incidents/N", "/lanes", "/bulk", "/parked", "/health", "/assets/console.css", "/incidents/N/comment", "/incidents/N/markdown"} {
			if !c.seen[prefix+path] {
				t.Errorf("%s: nothing links to %s", name, path)
			}
		}
	}
}

// crawler visits the pages of a mounted console as an operator.
type crawler struct {
	*world
	name   string
	mux    http.Handler
	prefix string
	seen   map[string]bool
}

var (
	links   = regexp.MustCompile(`<(?:a|link|script)\b[^>]* (?:href|src)="([^"]*)"`)
	forms   = regexp.MustCompile(`(?s)<form\b[^>]*? method="(get|post)"(?:[^>]*? action="([^"]*)")?.*?</form>`)
	targets = regexp.MustCompile(`formaction="([^"]*)"`)
	fields  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

var numbers = regexp.MustCompile(`/\d+`)

// shape returns what the pages of a kind have in common: the path without identifiers, and the
// names of the query.
func shape(target string) string {
	path, query, _ := strings.Cut(target, "?")
	values, _ := url.ParseQuery(query)
	return numbers.ReplaceAllString(path, "/N") + "?" + strings.Join(slices.Sorted(maps.Keys(values)), "&")
}

// visit requests a page of each shape once, and everything that the page names.
func (c *crawler) visit(target string, form url.Values) {
	c.Helper()
	if c.seen[shape(target)] && form == nil {
		return
	}
	path, _, _ := strings.Cut(shape(target), "?")
	c.seen[shape(target)], c.seen[path] = true, true
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r := httptest.NewRequestWithContext(c.Context(), method, target, body)
	r.Header.Set("X-Viewer", "operator")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	c.mux.ServeHTTP(answer, r)
	base, err := url.Parse(target)
	if err != nil {
		c.Fatal(err)
	}
	if location := answer.Header().Get("Location"); location != "" {
		c.visit(c.resolve(base, location), nil)
		return
	}
	if answer.Code != http.StatusOK && answer.Code != http.StatusBadRequest && answer.Code != http.StatusConflict {
		c.Errorf("%s: %s %s has status %d", c.name, method, target, answer.Code)
		return
	}
	if !strings.HasPrefix(answer.Header().Get("Content-Type"), "text/html") {
		return
	}
	page := answer.Body.String()
	for _, m := range links.FindAllStringSubmatch(page, -1) {
		if link := html.UnescapeString(m[1]); !strings.HasPrefix(link, "#") {
			c.visit(c.resolve(base, link), nil)
		}
	}
	for _, m := range forms.FindAllStringSubmatch(page, -1) {
		if c.resolve(base, html.UnescapeString(m[2])); form != nil {
			continue // the forms of an answer to a form are those of the page
		}
		values := url.Values{}
		for _, f := range fields.FindAllStringSubmatch(m[0], -1) {
			values.Add(f[1], html.UnescapeString(f[2]))
		}
		action := c.resolve(base, html.UnescapeString(m[2]))
		if m[1] == "get" {
			c.visit(action, nil)
		} else if !c.seen[shape(action)] {
			values.Add("action", "resolve")
			c.visit(action, values)
		}
	}
	for _, m := range targets.FindAllStringSubmatch(page, -1) {
		if action := c.resolve(base, html.UnescapeString(m[1])); !c.seen[shape(action)] {
			c.visit(action, url.Values{"action": {"resolve"}})
		}
	}
}

// resolve returns the URL of a link of a page, which must be relative and stay in the mount.
func (c *crawler) resolve(base *url.URL, link string) string {
	c.Helper()
	ref, err := url.Parse(link)
	if err != nil {
		c.Fatal(err)
	}
	if ref.Scheme != "" || ref.Host != "" || strings.HasPrefix(link, "/") && base.Path+"/" != ref.Path {
		c.Errorf("%s: %s has the link %q, which is not relative", c.name, base, link)
	}
	u := base.ResolveReference(ref)
	if got := u.EscapedPath(); !strings.HasPrefix(got, c.prefix+"/") {
		c.Errorf("%s: %s leads out of the mount to %s", c.name, base, got)
	}
	return u.RequestURI()
}
