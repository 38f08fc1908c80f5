package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// Every request gets a described response, never 5xx, and no data of an organization that
// the user is not a member of.
func FuzzHandler(f *testing.F) {
	described := newSpec(f)
	for _, path := range []string{"", "1/", "1/seen/", "1/activity/", "1/comments/", "1/comments/4/", "1/comments/5/", "1/subscriptions/", "2/"} {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE"} {
			for user := range fuzzUsers {
				f.Add(byte(user), method, list("acme")+path, "If-Match: \"1\"\r\n", []byte(`{"status":2}`))
				f.Add(byte(user), method, list("globex")+path, "", []byte(`{"comment":"x"}`))
			}
		}
	}
	for _, tag := range rewritten {
		f.Add(byte(0), "PUT", list("acme")+"1/", "If-Match: "+tag+"\r\n", []byte(`{"status":2}`))
		f.Add(byte(0), "PUT", list("acme")+"1/", "If-None-Match: "+tag+"\r\n", []byte(`{"status":2}`))
	}
	for _, body := range hostileBodies() {
		if len(body) < 1000 {
			f.Add(byte(0), "POST", list("acme")+"1/comments/", "", []byte(body))
			f.Add(byte(0), "PUT", list("acme")+"1/", "", []byte(body))
		}
	}
	for _, query := range []string{"project=checkout&project=search", "status=open", "start=2026-01-01T00:00:00Z&end=2027-01-01T00:00:00Z", "cursor=x", "per_page=1", "title=%41"} {
		f.Add(byte(1), "GET", list("acme")+"?"+query, "X-Request-Id: x\r\n", []byte(nil))
		f.Add(byte(1), "GET", list("acme")+"1/activity/?desc=0&"+query, "", []byte(nil))
	}
	f.Fuzz(func(t *testing.T, user byte, method, target, header string, body []byte) {
		raw := method + " " + target + " HTTP/1.1\r\nHost: x\r\n" + header + "\r\n"
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return // net/http refuses it
		}
		w := newFuzzWorld(t, described)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if r.Header.Get("Content-Type") == "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if name := fuzzUsers[int(user)%len(fuzzUsers)]; name != "" {
			r.Header["Authorization"] = []string{"Bearer token-of-" + name}
		}
		before := w.snapshot()
		recorder := httptest.NewRecorder()
		w.handler.ServeHTTP(recorder, r)
		w.checkFuzzed(r, body, recorder, before)
	})
}

// fuzzUsers are members of acme, except users without an organization.
var fuzzUsers = []string{"ada", "grace", "bob", "eve", "root", "nobody", ""}

// newFuzzWorld returns a world whose users have left globex.
func newFuzzWorld(t *testing.T, described *spec) *world {
	w := newWorldOf(t, memory.New(), described, "acme", "globex")
	for _, of := range w.directory.users {
		delete(of, "globex")
	}
	w.commented("acme")
	for range 2 {
		key := w.create("globex", "a secret", "checkout", "secret")
		if _, err := w.incidents.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "a secret"}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) checkFuzzed(r *http.Request, body []byte, recorder *httptest.ResponseRecorder, before string) {
	w.Helper()
	res := recorder.Result()
	got := recorder.Body.Bytes()
	text := recorder.Body.String()
	if !slices.Contains([]int{200, 201, 204, 400, 401, 403, 404, 405, 412, 413, 415}, res.StatusCode) {
		w.Errorf("%s %s = %d %s", r.Method, r.URL, res.StatusCode, got)
	}
	sent := body
	if _, name, known := w.spec.operation(r); known && bodies[name] == "" {
		sent = nil // nobody reads it
	}
	if known := strings.HasPrefix(r.URL.EscapedPath(), "/api/") || r.URL.EscapedPath() == openAPIPath; known && r.Method != http.MethodHead {
		w.spec.check(w, r, sent, res, got)
	}
	after := w.snapshot()
	if res.StatusCode >= 400 && after != before {
		w.Errorf("%s %s = %d has written\n%s", r.Method, r.URL, res.StatusCode, after)
	}
	for _, part := range []string{text, w.log.String()} {
		if strings.Contains(part, "secret") {
			w.Errorf("%s %s reveals data of the other organization: %s", r.Method, r.URL, part)
		}
	}
	if res.StatusCode != 204 && recorder.Header().Get("Content-Type") != "application/json" {
		w.Errorf("%s %s is %s", r.Method, r.URL, recorder.Header().Get("Content-Type"))
	}
}
