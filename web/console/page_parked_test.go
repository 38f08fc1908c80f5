package console_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/web/console"
)

// newParkedWorld returns a world whose pager fails: the activities of incident 1 of the project pay
// and of incident 2 are parked.
func newParkedWorld(t *testing.T) *world {
	t.Helper()
	store := &countingStore{Store: memory.New()}
	refuse := incident.NotifierFunc(func(context.Context, incident.Notification) error {
		return fmt.Errorf("the pager says <no>: %w", incident.ErrUndeliverable)
	})
	incidents, err := incident.New(store, &incident.Options{
		Notifiers: map[string]incident.NamedNotifier{"pager": {Notifier: refuse, Notify: incident.NotifyOptions{
			Types: []incident.ActivityType{incident.ActivityTypeCreated},
		}}},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, store: store, incidents: incidents, faults: &faulty{Manager: incidents}}
	viewer := func(r *http.Request) (console.Viewer, error) {
		v, err := viewerOf(r)
		v.Operator = true
		return v, err
	}
	if w.pages, err = console.New(w.faults, &console.Options{Authenticate: viewer, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	w.create("A secret", "pay")
	w.create("For all")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = incidents.Run(ctx)
	}()
	for w.parked() < 2 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	if n := w.parked(); n != 2 {
		t.Fatalf("%d notifications are parked, want 2", n)
	}
	return w
}

// parked returns the number of parked notifications.
func (w *world) parked() int {
	w.Helper()
	page, err := w.incidents.Parked(context.WithoutCancel(w.Context()), incident.ParkedFilter{OrganizationID: "acme", Notifier: "pager"})
	if err != nil {
		w.Fatal(err)
	}
	return len(page.Notifications)
}

func TestParked_listsAndReplays(t *testing.T) {
	t.Parallel()
	w := newParkedWorld(t)
	page := w.page("dana", "/parked?notifier=pager", http.StatusOK)
	w.wants(page, "Activity 2, 1 attempt, parked", "the pager says &lt;no&gt;", `<a href="./incidents/1">#1 <bdi>A secret</bdi></a>`, "Queue all again")
	got := w.post("dana", "/parked/replay", url.Values{"notifier": {"pager"}, "identifier": {"1"}}, http.StatusSeeOther)
	if location := got.Header().Get("Location"); location != "../parked?notifier=pager&done=replay&n=1" {
		t.Errorf("the Location is %q", location)
	}
	w.wants(w.page("dana", "/parked?notifier=pager&done=replay&n=1", http.StatusOK), "1 notification queued again.")
	if n := w.parked(); n != 1 {
		t.Errorf("%d are parked, want 1", n)
	}
}

func TestParked_asksBeforeItDiscards(t *testing.T) {
	t.Parallel()
	w := newParkedWorld(t)
	form := url.Values{"notifier": {"pager"}, "identifier": {""}}
	w.wants(w.post("dana", "/parked/discard", form, http.StatusOK).Body.String(), "never delivered", `name="confirm" value="yes"`)
	if n := w.parked(); n != 2 {
		t.Errorf("%d are parked before the confirmation, want 2", n)
	}
	form.Set("confirm", "yes")
	w.post("dana", "/parked/discard", form, http.StatusSeeOther)
	w.wants(w.page("dana", "/parked?notifier=pager", http.StatusOK), "Nothing is parked")
}

func TestParked_hidesIncidentsWithoutAccess(t *testing.T) {
	t.Parallel()
	w := newParkedWorld(t)
	page := w.page("limited", "/parked?notifier=pager", http.StatusOK)
	w.wants(page, "#2 <bdi>For all</bdi>")
	w.lacks(page, "secret", "#1", "Queue all")
	for _, identifier := range []string{"", "1", "9", "x", "0"} {
		for _, action := range []string{"replay", "discard"} {
			w.post("limited", "/parked/"+action, url.Values{"notifier": {"pager"}, "identifier": {identifier}, "confirm": {"yes"}}, http.StatusNotFound)
		}
	}
	if n := w.parked(); n != 2 {
		t.Errorf("%d are parked, want 2", n)
	}
	w.post("limited", "/parked/replay", url.Values{"notifier": {"pager"}, "identifier": {"2"}}, http.StatusSeeOther)
	w.lacks(w.page("foreign", "/parked?notifier=pager", http.StatusOK), "#1", "#2")
}

func TestParked_ofAnUnknownCursor(t *testing.T) {
	t.Parallel()
	w := newParkedWorld(t)
	w.page("dana", "/parked?notifier=pager&cursor=x", http.StatusBadRequest)
	w.page("dana", "/parked?notifier="+strings.Repeat("x", 300), http.StatusBadRequest)
}

// stats is a Manager with other Stats.
type stats struct {
	incident.Manager
	of incident.Stats
}

func (s *stats) Stats() incident.Stats { return s.of }

func TestHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	show := func(s incident.Stats) string {
		var err error
		if w.pages, err = console.New(&stats{w.incidents, s}, &w.options); err != nil {
			t.Fatal(err)
		}
		return w.page("operator", "/health", http.StatusOK)
	}
	well := show(incident.Stats{Running: true, CacheHits: 3, CacheMisses: 1, Feed: incident.FeedStats{State: incident.FeedFollowing, Lag: 12 * time.Millisecond}})
	w.wants(well, "All is well", "following", "12 ms", "3 of 4 (75.0 %)")
	w.lacks(well, "Needs attention", "Last pass")
	ill := show(incident.Stats{
		Feed:      incident.FeedStats{State: incident.FeedLost},
		Notifiers: map[string]incident.NotificationStats{"<pager>": {Failed: 7, Backlog: incident.Backlog{Pending: 5, Parked: 2, Oldest: 2 * time.Hour}}},
		Abandoned: map[string]incident.Backlog{"mail": {Pending: 1}},
		Retention: incident.RetentionStats{Passes: 1, PassAge: 90 * time.Minute},
	})
	w.wants(ill, "Needs attention", "Run is not running", "not known", "late for &lt;pager&gt;: the longest wait is 2 hours", "2 notifications parked for &lt;pager&gt;",
		"notifier mail", "1 hour 30 minutes ago")
}
