package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/examples/internal/statuspage"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/web/webhook"
)

// desk handles notifications, and can be made to fail.
type desk struct {
	fail func(n incident.Notification) error

	mu    sync.Mutex
	acted map[incident.Key][]incident.Activity
}

func (d *desk) act(_ context.Context, n incident.Notification) error {
	if err := d.fail(n); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acted[n.Incident.Key()] = append(d.acted[n.Incident.Key()], n.Activity)
	return nil
}

// post is a Manager that delivers to a desk, through front.
type post struct {
	incidents incident.Manager
	page      incident.OrganizationID
	sent      int
	desk      *desk
}

func newPost(t *testing.T, file string, d *desk, front func(http.Handler) http.Handler) *post {
	t.Helper()
	data, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	past, err := statuspage.Read(file, data)
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	secrets := []webhook.Secret{webhook.NewSecret()}
	d.acted = map[incident.Key][]incident.Activity{}
	receiver, err := webhook.NewReceiver(secrets, d.act, &webhook.ReceiverOptions{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(front(receiver))
	server.Config.ErrorLog = slog.NewLogLogger(quiet.Handler(), slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	notifier, err := webhook.NewNotifier(server.URL, secrets, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(notifier.Close)
	often := webhook.NotifyOptions()
	often.Backoff = func(int) time.Duration { return time.Duration(rand.IntN(10)) * time.Millisecond }
	incidents, err := incident.New(memory.New(), &incident.Options{Notifier: notifier, Notify: often, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := statuspage.Import(t.Context(), incidents, past, func(int) {}); err != nil {
		t.Fatal(err)
	}
	sent, err := countActivities(t.Context(), incidents, past.Page)
	if err != nil {
		t.Fatal(err)
	}
	return &post{incidents, past.Page, sent, d}
}

// check compares the handled notifications with the incidents' histories, except parked
// activities.
func (p *post) check(t *testing.T, parked map[incident.Key][]int64) {
	t.Helper()
	count := 0
	for key, got := range p.desk.acted {
		want, err := statuspage.Activities(t.Context(), p.incidents, key)
		if err != nil {
			t.Fatal(err)
		}
		count += len(want)
		want = slices.DeleteFunc(want, func(a incident.Activity) bool { return slices.Contains(parked[key], a.Sequence) })
		if !slices.EqualFunc(got, want, func(a, b incident.Activity) bool { return a == b }) {
			t.Errorf("%v: the desk handled\n%+v, want\n%+v", key, got, want)
		}
	}
	if count != p.sent {
		t.Errorf("the desk has incidents with %d activities, want %d", count, p.sent)
	}
}

// A real history arrives completely, in order, and is handled once, although a third of
// the requests fails in every possible way.
func TestDelivery_completeDespiteFaults(t *testing.T) {
	for _, file := range historyFiles() {
		var mu sync.Mutex
		failures := map[string]int{}
		fails := func(name string, one int) bool {
			mu.Lock()
			defer mu.Unlock()
			if rand.IntN(one) == 0 {
				failures[name]++
				return true
			}
			return false
		}
		d := &desk{fail: func(incident.Notification) error {
			switch {
			case fails("error", 15):
				return errors.New("it is out of order")
			case fails("later", 15):
				return &incident.RetryAfterError{After: -time.Second, Err: errors.New("it is busy")}
			case fails("panic", 15):
				panic("it is upside down")
			}
			return nil
		}}
		p := newPost(t, file, d, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case fails("unavailable", 20):
					w.WriteHeader(http.StatusServiceUnavailable)
				case fails("throttled", 20):
					w.Header().Set("Retry-After", time.Now().UTC().Format(http.TimeFormat))
					w.WriteHeader(http.StatusTooManyRequests)
				case fails("cut", 20):
					panic(http.ErrAbortHandler)
				case fails("answer lost", 20):
					next.ServeHTTP(discarder{http.Header{}}, r)
					panic(http.ErrAbortHandler)
				case fails("answered wrongly", 20):
					next.ServeHTTP(discarder{http.Header{}}, r)
					w.WriteHeader(http.StatusGatewayTimeout)
				default:
					next.ServeHTTP(w, r)
				}
			})
		})
		if err := deliverAll(t.Context(), p.incidents, p.sent); err != nil {
			t.Fatal(err)
		}
		p.check(t, nil)
		s := p.incidents.Stats().Notifications
		if parked, err := listParked(t.Context(), p.incidents, p.page); err != nil || len(parked) > 0 || s.Delivered != uint64(p.sent) {
			t.Errorf("%s: Parked() = %+v, %v, and %d of %d were delivered", file, parked, err, s.Delivered, p.sent)
		}
		if p.sent > 1000 && len(failures) != 8 {
			t.Errorf("not everything has failed that can: %v", slices.Sorted(maps.Keys(failures)))
		}
		t.Logf("%s: %d activities, %d attempts failed: %v", file, p.sent, s.Failed, failures)
	}
}

// Notifications that the receiver never handles are parked after all attempts, and later
// ones are delivered.
// After the cause is gone, Replay delivers the parked notifications too.
func TestDelivery_replaysParked(t *testing.T) {
	works := false
	d := &desk{fail: func(n incident.Notification) error {
		if !works && n.Activity.Type == incident.ActivityTypeStatusChange {
			return incident.ErrUndeliverable
		}
		return nil
	}}
	p := newPost(t, statuspageSample, d, func(next http.Handler) http.Handler { return next })
	if err := deliverAll(t.Context(), p.incidents, p.sent); err != nil {
		t.Fatal(err)
	}
	list, err := listParked(t.Context(), p.incidents, p.page)
	if err != nil || len(list) != 5 { // the closed incidents
		t.Fatalf("Parked() = %+v, %v", list, err)
	}
	parked := map[incident.Key][]int64{}
	for _, n := range list {
		parked[n.Incident] = append(parked[n.Incident], n.Sequence)
		if n.Attempts != 24 || !strings.HasSuffix(n.Error, ": 422 Unprocessable Entity: the notification cannot be handled") {
			t.Errorf("parked notification %+v", n)
		}
	}
	p.check(t, parked)

	works = true
	for key := range parked {
		if n, err := p.incidents.Replay(t.Context(), incident.ParkedSelection{OrganizationID: key.OrganizationID, Identifier: key.Identifier}); n != 1 || err != nil {
			t.Fatalf("Replay(%v) = %d, %v", key, n, err)
		}
	}
	if err := deliverAll(t.Context(), p.incidents, p.sent+len(list)); err != nil {
		t.Fatal(err)
	}
	for key, acted := range d.acted {
		slices.SortFunc(acted, func(a, b incident.Activity) int { return int(a.Sequence - b.Sequence) })
		d.acted[key] = acted // replayed notifications came last
	}
	p.check(t, nil)
}

// A receiver that answers 410 once gets nothing more, and all notifications are parked. A
// replay delivers them when the receiver is back.
func TestDelivery_stopsAfterGone(t *testing.T) {
	var requests atomic.Int64
	gone := true
	d := &desk{fail: func(incident.Notification) error {
		if requests.Add(1); gone {
			return webhook.ErrGone
		}
		return nil
	}}
	p := newPost(t, statuspageSample, d, func(next http.Handler) http.Handler { return next })
	if err := deliverAll(t.Context(), p.incidents, p.sent); err != nil {
		t.Fatal(err)
	}
	list, err := listParked(t.Context(), p.incidents, p.page)
	if err != nil || len(list) != p.sent {
		t.Fatalf("Parked() = %d, %v, want all %d", len(list), err, p.sent)
	}
	// Requests in progress at the first answer are answered, too.
	if got := requests.Load(); got > incident.DefaultNotifyConcurrency {
		t.Errorf("got %d requests", got)
	}
	gone = false
	keys := map[incident.Key]bool{}
	for _, n := range list {
		keys[n.Incident] = true
	}
	for key := range keys {
		if _, err := p.incidents.Replay(t.Context(), incident.ParkedSelection{OrganizationID: key.OrganizationID, Identifier: key.Identifier}); err != nil {
			t.Fatal(err)
		}
	}
	if err := deliverAll(t.Context(), p.incidents, 2*p.sent); err != nil {
		t.Fatal(err)
	}
	if s := p.incidents.Stats().Notifications; s.Delivered != uint64(p.sent) {
		t.Errorf("%d of %d were delivered", s.Delivered, p.sent)
	}
}

// Every n-th request fails, alternately before and after it was handled.
func TestFailing_alternates(t *testing.T) {
	handled := 0
	h := failing(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		handled++
		_, _ = io.WriteString(w, "good")
	}), 3)
	var got []int
	for range 12 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/", nil))
		got = append(got, w.Code)
	}
	if want := []int{200, 200, 502, 200, 200, 502, 200, 200, 502, 200, 200, 502}; !slices.Equal(got, want) || handled != 10 {
		t.Errorf("statuses %v, and %d were handled", got, handled)
	}
}

// A notification is counted if it arrives after a later notification of its incident.
func TestTally_countsOutOfOrder(t *testing.T) {
	got := newTally()
	for _, sequence := range []int64{1, 2, 4, 3, 3, 5} {
		for _, key := range []incident.Key{{OrganizationID: "acme", Identifier: 1}, {OrganizationID: "globex", Identifier: 1}} {
			if key.OrganizationID == "globex" && sequence == 3 {
				continue
			}
			n := incident.Notification{Activity: incident.Activity{Incident: key, Sequence: sequence}, Incident: incident.Incident{OrganizationID: key.OrganizationID, Identifier: 1}}
			if err := got.add(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
	}
	got.repeat()
	if want := (counts{notifications: 10, incidents: 2, repetitions: 1, outOfOrder: 2}); got.counts() != want {
		t.Errorf("counts() = %+v, want %+v", got.counts(), want)
	}
}

// deliverAll runs the Manager until it has delivered n notifications or given them up.
func deliverAll(ctx context.Context, incidents incident.Manager, n int) error {
	return whileItRuns(ctx, incidents, func(ctx context.Context) error { return awaitDelivery(ctx, incidents, n) })
}
