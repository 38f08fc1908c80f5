package main

import (
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/incidentkit/incident"
)

// same compares two responses as a client sees them, except the request ID and the time.
func (w *world) same(what string, got, want answer) {
	w.Helper()
	text := func(a answer) string {
		h := maps.Clone(a.header)
		for _, name := range []string{requestID, "Date"} {
			delete(h, name)
		}
		return fmt.Sprint(a.status, h, a.body)
	}
	if text(got) != text(want) {
		w.Errorf("%s differs from a missing resource:\n%s\n%s", what, text(got), text(want))
	}
	if strings.Contains(got.body, "secret") || got.status < 400 {
		w.Errorf("%s = %d %s", what, got.status, got.body)
	}
}

// Two organizations have the same users and identifiers, and globex has more incidents.
// To members of acme, data of globex looks like missing data.
func testIsolation(w *world) {
	mine := w.commented(w.acme)
	theirs := w.commented(w.globex)
	if mine.Identifier != theirs.Identifier {
		w.Fatalf("the incidents are %v and %v", mine, theirs)
	}
	for range 3 {
		if _, err := w.incidents.Comment(w.Context(), theirs, incident.NewComment{UserID: "ada", Comment: "a secret"}); err != nil {
			w.Fatal(err)
		}
		w.create(w.globex, "a secret", "checkout", "secret")
	}
	for _, status := range []incident.Status{incident.StatusCritical, incident.StatusOpen} {
		if _, err := w.incidents.UpdateStatus(w.Context(), theirs, incident.StatusUpdate{Status: status, Comment: "a secret"}); err != nil {
			w.Fatal(err)
		}
	}
	before := w.snapshot()
	w.testForeignOrganization()
	w.testForeignIdentifiers()
	w.testForeignCursors(mine, theirs)
	w.testForeignParts(mine, theirs)
	if after := w.snapshot(); after != before {
		w.Errorf("something was written:\n%s\nwas\n%s", after, before)
	}
	for _, r := range w.requests(mine) {
		if got := w.do("ada", r.method, r.path, r.body); strings.Contains(got.body, "secret") || strings.Contains(got.body, string(w.globex)) {
			w.Errorf("%v reveals data of the other organization: %s", r, got.body)
		}
	}
}

// testForeignOrganization sends requests of a non-member.
func (w *world) testForeignOrganization() {
	nobody := incident.OrganizationID(strings.Repeat("x", len(w.acme)))
	unknown := w.requests(incident.Key{OrganizationID: nobody, Identifier: 1})
	for i, r := range w.requests(incident.Key{OrganizationID: w.acme, Identifier: 1}) {
		for _, query := range []string{"", "?cursor=x", "?desc=5"} {
			w.same(r.String()+query, w.do("mallory", r.method, r.path+query, r.body), w.do("mallory", r.method, unknown[i].path+query, r.body))
		}
		if r.body == "" {
			continue
		}
		for _, h := range [][]string{{"If-Match", `"1"`}, {"If-Match", `x`}, {"Content-Type", "text/plain"}} {
			w.same(r.String(), w.do("mallory", r.method, r.path, r.body, h...), w.do("mallory", r.method, unknown[i].path, r.body, h...))
		}
	}
}

// testForeignIdentifiers requests incidents in acme that only globex has.
func (w *world) testForeignIdentifiers() {
	unknown := w.requests(incident.Key{OrganizationID: w.acme, Identifier: 99})
	for _, identifier := range []int64{2, 3, 4} {
		for i, r := range w.requests(incident.Key{OrganizationID: w.acme, Identifier: identifier}) {
			if strings.HasSuffix(r.path, "/incidents/") {
				continue // the list names no incident
			}
			for _, user := range []string{"ada", "bob", "eve", "root"} {
				w.same(r.String(), w.do(user, r.method, r.path, r.body), w.do(user, r.method, unknown[i].path, r.body))
			}
		}
	}
}

// testForeignCursors continues acme's lists with cursors of globex.
func (w *world) testForeignCursors(mine, theirs incident.Key) {
	cursor := func(path string) string {
		next := follow(w, w.want(200, "", "ada", "GET", path, ""), "next")
		_, c, _ := strings.Cut(next, "cursor=")
		c, _, _ = strings.Cut(c, "&")
		if c == "" {
			w.Errorf("%s has no next page", path)
		}
		return c
	}
	damaged := strings.Repeat("A", len(cursor(list(w.globex)+"?per_page=1")))
	for _, path := range []string{list(w.acme) + "?", list(w.acme) + "?status=open&", list(w.acme) + "?project=checkout&"} {
		foreign := cursor(strings.Replace(path, string(w.acme), string(w.globex), 1) + "per_page=1")
		w.same(path, w.do("ada", "GET", path+"cursor="+foreign, ""), w.do("ada", "GET", path+"cursor="+damaged, ""))
	}
	for _, desc := range []string{"0", "1"} {
		foreign := cursor(incidentURL(theirs) + "activity/?per_page=1&desc=" + desc)
		path := incidentURL(mine) + "activity/?desc=" + desc + "&cursor="
		w.same(path, w.do("ada", "GET", path+foreign, ""), w.do("ada", "GET", path+damaged, ""))
	}
}

// testForeignParts requests sequences, versions, projects and users that only globex has.
func (w *world) testForeignParts(mine, theirs incident.Key) {
	comments := incidentURL(mine) + "comments/"
	for _, sequence := range []string{"5", "6", "7"} {
		w.same("editing "+sequence, w.do("ada", "PUT", comments+sequence+"/", `{"comment":"x"}`), w.do("ada", "PUT", comments+"99/", `{"comment":"x"}`))
		w.same("deleting "+sequence, w.do("ada", "DELETE", comments+sequence+"/", ""), w.do("ada", "DELETE", comments+"99/", ""))
	}
	tag := w.want(200, "", "ada", "GET", incidentURL(theirs), "").header.Get("ETag")
	w.same("the ETag "+tag, w.do("ada", "PUT", incidentURL(mine), `{"status":2}`, "If-Match", tag),
		w.do("ada", "PUT", incidentURL(mine), `{"status":2}`, "If-Match", `"99"`))
	w.same("the project", w.do("ada", "GET", list(w.acme)+"?project=secret", ""), w.do("ada", "GET", list(w.acme)+"?project=nothing", ""))
	w.same("the user", w.do("ada", "POST", comments, `{"comment":"x","mentions":["mallory"]}`),
		w.do("ada", "POST", comments, `{"comment":"x","mentions":["nobody"]}`))
	if got := w.do("root", "GET", list(w.acme)+"?project=secret", ""); got.status != http.StatusOK || strings.TrimSpace(got.body) != "[]" {
		w.Errorf("a list of the other's project = %d %s", got.status, got.body)
	}
}
