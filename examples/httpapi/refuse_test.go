package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/incidentkit/incident"
)

// filtered reports whether only some of the tests run.
func filtered() bool {
	run := flag.Lookup("test.run").Value.String()
	return strings.Contains(run, "/")
}

// request is a request that succeeds.
type request struct{ method, path, body string }

func (r request) String() string { return r.method + " " + r.path }

// requests has a request for each route, about an incident with comment 4 by ada. The last closes
// the incident, which then has no reminders.
func (w *world) requests(key incident.Key) []request {
	w.Helper()
	all := make([]request, len(routes))
	for i, r := range routes {
		path := strings.NewReplacer(
			"{organization}", string(key.OrganizationID), "{identifier}", fmt.Sprint(key.Identifier), "{sequence}", "4", "{name}", "look",
		).Replace(r.path)
		all[i] = request{r.method, path, bodies[r.method+" "+r.path]}
	}
	slices.SortStableFunc(all, func(a, b request) int {
		return cmp.Compare(strings.Count(a.body, "status"), strings.Count(b.body, "status"))
	})
	return all
}

// bodies are the bodies of the routes that have any.
var bodies = map[string]string{
	"PUT " + base + "{identifier}/":                     `{"status":2}`,
	"POST " + base + "{identifier}/comments/":           `{"comment":"x"}`,
	"PUT " + base + "{identifier}/comments/{sequence}/": `{"comment":"y"}`,
	"PUT " + base + "{identifier}/reminders/{name}/":    `{"at":"2126-03-14T02:31:00Z"}`,
}

// commented returns an incident with comment 4 by ada.
func (w *world) commented(organization incident.OrganizationID) incident.Key {
	w.Helper()
	key := w.fire(organization)
	if _, err := w.incidents.Comment(w.Context(), key, incident.NewComment{UserID: "ada", Comment: "x"}); err != nil {
		w.Fatal(err)
	}
	return key
}

// Each request is refused for every reason common to all routes.
func testStatuses(w *world) {
	key := w.commented(w.acme)
	before := w.snapshot()
	for _, r := range w.requests(key) {
		w.testUnauthenticated(r)
		w.testForbiddenAndUnknown(r)
		w.testFaults(r)
	}
	if after := w.snapshot(); after != before {
		w.Errorf("something was written:\n%s\nwas\n%s", after, before)
	}
	for _, r := range w.requests(key) {
		if got := w.do("ada", r.method, r.path, r.body); got.status >= 300 {
			w.Errorf("%v = %d %s, want a request that succeeds", r, got.status, got.body)
		}
	}
}

func (w *world) testUnauthenticated(r request) {
	const token = "token-of-ada"
	for _, headers := range [][]string{
		nil,
		{"Authorization", ""},
		{"Authorization", "Bearer"},
		{"Authorization", "Bearer "},
		{"Authorization", "Bearer  " + token},
		{"Authorization", token},
		{"Authorization", "Basic " + token},
		{"Authorization", "Bearer " + token + "x"},
		{"Authorization", "Bearer " + token[:len(token)-1]},
		{"Authorization", "Bearer token-of-nobody"},
		{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token},
	} {
		got := w.want(401, `{"detail":"Authentication credentials were not provided or are not valid."}`, "", r.method, r.path, r.body, headers...)
		if got.header.Get("WWW-Authenticate") != "Bearer" {
			w.Errorf("%v with %q has no challenge", r, headers)
		}
	}
	if got := w.do("", r.method, r.path, r.body, "Authorization", "bEARER "+token+"-x"); got.status != 401 {
		w.Errorf("%v = %d", r, got.status)
	}
}

// testForbiddenAndUnknown sends requests as bob, without access to the incident, and
// requests for missing resources.
func (w *world) testForbiddenAndUnknown(r request) {
	denied := r
	if strings.HasSuffix(r.path, "/incidents/") {
		denied.path += "?project=checkout"
	} else {
		for _, identifier := range []string{"99", "0", "-1", "01", "+1", "1.0", "1e0", "x", "9223372036854775807", "9223372036854775808", "%31%00", "%C3", "１"} {
			path := strings.Replace(r.path, "/incidents/1/", "/incidents/"+identifier+"/", 1)
			w.want(404, `{"detail":"The requested resource does not exist."}`, "ada", r.method, path, r.body)
		}
	}
	w.want(400, `{"detail":"malformed: unknown parameter \"x\""}`, "ada", r.method, r.path+"?x=1", r.body)
	w.want(400, `{"detail":"malformed: unknown parameter \"\""}`, "ada", r.method, r.path+"?=", r.body)
	w.want(400, `{"detail":"malformed: the query cannot be parsed"}`, "ada", r.method, r.path+"?%zz", r.body)
	w.want(403, `{"detail":"You do not have permission to perform this action."}`, "bob", denied.method, denied.path, denied.body)
	for _, organization := range []string{"nobody", "ACME", "%00", "%C3", "a%2Fb", strings.Repeat("x", 300)} {
		path := strings.Replace(r.path, string(w.acme), organization, 1)
		w.want(404, `{"detail":"The requested resource does not exist."}`, "ada", r.method, path, r.body)
	}
}

// testFaults makes each call of the Manager fail.
func (w *world) testFaults(r request) {
	defer func() { w.faults.fail = nil }()
	for _, fault := range []struct {
		err    error
		status int
		detail string
	}{
		{incident.ErrUnavailable, 503, "Nothing was written; try again"},
		{incident.ErrUnknownOutcome, 503, "Look before you repeat it"},
		{context.DeadlineExceeded, 504, "took too long"},
		{errors.New("disk <on> fire"), 500, `{"detail":"Internal error."}`},
		{errPanic, 500, `{"detail":"Internal error."}`},
	} {
		w.faults.fail = func(string) error {
			if fault.err == errPanic {
				panic("a secret")
			}
			return fmt.Errorf("postgres: at 10.0.0.1: %w", fault.err)
		}
		got := w.want(fault.status, "", "ada", r.method, r.path, r.body)
		if !strings.Contains(got.body, fault.detail) || strings.Contains(got.body, "10.0.0.1") {
			w.Errorf("%v where the store has %v = %s", r, fault.err, got.body)
		}
		if (got.header.Get("Retry-After") != "") != (fault.err == incident.ErrUnavailable) {
			w.Errorf("%v where the store has %v: Retry-After is %q", r, fault.err, got.header.Get("Retry-After"))
		}
	}
}

// A conflict names the conflicting incident.
func testConflict(w *world) {
	key := w.commented(w.acme)
	odd := incident.OrganizationID(`a/b "<c>`)
	for _, c := range []struct {
		err  error
		want string
	}{
		{&incident.ConflictError{Existing: key}, `{"detail":"Another incident is in the way.","incident":"` + incidentURL(key) + `"}`},
		{
			&incident.ConflictError{Existing: incident.Key{OrganizationID: odd, Identifier: 7}},
			`{"detail":"Another incident is in the way.","incident":"/api/0/organizations/a%2Fb%20%22%3Cc%3E/incidents/7/"}`,
		},
		{incident.ErrConflict, `{"detail":"Another incident is in the way."}`},
		{incident.ErrVersionConflict, `{"detail":"Others kept changing the incident. Read it again and repeat the request."}`},
	} {
		w.faults.fail = func(call string) error {
			if call == "write" {
				return fmt.Errorf("incident: %w", c.err)
			}
			return nil
		}
		comment := incidentURL(key) + "comments/4/"
		w.want(409, c.want, "ada", "PUT", incidentURL(key), `{"status":2}`)
		w.want(409, c.want, "ada", "PUT", comment, `{"comment":"x"}`)
		w.want(409, c.want, "ada", "DELETE", comment, "")
	}
	w.want(412, "", "ada", "PUT", incidentURL(key), `{"status":2}`, "If-Match", `"1"`)
}

func testMethodsAndPaths(w *world) {
	key := w.commented(w.acme)
	methods := map[string]bool{}
	for _, r := range w.requests(key) {
		methods[r.method+" "+r.path] = true
	}
	for _, r := range w.requests(key) {
		var allowed []string
		for _, method := range []string{"DELETE", "GET", "HEAD", "POST", "PUT"} {
			if methods[method+" "+r.path] || method == "HEAD" && methods["GET "+r.path] {
				allowed = append(allowed, method)
			}
		}
		want := strings.Join(allowed, ", ")
		for _, method := range []string{"PATCH", "OPTIONS", "TRACE", "BREW", "DELETE", "GET", "POST", "PUT"} {
			if methods[method+" "+r.path] {
				continue
			}
			// Without a token: the description of the API is public.
			res, err := http.NewRequest(method, w.url()+r.path, nil)
			if err != nil {
				w.Fatal(err)
			}
			got, err := w.server.Client().Do(res)
			if err != nil {
				w.Fatal(err)
			}
			got.Body.Close()
			if got.StatusCode != 405 || got.Header.Get("Allow") != want {
				w.Errorf("%s %s = %d, Allow: %s, want 405 and %s", method, r.path, got.StatusCode, got.Header.Get("Allow"), want)
			}
			w.want(405, `{"detail":"Method not allowed. The Allow header names those that are."}`, "ada", method, r.path, "")
		}
		for _, path := range []string{
			strings.TrimSuffix(r.path, "/"), r.path + "/", r.path + "x", r.path + "x/", "/" + r.path, strings.Replace(r.path, "/incidents", "//incidents", 1),
			r.path + ".", r.path + "../", r.path + "./", strings.Replace(r.path, "/api", "/API", 1),
		} {
			if strings.HasSuffix(path, "/incidents/x/") || strings.HasSuffix(path, "/comments/x/") || strings.HasSuffix(path, "/reminders/x/") {
				continue // an invalid number, or the name of a reminder
			}
			w.want(404, `{"detail":"The requested resource does not exist."}`, "ada", r.method, path, "")
		}
	}
	for _, path := range []string{"/", "//", "/./", "/../", "/api/", "/api//", "/openapi.json/", "/openapi", "/favicon.ico"} {
		w.want(404, `{"detail":"The requested resource does not exist."}`, "", "GET", path, "")
	}
	w.want(200, strings.TrimSpace(string(openAPI)), "", "GET", openAPIPath, "")
	w.want(405, "", "", "POST", openAPIPath, "")
}

// The log has no harmful text of the client.
func testLog(w *world) {
	key := w.fire(w.acme)
	got := w.want(200, "", "ada", "GET", incidentURL(key), "", requestID, "my-id.1_2")
	if got.header.Get(requestID) != "my-id.1_2" {
		w.Errorf("the request's id is %s", got.header.Get(requestID))
	}
	for _, id := range []string{"", "a b", "<script>", strings.Repeat("x", 65), "id\t1", "ä"} {
		got := w.want(200, "", "ada", "GET", incidentURL(key), "", requestID, id)
		if echoed := got.header.Get(requestID); echoed == id || !isSafeID(echoed) {
			w.Errorf("the request's id %q became %q", id, echoed)
		}
	}
	w.want(404, "", "ada", "GET", "/evil%0d%0a<script>/", "")
	w.want(400, "", "ada", "GET", list(w.acme)+"?evil=%0a<script>", "")
	w.want(404, "", "ada", "GET", strings.Replace(incidentURL(key), string(w.acme), "evil%1b[2J", 1), "")
	w.want(401, "", "", "GET", incidentURL(key), "", "Authorization", "Bearer evil")
	log := w.log.String()
	for _, secret := range []string{"token-of", "evil", "<script>", "\x1b"} {
		if strings.Contains(log, secret) {
			w.Errorf("%q is in the log:\n%s", secret, log)
		}
	}
	first, _, _ := strings.Cut(log, "\n")
	for _, part := range []string{
		`"id":"my-id.1_2"`, `"method":"GET"`, `"pattern":"GET /api/0/organizations/{organization}/incidents/{identifier}/{$}"`,
		`"organization":"` + string(w.acme) + `"`, `"user":"ada"`, `"status":200`,
	} {
		if !strings.Contains(first, part) {
			w.Errorf("%s is not in %s", part, first)
		}
	}
	// A fault is logged and not shown to the client.
	w.faults.fail = func(string) error { panic("a secret") }
	w.want(500, `{"detail":"Internal error."}`, "ada", "GET", incidentURL(key), "", requestID, "the-panic")
	if log := w.log.String(); !strings.Contains(log, `"msg":"panic","id":"the-panic","value":"a secret","stack":"goroutine`) {
		w.Errorf("the panic is not in the log:\n%s", log)
	}
}
