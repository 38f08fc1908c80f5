package console_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/web/console"
)

// startServer serves the console of a running Manager over loopback. The user is named in the
// request.
func startServer(t *testing.T, wrap func(http.Handler) http.Handler, tune func(*httptest.Server)) (incident.Manager, *httptest.Server) {
	t.Helper()
	m, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := console.New(m, &console.Options{Authenticate: func(r *http.Request) (console.Viewer, error) {
		return console.Viewer{Organization: "acme", User: incident.UserID("user-" + r.Header.Get("User"))}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { _ = m.Run(ctx) }) // ends with its context
	for begun := time.Now(); !m.Stats().Running; time.Sleep(time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatal("Run does not run")
		}
	}
	s := httptest.NewUnstartedServer(wrap(http.StripPrefix("/incidents", pages)))
	tune(s)
	t.Cleanup(func() {
		s.Close()
		stop()
		run.Wait()
	})
	return m, s
}

func unwrapped(next http.Handler) http.Handler { return next }

// wrapper is the ResponseWriter of a middleware that counts bytes.
type wrapper struct {
	http.ResponseWriter
	written int
}

func (w *wrapper) Write(p []byte) (int, error) {
	w.written += len(p)
	return w.ResponseWriter.Write(p)
}

func (w *wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Streams work over each version of HTTP, within middleware, and beyond the server's time limits.
func TestStream_overTheNetwork(t *testing.T) {
	t.Parallel()
	wrapped := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(&wrapper{ResponseWriter: w}, r) })
	}
	const limit = 2 * time.Second // enough for a handshake on a busy machine
	limited := func(s *httptest.Server) { s.Config.ReadTimeout, s.Config.WriteTimeout = limit, limit }
	for name, c := range map[string]struct {
		wrap  func(http.Handler) http.Handler
		start func(*httptest.Server)
		major int
	}{
		"HTTP/1.1":             {unwrapped, (*httptest.Server).Start, 1},
		"HTTP/1.1, wrapped":    {wrapped, (*httptest.Server).Start, 1},
		"HTTP/1.1, with TLS":   {unwrapped, (*httptest.Server).StartTLS, 1},
		"HTTP/2":               {unwrapped, func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() }, 2},
		"HTTP/2, wrapped":      {wrapped, func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() }, 2},
		"HTTP/1.1, time limit": {unwrapped, func(s *httptest.Server) { limited(s); s.Start() }, 1},
		"HTTP/2, time limit":   {unwrapped, func(s *httptest.Server) { limited(s); s.EnableHTTP2 = true; s.StartTLS() }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pause := 50 * time.Millisecond
			if strings.Contains(name, "limit") {
				pause = limit + limit/4
			}
			m, s := startServer(t, c.wrap, c.start)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			lines := openStream(ctx, t, s, c.major)
			time.Sleep(pause)
			if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "x"}); err != nil {
				t.Fatal(err)
			}
			if err := nextChange(lines); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// openStream opens a stream and waits for its first event. A busy machine may exceed the limits of
// the server until then.
func openStream(ctx context.Context, t *testing.T, s *httptest.Server, major int) *bufio.Scanner {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/incidents/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		var answer *http.Response
		if answer, err = s.Client().Do(r); err != nil {
			continue
		}
		t.Cleanup(func() { answer.Body.Close() })
		if answer.ProtoMajor != major || answer.StatusCode != http.StatusOK {
			t.Fatalf("the answer is %s %s, want HTTP/%d", answer.Proto, answer.Status, major)
		}
		lines := bufio.NewScanner(answer.Body)
		if err = nextChange(lines); err == nil {
			return lines
		}
	}
	t.Fatal(err)
	return nil
}

func nextChange(lines *bufio.Scanner) error {
	for lines.Scan() {
		if lines.Text() == "event: change" {
			return nil
		}
	}
	return fmt.Errorf("the stream has ended: %w", cmp.Or(lines.Err(), io.EOF))
}

// A middleware that keeps the answer until its end cannot have streams.
func TestStream_withoutFlush(t *testing.T) {
	t.Parallel()
	_, s := startServer(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		})
	}, (*httptest.Server).Start)
	client := *s.Client()
	client.Timeout = time.Minute // a stream would not end
	answer, err := client.Get(s.URL + "/incidents/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent || answer.Header.Get("Content-Type") != "" {
		t.Errorf("status %d, Content-Type %q, want 204 without a type", answer.StatusCode, answer.Header.Get("Content-Type"))
	}
}

// Open streams are cheap: 500 of them, with the memory of their clients in this process, have a
// bound of 100 MiB. Each of them is told of a change.
func TestStream_memory(t *testing.T) {
	const streams, limit = 500, 100 << 20
	m, s := startServer(t, unwrapped, (*httptest.Server).Start)
	before, goroutines := memoryInUse(), runtime.NumGoroutine()
	var clients []*bufio.Reader
	var conns []net.Conn
	for i := range streams {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "GET /incidents/stream HTTP/1.1\r\nHost: x\r\nUser: %d\r\n\r\n", i/20); err != nil {
			t.Fatal(err)
		}
		conns, clients = append(conns, conn), append(clients, bufio.NewReaderSize(conn, 512))
	}
	told := func() {
		t.Helper()
		for _, c := range clients {
			for {
				line, err := c.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(line, "event: change") {
					break
				}
			}
		}
	}
	told()
	if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "x"}); err != nil {
		t.Fatal(err)
	}
	told()
	used := memoryInUse() - before
	t.Logf("%d streams use %.1f MiB, and %d goroutines", streams, float64(used)/(1<<20), runtime.NumGoroutine()-goroutines)
	if used > limit {
		t.Errorf("%d streams use %d bytes, want at most %d", streams, used, limit)
	}
	for _, c := range conns {
		c.Close()
	}
	for end := time.Now().Add(time.Minute); runtime.NumGoroutine() > goroutines+1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after the streams there are %d goroutines, before %d", runtime.NumGoroutine(), goroutines)
		}
	}
}

// memoryInUse returns the bytes of heap and stacks.
func memoryInUse() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapInuse + s.StackInuse)
}
