package main

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// titles returns the titles of a list, in order.
func titles(t testing.TB, a answer) string {
	t.Helper()
	var all []string
	for _, inc := range decode[[]incident.Incident](t, a) {
		all = append(all, inc.Title)
	}
	return strings.Join(all, " ")
}

func testList(w *world) {
	at := func(n int) time.Time { return begun.Add(-time.Duration(10-n) * time.Hour) }
	create := func(title string, n int, status incident.Status, projects ...incident.ProjectID) incident.Key {
		r, err := w.incidents.Create(w.Context(), incident.NewIncident{
			OrganizationID: w.acme, Title: title, Status: status, Projects: projects, DateStarted: at(n),
		})
		if err != nil {
			w.Fatal(err)
		}
		return r.Key()
	}
	create("A", 1, incident.StatusOpen, "checkout")
	create("B", 2, incident.StatusWarning, "search")
	create("C", 3, incident.StatusCritical, "checkout", "search")
	closed := create("D", 4, incident.StatusOpen, "checkout")
	_, err := w.incidents.UpdateStatus(w.Context(), closed, incident.StatusUpdate{Status: incident.StatusClosed, Date: at(5)})
	if err != nil {
		w.Fatal(err)
	}
	w.fire(w.acme)
	create("E", 0, incident.StatusOpen)

	escape := func(n int) string { return url.QueryEscape(at(n).Format(time.RFC3339)) }
	for query, want := range map[string]string{
		"":                              "Checkout fails D C B A E",
		"?status=open":                  "Checkout fails C B A E",
		"?status=warning":               "Checkout fails B",
		"?status=critical":              "C",
		"?status=closed":                "D",
		"?project=search":               "C B",
		"?project=search&project=other": "C B",
		"?project=other":                "",
		"?title=out+FAI":                "Checkout fails",
		"?title=%25":                    "",
		"?alertRule=error-rate":         "Checkout fails",
		"?alertRule=none":               "",
		"?per_page=2":                   "Checkout fails D",
		"?end=" + escape(2):             "B A E",
		"?start=" + escape(6):           "Checkout fails C B A E",
		"?start=" + escape(5) + "&end=" + escape(5):        "D C B A E",
		"?status=closed&project=search":                    "",
		"?status=open&title=c&project=checkout&per_page=1": "Checkout fails",
	} {
		got := w.want(200, "", "root", "GET", list(w.acme)+query, "")
		if titles := titles(w, got); titles != want {
			w.Errorf("the list %s is %s, want %s", query, titles, want)
		}
	}
	w.want(200, "[]", "root", "GET", list(w.globex), "")
	w.want(200, "", "root", "HEAD", list(w.acme), "")
}

// linkPattern parses a Link header.
var linkPattern = regexp.MustCompile(`<([^>]*)>; rel="(\w+)"; results="(\w+)"; cursor="([^"]*)"`)

// follow returns the target in a Link header, or "" if there are no results.
func follow(t testing.TB, a answer, rel string) string {
	t.Helper()
	for _, link := range linkPattern.FindAllStringSubmatch(a.header.Get("Link"), -1) {
		if link[3] == "false" && (link[4] != "" || strings.Contains(link[1], "cursor=")) {
			t.Errorf("there is no %s page, and its link has a cursor: %s", link[2], link[0])
		}
		if link[2] != rel || link[3] != "true" {
			continue
		}
		if u, err := url.Parse(link[1]); err != nil || u.Query().Get("cursor") != link[4] || link[4] == "" {
			t.Errorf("the cursor %s is not that of %s, %v", link[4], link[1], err)
		}
		return link[1]
	}
	return ""
}

func testListPages(w *world) {
	for _, title := range strings.Split("A B C D E F G", " ") {
		w.create(w.acme, title+"&<x>", "checkout")
	}
	page := list(w.acme) + "?per_page=3&project=checkout&title=" + url.QueryEscape("&<x>")
	var forward, backward []string
	for path := page; path != ""; {
		got := w.want(200, "", "ada", "GET", path, "")
		forward = append(forward, titles(w, got))
		if (follow(w, got, "previous") == "") != (len(forward) == 1) {
			w.Errorf("page %d: %s", len(forward), got.header.Get("Link"))
		}
		page, path = path, follow(w, got, "next") // ends as the last page
	}
	for path := page; path != ""; {
		got := w.want(200, "", "ada", "GET", path, "")
		backward = append(backward, titles(w, got))
		path = follow(w, got, "previous")
	}
	want := []string{"G&<x> F&<x> E&<x>", "D&<x> C&<x> B&<x>", "A&<x>"}
	slices.Reverse(backward)
	if !slices.Equal(forward, want) || !slices.Equal(backward, want) {
		w.Errorf("pages are %q forward and %q backward, want %q", forward, backward, want)
	}
	// The Host header does not appear in the links.
	r := w.do("ada", "GET", list(w.acme)+"?per_page=1", "")
	if next := follow(w, r, "next"); !strings.HasPrefix(next, list(w.acme)+"?") {
		w.Errorf("the next page is at %s", next)
	}
}

// A user sees the incidents of the user's projects, and those without projects.
func testListAccess(w *world) {
	w.create(w.acme, "A", "checkout")
	w.create(w.acme, "B", "search")
	w.create(w.acme, "C", "checkout", "search")
	w.create(w.acme, "D", "billing")
	w.create(w.acme, "E")
	for user, want := range map[string]string{"ada": "E C A", "bob": "E C B", "grace": "E C B A", "eve": "E", "root": "E D C B A"} {
		got := w.want(200, "", user, "GET", list(w.acme), "")
		if titles := titles(w, got); titles != want {
			w.Errorf("%s sees %s, want %s", user, titles, want)
		}
	}
	got := w.want(200, "", "grace", "GET", list(w.acme)+"?project=search", "")
	if titles(w, got) != "C B" {
		w.Errorf("grace's list of search is %s", titles(w, got))
	}
	w.want(403, "", "ada", "GET", list(w.acme)+"?project=search", "")
	w.want(403, "", "ada", "GET", list(w.acme)+"?project=checkout&project=search", "")
	w.want(403, "", "eve", "GET", list(w.acme)+"?project=checkout", "")
	// A cursor is valid for another user with the same access.
	next := follow(w, w.want(200, "", "grace", "GET", list(w.acme)+"?per_page=1", ""), "next")
	w.want(200, "", "grace", "GET", next, "")
	w.want(400, "", "ada", "GET", next, "")
}
