package incident_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

const forever = time.Duration(math.MaxInt64)

// Each duration may be the longest possible.
func TestRelay_acceptsTheLongestDurations(t *testing.T) {
	for name, opts := range map[string]incident.NotifyOptions{
		"Timeout":      {Timeout: forever},
		"PollInterval": {PollInterval: forever},
		"Grace":        {Grace: forever},
		"MaxAttempts":  {MaxAttempts: math.MaxInt},
		"all":          {Timeout: forever, PollInterval: forever, Grace: forever, MaxAttempts: math.MaxInt},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, incident.Options{Notify: opts, IncidentTTL: forever, ActiveTTL: forever}, func(t *testing.T, o *office) {
				o.fails(func(_ context.Context, n incident.Notification) error {
					if n.Activity.Sequence == 1 && n.Attempt < 15 {
						return errors.New("busy")
					}
					return nil
				})
				o.mustCreate(t, "acme")
				time.Sleep(3 * time.Hour)
				o.want(t, "acme#1/1", "acme#1/2")
				o.mustCreate(t, "acme")
				synctest.Wait()
				o.take()
			})
		})
	}
}

// An endless delay never ends, and delays no other incident.
func TestRelay_observesEndlessDelays(t *testing.T) {
	for name, c := range map[string]struct {
		backoff time.Duration
		err     error
	}{
		"Backoff":          {forever, errors.New("busy")},
		"RetryAfter":       {time.Second, &incident.RetryAfterError{After: forever, Err: errors.New("busy")}},
		"both":             {forever, &incident.RetryAfterError{After: forever, Err: errors.New("busy")}},
		"negative Backoff": {math.MinInt64, &incident.RetryAfterError{After: forever, Err: errors.New("busy")}},
	} {
		t.Run(name, func(t *testing.T) {
			opts := incident.NotifyOptions{Backoff: func(int) time.Duration { return c.backoff }, PollInterval: forever}
			inOffice(t, incident.Options{Notify: opts}, func(t *testing.T, o *office) {
				o.fails(func(_ context.Context, n incident.Notification) error {
					if n.Incident.Identifier == 1 {
						return c.err
					}
					return nil
				})
				o.mustCreate(t, "acme")
				time.Sleep(200 * time.Hour)
				o.mustCreate(t, "acme")
				time.Sleep(time.Second)
				o.want(t, "acme#2/1", "acme#2/2")
				if got := o.Stats().Notifications.Failed; got != 1 {
					t.Errorf("%d attempts have failed, want 1", got)
				}
			})
		})
	}
}

// An entry with the longest ttl is served.
func TestCache_acceptsTheLongestTTL(t *testing.T) {
	c := incident.NewCache(10)
	c.Put(t.Context(), "key", incident.CacheEntry{Version: 1}, forever)
	if _, ok := c.Get(t.Context(), "key"); !ok {
		t.Error("an entry with the longest ttl is gone")
	}
}

func TestNew_concurrency(t *testing.T) {
	for n, ok := range map[int]bool{incident.MaxNotifyConcurrency: true, incident.MaxNotifyConcurrency + 1: false, math.MaxInt: false} {
		_, err := incident.New(memory.New(), &incident.Options{Notify: incident.NotifyOptions{Concurrency: n}})
		field, isField := errors.AsType[*incident.FieldError](err)
		if (err == nil) != ok || !ok && (!isField || field.Field != "Notify.Concurrency") {
			t.Errorf("New with a Concurrency of %d = %v", n, err)
		}
	}
}
