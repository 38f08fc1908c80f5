package main

import (
	"strings"

	"github.com/incidentkit/incident"
)

func testIfMatch(w *world) {
	key := w.fire(w.acme)
	path := incidentURL(key)
	const closing = `{"status":2}`
	before := w.snapshot()
	for _, tag := range []string{
		`"2"`, `W/"2"`, `"01"`, `"+1"`, `"-1"`, `"0"`, `"9223372036854775808"`, `"a"`, `""`, `"2", W/"3"`, `,"2" ,, "3",`, "\"\xff\"",
		`"1-"`, `"1gzip"`, `"1-gzipped"`, `"1-foo"`, `"1---gzip"`, `"01-gzip"`, `"-gzip"`,
	} {
		w.want(412, "", "ada", "PUT", path, closing, "If-Match", tag)
	}
	for _, header := range []string{
		``, `,`, `1`, `"1`, `1"`, `"1""2"`, `*, "1"`, `"1", *`, `w/"1"`, `"a b"`, `"1";`, strings.Repeat(`"2", `, maxETags) + `"1"`,
	} {
		w.want(400, "", "ada", "PUT", path, closing, "If-Match", header)
	}
	if after := w.snapshot(); after != before {
		w.Errorf("something was written:\n%s\nwas\n%s", after, before)
	}
	// Comments, views and subscribers do not change the version.
	w.want(201, "", "grace", "POST", path+"comments/", `{"comment":"x"}`)
	w.want(201, "", "grace", "POST", path+"seen/", "")
	tag := w.want(200, "", "ada", "GET", path, "").header.Get("ETag")
	w.want(200, "", "ada", "PUT", path, closing, "If-Match", tag)
	w.want(412, "", "ada", "PUT", path, closing, "If-Match", tag)
	w.want(200, "", "ada", "PUT", path, closing, "If-Match", "*")
	w.want(200, "", "ada", "PUT", path, closing, "If-Match", `"1" ,	"2"`)

	w.reopen(key)
	w.want(200, "", "ada", "PUT", path, closing, "If-Match", `"1"`, "If-Match", `W/"3", "3"`)
	w.reopen(key)
	w.want(200, "", "ada", "PUT", path, closing, "If-Match", " * ")
	// There is nothing to match: 404 takes precedence.
	w.want(404, "", "ada", "PUT", list(w.acme)+"99/", closing, "If-Match", "*")
	w.want(404, "", "ada", "PUT", list(w.acme)+"99/", closing, "If-Match", `"1"`)
}

// Of two users who close the same version, the second gets 412.
func testIfMatchRace(w *world) {
	key := w.fire(w.acme)
	w.faults.fail = func(call string) error {
		if call != "write" {
			return nil
		}
		// Just before the write, another user changes the version.
		_, err := w.incidents.UpdateStatus(w.Context(), key, incident.StatusUpdate{Status: incident.StatusCritical})
		return err
	}
	w.want(412, "", "ada", "PUT", incidentURL(key), `{"status":2}`, "If-Match", `"1"`)
	if inc, err := w.incidents.Get(w.Context(), key); err != nil || inc.Status != incident.StatusCritical {
		w.Errorf("the incident is %+v, %v", inc, err)
	}
}

// rewritten are the forms that compressing proxies give to the ETag "1", by their default
// settings.
var rewritten = map[string]string{
	"nginx and Cloudflare": `W/"1"`,
	"Apache mod_deflate":   `"1-gzip"`,
	"Apache mod_brotli":    `"1-br"`,
	"Caddy":                `"1-zstd"`,
	"Jetty":                `"1--gzip"`,
	"a semicolon":          `"1;gzip"`,
	"a colon":              `"1:br"`,
	"Jetty, weak":          `W/"1--gzip"`,
	"two of Apache":        `"1-gzip-gzip"`,
	"Apache behind Caddy":  `W/"1-gzip-zstd"`,
}

// A proxy that changes the ETag of a compressed response does not change it back in the
// request that follows.
func testIfMatchRewritten(w *world) {
	for name, tag := range rewritten {
		path := incidentURL(w.fire(w.acme))
		stale := strings.Replace(tag, "1", "2", 1)
		w.want(412, "", "ada", "PUT", path, `{"status":2}`, "If-Match", stale)
		w.want(200, "", "ada", "PUT", path, `{"status":2}`, "If-Match", stale+", "+tag)
		w.want(412, "", "ada", "PUT", path, `{"status":2}`, "If-Match", tag)
		if got := w.want(200, "", "ada", "PUT", path, `{"status":2}`, "If-Match", stale); got.header.Get("ETag") != `"2"` {
			w.Errorf("%s: the ETag is %s", name, got.header.Get("ETag"))
		}
	}
}

func testIfNoneMatch(w *world) {
	key := w.fire(w.acme)
	path := incidentURL(key)
	const closing = `{"status":2}`
	before := w.snapshot()
	for _, tag := range []string{`*`, `"1"`, `"2", "1"`, `,"2" ,, "1",`} {
		w.want(412, "", "ada", "PUT", path, closing, "If-None-Match", tag)
	}
	for _, tag := range rewritten {
		w.want(412, "", "ada", "PUT", path, closing, "If-None-Match", tag)
		w.want(412, "", "ada", "PUT", path, closing, "If-None-Match", `"2", `+tag, "If-Match", `"1"`)
	}
	for _, header := range []string{``, `1`, `"1`, `*, "1"`, strings.Repeat(`"2", `, maxETags) + `"3"`} {
		w.want(400, "", "ada", "PUT", path, closing, "If-None-Match", header)
	}
	// An ETag does not cover the whole response, and a cached response would be stale.
	for _, tag := range []string{`*`, `"1"`, `W/"1"`, `"1-gzip"`, `1`} {
		for _, method := range []string{"GET", "HEAD"} {
			w.want(200, "", "ada", method, path, "", "If-None-Match", tag)
		}
	}
	w.want(412, "", "ada", "PUT", path, closing, "If-None-Match", `"3"`, "If-Match", `"2"`)
	w.want(404, "", "ada", "PUT", list(w.acme)+"99/", closing, "If-None-Match", "*")
	if after := w.snapshot(); after != before {
		w.Errorf("something was written:\n%s\nwas\n%s", after, before)
	}
	w.want(200, "", "ada", "PUT", path, closing, "If-None-Match", `"2", W/"3", "a"`)
	w.reopen(key)
	w.want(200, "", "ada", "PUT", path, closing, "If-None-Match", `"1"`, "If-Match", `"1", "3"`)
}

// A version that another user writes meanwhile is compared, too.
func testIfNoneMatchRace(w *world) {
	key := w.fire(w.acme)
	changes := []incident.Status{incident.StatusCritical, incident.StatusOpen}
	w.faults.fail = func(call string) error {
		if call != "write" || len(changes) == 0 {
			return nil
		}
		_, err := w.incidents.UpdateStatus(w.Context(), key, incident.StatusUpdate{Status: changes[0]})
		changes = changes[1:]
		return err
	}
	w.want(412, "", "ada", "PUT", incidentURL(key), `{"status":2}`, "If-None-Match", `"3"`)
	if inc, err := w.incidents.Get(w.Context(), key); err != nil || inc.Status != incident.StatusOpen {
		w.Errorf("the incident is %+v, %v", inc, err)
	}
	changes = []incident.Status{incident.StatusCritical}
	w.want(200, "", "ada", "PUT", incidentURL(key), `{"status":2}`, "If-None-Match", `"5"`)

	// The tries are bounded.
	key = w.fire(w.acme)
	for range 2 * maxETags {
		changes = append(changes, incident.StatusCritical, incident.StatusOpen)
	}
	w.want(409, "", "ada", "PUT", incidentURL(key), `{"status":2}`, "If-None-Match", `"100"`)
}

// reopen changes the status of a closed incident, and so its version.
func (w *world) reopen(key incident.Key) {
	w.Helper()
	if _, err := w.incidents.UpdateStatus(w.Context(), key, incident.StatusUpdate{Status: incident.StatusOpen}); err != nil {
		w.Fatal(err)
	}
}
