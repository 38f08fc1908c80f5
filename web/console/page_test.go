package console_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/console"
)

func TestPage_answersNotModified(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails", "shop")
	for _, p := range []string{"/", path} {
		first := w.do("dana", http.MethodGet, p, nil)
		tag := first.Header().Get("ETag")
		if second := w.do("dana", http.MethodGet, p, nil); second.Header().Get("ETag") != tag || second.Body.String() == first.Body.String() {
			t.Errorf("%s: the ETag %s differs, or the tokens do not", p, tag)
		}
		for _, header := range []string{tag, `"x", ` + tag, "*", strings.TrimPrefix(tag, "W/")} {
			if got := w.do("dana", http.MethodGet, p, nil, "If-None-Match", header); got.Code != http.StatusNotModified || got.Body.Len() != 0 {
				t.Errorf("%s with If-None-Match %s has status %d", p, header, got.Code)
			}
		}
		if got := w.do("erin", http.MethodGet, p, nil, "If-None-Match", tag); got.Code != http.StatusOK {
			t.Errorf("%s for another viewer has status %d", p, got.Code)
		}
		w.post("erin", path+"/comment", w.form(w.page("erin", path, http.StatusOK), "comment", "on "+p), http.StatusSeeOther)
		w.post("erin", path+"/acknowledge", w.form(w.page("erin", path, http.StatusOK), "until", map[string]string{"/": "1h", path: "4h"}[p]), http.StatusSeeOther)
		if got := w.do("dana", http.MethodGet, p, nil, "If-None-Match", tag); got.Code != http.StatusOK {
			t.Errorf("%s after a change has status %d", p, got.Code)
		}
	}
}

func TestPage_headHasTheLengthOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/", "/nothing"} {
		get, head := w.do("dana", http.MethodGet, path, nil), w.do("dana", http.MethodHead, path, nil)
		if head.Code != get.Code || head.Body.Len() != 0 || head.Header().Get("Content-Length") != fmt.Sprint(get.Body.Len()) {
			t.Errorf("HEAD %s: status %d, %d bytes, length %s; GET has %d bytes", path, head.Code, head.Body.Len(), head.Header().Get("Content-Length"), get.Body.Len())
		}
	}
}

func TestPage_signIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *console.Options) { o.SignIn = "/login" })
	if got := w.do("", http.MethodGet, "/", nil); got.Code != http.StatusSeeOther || got.Header().Get("Location") != "/login" {
		t.Errorf("status %d, Location %q", got.Code, got.Header().Get("Location"))
	}
	if got := w.do("", http.MethodGet, "/", nil, "Sec-Fetch-Dest", "empty"); got.Code != http.StatusUnauthorized {
		t.Errorf("a script gets status %d", got.Code)
	}
	// The policy forbids a form that searches to be redirected to another origin.
	if got := w.do("", http.MethodGet, "/lanes?q=x", nil); got.Code != http.StatusUnauthorized || got.Header().Get("Refresh") != "0; url=/login" {
		t.Errorf("status %d, Refresh %q", got.Code, got.Header().Get("Refresh"))
	}
	// Over plain http a browser does not say for what it asks.
	for accept, want := range map[string]int{
		"text/html,application/xhtml+xml,*/*;q=0.8": http.StatusSeeOther, "*/*": http.StatusUnauthorized, "text/event-stream": http.StatusUnauthorized,
	} {
		if got := w.do("", http.MethodGet, "/", nil, "Accept", accept); got.Code != want {
			t.Errorf("a request that accepts %s has status %d, want %d", accept, got.Code, want)
		}
	}
	page := w.post("", "/incidents/1/comment", url.Values{"comment": {"my <text>"}, "uuid": {strings.Repeat("ab", 16)}}, http.StatusUnauthorized).Body.String()
	w.wants(page, `href="/login"`, "my &lt;text&gt;</textarea>", strings.Repeat("ab", 16), "Send again")
}

func TestNew_refusesOptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, o := range []*console.Options{
		nil,
		{},
		{Authenticate: viewerOf, Timeout: -1},
		{Authenticate: viewerOf, SignIn: "login"},
		{Authenticate: viewerOf, SignIn: "javascript:alert(1)"},
		{Authenticate: viewerOf, SignIn: "//host/login"},
	} {
		if _, err := console.New(w.incidents, o); !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("New(%+v) returns %v", o, err)
		}
	}
	if _, err := console.New(nil, &console.Options{Authenticate: viewerOf}); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("New without a Manager returns %v", err)
	}
}

func TestPage_asksForAllNamesAtOnce(t *testing.T) {
	t.Parallel()
	asked := 0
	w := newWorld(t, func(o *console.Options) {
		o.UserNames = func(_ context.Context, org incident.OrganizationID, users []incident.UserID) (map[incident.UserID]string, error) {
			asked++
			slices.Sort(users)
			if org != "acme" || len(slices.Compact(slices.Clone(users))) != len(users) {
				t.Errorf("asked for %v of %s", users, org)
			}
			return map[incident.UserID]string{"dana": "Dana <D>"}, nil
		}
		o.ProjectNames = func(context.Context, incident.OrganizationID, []incident.ProjectID) (map[incident.ProjectID]string, error) {
			return nil, errors.New("the directory is away")
		}
	})
	path := w.create("Checkout fails", "shop")
	w.post("dana", path+"/comment", w.form(w.page("dana", path, http.StatusOK), "comment", "x"), http.StatusSeeOther)
	asked = 0
	w.wants(w.page("dana", path, http.StatusOK), `<bdi class="actor">Dana &lt;D&gt;</bdi> commented`, "<option value=\"erin\">erin", `<li><a href="../?project=shop&amp;status=all"><bdi>shop</bdi></a></li>`)
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// A page is better than none: without the host's directory it shows identifiers, and offers the viewer to
// be assigned.
func TestPage_ofADirectoryThatFails(t *testing.T) {
	t.Parallel()
	away := errors.New("the directory is away")
	var log bytes.Buffer
	w := newWorld(t, func(o *console.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.UserNames = func(context.Context, incident.OrganizationID, []incident.UserID) (map[incident.UserID]string, error) {
			return map[incident.UserID]string{"dana": "half a name"}, away
		}
		o.Assignees = func(context.Context, console.Viewer) ([]incident.UserID, error) {
			return []incident.UserID{"erin"}, away
		}
	})
	path := w.create("Checkout fails")
	page := w.page("dana", path, http.StatusOK)
	w.wants(page, "Signed in as</span> <bdi>dana</bdi>", `<option value="dana">dana</option>`)
	w.lacks(page+w.page("dana", path+"/markdown", http.StatusOK), "half a name", "erin", "away")
	if got := strings.Count(log.String(), "the directory is away"); got < 2 {
		t.Errorf("logged %q", log.String())
	}
	// A form still asks whether the assignee is permitted.
	w.post("dana", path+"/assign", w.form(page, "assignee", "erin"), http.StatusServiceUnavailable)
	w.post("dana", path+"/assign", w.form(page, "assignee", "dana"), http.StatusSeeOther)
}

// A zone without a name that says something is shown by its abbreviation. The environment may give the
// zone of the process a name.
func TestPage_zoneWithoutAName(t *testing.T) {
	t.Parallel()
	local := time.Local.String()
	if local == "Local" {
		local = now.Local().Format("MST")
	}
	for want, location := range map[string]*time.Location{
		"CEST": time.FixedZone("CEST", 2*60*60), "+0330": time.FixedZone("", 3*60*60+30*60), local: time.Local,
	} {
		w := newWorld(t, func(o *console.Options) {
			o.Authenticate = func(*http.Request) (console.Viewer, error) {
				return console.Viewer{Organization: "acme", User: "dana", Location: location}, nil
			}
		})
		w.wants(w.page("dana", "/", http.StatusOK), "Times are in "+strings.ReplaceAll(want, "+", "&#43;")+".")
	}
}

// The viewer's zone is that of the page, through a change of the clocks.
func TestPage_showsTimesInTheViewersZone(t *testing.T) {
	t.Parallel()
	for zone, want := range map[string][]string{
		"Asia/Kolkata":  {"16:02 IST", "25 Oct, 06:00 IST", "25 Oct, 07:00 IST"},
		"Europe/Berlin": {"11:32 CET", "25 Oct, 02:30 CEST", "25 Oct, 02:30 CET"},
	} {
		location, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, func(o *console.Options) {
			o.Authenticate = func(*http.Request) (console.Viewer, error) {
				return console.Viewer{Organization: "acme", User: "dana", Location: location}, nil
			}
		})
		for _, started := range []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-11-26T10:32:00Z"} {
			at, _ := time.Parse(time.RFC3339, started)
			if _, err := w.incidents.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "x", DateStarted: at}); err != nil {
				t.Fatal(err)
			}
		}
		page := w.page("dana", "/", http.StatusOK)
		w.wants(page, append(want, `data-zone="`+zone+`"`, `<time datetime="2026-10-25T00:30:00Z" title="2026-10-25 00:30:00 UTC">`)...)
	}
}

// hostile is a title of the greatest length with markup and controls of direction.
func hostile() string {
	title := "</bdi></title><script>alert(1)</script>\u202e\u2066'\"><img src=x onerror=alert(1)> &amp; {{.Root}} "
	return title + strings.Repeat("\U0001f525", incident.MaxTitleLength-utf8.RuneCountInString(title))
}

func TestPage_isSafeFromHostileTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := strings.Repeat("</textarea></blockquote><script>alert(2)</script>\u202e", 1400)[:incident.MaxCommentSize-3]
	text = strings.ToValidUTF8(text, "")
	_, err := w.incidents.Create(t.Context(), incident.NewIncident{
		OrganizationID: "acme", Title: hostile(), Projects: hundred(),
		Labels:      map[string]string{"<b>": "javascript:alert(3)", "u": "https://user@evil.example/"},
		Annotations: map[string]string{"runbook": "https://example.com/?a=1&b=\"><script>", "x": "JAVASCRIPT:alert(4)", "y": "data:text/html,<script>", "z": "//evil.example", "j": "javascript://evil.example/%0aalert(5)", "f": "ftp://evil.example/"},
	})
	if err != nil {
		t.Fatal(err)
	}
	page := w.page("dana", "/incidents/1", http.StatusOK)
	w.post("dana", "/incidents/1/comment", w.form(page, "comment", text), http.StatusSeeOther)
	whole := regexp.MustCompile(`href="\.\.(/incidents/1\?whole=3)#a3"`).FindStringSubmatch(w.page("dana", "/incidents/1", http.StatusOK))
	if whole == nil {
		t.Fatal("no link to the whole comment")
	}
	page = w.page("dana", whole[1], http.StatusOK)
	list := w.page("dana", "/", http.StatusOK)
	for _, p := range []string{page, list} {
		w.lacks(p, "<script>", "<img", "<b>", "alert(1)</script>")
		if n := strings.Count(p, "<bdi"); n != strings.Count(p, "</bdi>") {
			t.Errorf("%d elements bdi are not closed", n)
		}
	}
	if _, title, _ := strings.Cut(page, "<title>"); strings.ContainsAny(title[:strings.Index(title, "</title>")], "\u202e\u2066") {
		t.Error("the title of the document has controls of direction")
	}
	if got := strings.Count(page, "&lt;/textarea&gt;"); got != strings.Count(text, "</textarea>") {
		t.Errorf("the comment is shown %d times", got)
	}
	if got := strings.Count(page, "rel=\"noreferrer noopener\""); got != 1 {
		t.Errorf("%d values are links, want that of the runbook", got)
	}
	w.wants(page, `<a href="https://example.com/?a=1&amp;b=%22%3e%3cscript%3e" rel="noreferrer noopener">`, "project-99")
	w.wants(list, "and 97 more", "…</bdi>")
}

func hundred() (projects []incident.ProjectID) {
	for i := range incident.MaxProjects {
		projects = append(projects, incident.ProjectID(fmt.Sprintf("project-%d", i)))
	}
	return projects
}

func TestPage_fiftyRowsAreSmall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 50 {
		path := w.create(fmt.Sprintf("The checkout of shop %d fails for more than 5 %% of the customers in Europe", i), "checkout", "payment", "web")
		w.post("dana", path+"/acknowledge", url.Values{"version": {"1"}, "until": {"4h"}}, http.StatusSeeOther)
	}
	page := w.page("dana", "/", http.StatusOK)
	if n := strings.Count(page, `class="row"`); n != 50 || len(page) > 60<<10 {
		t.Errorf("%d rows have %d bytes", n, len(page))
	}
}

func TestPage_ofAStoreThatFails(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	w := newWorld(t, func(o *console.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	w.create("Checkout fails")
	w.faults.reads = fmt.Errorf("a secret address: %w", incident.ErrUnavailable)
	for _, path := range []string{"/", "/incidents/1", "/incidents/1/markdown", "/parked"} {
		got := w.do("operator", http.MethodGet, path, nil)
		if got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" || got.Header().Get("ETag") != "" {
			t.Errorf("%s has status %d", path, got.Code)
		}
		w.wants(got.Body.String(), "Not available", "Try again in a moment", "<nav")
		w.lacks(got.Body.String(), "secret", "Nothing was written")
	}
	if !strings.Contains(log.String(), "a secret address") {
		t.Errorf("the log lacks the error: %s", log.String())
	}
}

func TestPage_ofAnUnknownOutcomeSendsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.create("Checkout fails")
	form := w.form(w.page("dana", path, http.StatusOK), "comment", "my <text>\r\nand more")
	for _, after := range []bool{true, false} {
		form.Set("comment", fmt.Sprint(after, form.Get("comment")))
		before := w.activities(incident.Key{OrganizationID: "acme", Identifier: 1})
		w.faults.writes, w.faults.after = fmt.Errorf("lost: %w", incident.ErrUnknownOutcome), after
		page := w.post("dana", path+"/comment", form, http.StatusServiceUnavailable).Body.String()
		w.wants(page, "may have been written", "it is safe", "my &lt;text&gt;", form.Get("uuid"))
		w.faults.writes = nil
		w.post("dana", path+"/comment", form, http.StatusSeeOther)
		if n := w.activities(incident.Key{OrganizationID: "acme", Identifier: 1}); n != before+1 {
			t.Errorf("%d new activities", n-before)
		}
	}
}

func TestPage_ofAuthenticateThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *console.Options) {
		o.Authenticate = func(*http.Request) (console.Viewer, error) {
			return console.Viewer{}, errors.New("the directory is away")
		}
	})
	w.lacks(w.page("dana", "/", http.StatusServiceUnavailable), "directory", "<nav")
}

func TestPage_ofAViewerThatNoHostShouldReturn(t *testing.T) {
	t.Parallel()
	for _, v := range []console.Viewer{
		{},
		{Organization: "acme"},
		{User: "dana"},
		{Organization: "acme", User: "dana", Access: &incident.ProjectAccess{Projects: make([]incident.ProjectID, incident.MaxAccessProjects+1)}},
		{Organization: "acme", User: "dana", Access: &incident.ProjectAccess{Projects: []incident.ProjectID{"shop", ""}}},
		{Organization: "acme", User: "a\nb"},
		{Organization: incident.OrganizationID(strings.Repeat("x", incident.MaxIDSize+1)), User: "dana"},
	} {
		w := newWorld(t, func(o *console.Options) {
			o.Authenticate = func(*http.Request) (console.Viewer, error) { return v, nil }
		})
		w.page("dana", "/", http.StatusServiceUnavailable)
	}
}

func TestPage_ofAReadThatTakesTooLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.faults.reads = context.DeadlineExceeded
	w.wants(w.page("dana", "/", http.StatusServiceUnavailable), "too long")
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *console.Options) {
		o.UserNames = func(context.Context, incident.OrganizationID, []incident.UserID) (map[incident.UserID]string, error) {
			return map[incident.UserID]string{"dana": "Dana"}, nil
		}
	})
	path := w.create("Checkout fails", "shop")
	w.post("dana", path+"/comment", w.form(w.page("dana", path, http.StatusOK), "comment", "looking"), http.StatusSeeOther)
	got := w.do("dana", http.MethodGet, path+"/markdown", nil)
	if got.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("the type is %q", got.Header().Get("Content-Type"))
	}
	w.wants(got.Body.String(), "Checkout fails", "`Dana` commented", "> looking")
}
