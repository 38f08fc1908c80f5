package incident_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// typedNil is an error that panics if its pointer is nil.
type typedNil struct{ text string }

func (e *typedNil) Error() string { return e.text }

// Misbehaviour of the notifier is a failed attempt, and has no other effect.
func TestRelay_survivesTheNotifier(t *testing.T) {
	for name, misbehave := range map[string]func(ctx context.Context) error{
		"panics":                func(context.Context) error { panic("oh") },
		"panics with nothing":   func(context.Context) error { panic(nil) },
		"ends its goroutine":    func(context.Context) error { runtime.Goexit(); return nil },
		"returns a typed nil":   func(context.Context) error { var e *typedNil; return e },
		"returns no RetryAfter": func(context.Context) error { var e *incident.RetryAfterError; return e },
		"waits for its time":    func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"goes on after it":      func(context.Context) error { time.Sleep(time.Minute); return nil },
		"fails with long text":  func(context.Context) error { return errors.New(strings.Repeat("é", 10_000)) },
	} {
		t.Run(name, func(t *testing.T) {
			opts := incident.NotifyOptions{Concurrency: 1}
			if name == "returns a typed nil" {
				opts.Backoff = func(int) time.Duration { panic("oh") }
			}
			inOffice(t, incident.Options{Notify: opts}, func(t *testing.T, o *office) {
				o.fails(func(ctx context.Context, n incident.Notification) error {
					if n.Incident.OrganizationID == "acme" && n.Attempt == 1 {
						return misbehave(ctx)
					}
					return nil
				})
				o.mustCreate(t, "acme")
				o.mustCreate(t, "umbrella")
				time.Sleep(30 * time.Second)
				if got := o.take(); len(got) != 4 {
					t.Errorf("%v came, want all four", got)
				}
				if got := o.Stats().Notifications.Failed; got != 2 {
					t.Errorf("%d attempts have failed, want 2", got)
				}
				time.Sleep(time.Minute)
				o.take()
			})
		})
	}
}

// Misbehaviour at the second activity of a claim does not repeat the first, also if the notifier
// returns when the next attempt was made.
func TestRelay_survivesTheNotifierLater(t *testing.T) {
	for name, c := range map[string]struct {
		misbehave func()
		came      []string // with those whose call returned late
	}{
		"ends its goroutine": {runtime.Goexit, []string{"acme#1/1", "acme#1/2"}},
		"goes on after it":   {func() { time.Sleep(time.Minute) }, []string{"acme#1/1", "acme#1/2", "acme#1/2"}},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, incident.Options{Notify: incident.NotifyOptions{Concurrency: 2}}, func(t *testing.T, o *office) {
				o.fails(func(_ context.Context, n incident.Notification) error {
					if n.Activity.Type == incident.ActivityTypeCreated && n.Attempt == 1 {
						c.misbehave()
					}
					return nil
				})
				synctest.Wait() // Run takes places from now on
				o.mustCreate(t, "acme")
				time.Sleep(2 * time.Minute)
				o.want(t, c.came...)
				if got := o.Stats().Notifications; got.Delivered != 2 || got.Failed != 1 {
					t.Errorf("%d were delivered and %d attempts have failed, want 2 and 1", got.Delivered, got.Failed)
				}
			})
		})
	}
}

// A notifier that ignores the end of its context holds up the end of Run for a second beyond the grace,
// however long its own time is. Run may begin again.
func TestRun_endsBesideNotifiersThatIgnoreIt(t *testing.T) {
	inOffice(t, incident.Options{Notify: incident.NotifyOptions{Timeout: time.Hour, Grace: 5 * time.Second}}, func(t *testing.T, o *office) {
		o.fails(func(context.Context, incident.Notification) error { time.Sleep(2 * time.Hour); return nil })
		for range 2 {
			for _, org := range []incident.OrganizationID{"acme", "beta"} {
				o.mustCreate(t, org)
			}
			time.Sleep(time.Minute)
			stopped := time.Now()
			o.stop()
			if took := time.Since(stopped); took < 6*time.Second || took > 6*time.Second+100*time.Millisecond {
				t.Errorf("Run ends after %v, want the grace and a second", took)
			}
			o.start(t)
		}
		o.stop()
		time.Sleep(3 * time.Hour) // all calls have ended
	})
}

// Misbehaviour of the Authorizer is a failed attempt. If it takes all the time of the attempt, the
// notifier is not called, because the next attempt may be in progress.
func TestRelay_survivesTheAuthorizer(t *testing.T) {
	for name, c := range map[string]struct {
		misbehave func() error
		want      string
	}{
		"panics":      {func() error { panic("oh") }, "the authorizer panicked: oh"},
		"takes long":  {func() error { time.Sleep(time.Minute); return nil }, "its time is over"},
		"is too late": {func() error { time.Sleep(10*time.Second + time.Millisecond); return nil }, "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			opts := incident.Options{Authorizer: incident.AuthorizerFunc(
				func(_ context.Context, _ incident.OrganizationID, _ []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
					if asked.Add(1) == 2 { // after that for the comment
						return users, c.misbehave()
					}
					return users, nil
				})}
			inOffice(t, opts, func(t *testing.T, o *office) {
				key := o.mustCreate(t, "acme")
				o.mustComment(t, key, "bob")
				time.Sleep(2 * time.Minute)
				if got := o.all(); len(got) != 3 || got[2].Attempt != 2 || got[2].Recipients[0] != "bob" {
					t.Errorf("%d notifications came, want each once, and the comment at the second attempt to bob", len(got))
				}
				if !strings.Contains(o.log.String(), c.want) {
					t.Errorf("the log does not say %q: %s", c.want, &o.log)
				}
			})
		})
	}
}

// An attempt that ends with its process counts, so that a notification that ends processes is
// parked, too.
func TestRelay_countsAttemptsOfDeadProcesses(t *testing.T) {
	inOffice(t, incident.Options{Notify: incident.NotifyOptions{MaxAttempts: 2}}, func(t *testing.T, o *office) {
		o.stop()
		o.mustCreate(t, "acme")
		for range 2 {
			claims, err := o.store.Claim(t.Context(), incident.ClaimQuery{Limit: 1, PerOrganization: 1, Lease: time.Second})
			if err != nil || len(claims) != 1 {
				t.Fatal(claims, err)
			}
			time.Sleep(2 * time.Second)
		}
		o.start(t)
		synctest.Wait()
		o.want(t, "acme#1/2")
		page, err := o.Parked(t.Context(), incident.ParkedFilter{OrganizationID: "acme"})
		if err != nil || len(page.Notifications) != 1 || !strings.Contains(page.Notifications[0].Error, "none of 2 attempts") {
			t.Errorf("parked is %+v, %v", page, err)
		}
	})
}

// Notifications that another Manager has queued are delivered, even if it delivers none itself.
func TestRelay_deliversForOthers(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		other, err := incident.New(o.store, &incident.Options{Notifier: incident.NotifyElsewhere})
		if err != nil {
			t.Fatal(err)
		}
		silent, err := incident.New(o.store, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []incident.Manager{silent, other} {
			if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if err := other.Run(ctx); err != nil {
			t.Fatal(err)
		}
		o.want(t, "acme#2/1", "acme#2/2")
	})
}

// The notifications of a transaction are delivered after its commit, and never if it was rolled
// back.
func TestRelay_waitsForTheCommit(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		synctest.Wait() // until it has made its first claim
		undone := errors.New("undone")
		for _, result := range []error{undone, nil} {
			err := o.InTx(t.Context(), func(tx incident.Manager) error {
				_, err := tx.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
				if err != nil {
					return err
				}
				time.Sleep(100 * time.Millisecond)
				o.want(t)
				return result
			})
			if !errors.Is(err, result) {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		o.want(t, "acme#1/1", "acme#1/2")
	})
}

// faultyOutbox fails as often as the test wants.
type faultyOutbox struct {
	*memory.Store
	mu     sync.Mutex // guards the fields below
	claims int        // claims that fail
	settle int        // settlements that fail
	lost   int        // settlements with a lost answer
	busy   int        // settlements of locked queues
}

// fails counts n down, and reports whether it was positive.
func (f *faultyOutbox) fails(n *int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *n == 0 {
		return false
	}
	*n--
	return true
}

func (f *faultyOutbox) Claim(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
	if f.fails(&f.claims) {
		return nil, incident.ErrUnavailable
	}
	return f.Store.Claim(ctx, q)
}

func (f *faultyOutbox) Settle(ctx context.Context, all []incident.Settlement) ([]int, error) {
	switch {
	case f.fails(&f.settle):
		return nil, incident.ErrUnavailable
	case f.fails(&f.busy):
		busy, err := f.Store.Settle(ctx, all[1:])
		return append(busy, 0), err
	}
	busy, err := f.Store.Settle(ctx, all)
	if f.fails(&f.lost) {
		return nil, incident.ErrUnavailable
	}
	return busy, err
}

// While the store fails, no notification is lost, and none is sent twice.
func TestRelay_survivesTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var box postbox
		var log bytes.Buffer
		f := &faultyOutbox{Store: memory.New(), claims: 5, settle: 5, lost: 5, busy: 5}
		m, err := incident.New(f, &incident.Options{Notifier: &box, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		o := &office{Manager: m}
		o.start(t)
		for range 10 {
			o.mustCreate(t, "acme")
		}
		time.Sleep(10 * time.Second)
		o.stop()
		if got := box.take(); len(got) != 20 {
			t.Errorf("%d notifications came, want each of 20 once: %v", len(got), got)
		}
		if strings.Count(log.String(), "wait for the store") < 1 || strings.Count(log.String(), "is back") < 1 {
			t.Errorf("the log does not say that the store fails, and that it is back: %s", &log)
		}
	})
}

// The backlog is counted, and an old backlog is logged.
func TestRelay_logsAnOldBacklog(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		o.fails(func(context.Context, incident.Notification) error { return errors.New("busy") })
		o.mustCreate(t, "acme")
		o.mustCreate(t, "umbrella")
		time.Sleep(3 * time.Minute)
		got := o.Stats().Notifications
		if got.Backlog.Pending != 4 || got.Backlog.Oldest < 2*time.Minute || got.BacklogAge > 16*time.Second {
			t.Errorf("the backlog is %+v", got)
		}
		if n := strings.Count(o.log.String(), "are late"); n < 1 || n > 3 {
			t.Errorf("the log says %d times in three minutes that they are late: %s", n, &o.log)
		}
	})
}

// With the default delays a notification is parked after twenty attempts in about two hours.
func TestRelay_defaultBackoff(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		start := time.Now()
		var last time.Duration
		tried := 0
		o.fails(func(_ context.Context, n incident.Notification) error {
			if n.Activity.Sequence > 1 {
				return nil
			}
			tried, last = n.Attempt, time.Since(start)
			return errors.New("busy")
		})
		o.mustCreate(t, "acme")
		time.Sleep(3 * time.Hour)
		o.want(t, "acme#1/2")
		if tried != incident.DefaultNotifyAttempts || last < 90*time.Minute || last > 150*time.Minute {
			t.Errorf("it was given up after %d attempts in %v, want 20 in about 2 h", tried, last)
		}
	})
}

func TestNew_notifications(t *testing.T) {
	type bare struct{ incident.Store }
	for _, c := range []struct {
		field string
		store incident.Store
		opts  incident.Options
	}{
		{"Notifier", bare{memory.New()}, incident.Options{Notifier: incident.NotifyElsewhere}},
		{"Notify.Concurrency", memory.New(), incident.Options{Notify: incident.NotifyOptions{Concurrency: -1}}},
		{"Notify.Timeout", memory.New(), incident.Options{Notify: incident.NotifyOptions{Timeout: -1}}},
		{"Notify.MaxAttempts", memory.New(), incident.Options{Notify: incident.NotifyOptions{MaxAttempts: -1}}},
		{"Notify.PollInterval", memory.New(), incident.Options{Notify: incident.NotifyOptions{PollInterval: -1}}},
		{"Notify.Grace", memory.New(), incident.Options{Notify: incident.NotifyOptions{Grace: -1}}},
	} {
		_, err := incident.New(c.store, &c.opts)
		if field, ok := errors.AsType[*incident.FieldError](err); !ok || field.Field != c.field {
			t.Errorf("New with a bad %s = %v", c.field, err)
		}
	}
	m, err := incident.New(bare{memory.New()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Replay(t.Context(), parkedOf(key)); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("Replay on a store without an outbox = %v", err)
	}
}
