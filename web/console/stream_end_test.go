package console_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/console"
)

func TestStream_endsWithRun(t *testing.T) {
	inBubble(t, console.Options{}, func(t *testing.T, w *streamWorld) {
		c := w.open(t)
		time.Sleep(10 * time.Second)
		c.wantOpen(t, "while Run runs")
		w.stopRun()
		time.Sleep(time.Second)
		c.wantEnd(t, "a second after Run")
		without := w.open(t)
		without.wantEnd(t, "without Run")
		if without.status != http.StatusNoContent || without.take() != "" {
			t.Errorf("without Run the answer has status %d, want 204", without.status)
		}
	})
}

func TestStream_refusals(t *testing.T) {
	inBubble(t, console.Options{MaxStreams: 30}, func(t *testing.T, w *streamWorld) {
		for _, site := range []string{"cross-site", "same-site"} {
			if c := w.open(t, "Sec-Fetch-Site", site); c.status != http.StatusForbidden {
				t.Errorf("a %s request has status %d, want 403", site, c.status)
			}
		}
		w.open(t, "Sec-Fetch-Site", "same-origin").close()
		var open []*client
		for range 20 {
			open = append(open, w.open(t))
		}
		refused := func(when string) {
			t.Helper()
			if c := w.open(t); c.status != http.StatusServiceUnavailable || c.header.Get("Retry-After") != "60" {
				t.Errorf("%s a stream has status %d, Retry-After %q", when, c.status, c.header.Get("Retry-After"))
			}
		}
		refused("beyond a user's streams")
		open[0].close()
		open[0] = w.open(t)
		open[0].wantOpen(t, "after another was closed")
		for i := range 10 {
			w.become(streamViewer("umbrella", incident.UserID(fmt.Sprint("user-", i)), nil))
			open = append(open, w.open(t))
		}
		refused("beyond MaxStreams")
		for _, c := range open {
			c.wantOpen(t, "within the limits")
			c.close()
		}
		w.open(t).wantOpen(t, "after all were closed")
	})
	inBubble(t, console.Options{MaxStreams: -1}, func(t *testing.T, w *streamWorld) {
		if c := w.open(t); c.status != http.StatusNoContent {
			t.Errorf("without streams the answer has status %d, want 204", c.status)
		}
	})
}

// faultyReads is a Manager whose Get panics.
type faultyReads struct{ incident.Manager }

func (faultyReads) Get(context.Context, incident.Key) (incident.Incident, error) {
	panic("no such table")
}

// A panic of a host's Manager ends the streams, and not the process.
func TestStream_endsAfterAPanic(t *testing.T) {
	inBubble(t, console.Options{}, func(t *testing.T, w *streamWorld) {
		w.become(streamViewer("acme", "dana", &incident.ProjectAccess{}))
		var err error
		w.pages, err = console.New(faultyReads{w.Manager}, &console.Options{
			Authenticate: func(*http.Request) (console.Viewer, error) { return w.present() }, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		c := w.open(t)
		time.Sleep(2 * time.Second)
		c.wantOpen(t, "before a change")
		w.mustCreate(t)
		c.wantEnd(t, "after the panic")
		w.open(t).wantOpen(t, "after another has ended")
	})
}

// A client that does not read costs the server a write's time limit.
func TestStream_endsForADeadClient(t *testing.T) {
	inBubble(t, console.Options{}, func(t *testing.T, w *streamWorld) {
		c := w.open(t)
		c.mu.Lock()
		c.stalled = true
		c.mu.Unlock()
		time.Sleep(24 * time.Second)
		c.wantOpen(t, "9 s after a heartbeat that was not read")
		time.Sleep(time.Second)
		c.wantEnd(t, "10 s after a heartbeat that was not read")
	})
}

// All goroutines of the streams end with the last stream.
func TestStream_leavesNothing(t *testing.T) {
	inBubble(t, console.Options{}, func(t *testing.T, w *streamWorld) {
		time.Sleep(time.Minute)
		synctest.Wait()
		before := goroutinesOfBubble()
		for range 3 {
			one, other := w.open(t), w.open(t)
			time.Sleep(time.Second)
			one.close()
			other.wantOpen(t, "after another has left")
			key := w.mustCreate(t)
			w.mustComment(t, key)
			other.close()
			synctest.Wait()
			if n := goroutinesOfBubble(); n > before {
				t.Fatalf("after the last stream there are %d goroutines, before the first %d", n, before)
			}
		}
	})
}

// goroutinesOfBubble counts the goroutines of the caller's bubble, which other tests do not change.
func goroutinesOfBubble() int {
	all := make([]byte, 4<<20)
	all = all[:runtime.Stack(all, true)]
	_, own, _ := strings.Cut(string(all), "synctest bubble ") // the caller's goroutine is the first
	id, _, _ := strings.Cut(own, "]")
	return strings.Count(string(all), "synctest bubble "+id+"]")
}
