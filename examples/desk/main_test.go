package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/leaktest"
	"github.com/incidentkit/incident/web/webhook"
)

// envArgs holds the arguments of a test binary that runs as the program, as JSON.
const envArgs = "DESK_TEST_ARGS"

func TestMain(m *testing.M) {
	if text, is := os.LookupEnv(envArgs); is {
		var args []string
		if err := json.Unmarshal([]byte(text), &args); err != nil {
			panic(err)
		}
		os.Exit(run(context.Background(), args, os.Stdout, os.Stderr))
	}
	leaktest.Main(m)
}

const testKey = "0123456789abcdef0123456789abcdef"

// lockedBuffer is the output of a program that runs.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(data)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var printedAddr = regexp.MustCompile(`Serving on (http://\S+)/:`)

// host is the running program, and a browser.
type host struct {
	stdout, stderr *lockedBuffer
	url            string
	browser        *http.Client
	stop           func() // ends the program, and waits for it
}

func withDefaults(db string, more ...string) []string {
	return append([]string{"-db", db, "-listen", "127.0.0.1:0", "-key", testKey}, more...)
}

// startLimit is many times what the program takes to fill its file and to serve: it waits for the disk after each write.
const startLimit = 5 * time.Minute

// await waits until the program has printed its address.
func (h *host) await(t *testing.T, ended func() bool) {
	t.Helper()
	for deadline := time.Now().Add(startLimit); ; time.Sleep(5 * time.Millisecond) {
		if m := printedAddr.FindStringSubmatch(h.stdout.String()); m != nil && strings.HasSuffix(h.stdout.String(), "\n\n") {
			h.url = m[1]
			break
		}
		if ended() || time.Now().After(deadline) {
			t.Fatalf("the program does not serve: it printed %s and %s", h.stdout, h.stderr)
		}
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	h.browser = &http.Client{Jar: jar, Transport: transport}
}

// start runs the program in this process. A call of stop ends it, as a signal does.
func start(t *testing.T, db string, more ...string) *host {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h := &host{stdout: new(lockedBuffer), stderr: new(lockedBuffer)}
	status := make(chan int, 1)
	go func() { status <- run(ctx, withDefaults(db, more...), h.stdout, h.stderr) }()
	stopped := sync.OnceFunc(func() {
		cancel()
		if code := <-status; code != 0 {
			t.Errorf("the program ended with %d: %s", code, h.stderr)
		}
	})
	h.stop = stopped
	t.Cleanup(stopped)
	h.await(t, func() bool { return len(status) > 0 })
	return h
}

// startProcess runs the program as a process. A call of stop kills it.
func startProcess(t *testing.T, db string) *host {
	t.Helper()
	args, err := json.Marshal(withDefaults(db))
	if err != nil {
		t.Fatal(err)
	}
	h := &host{stdout: new(lockedBuffer), stderr: new(lockedBuffer)}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), envArgs+"="+string(args))
	c.Stdout, c.Stderr = h.stdout, h.stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	killed := sync.OnceFunc(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // killed
	})
	h.stop = killed
	t.Cleanup(killed)
	h.await(t, func() bool { return false })
	return h
}

// get returns the status and the text of a page, after redirects.
func (h *host) get(t *testing.T, path string) (int, string) {
	t.Helper()
	return read(t)(h.browser.Get(h.url + path))
}

// post posts a JSON text, and wants a status.
func (h *host) post(t *testing.T, path, body string, want int) {
	t.Helper()
	if status, text := read(t)(h.browser.Post(h.url+path, "application/json", strings.NewReader(body))); status != want {
		t.Fatalf("POST %s is answered %d %s, want %d", path, status, text, want)
	}
}

func read(t *testing.T) func(*http.Response, error) (int, string) {
	t.Helper()
	return func(r *http.Response, err error) (int, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(text)
	}
}

// signIn chooses a user, and returns the first page.
func (h *host) signIn(t *testing.T, choice string) string {
	t.Helper()
	status, text := read(t)(h.browser.PostForm(h.url+signInPath, url.Values{"user": {choice}}))
	if status != http.StatusOK {
		t.Fatalf("signing in as %s is answered %d %s", choice, status, text)
	}
	return text
}

const event = `{"routing_key":"` + testKey + `","event_action":"trigger","dedup_key":"a","payload":{"summary":"Reported by a tool","source":"s","severity":"critical"}}`

// group is a group of alerts as Alertmanager sends it.
const group = `{"version":"4","groupKey":"{}:{}","status":"firing","receiver":"desk","groupLabels":{},"commonLabels":{},"commonAnnotations":{},
	"externalURL":"http://alertmanager.example","truncatedAlerts":0,"alerts":[{"status":"firing",
	"labels":{"alertname":"NodesLost","severity":"critical","service":"search"},"annotations":{"summary":"Nodes are lost"},
	"startsAt":"2026-03-14T02:31:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"a1"}]}`

// postGroup posts the group with a token, and wants a status.
func (h *host) postGroup(t *testing.T, token string, want int) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+alertsPath, strings.NewReader(group))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	if status, text := read(t)(h.browser.Do(r)); status != want {
		t.Fatalf("the group is answered %d %s, want %d", status, text, want)
	}
}

func TestDesk_servesPagesAndEndpoints(t *testing.T) {
	h := start(t, filepath.Join(t.TempDir(), "desk.db"))
	if !strings.Contains(h.stdout.String(), "demonstration incidents were added") {
		t.Errorf("the program printed %s", h.stdout)
	}
	if status, text := h.get(t, "/"); status != 200 || !strings.Contains(text, "Choose a user") || !strings.Contains(text, "robin@acme") {
		t.Errorf("the sign-in page is %d %s", status, text)
	}
	h.post(t, "/v2/enqueue", event, 202)
	h.post(t, "/v2/enqueue", strings.Replace(event, testKey, "another key that is not known", 1), 400)
	h.postGroup(t, "another token that is not known", 401)
	h.postGroup(t, testKey, 200)
	if text := h.signIn(t, "robin@acme"); !strings.Contains(text, "Reported by a tool") || !strings.Contains(text, "Nodes are lost") || !strings.Contains(text, "Checkout error rate is above 5%") {
		t.Errorf("the list is %s", text)
	}
	for _, path := range []string{"/", "/incidents/"} {
		if status, _ := h.get(t, path); status != 200 {
			t.Errorf("%s is answered %d", path, status)
		}
	}
	if status, text := h.get(t, "/metrics"); status != 200 || !strings.Contains(text, "# TYPE incident_") {
		t.Errorf("the metrics are %d %s", status, text)
	}
	if status, _ := h.get(t, "/nothing"); status != 404 {
		t.Errorf("an unknown page is answered %d", status)
	}
}

// Users see their organization and their projects.
func TestDesk_separatesUsers(t *testing.T) {
	h := start(t, filepath.Join(t.TempDir(), "desk.db"))
	const checkout, hotline, mail, portal = "Checkout error rate is above 5%", "The support hotline is unreachable", "Order confirmations wait", "Sign-in at the portal fails"
	for choice, sees := range map[string]map[string]bool{
		"kim@acme":    {checkout: true, hotline: true, mail: true},
		"lee@acme":    {hotline: true, mail: true},
		"alex@acme":   {hotline: true},
		"noor@globex": {portal: true},
	} {
		text := h.signIn(t, choice)
		for _, title := range []string{checkout, hotline, mail, portal} {
			if strings.Contains(text, title) != sees[title] {
				t.Errorf("%s sees %q: %t", choice, title, !sees[title])
			}
		}
	}
	for _, choice := range []string{"", "nobody@acme", "guest@acme", "guest@"} {
		if status, _ := read(t)(h.browser.PostForm(h.url+signInPath, url.Values{"user": {choice}})); status != 400 {
			t.Errorf("%q is answered %d", choice, status)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+signInPath, strings.NewReader("user=robin@acme"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if status, _ := read(t)(h.browser.Do(r)); status != 403 {
		t.Errorf("a form of another site is answered %d", status)
	}
}

// A restarted program, and a program that was killed, have all incidents, and add none.
func TestDesk_keepsIncidents(t *testing.T) {
	db := filepath.Join(t.TempDir(), "desk.db")
	first := startProcess(t, db)
	first.post(t, "/v2/enqueue", event, 202)
	first.postGroup(t, testKey, 200)
	first.stop()
	for i := range 2 {
		h := start(t, db)
		if strings.Contains(h.stdout.String(), "were added") {
			t.Errorf("start %d filled the file again: %s", i, h.stdout)
		}
		if text := h.signIn(t, "robin@acme"); !strings.Contains(text, "Reported by a tool") || !strings.Contains(text, "Nodes are lost") || !strings.Contains(text, "The support hotline is unreachable") {
			t.Errorf("start %d has lost incidents: %s", i, text)
		}
		h.post(t, "/v2/enqueue", event, 202)
		h.postGroup(t, testKey, 200)
		h.stop()
		if log := h.stderr.String(); log != "" {
			t.Errorf("start %d logged %s", i, log)
		}
	}
}

func TestDesk_imports(t *testing.T) {
	db := filepath.Join(t.TempDir(), "desk.db")
	h := start(t, db, "-import", "../webhook/sample.json")
	if out := h.stdout.String(); !strings.Contains(out, "Import: ") || strings.Contains(out, "demonstration incidents") {
		t.Errorf("the program printed %s", out)
	}
	h.post(t, "/v2/enqueue", event, 202)
	if text := h.signIn(t, "guest@lanternmail"); !strings.Contains(text, "Mail is delivered late") || !strings.Contains(text, "Reported by a tool") {
		t.Errorf("the list is %s", text)
	}
	h.stop()
	again := start(t, db)
	if _, text := again.get(t, signInPath); strings.Contains(again.stdout.String(), "were added") || !strings.Contains(text, "guest@lanternmail") {
		t.Errorf("the sign-in page is %s, after %s", text, again.stdout)
	}
}

// The program ends at once while a page is open that is live. A busy machine may be late, but not five
// times in turn.
func TestDesk_endsWithOpenStreams(t *testing.T) {
	var took time.Duration
	for range 5 {
		if took = endWithOpenStream(t); took <= shutdown/2 {
			return
		}
	}
	t.Errorf("the program ended after %v", took)
}

// endWithOpenStream returns how long the program takes to end.
func endWithOpenStream(t *testing.T) time.Duration {
	t.Helper()
	h := start(t, filepath.Join(t.TempDir(), "desk.db"))
	h.signIn(t, "robin@acme")
	r, err := h.browser.Get(h.url + "/incidents/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if media := r.Header.Get("Content-Type"); !strings.HasPrefix(media, "text/event-stream") {
		t.Fatalf("the stream is %d %s", r.StatusCode, media)
	}
	began := time.Now()
	h.stop()
	return time.Since(began)
}

func TestRun_refusesArguments(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want int
		text string
	}{
		"an argument":        {[]string{"x"}, 2, `unexpected argument "x"`},
		"an unknown flag":    {[]string{"-x"}, 2, "-help shows the usage"},
		"a short key":        {[]string{"-key", "short"}, 1, "Key has 5 bytes"},
		"no address":         {[]string{"-listen", "nowhere"}, 1, "nowhere"},
		"no history":         {[]string{"-import", "missing.json"}, 1, "missing.json"},
		"no URL for webhook": {[]string{"-webhook", "ftp://x"}, 1, "must begin with https://"},
	} {
		var stdout, stderr bytes.Buffer
		args := append(withDefaults(filepath.Join(t.TempDir(), "desk.db")), c.args...)
		if got := run(t.Context(), args, &stdout, &stderr); got != c.want || !strings.Contains(stderr.String(), c.text) {
			t.Errorf("%s: run() = %d with %s, want %d with %s", name, got, &stderr, c.want, c.text)
		}
	}
	var stdout, stderr bytes.Buffer
	if got := run(t.Context(), []string{"-help"}, &stdout, &stderr); got != 0 || stdout.String() != usage {
		t.Errorf("run(-help) = %d with %s", got, &stdout)
	}
}

// Activities are posted to the URL of -webhook. Those of the demonstration are not.
func TestDesk_postsWebhooks(t *testing.T) {
	secret := webhook.NewSecret()
	t.Setenv("WEBHOOK_SECRET", secret.Text())
	got := make(chan incident.Notification, 100)
	receiver, err := webhook.NewReceiver([]webhook.Secret{secret}, func(_ context.Context, n incident.Notification) error {
		got <- n
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(receiver)
	defer server.Close()
	h := start(t, filepath.Join(t.TempDir(), "desk.db"), "-webhook", server.URL)
	h.post(t, "/v2/enqueue", event, 202)
	for range 3 {
		select {
		case n := <-got:
			if n.Incident.Title != "Reported by a tool" {
				t.Errorf("got a notification of %q", n.Incident.Title)
			}
		case <-time.After(startLimit):
			t.Fatalf("the webhook does not arrive: %s", h.stderr)
		}
	}
	h.stop()
}
