package console_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/console"
)

func TestStream_events(t *testing.T) {
	inBubble(t, console.Options{}, func(t *testing.T, w *streamWorld) {
		key := w.mustCreate(t, "shop")
		c := w.open(t)
		first := c.take()
		if !strings.HasPrefix(first, "retry: ") || !strings.HasSuffix(first, "\n\nevent: change\ndata\n\n") {
			t.Errorf("the stream begins with %q", first)
		}
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
		} {
			if got := c.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		time.Sleep(5 * time.Second)
		w.mustComment(t, key)
		if got, want := c.take(), "event: change\ndata\n\n"; got != want {
			t.Errorf("after a comment the stream has %q, want %q", got, want)
		}
		time.Sleep(25 * time.Second)
		if got, want := c.take(), ": heartbeat\n\n: heartbeat\n\n"; got != want {
			t.Errorf("within 30 s without a change the stream has %q, want %q", got, want)
		}
		second := w.open(t)
		second.wantChanges(t, "at the beginning of a second stream", 1)
		c.wantChanges(t, "after another stream has begun", 0)
		time.Sleep(100 * time.Millisecond)
		w.mustComment(t, key)
		second.wantChanges(t, "0.1 s after the first", 0)
		time.Sleep(time.Second)
		second.wantChanges(t, "a second later", 1)
		time.Sleep(2 * time.Second)
		if _, err := w.Create(t.Context(), incident.NewIncident{OrganizationID: "umbrella", Title: "x"}); err != nil {
			t.Fatal(err)
		}
		second.wantChanges(t, "after a change in another organization", 0)
	})
}

// No two events come within a second, and each change is followed by an event within a second.
func TestStream_gathersChanges(t *testing.T) {
	inBubble(t, console.Options{}, func(t *testing.T, w *streamWorld) {
		key := w.mustCreate(t, "shop")
		c := w.open(t)
		rng := rand.New(rand.NewPCG(1, 2))
		var written []time.Time
		for range 300 {
			w.mustComment(t, key)
			written = append(written, time.Now())
			time.Sleep(time.Duration(rng.Int64N(int64(50*time.Millisecond) << rng.IntN(7))))
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for i := 1; i < len(c.changes); i++ {
			if d := c.changes[i].Sub(c.changes[i-1]); d < time.Second {
				t.Fatalf("two events come within %v", d)
			}
		}
		for _, at := range written {
			i, _ := slices.BinarySearchFunc(c.changes, at, time.Time.Compare)
			if i == len(c.changes) || c.changes[i].Sub(at) > time.Second {
				t.Fatalf("a change at %v is not followed by an event within a second: %v", at, c.changes)
			}
		}
		if len(c.changes) > 250 {
			t.Errorf("300 comments make %d events", len(c.changes))
		}
	})
}

func TestStream_doesNotTellOfForeignProjects(t *testing.T) {
	inBubble(t, console.Options{}, func(t *testing.T, w *streamWorld) {
		shop, bank, none := w.mustCreate(t, "shop", "bank"), w.mustCreate(t, "bank"), w.mustCreate(t)
		w.become(streamViewer("acme", "dana", &incident.ProjectAccess{Projects: []incident.ProjectID{"shop"}}))
		c := w.open(t)
		w.become(streamViewer("acme", "eve", &incident.ProjectAccess{}))
		outsider := w.open(t)
		w.become(streamViewer("acme", "ada", nil))
		all := w.open(t)
		for _, s := range []*client{c, outsider, all} {
			s.wantChanges(t, "at the beginning", 1)
		}
		for _, step := range []struct {
			key              incident.Key
			shop, none, both int
		}{{bank, 0, 0, 1}, {shop, 1, 0, 1}, {none, 1, 1, 1}, {bank, 0, 0, 1}} {
			time.Sleep(2 * time.Second)
			w.mustComment(t, step.key)
			time.Sleep(time.Second)
			c.wantChanges(t, fmt.Sprint("to a viewer of shop, after a change of ", step.key), step.shop)
			outsider.wantChanges(t, fmt.Sprint("to a viewer without projects, after a change of ", step.key), step.none)
			all.wantChanges(t, fmt.Sprint("to a viewer of all, after a change of ", step.key), step.both)
		}
		// A change that takes an incident away is not told, but found within a minute.
		if _, err := w.UnlinkProject(t.Context(), shop, "shop"); err != nil {
			t.Fatal(err)
		}
		c.wantChanges(t, "to a viewer of shop, after an incident has lost it", 0)
		w.become(streamViewer("acme", "dana", &incident.ProjectAccess{Projects: []incident.ProjectID{"shop"}}))
		outsider.close()
		all.close()
		time.Sleep(time.Minute)
		c.wantChanges(t, "within a minute", 1)
		w.become(streamViewer("acme", "dana", nil))
		time.Sleep(time.Minute)
		c.wantChanges(t, "after access was extended", 1)
		w.mustComment(t, bank)
		c.wantChanges(t, "after a change of bank, with access", 1)
	})
}

// reads counts the incidents that a Manager reads.
type reads struct {
	incident.Manager
	n atomic.Int64
}

func (r *reads) Get(ctx context.Context, key incident.Key) (incident.Incident, error) {
	r.n.Add(1)
	return r.Manager.Get(ctx, key)
}

// The changes of a second are compared once for all viewers, and without such viewers not at all.
func TestStream_comparesChangesOnce(t *testing.T) {
	inBubble(t, console.Options{}, func(t *testing.T, w *streamWorld) {
		counted := &reads{Manager: w.Manager}
		var err error
		w.pages, err = console.New(counted, &console.Options{Authenticate: func(*http.Request) (console.Viewer, error) { return w.present() }})
		if err != nil {
			t.Fatal(err)
		}
		key := w.mustCreate(t, "shop")
		busySecond := func() (read int64) {
			before := counted.n.Load()
			for range 50 {
				w.mustComment(t, key)
				time.Sleep(20 * time.Millisecond)
			}
			synctest.Wait()
			return counted.n.Load() - before
		}
		w.open(t)
		if n := busySecond(); n > 0 {
			t.Errorf("for viewers of everything %d incidents are read, want none", n)
		}
		w.become(streamViewer("acme", "dana", &incident.ProjectAccess{Projects: []incident.ProjectID{"shop"}}))
		for range 10 {
			w.open(t)
		}
		if n := busySecond(); n > 2 {
			t.Errorf("for 10 viewers of a project %d incidents are read in a second with changes of one, want at most 2", n)
		}
	})
}

func TestStream_authenticatesAgain(t *testing.T) {
	for name, end := range map[string]struct {
		viewer func() (console.Viewer, error)
		want   string
	}{
		"signed out":           {func() (console.Viewer, error) { return console.Viewer{}, console.ErrSignIn }, "event: signin\ndata\n\n"},
		"another user":         {streamViewer("acme", "eve", nil), "event: signin\ndata\n\n"},
		"another organization": {streamViewer("umbrella", "dana", nil), "event: signin\ndata\n\n"},
		"an error":             {func() (console.Viewer, error) { return console.Viewer{}, errors.New("no database") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, console.Options{}, func(t *testing.T, w *streamWorld) {
				c := w.open(t)
				time.Sleep(10*time.Minute + time.Second)
				synctest.Wait()
				if w.asked.Load() != 11 {
					t.Errorf("within 10 minutes the viewer is authenticated %d times, want 11", w.asked.Load())
				}
				c.take()
				w.become(end.viewer)
				time.Sleep(time.Minute)
				c.wantEnd(t, "a minute later")
				if got := strings.ReplaceAll(c.take(), ": heartbeat\n\n", ""); got != end.want {
					t.Errorf("the stream ends with %q, want %q", got, end.want)
				}
			})
		})
	}
}
