package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// hostileBodies are refused by every route with a body.
func hostileBodies() map[string]string {
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	return map[string]string{
		"nothing":                   " ",
		"no object":                 `"x"`,
		"null":                      `null`,
		"a list":                    `[{"comment":"x"}]`,
		"cut":                       `{"comment":"x"`,
		"cut in a string":           `{"comment":"x`,
		"cut in an escape":          `{"comment":"\u00`,
		"trailing garbage":          `{"comment":"x"}}`,
		"two objects":               `{"comment":"x"}{"comment":"x"}`,
		"a trailing NUL":            "{\"comment\":\"x\"}\x00",
		"a comma too many":          `{"comment":"x",}`,
		"a comma too few":           `{"comment":"x" "mentions":[]}`,
		"no colon":                  `{"comment" "x"}`,
		"a name that is none":       `{comment:"x"}`,
		"a name that is a number":   `{1:"x"}`,
		"a comment in JSON":         `{"comment":"x" /* no */}`,
		"a byte order mark":         "\ufeff" + `{"comment":"x"}`,
		"UTF-16":                    "\xff\xfe{\x00}\x00",
		"invalid UTF-8":             "{\"comment\":\"\xff\"}",
		"cut UTF-8":                 "{\"comment\":\"\xe2\x82\"}",
		"a surrogate in UTF-8":      "{\"comment\":\"\xed\xa0\x80\"}",
		"invalid UTF-8 in a name":   "{\"\xff\":\"x\"}",
		"half a surrogate pair":     `{"comment":"\ud800"}`,
		"the wrong half":            `{"comment":"\udc00\ud800"}`,
		"half a pair behind slash":  `{"comment":"\\\ud800"}`,
		"a raw control character":   "{\"comment\":\"\x01\"}",
		"a raw line end":            "{\"comment\":\"\n\"}",
		"NUL":                       `{"comment":"\u0000","status":2}`,
		"an escaped escape":         `{"comment":"\u001b","status":2}`,
		"a carriage return":         `{"comment":"a\r\nb","status":2}`,
		"a number for a text":       `{"comment":1}`,
		"an object for a text":      `{"comment":{}}`,
		"a list for a text":         `{"comment":["x"]}`,
		"a truth for a text":        `{"comment":true}`,
		"a huge number":             `{"comment":1e999999}`,
		"a long number":             `{"comment":` + strings.Repeat("9", 10_000) + `}`,
		"depth":                     `{"comment":` + deep + `}`,
		"depth in an unknown field": `{"x":` + deep + `}`,
		"depth alone":               deep,
		"a field twice":             `{"comment":"x","comment":"y"}`,
		"a field twice, escaped":    `{"comment":"x","\u0063omment":"y"}`,
		"another case":              `{"Comment":"x"}`,
		"an unknown field":          `{"comment":"x","moderator":true}`,
		"an empty name":             `{"":"x"}`,
		"a long name":               `{"` + strings.Repeat("x", 100_000) + `":1}`,
		"a prototype":               `{"__proto__":{"status":2}}`,
		"too much":                  `{"comment":"` + strings.Repeat("x", maxBodySize) + `"}`,
		"too much space":            strings.Repeat(" ", maxBodySize) + `{"comment":"x","status":2}`,
		"too long":                  `{"status":2,"comment":"` + strings.Repeat("x", incident.MaxCommentSize+1) + `"}`,
	}
}

func testHostileBodies(w *world) {
	key := w.commented(w.acme)
	before := w.snapshot()
	for _, r := range w.requests(key) {
		if r.body == "" {
			continue
		}
		for name, body := range hostileBodies() {
			want := 400
			if len(body) > maxBodySize {
				want = 413
			}
			got := w.want(want, "", "ada", r.method, r.path, body)
			if len(got.body) > 300 {
				w.Errorf("%v with %s got %d bytes", r, name, len(got.body))
			}
		}
		for _, media := range []string{
			"", "text/plain", "application/jsonx", "application/json; charset=latin1", "application/json;;", "json",
			"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/merge-patch+json",
		} {
			w.want(415, "", "ada", r.method, r.path, r.body, "Content-Type", media)
		}
		w.want(415, "", "ada", r.method, r.path, "")
		w.want(415, "", "ada", r.method, r.path, r.body, "Content-Encoding", "gzip")
	}
	for body, want := range map[string]string{
		`{"comment":"x","mentions":"ada"}`:                                     `{"mentions":["must be a list of strings"]}`,
		`{"comment":"x","mentions":{}}`:                                        `{"mentions":["must be a list of strings"]}`,
		`{"comment":"x","mentions":[1]}`:                                       `{"mentions":["must be a list of strings"]}`,
		`{"comment":"x","mentions":[["a"]]}`:                                   `{"mentions":["must be a list of strings"]}`,
		`{"comment":"x","mentions":["` + strings.Repeat("x", 256) + `"]}`:      `{"mentions":["entry 1 has 256 bytes, limit 255"]}`,
		`{"comment":"x","mentions":[` + strings.Repeat(`"a",`, 1000) + `"a"]}`: `{"mentions":["has 1001 entries, limit 1000"]}`,
		`{"comment":"x","mentions":["a\nb"]}`:                                  `{"mentions":["entry 1 contains the control character U+000A at byte 1"]}`,
	} {
		w.want(400, want, "ada", "POST", incidentURL(key)+"comments/", body)
	}
	if after := w.snapshot(); after != before {
		w.Errorf("something was written:\n%s\nwas\n%s", after, before)
	}
}

func testHostileQueries(w *world) {
	key := w.fire(w.acme)
	many := func(part string) string { return strings.Repeat(part, 10_000) }
	long := strings.Repeat("x", 8000)
	for _, path := range []string{list(w.acme), incidentURL(key) + "activity/"} {
		for _, query := range []string{
			"x=1", "Per_page=1", "per_page=0", "per_page=-1", "per_page=101", "per_page=1.5", "per_page=+5x", "per_page=9223372036854775808",
			"per_page=", "per_page=1&per_page=1", "per_page=%00", "cursor=", "cursor=x", "cursor=" + long, "cursor=%ff", "cursor=%00",
			"cursor=AAAA&cursor=AAAA", "%zz=1", "per_page=%z", "per_page=1;desc=1", "a%00b=1", "%ff=1", "=1", "&&&=&&&", many("&")[:9000] + "x=1",
			strings.Repeat("project[]=1&", 600), "cursor[]=x", "cursor=" + strings.Repeat("A", 55), "cursor=" + strings.Repeat("A", 44) + "%0a",
		} {
			got := w.want(400, "", "ada", "GET", path+"?"+query, "")
			if len(got.body) > 300 {
				w.Errorf("%s?%.50s got %d bytes", path, query, len(got.body))
			}
		}
		// A header that is too large never reaches a handler.
		for _, query := range []string{many("a=1&"), many("&"), "cursor=" + many("x")} {
			got := w.status(path + "?" + query)
			if got != http.StatusRequestHeaderFieldsTooLarge && len(query) > 20_000 || got < 400 && len(query) > 10_000 {
				w.Errorf("%d bytes of query = %d", len(query), got)
			}
		}
	}
	for _, query := range []string{
		"status=", "status=OPEN", "status=1", "status=open&status=open", "title=a&title=b", "title=", "title=%ff", "title=%00", "title=" + strings.Repeat("%ff", 2000),
		"alertRule=" + strings.Repeat("x", 256), "alertRule=%0a", "project=", "project=" + strings.Repeat("x", 256), "project=%00", "project=%ff",
		"start=", "start=now", "start=2026-01-01", "start=0001-01-01T00:00:00Z", "start=1969-12-31T23:59:59Z", "end=9999-12-31T23:59:59.999999999-23:59",
		"start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z", "start=2026-01-01T00:00:00+00:00", "start=2026-13-01T00:00:00Z", "end=" + long,
		"desc=1", strings.Repeat("project=x&", 101) + "project=x",
	} {
		w.want(400, "", "root", "GET", list(w.acme)+"?"+query, "")
	}
}

// status is the status of a response that is not the handler's.
func (w *world) status(path string) int {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), "GET", w.strict(defaultLimits)+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer token-of-ada")
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(r)
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// unhurried are limits for clients that a busy machine may interrupt within a header.
var unhurried = func() limits {
	l := defaultLimits
	l.header = time.Minute
	return l
}()

// strict serves the world's handler with limits, and returns its URL.
func (w *world) strict(l limits) string {
	w.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	server := newServer(w.handler, l, slog.New(slog.NewJSONHandler(w.log, nil)))
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	w.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return "http://" + listener.Addr().String()
}

func testHostilePaths(w *world) {
	w.fire(w.acme)
	for _, path := range []string{
		list(w.acme) + "%2e%2e/", list(w.acme) + "..%2f..%2f/", list(w.acme) + "1%2fseen/", list(w.acme) + "1/%73een%00/",
		list(w.acme) + strings.Repeat("9", 1000) + "/", list(w.acme) + "1/comments/-1/", "/%00/", "/%ff%fe/", "/" + strings.Repeat("a/", 2000),
	} {
		got := w.do("ada", "GET", path, "")
		if got.status != 404 && got.status != 405 {
			w.Errorf("%s = %d %s", path, got.status, got.body)
		}
	}
}

// exchange sends bytes to a server, and returns its responses until it closes the
// connection or has responded.
func exchange(t testing.TB, url string, parts ...string) (*http.Response, []byte, error) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	for _, part := range parts {
		if _, err := io.WriteString(conn, part); err != nil {
			break // the server has had enough; it may have said so
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, body, err
}

func testHostileHeaders(w *world) {
	key := w.fire(w.acme)
	url := w.strict(unhurried)
	start := "GET " + incidentURL(key) + " HTTP/1.1\r\nHost: x\r\n"
	var flood strings.Builder
	for n := range 10_000 {
		fmt.Fprintf(&flood, "X-%d: %d\r\n", n, n)
	}
	for name, parts := range map[string][]string{
		"many headers":         {start, flood.String(), "\r\n"},
		"a long header":        {start, "Authorization: Bearer ", strings.Repeat("x", 1<<20), "\r\n\r\n"},
		"a long name":          {start, strings.Repeat("x", 1<<20), ": 1\r\n\r\n"},
		"a long path":          {"GET /", strings.Repeat("x", 1<<20), " HTTP/1.1\r\nHost: x\r\n\r\n"},
		"no host":              {"GET / HTTP/1.1\r\n\r\n"},
		"two lengths":          {"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"},
		"a negative length":    {"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"},
		"an unknown encoding":  {"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n"},
		"a space in the name":  {start, "Authorization : Bearer x\r\n\r\n"},
		"a NUL in a header":    {start, "Authorization: Bearer \x00\r\n\r\n"},
		"a line end in a path": {"GET /\n/ HTTP/1.1\r\nHost: x\r\n\r\n"},
		"no HTTP":              {"hello\r\n\r\n"},
	} {
		res, body, err := exchange(w, url, parts...)
		if err != nil && !strings.HasPrefix(name, "a long") && name != "many headers" {
			w.Errorf("%s: %v", name, err)
		}
		if err == nil && (res.StatusCode < 400 || res.StatusCode >= 500 && res.StatusCode != 501) {
			w.Errorf("%s = %d %s", name, res.StatusCode, body)
		}
	}
	// A header without an end is cut off.
	brief := defaultLimits
	brief.header = 200 * time.Millisecond
	url = w.strict(brief)
	took := time.Hour
	for attempt := 0; attempt < 5 && took > defaultLimits.header/2; attempt++ { // a busy machine may be late
		began := time.Now()
		if res, body, err := exchange(w, url, start); err == nil && res.StatusCode < 400 {
			w.Errorf("half a header = %d %s", res.StatusCode, body)
		}
		took = time.Since(began)
	}
	if took > defaultLimits.header/2 {
		w.Errorf("half a header was waited for %v", took)
	}
}

// A missing body is waited for until the limit, and nothing is written.
func testSlowBodies(w *world) {
	key := w.commented(w.acme)
	before := w.snapshot()
	brief := unhurried
	brief.read = 200 * time.Millisecond
	url, patient := w.strict(brief), w.strict(unhurried)
	for _, r := range w.requests(key) {
		if r.body == "" {
			continue
		}
		header := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token-of-ada\r\nContent-Type: application/json\r\n", r.method, r.path)
		for _, rest := range []string{
			"Content-Length: 100\r\n\r\n", "Content-Length: 100\r\n\r\n" + r.body, "Transfer-Encoding: chunked\r\n\r\n2\r\n{\"",
		} {
			began := time.Now()
			res, body, err := exchange(w, url, header, rest)
			if err != nil {
				w.Errorf("%v: %v", r, err)
				continue
			}
			if d := time.Since(began); res.StatusCode != http.StatusRequestTimeout || d > defaultLimits.read*2/3 {
				w.Errorf("%v with a slow body = %d %s after %v", r, res.StatusCode, body, d)
			}
			sent, err := http.NewRequestWithContext(w.Context(), r.method, url+r.path, nil)
			if err != nil {
				w.Fatal(err)
			}
			res.Header.Del("Connection")
			w.spec.check(w, sent, nil, res, body)
		}
		// An invalid chunk is refused at once.
		res, body, err := exchange(w, patient, header, "Transfer-Encoding: chunked\r\n\r\nzz\r\n")
		if err != nil || res.StatusCode != http.StatusBadRequest {
			w.Errorf("%v with a bad chunk = %v %s, %v", r, res, body, err)
		}
	}
	if after := w.snapshot(); after != before {
		w.Errorf("something was written:\n%s\nwas\n%s", after, before)
	}
}
