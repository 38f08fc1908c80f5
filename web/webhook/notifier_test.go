package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// serve returns a Notifier whose receiver is h.
func serve(t *testing.T, h http.HandlerFunc, o *Options) *Notifier {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return mustNotifier(t, server.URL+"/hook/path-secret?token=query-secret", o)
}

func mustNotifier(t *testing.T, url string, o *Options) *Notifier {
	t.Helper()
	n, err := NewNotifier(url, []Secret{mustSecret(t, wellKnown)}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// kind is how the library classifies an error.
func kind(err error) string {
	later, ok := errors.AsType[*incident.RetryAfterError](err)
	switch {
	case err == nil:
		return "delivered"
	case errors.Is(err, incident.ErrUndeliverable) && ok:
		return "both"
	case errors.Is(err, incident.ErrUndeliverable):
		return "given up"
	case ok:
		return "again after " + later.After.String()
	}
	return "again"
}

func TestNotifier_Outcome(t *testing.T) {
	for _, c := range []struct {
		status     int
		retryAfter string
		want       string
	}{
		{200, "", "delivered"},
		{201, "5", "delivered"},
		{202, "", "delivered"},
		{204, "", "delivered"},
		{299, "", "delivered"},
		{300, "", "again"},
		{301, "", "again"},
		{304, "", "again"},
		{307, "5", "again after 5s"},
		{308, "5", "again after 5s"},
		{400, "", "again"},
		{401, "", "again"},
		{403, "", "again"},
		{404, "", "again"},
		{404, "5", "again after 5s"},
		{408, "", "again"},
		{408, "5", "again after 5s"},
		{409, "", "again"},
		{410, "", "given up"},
		{410, "5", "given up"},
		{411, "", "again"},
		{413, "5", "again after 5s"},
		{418, "", "again"},
		{422, "", "again"},
		{425, "", "again"},
		{429, "", "again"},
		{429, "5", "again after 5s"},
		{451, "", "again"},
		{499, "", "again"},
		{500, "", "again"},
		{500, "5", "again after 5s"},
		{501, "", "again"},
		{502, "", "again"},
		{503, "", "again"},
		{503, "0", "again after 0s"},
		{503, "120", "again after 2m0s"},
		{503, "3600", "again after 1h0m0s"},
		{503, "3601", "again after 1h0m0s"},
		{503, "99999999999999999999", "again after 1h0m0s"},
		{503, "9223372036854775807", "again after 1h0m0s"},
		{503, "-5", "again"},
		{503, "1.5", "again"},
		{503, "soon", "again"},
		{503, "Sat, 14 Mar 2026 02:31:30 GMT", "again after 30s"},
		{503, "Saturday, 14-Mar-26 02:32:00 GMT", "again after 1m0s"},
		{503, "Sat Mar 14 02:33:00 2026", "again after 2m0s"},
		{503, "Sat, 14 Mar 2026 02:30:59 GMT", "again after 0s"},
		{503, "Thu, 01 Jan 1970 00:00:00 GMT", "again after 0s"},
		{429, "Fri, 31 Dec 9999 23:59:59 GMT", "again after 1h0m0s"},
		{504, "", "again"},
		{599, "", "again"},
		{999, "", "again"},
	} {
		n := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if c.retryAfter != "" {
				w.Header().Set("Retry-After", c.retryAfter)
			}
			w.WriteHeader(c.status)
		}, &Options{Now: clock})
		if err := n.Notify(t.Context(), note()); kind(err) != c.want {
			t.Errorf("%d with Retry-After %q: %s (%v), want %s", c.status, c.retryAfter, kind(err), err, c.want)
		}
	}
}

// After 410 nothing is sent, until a replayed notification is delivered.
func TestNotifier_stopsAfterGone(t *testing.T) {
	status, requests := 410, 0
	n := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.WriteHeader(status)
	}, nil)
	replayed := note()
	replayed.Replayed = true
	for i, step := range []struct {
		status   int
		note     incident.Notification
		want     string
		requests int
	}{
		{503, note(), "again", 1},
		{410, note(), "given up", 2},
		{204, note(), "given up", 2},
		{503, replayed, "again", 3},
		{204, note(), "given up", 3},
		{410, replayed, "given up", 4},
		{204, replayed, "delivered", 5},
		{204, note(), "delivered", 6},
	} {
		status = step.status
		err := n.Notify(t.Context(), step.note)
		if kind(err) != step.want || errors.Is(err, ErrGone) != (step.want == "given up") || requests != step.requests {
			t.Errorf("step %d: %v after %d requests, want %s after %d", i, err, requests, step.want, step.requests)
		}
	}
}

// The request has the signed notification, and each attempt has the same ID.
func TestNotifier_sendsSignedRequest(t *testing.T) {
	type request struct {
		*http.Request
		body []byte
	}
	var got []request
	n := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, request{r, body})
	}, &Options{Now: clock})
	kept := func() bool { return len(got) > 1 && got[len(got)-1].RemoteAddr == got[len(got)-2].RemoteAddr }
	for len(got) < mostConnections && !kept() {
		if err := n.Notify(t.Context(), note()); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range got {
		want := map[string]string{
			"Content-Type":      "application/json",
			"User-Agent":        DefaultUserAgent,
			"Content-Length":    fmt.Sprint(len(r.body)),
			"Accept-Encoding":   "gzip",
			"Idempotency-Key":   "11111111-1111-1111-1111-111111111111",
			"Webhook-Id":        "11111111-1111-1111-1111-111111111111",
			"Webhook-Timestamp": "1773455460",
			"Webhook-Signature": handmade(delivery{id: "11111111-1111-1111-1111-111111111111", timestamp: "1773455460", body: r.body}, mustSecret(t, wellKnown)),
		}
		header := map[string]string{}
		for name, values := range r.Header {
			header[name] = strings.Join(values, "|")
		}
		if !reflect.DeepEqual(header, want) || r.Method != "POST" || r.RequestURI != "/hook/path-secret?token=query-secret" {
			t.Errorf("%s %s came with %v, want %v", r.Method, r.RequestURI, header, want)
		}
		var back incident.Notification
		if err := json.Unmarshal(r.body, &back); err != nil || !reflect.DeepEqual(back, note()) {
			t.Errorf("the body is read back as %+v, %v\nwant %+v", back, err, note())
		}
	}
	if !kept() {
		t.Errorf("got %d requests, and none on the connection of the request before", len(got))
	}
}

// A redirect is not followed, even where http.Client would fail.
func TestNotifier_followsNoRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s was followed", r.Method, r.URL)
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{elsewhere.URL, "/other", "", "http://[", "file:///etc/passwd"} {
			n := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/other" {
					t.Errorf("%d to %s was followed", status, location)
				}
				if location != "" {
					w.Header().Set("Location", location)
				}
				w.WriteHeader(status)
			}, nil)
			if err := n.Notify(t.Context(), note()); kind(err) != "again" {
				t.Errorf("%d to %q: %v", status, location, err)
			}
		}
	}
}

// mostConnections is how many connections may follow each other before one is used again. On a busy machine net/http
// may take a connection for one whose request is not yet written whole, and close it.
const mostConnections = 100

// A connection that the receiver closed while idle is not a failure.
func TestNotifier_survivesStaleConnection(t *testing.T) {
	requests, closed := 0, false
	known := map[string]bool{} // the connections, by the address of the client
	n := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		if closed || !known[r.RemoteAddr] {
			known[r.RemoteAddr] = true
			return
		}
		closed = true
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close() // there is no response
	}, nil)
	notified := 0
	for ; !closed && notified < mostConnections; notified++ {
		if err := n.Notify(t.Context(), note()); err != nil {
			t.Fatal(err)
		}
	}
	if !closed || requests != notified+1 {
		t.Errorf("got %d requests for %d notifications, want one more: that on the closed connection", requests, notified)
	}
}

func TestNewNotifier_Refuses(t *testing.T) {
	good := []Secret{NewSecret()}
	for _, c := range []struct {
		url     string
		secrets []Secret
		o       *Options
		want    string
	}{
		{"https://example.com", good, nil, ""},
		{"https://example.com:8443/hook?a=b", good, nil, ""},
		{"http://localhost:8080/", good, nil, ""},
		{"http://127.0.0.1/", good, nil, ""},
		{"http://[::1]:8080/", good, nil, ""},
		{"http://example.com/", good, &Options{AllowHTTP: true}, ""},
		{"http://example.com/s3cret", good, nil, "webhook: the URL must begin with https://, or AllowHTTP be set"},
		{"http://localhost.example.com/s3cret", good, nil, "webhook: the URL must begin with https://, or AllowHTTP be set"},
		{"http://10.0.0.1/s3cret", good, nil, "webhook: the URL must begin with https://, or AllowHTTP be set"},
		{"", good, nil, "webhook: the URL must begin with https://"},
		{"example.com/s3cret", good, nil, "webhook: the URL must begin with https://"},
		{"ftp://example.com/s3cret", good, nil, "webhook: the URL must begin with https://"},
		{"https:///s3cret", good, nil, "webhook: the URL must have a host"},
		{"https://:443/s3cret", good, nil, "webhook: the URL must have a host"},
		{"https:s3cret", good, nil, "webhook: the URL must have a host"},
		{"https://user:s3cret@example.com/", good, nil, "webhook: the URL must have no user and password; the signature authenticates the sender"},
		{"https://example.com/#s3cret", good, nil, "webhook: the URL must have no fragment, because it is never sent"},
		{"https://example.com/%zzs3cret", good, nil, "webhook: the URL cannot be parsed"},
		{"https://example.com/", nil, nil, "webhook: want 1 to 16 secrets, not 0"},
		{"https://example.com/", make([]Secret, 17), nil, "webhook: want 1 to 16 secrets, not 17"},
		{"https://example.com/", append(good, Secret{}), nil, "webhook: secret 2 is empty; use NewSecret or ParseSecret"},
		{"https://example.com/", good, &Options{Timeout: -1}, "webhook: Timeout must not be negative"},
	} {
		n, err := NewNotifier(c.url, c.secrets, c.o)
		if err == nil && c.want != "" || err != nil && err.Error() != c.want || (n == nil) != (err != nil) {
			t.Errorf("NewNotifier(%s) = %v, want %q", c.url, err, c.want)
		}
	}
}

// Later changes to the caller's secrets and options do not affect the Notifier.
func TestNewNotifier_Copies(t *testing.T) {
	secrets, o := []Secret{mustSecret(t, wellKnown)}, &Options{}
	n, err := NewNotifier("https://example.com", secrets, o)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*o, Options{}) {
		t.Errorf("the options are %+v now", o)
	}
	secrets[0] = Secret{}
	if got := n.secrets[0].Text(); got != wellKnown {
		t.Errorf("the Notifier signs with %q", got)
	}
}

// roundTripper is a transport of the host.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A host's own transport and user agent are used, and Close leaves its connections open.
func TestNotifier_usesTheHostsTransport(t *testing.T) {
	var agent string
	n := mustNotifier(t, "https://example.com/", &Options{
		UserAgent: "acme/2",
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			agent = r.UserAgent()
			if deadline, ok := r.Context().Deadline(); !ok || time.Until(deadline) > DefaultTimeout {
				t.Errorf("the request ends at %v", deadline)
			}
			return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
		}),
	})
	if err := n.Notify(context.Background(), note()); err != nil || agent != "acme/2" {
		t.Errorf("Notify() = %v, and the agent is %q", err, agent)
	}
}
