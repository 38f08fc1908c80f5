package console_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/web/console"
)

// streamWorld is a running Manager with a console in a bubble of fake time.
type streamWorld struct {
	incident.Manager
	pages   http.Handler
	viewer  atomic.Pointer[func() (console.Viewer, error)]
	asked   atomic.Int64 // calls of Authenticate
	stopRun context.CancelFunc
}

// inBubble runs a test with a Manager that runs.
func inBubble(t *testing.T, opts console.Options, test func(*testing.T, *streamWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, err := incident.New(memory.New(), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		w := &streamWorld{Manager: m, stopRun: stop}
		w.become(streamViewer("acme", "dana", nil))
		opts.Authenticate = func(*http.Request) (console.Viewer, error) {
			w.asked.Add(1)
			return w.present()
		}
		if w.pages, err = console.New(m, &opts); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		test(t, w)
		stop()
		<-done
	})
}

// become changes the viewer of all requests and streams.
func (w *streamWorld) become(viewer func() (console.Viewer, error)) { w.viewer.Store(&viewer) }

func (w *streamWorld) present() (console.Viewer, error) { return (*w.viewer.Load())() }

func streamViewer(org incident.OrganizationID, user incident.UserID, access *incident.ProjectAccess) func() (console.Viewer, error) {
	return func() (console.Viewer, error) {
		return console.Viewer{Organization: org, User: user, Access: access}, nil
	}
}

func (w *streamWorld) mustCreate(t *testing.T, projects ...incident.ProjectID) incident.Key {
	t.Helper()
	inc, err := w.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Checkout fails", Projects: projects})
	if err != nil {
		t.Fatal(err)
	}
	return inc.Key()
}

func (w *streamWorld) mustComment(t *testing.T, key incident.Key) {
	t.Helper()
	if _, err := w.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "x"}); err != nil {
		t.Fatal(err)
	}
}

// client is an open stream. It is a ResponseWriter that keeps when each event came.
type client struct {
	header http.Header
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	status   int
	text     strings.Builder
	changes  []time.Time
	deadline time.Time
	stalled  bool // does not read
}

func (w *streamWorld) open(t *testing.T, headers ...string) *client {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &client{header: http.Header{}, cancel: cancel, done: make(chan struct{})}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/stream", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	go func() {
		defer close(c.done)
		w.pages.ServeHTTP(c, r)
	}()
	t.Cleanup(c.close)
	synctest.Wait()
	return c
}

func (c *client) close() {
	c.cancel()
	<-c.done
}

func (c *client) Header() http.Header { return c.header }

func (c *client) WriteHeader(status int) { c.status = status }

func (c *client) Write(p []byte) (int, error) {
	c.mu.Lock()
	stalled, deadline := c.stalled, c.deadline
	c.mu.Unlock()
	if stalled {
		time.Sleep(time.Until(deadline))
		return 0, os.ErrDeadlineExceeded
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(p)
	if strings.Contains(string(p), "event: change\n") {
		c.changes = append(c.changes, time.Now())
	}
	return len(p), nil
}

func (c *client) FlushError() error {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	return nil
}

func (c *client) SetReadDeadline(time.Time) error { return nil }

func (c *client) SetWriteDeadline(d time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = d
	return nil
}

// take returns what has come since the last call.
func (c *client) take() string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	text := c.text.String()
	c.text.Reset()
	return text
}

func (c *client) wantChanges(t *testing.T, when string, want int) {
	t.Helper()
	if got := strings.Count(c.take(), "event: change\ndata\n\n"); got != want {
		t.Errorf("%s there are %d changes, want %d", when, got, want)
	}
}

func (c *client) wantEnd(t *testing.T, when string) {
	t.Helper()
	synctest.Wait()
	select {
	case <-c.done:
	default:
		t.Errorf("%s the stream does not end", when)
	}
}

func (c *client) wantOpen(t *testing.T, when string) {
	t.Helper()
	synctest.Wait()
	select {
	case <-c.done:
		t.Fatalf("%s the stream has ended with status %d", when, c.status)
	default:
	}
}
