package incident_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// postbox is a Notifier that keeps its notifications, and fails if the test wants it.
type postbox struct {
	mu   sync.Mutex // guards the fields below
	got  []incident.Notification
	fail func(ctx context.Context, n incident.Notification) error // nil for never
}

func (p *postbox) Notify(ctx context.Context, n incident.Notification) error {
	p.mu.Lock()
	fail := p.fail
	p.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, n); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, n)
	return nil
}

// fails sets the function that makes the postbox fail; nil for none.
func (p *postbox) fails(fail func(ctx context.Context, n incident.Notification) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = fail
}

// all returns all notifications.
func (p *postbox) all() []incident.Notification {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// take returns the notifications since the last call, as "acme#1/3" or "acme#1/reminder".
func (p *postbox) take() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.got {
		if n.Reminder != nil {
			all = append(all, fmt.Sprintf("%s/%s", n.Incident.Key(), n.Reminder.Name))
		} else {
			all = append(all, fmt.Sprintf("%s/%d", n.Incident.Key(), n.Activity.Sequence))
		}
	}
	p.got = nil
	return all
}

// office is a Manager with a postbox and a memory store.
type office struct {
	incident.Manager
	postbox
	store *memory.Store
	log   bytes.Buffer
	stop  func()
}

// inOffice runs a test with a Manager that delivers, in a bubble with a clock of its own.
func inOffice(t *testing.T, opts incident.Options, test func(t *testing.T, o *office)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &office{store: memory.New()}
		if opts.Notifier == nil {
			opts.Notifier = o
		}
		opts.Logger = slog.New(slog.NewTextHandler(&o.log, nil))
		var err error
		if o.Manager, err = incident.New(o.store, &opts); err != nil {
			t.Fatal(err)
		}
		o.start(t)
		defer o.stop()
		test(t, o)
	})
}

func (o *office) start(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	o.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
}

func (o *office) mustCreate(t *testing.T, org incident.OrganizationID) incident.Key {
	t.Helper()
	inc, err := o.Create(t.Context(), incident.NewIncident{OrganizationID: org, Title: "Down"})
	if err != nil {
		t.Fatal(err)
	}
	return inc.Key()
}

func (o *office) mustComment(t *testing.T, key incident.Key, mentions ...incident.UserID) {
	t.Helper()
	if _, err := o.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "Hm", Mentions: mentions}); err != nil {
		t.Fatal(err)
	}
}

func (o *office) mustRemind(t *testing.T, key incident.Key, r incident.Reminder) {
	t.Helper()
	if err := o.Remind(t.Context(), key, r); err != nil {
		t.Fatal(err)
	}
}

func (o *office) want(t *testing.T, want ...string) {
	t.Helper()
	if got := o.take(); !slices.Equal(got, want) {
		t.Errorf("%v came, want %v", got, want)
	}
}

// Activities are delivered at once and in order, with their incident, to its subscribers.
func TestRelay_delivers(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		created, err := o.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down", UserID: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		key := created.Key()
		o.mustComment(t, key, "bob", "eve")
		if _, err := o.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: incident.StatusClosed, UserID: "bob"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got := o.all()
		for i, want := range []struct {
			kind       incident.ActivityType
			recipients []incident.UserID
		}{
			{incident.ActivityTypeDetected, nil},
			{incident.ActivityTypeCreated, nil},
			{incident.ActivityTypeComment, []incident.UserID{"bob", "eve"}},
			{incident.ActivityTypeStatusChange, []incident.UserID{"ada", "eve"}},
		} {
			if i >= len(got) {
				t.Fatalf("only %d notifications came", len(got))
			}
			n := got[i]
			if n.Activity.Type != want.kind || !slices.Equal(n.Recipients, want.recipients) || n.Recipients == nil {
				t.Errorf("notification %d is of %s to %v, want of %s to %v", i+1, n.Activity.Type, n.Recipients, want.kind, want.recipients)
			}
			stored, err := o.store.Activity(t.Context(), key, int64(i)+1)
			if err != nil || n.Activity != stored || n.Attempt != 1 || n.Incident.Version < 1 || n.Incident.Title != "Down" {
				t.Errorf("notification %d is %+v, want activity %+v, %v", i+1, n, stored, err)
			}
		}
		if last := got[len(got)-1]; len(got) != 4 || last.Incident.Status != incident.StatusClosed {
			t.Errorf("%d notifications came, of the last one the incident is %s", len(got), last.Incident.Status)
		}
	})
}

// A notification that fails is tried again after growing delays. It delays the notifications of
// its incident and no others.
func TestRelay_triesAgain(t *testing.T) {
	var tried []time.Duration
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		start := time.Now()
		o.fails(func(_ context.Context, n incident.Notification) error {
			if n.Incident.OrganizationID != "acme" || n.Activity.Sequence != 2 {
				return nil
			}
			tried = append(tried, time.Since(start))
			if len(tried) != n.Attempt {
				t.Errorf("attempt %d is called %d", len(tried), n.Attempt)
			}
			if len(tried) < 5 {
				return errors.New("busy")
			}
			return nil
		})
		first := o.mustCreate(t, "acme")
		o.mustComment(t, first)
		o.mustCreate(t, "umbrella")
		synctest.Wait()
		if got := o.take(); len(got) != 3 || !slices.Contains(got, "umbrella#1/2") {
			t.Errorf("at once %v came, want those of the other incident and the first", got)
		}
		time.Sleep(time.Minute)
		o.want(t, "acme#1/2", "acme#1/3")
		for i, want := range []time.Duration{0, 1, 3, 7, 15} {
			if d := tried[i] - want*time.Second; d < -want*time.Second/3 || d > want*time.Second/3+time.Second/2 {
				t.Errorf("attempt %d was made after %v, want about %d s", i+1, tried[i], want)
			}
		}
		if got := o.Stats().Notifications; got.Delivered != 5 || got.Failed != 4 || got.GivenUp != 0 {
			t.Errorf("the counters are %+v", got)
		}
		if n := strings.Count(o.log.String(), "were not delivered"); n < 1 || n > 3 {
			t.Errorf("failures are logged %d times: %s", n, &o.log)
		}
	})
}

// The delay that the receiver asks for is observed.
func TestRelay_observesRetryAfter(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		o.fails(func(_ context.Context, n incident.Notification) error {
			if n.Attempt == 1 {
				return fmt.Errorf("posting: %w", &incident.RetryAfterError{After: time.Minute, Err: errors.New("too many")})
			}
			return nil
		})
		o.mustCreate(t, "acme")
		time.Sleep(59 * time.Second)
		o.want(t)
		time.Sleep(3 * time.Second)
		o.want(t, "acme#1/1")
	})
}

// A notification that fails for good is parked, so that the next is sent, and can be replayed.
func TestRelay_parks(t *testing.T) {
	for name, c := range map[string]struct {
		err      error
		attempts int
	}{
		"after all attempts": {errors.New("busy\x00 with\xff"), 3},
		"at once":            {fmt.Errorf("status 400: %w", incident.ErrUndeliverable), 1},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, incident.Options{Notify: incident.NotifyOptions{MaxAttempts: 3}}, func(t *testing.T, o *office) {
				o.fails(func(_ context.Context, n incident.Notification) error {
					if n.Activity.Sequence == 1 {
						return c.err
					}
					return nil
				})
				key := o.mustCreate(t, "acme")
				time.Sleep(time.Minute)
				o.want(t, "acme#1/2")
				page, err := o.Parked(t.Context(), incident.ParkedFilter{OrganizationID: "acme"})
				if err != nil || len(page.Notifications) != 1 {
					t.Fatalf("Parked = %+v, %v", page, err)
				}
				p := page.Notifications[0]
				a, err := o.store.Activity(t.Context(), key, 1)
				if err != nil || p.Incident != key || p.Sequence != 1 || p.NotificationUUID != a.NotificationUUID ||
					p.Attempts != c.attempts || strings.ToValidUTF8(p.Error, "") != p.Error || strings.Contains(p.Error, "\x00") || p.Error == "" {
					t.Errorf("parked is %+v, %v", p, err)
				}
				if strings.Count(o.log.String(), "is given up") != 1 || o.Stats().Notifications.GivenUp != 1 {
					t.Errorf("the log does not say once that it is given up: %s", &o.log)
				}
				if n, err := o.Replay(t.Context(), parkedOf(key)); n != 1 || err != nil {
					t.Errorf("Replay = %d, %v", n, err)
				}
				time.Sleep(time.Minute)
				o.fails(nil)
				if n, err := o.Replay(t.Context(), parkedOf(key)); n != 1 || err != nil {
					t.Errorf("Replay of a notification that was parked again = %d, %v", n, err)
				}
				synctest.Wait()
				if got := o.all(); len(got) != 1 || !got[0].Replayed || got[0].Attempt != 1 {
					t.Errorf("after Replay %+v came", got)
				}
				o.want(t, "acme#1/1")
				if n, err := o.Replay(t.Context(), parkedOf(key)); n != 0 || err != nil {
					t.Errorf("Replay of nothing = %d, %v", n, err)
				}
			})
		})
	}
}

// Parked returns the notifications of a single organization, in pages.
func TestParked_pages(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		o.fails(func(context.Context, incident.Notification) error { return incident.ErrUndeliverable })
		for range 3 {
			o.mustCreate(t, "acme")
			o.mustCreate(t, "umbrella")
		}
		time.Sleep(time.Second)
		var got []string
		f := incident.ParkedFilter{OrganizationID: "acme", Limit: 2}
		for {
			page, err := o.Parked(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page.Notifications {
				got = append(got, fmt.Sprintf("%s/%d", p.Incident, p.Sequence))
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
		if want := []string{"acme#1/1", "acme#1/2", "acme#2/1", "acme#2/2", "acme#3/1", "acme#3/2"}; !slices.Equal(got, want) {
			t.Errorf("parked are %v, want %v", got, want)
		}
	})
}
