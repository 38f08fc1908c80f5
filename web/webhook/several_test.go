package webhook

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// postbox is a receiver that counts the notifications that it handles, by UUID.
type postbox struct {
	mu     sync.Mutex // guards the fields below
	counts map[uuid.UUID]int
	due    []incident.Reminder
}

func (in *postbox) handle(_ context.Context, n incident.Notification) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.counts[n.UUID()]++
	if n.Reminder != nil {
		in.due = append(in.due, *n.Reminder)
	}
	return nil
}

// newPostbox returns an postbox, and a Notifier that posts to it through front.
func newPostbox(t *testing.T, front func(http.Handler) http.Handler) (*postbox, *Notifier) {
	t.Helper()
	in := &postbox{counts: map[uuid.UUID]int{}}
	receiver, err := NewReceiver([]Secret{mustSecret(t, wellKnown)}, in.handle, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(front(receiver))
	t.Cleanup(server.Close)
	return in, mustNotifier(t, server.URL, nil)
}

// remindSoon sets a reminder that is due in a moment. A busy machine may take longer to set it, and then the
// reminder is due later.
func remindSoon(t *testing.T, incidents incident.Manager, key incident.Key, r incident.Reminder) {
	t.Helper()
	for wait := 20 * time.Millisecond; ; wait *= 2 {
		r.At = time.Now().Add(wait)
		err := incidents.Remind(t.Context(), key, r)
		if err == nil {
			return
		}
		if invalid, ok := errors.AsType[*incident.FieldError](err); !ok || invalid.Field != "at" || wait > time.Minute {
			t.Fatal(err)
		}
	}
}

// A Manager posts to several receivers. A receiver that is gone parks its own notifications, and
// a receiver that loses answers gets its own repetitions: none of this shows at another receiver.
// Each receiver is posted a reminder that names it, with the UUID of the reminder.
func TestNotifier_isOneOfSeveral(t *testing.T) {
	var posts atomic.Int64
	calm, calmNotifier := newPostbox(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			posts.Add(1)
			h.ServeHTTP(w, r)
		})
	})
	gone, goneNotifier := newPostbox(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	})
	var lost atomic.Int64
	lossy, lossyNotifier := newPostbox(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if lost.Add(1)%2 == 1 {
				h.ServeHTTP(httptest.NewRecorder(), r)
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	tuned := NotifyOptions()
	tuned.Backoff = func(int) time.Duration { return time.Millisecond }
	incidents, err := incident.New(memory.New(), &incident.Options{Notifiers: map[string]incident.NamedNotifier{
		"calm":  {Notifier: calmNotifier, Notify: tuned},
		"gone":  {Notifier: goneNotifier, Notify: tuned},
		"lossy": {Notifier: lossyNotifier, Notify: tuned},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	var running sync.WaitGroup
	running.Go(func() {
		if err := incidents.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()

	inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Search is slow"})
	if err != nil {
		t.Fatal(err)
	}
	for name := range incidents.Stats().Notifiers {
		remindSoon(t, incidents, inc.Key(), incident.Reminder{Name: "look at " + name, Notifier: name})
	}
	const each = 3 // Detected, Created and the reminder
	for done := func(s incident.NotificationStats) bool { return s.Delivered+s.GivenUp >= each }; ; time.Sleep(time.Millisecond) {
		s := incidents.Stats().Notifiers
		if done(s["calm"]) && done(s["gone"]) && done(s["lossy"]) {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("not all is delivered: %+v", s)
		}
	}
	stop()
	running.Wait()

	if n := posts.Load(); n != each || len(calm.counts) != each {
		t.Errorf("the receiver without a fault got %d posts of %d notifications, want %d", n, len(calm.counts), each)
	}
	for name, in := range map[string]*postbox{"calm": calm, "lossy": lossy} {
		for id, n := range in.counts {
			if n != 1 {
				t.Errorf("%s handled notification %v %d times", name, id, n)
			}
		}
		if len(in.due) != 1 || in.due[0].Notifier != name || in.due[0].Name != "look at "+name || in.counts[in.due[0].NotificationUUID] != 1 {
			t.Errorf("%s has the reminders %+v", name, in.due)
		}
	}
	activities := func(in *postbox) map[uuid.UUID]int {
		counts := maps.Clone(in.counts)
		for _, r := range in.due {
			delete(counts, r.NotificationUUID)
		}
		return counts
	}
	if !maps.Equal(activities(calm), activities(lossy)) {
		t.Errorf("the receivers handled the activities %v and %v, want the same", activities(calm), activities(lossy))
	}
	page, err := incidents.Parked(t.Context(), incident.ParkedFilter{OrganizationID: "acme", Notifier: "gone"})
	if err != nil || len(page.Notifications) != each || len(gone.counts) != 0 {
		t.Errorf("%d notifications for the receiver that is gone are parked, %v, want %d", len(page.Notifications), err, each)
	}
}
