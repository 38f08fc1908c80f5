package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident/internal/pgtest"
)

// host is the running program.
type host struct {
	stdout string // up to the address
	url    string // of the printed curl command, "" without one
	token  string
	addr   string
	stop   func() (status int, stderr string)
}

var (
	printedAddr = regexp.MustCompile(`Serving on http://(\S+);`)
	printedCurl = regexp.MustCompile(`curl -H 'Authorization: Bearer ([A-Z0-9]+)' '(\S+)'\n`)
)

// start runs the program and waits until it serves.
func start(t *testing.T, args ...string) host {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stdout, stderr := new(lockedBuffer), new(lockedBuffer)
	status := make(chan int, 1)
	go func() { status <- run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), stdout, stderr) }()
	stop := func() (int, string) {
		cancel()
		return <-status, stderr.String()
	}
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if strings.HasSuffix(stdout.String(), "\n\n") || printedAddr.MatchString(stdout.String()) && strings.Contains(strings.Join(args, " "), "-tokens") {
			break
		}
		if len(status) > 0 {
			code, text := stop()
			t.Fatalf("the program ended with %d: %s", code, text)
		}
		if time.Now().After(deadline) {
			_, text := stop()
			t.Fatalf("the program does not serve: it printed %s and logged %s", stdout, text)
		}
	}
	h := host{stdout: stdout.String(), stop: stop}
	if m := printedAddr.FindStringSubmatch(h.stdout); m != nil {
		h.addr = m[1]
	}
	if m := printedCurl.FindStringSubmatch(h.stdout); m != nil {
		h.token, h.url = m[1], m[2]
	}
	return h
}

func (h host) get(t *testing.T, url, token string) (status int, answer string) {
	t.Helper()
	return h.send(t, "GET", url, token, "")
}

func (h host) send(t *testing.T, method, url, token, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

const sample = "../statuspage/testdata/sample.json"

// The printed command returns an incident, with every combination of arguments.
func TestRun(t *testing.T) {
	postgres := "-dsn " + pgtest.NewDatabase(t)
	file := "-db " + filepath.Join(t.TempDir(), "incidents.db")
	for _, test := range []struct{ args, stdout, body string }{
		{"", "Serving on ", `"title":"Checkout error rate is too high"`},
		{postgres, "Serving on ", `"title":"Checkout error rate is too high"`},
		{postgres, "Serving on ", `"identifier":"1"`},
		{file, "Serving on ", `"title":"Checkout error rate is too high"`},
		{file, "Serving on ", `"identifier":"1"`},
		{"-import " + sample, "Import: 6 of 6 incidents and 17 of 17 updates are new", `"organizationId":"parcelfox"`},
		{postgres + " -import " + sample, "Import: 6 of 6 incidents", `"organizationId":"parcelfox"`},
		{postgres + " -import " + sample, "Import: 0 of 6 incidents", `"organizationId":"parcelfox"`},
		{file + " -import " + sample, "Import: 6 of 6 incidents", `"organizationId":"parcelfox"`},
		{file + " -import " + sample, "Import: 0 of 6 incidents", `"organizationId":"parcelfox"`},
	} {
		h := start(t, strings.Fields(test.args)...)
		status, body := h.get(t, h.url, h.token)
		if !strings.HasPrefix(h.stdout, test.stdout) || status != 200 || !strings.Contains(body, test.body) || !strings.Contains(body, `"identifier":"1"`) {
			t.Errorf("httpapi %s printed\n%s\nand returned %d %s", test.args, h.stdout, status, body)
		}
		// The library asks the host's directory who may be mentioned.
		if status, body := h.send(t, "POST", h.url+"comments/", h.token, `{"comment":"x","mentions":["nobody"]}`); status != 400 || !strings.Contains(body, "mentions") {
			t.Errorf("httpapi %s lets nobody be mentioned: %d %s", test.args, status, body)
		}
		if status, _ := h.get(t, h.url, "x"+h.token); status != 401 {
			t.Errorf("httpapi %s returned %d for a wrong token", test.args, status)
		}
		if status, body := h.get(t, "http://"+h.addr+openAPIPath, ""); status != 200 || body != string(openAPI) {
			t.Errorf("httpapi %s returned %d with %d bytes for its description", test.args, status, len(body))
		}
		if code, stderr := h.stop(); code != 0 || strings.Contains(stderr, `"level":"ERROR"`) || strings.Contains(stderr, h.token) {
			t.Errorf("httpapi %s ended with %d and logged\n%s", test.args, code, stderr)
		}
	}
	// The demonstration is filled only once.
	for _, args := range []string{postgres, file} {
		h := start(t, strings.Fields(args)...)
		if _, body := h.get(t, strings.TrimSuffix(h.url, "1/"), h.token); strings.Count(body, `"identifier"`) != 2 {
			t.Errorf("the demonstration of httpapi %s has the incidents %s", args, body)
		}
		h.stop()
	}
}

// With a file of tokens the program makes no token and no demonstration.
func TestRun_Tokens(t *testing.T) {
	file := t.TempDir() + "/tokens.json"
	text := `{"tokens":[{"sha256":"` + sumOfX + `","user":"ada","organizations":{"acme":{"allProjects":true}}}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h := start(t, "-tokens", file)
	if status, body := h.get(t, "http://"+h.addr+list("acme"), "x"); status != 200 || body != "[]" || h.token != "" {
		t.Errorf("it returned %d %s and printed\n%s", status, body, h.stdout)
	}
	if code, stderr := h.stop(); code != 0 {
		t.Errorf("it ended with %d: %s", code, stderr)
	}
}

// A record that cannot be used is logged, and the others are served.
func TestRun_logsRecordsLeftOut(t *testing.T) {
	file := t.TempDir() + "/list.json"
	text := `[{"id": "a", "page_id": "p", "name": "A", "status": "monitoring", "impact": "minor", "created_at": "2024-01-01T00:00:00Z"}, {"id": "b"}]`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h := start(t, "-import", file)
	status, body := h.get(t, h.url, h.token)
	code, stderr := h.stop()
	if !strings.HasPrefix(h.stdout, "Import: 1 of 1 incidents") || status != 200 || !strings.Contains(body, `"title":"A"`) ||
		code != 0 || !strings.Contains(stderr, `incident 2 (id \"b\"): started_at is required`) || !strings.Contains(stderr, `"leftOut":1`) {
		t.Errorf("it printed\n%s\nreturned %d %s, ended with %d and logged\n%s", h.stdout, status, body, code, stderr)
	}
}

func TestRun_Refuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	missing := filepath.Join(t.TempDir(), "none", "incidents.db")
	bad := t.TempDir() + "/bad.json"
	if err := os.WriteFile(bad, []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args           string
		status         int
		stdout, stderr string
	}{
		{"-help", 0, usage, ""},
		{"x", 2, "", "httpapi: unexpected argument \"x\"; -help shows the usage\n"},
		{"-x", 2, "", "httpapi: flag provided but not defined: -x; -help shows the usage\n"},
		{"-tokens none.json", 1, "", "httpapi: open none.json: no such file or directory\n"},
		{"-tokens " + bad, 1, "", "httpapi: " + bad + ": tokens must have at least one\n"},
		{"-import none.json", 1, "", "httpapi: open none.json: no such file or directory\n"},
		{"-import " + bad, 1, "", "httpapi: " + bad + ":1:1: page.id is required\n"},
		{"-addr " + taken.Addr().String(), 1, "", "httpapi: listen tcp " + taken.Addr().String() + ": bind: address already in use\n"},
		{"-db a.db -dsn postgres://h/d", 2, "", "httpapi: -db and -dsn exclude each other; -help shows the usage\n"},
		{"-db " + missing, 1, "", "httpapi: sqlite: open: unavailable: the file cannot be made; the directory must exist and be writable: " +
			"open " + missing + ": no such file or directory\n"},
		{"-dsn postgres://x:secret:z/", 1, "", "httpapi: postgres: open: invalid argument: the DSN cannot be understood; " +
			"it should look like postgres://user:password@host:5432/name\n"},
	} {
		var stdout, stderr bytes.Buffer
		status := run(t.Context(), strings.Fields(test.args), &stdout, &stderr)
		if status != test.status || stdout.String() != test.stdout || stderr.String() != test.stderr {
			t.Errorf("httpapi %s = %d with output\n%s\nand errors\n%s", test.args, status, &stdout, &stderr)
		}
	}
}

// A stopping server accepts no more requests, and completes those in progress.
func TestServe_Shutdown(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	entered, leave := make(chan bool), make(chan bool)
	addr, served := serveIn(t, ctx, 2*time.Minute, func(w http.ResponseWriter, r *http.Request) {
		entered <- true
		<-leave
		if r.Context().Err() != nil {
			t.Error("the request's context has ended")
		}
		_, _ = io.WriteString(w, "whole")
	})
	answered := make(chan string, 1)
	go func() {
		res, body, err := exchange(t, "http://"+addr, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if err != nil || res.StatusCode != 200 {
			body = []byte("failed")
		}
		answered <- string(body)
	}()
	<-entered
	stop()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Error("it still accepts connections")
			break
		}
	}
	select {
	case err := <-served:
		close(leave)
		t.Fatalf("it has not waited: %v", err)
	default:
	}
	close(leave)
	if body := <-answered; body != "whole" {
		t.Errorf("the request got %q", body)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// It does not wait forever.
func TestServe_ShutdownLimit(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	entered, leave := make(chan bool), make(chan bool)
	addr, served := serveIn(t, ctx, 50*time.Millisecond, func(http.ResponseWriter, *http.Request) {
		entered <- true
		<-leave
	})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	stop()
	if err := <-served; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("serve() = %v", err)
	}
	close(leave)
}

func serveIn(t *testing.T, ctx context.Context, shutdown time.Duration, h http.HandlerFunc) (addr string, served chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served = make(chan error, 1)
	go func() { served <- serve(ctx, &http.Server{Handler: h}, listener, shutdown) }()
	return listener.Addr().String(), served
}
