package otel_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/incidentkit/incident"
	incidentotel "github.com/incidentkit/incident/telemetry/otel"
)

var id = uuid.MustParse("19a21798-28df-7766-a6ab-d612177d82e6")

func note() incident.Notification {
	return incident.Notification{
		Activity: incident.Activity{Type: incident.ActivityTypeComment, UserID: "ada", Comment: "Rolling back.", NotificationUUID: id},
		Incident: incident.Incident{OrganizationID: "acme", Identifier: 7, Title: "Search is slow"},
		Attempt:  3, Replayed: true, Recipients: []incident.UserID{"grace"},
	}
}

const noteText = "incident.id=7,incident.notification.attempt=3,incident.notification.id=19a21798-28df-7766-a6ab-d612177d82e6," +
	"incident.notification.replayed=true,incident.notification.type=Comment,incident.notifier.name=pager,incident.organization.id=acme,incident.outcome="

func TestNotifier_makesASpanOfEachAttempt(t *testing.T) {
	later := &incident.RetryAfterError{After: time.Minute, Err: errors.New("busy")}
	for _, c := range []struct {
		err    error
		class  string
		failed bool
	}{
		{nil, "ok", false},
		{fmt.Errorf("no such address of ada: %w", incident.ErrUndeliverable), "undeliverable", true},
		{fmt.Errorf("pager: %w", later), "retry_after", true},
		{context.DeadlineExceeded, "deadline_exceeded", true},
		{context.Canceled, "canceled", false},
		{incident.ErrNotFound, "not_found", true},
		{errors.New("ada is away"), "_OTHER", true},
		{insisting{}, "_OTHER", true},
	} {
		w := newWorld(t, incidentotel.Options{})
		ctx, host := w.begin(t.Context(), "main")
		n := w.Notifier("pager", incident.NotifierFunc(func(ctx context.Context, got incident.Notification) error {
			if got.Incident.Title != "Search is slow" || !trace.SpanContextFromContext(ctx).IsValid() {
				t.Errorf("the notifier got %+v", got)
			}
			_, inner := w.begin(ctx, "POST")
			inner.End()
			return c.err
		}))
		if err := n.Notify(ctx, note()); err != c.err {
			t.Errorf("got %v, want %v unchanged", err, c.err)
		}
		want, metric := "consumer Unset "+noteText+c.class, "incident.notifier.name=pager,incident.outcome="+c.class
		if c.failed {
			want, metric = "consumer Error error.type="+c.class+","+noteText+c.class, "error.type="+c.class+","+metric
		}
		s := w.one(t, "incident.Notify")
		if got := described(s); got != want {
			t.Errorf("%v: got %s, want %s", c.err, got, want)
		}
		if s.Parent().IsValid() || len(s.Links()) != 1 || s.Links()[0].SpanContext.SpanID() != host.SpanContext().SpanID() {
			t.Errorf("the span has the parent %v and the links %v, want a root with a link to the span of Run", s.Parent(), s.Links())
		}
		if got := w.parents()["POST"]; got != "incident.Notify" {
			t.Errorf("the parent of the notifier's span is %q", got)
		}
		if got := w.points(t); !maps.Equal(got, map[string]float64{"histogram incident.notification.duration{" + metric + "}": 1}) {
			t.Errorf("%v: got %v", c.err, got)
		}
	}
}

func TestNotifier_reminder(t *testing.T) {
	w := newWorld(t, incidentotel.Options{Anonymous: true})
	n := note()
	n.Activity, n.Reminder = incident.Activity{}, &incident.Reminder{Name: "ask ada", NotificationUUID: id}
	if err := w.Notifier("", incident.NotifierFunc(func(context.Context, incident.Notification) error { return nil })).Notify(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	s := w.one(t, "incident.Notify")
	want := "incident.notification.attempt=3,incident.notification.id=19a21798-28df-7766-a6ab-d612177d82e6,incident.notification.replayed=true," +
		"incident.notification.type=Reminder,incident.notifier.name=,incident.outcome=ok"
	if got := text(s.Attributes()); got != want || len(s.Links()) > 0 {
		t.Errorf("got %s, links %v, want %s", got, s.Links(), want)
	}
}

func TestNotifier_panics(t *testing.T) {
	for _, c := range []struct {
		end  func()
		want any
	}{
		{func() { panic("the notifier's") }, "the notifier's"},
		{runtime.Goexit, nil},
	} {
		w := newWorld(t, incidentotel.Options{})
		n := w.Notifier("pager", incident.NotifierFunc(func(context.Context, incident.Notification) error {
			c.end()
			return nil
		}))
		var panicked any
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() { panicked = recover() }()
			_ = n.Notify(t.Context(), note())
		})
		wg.Wait()
		if got, want := described(w.one(t, "incident.Notify")), "consumer Error error.type=panic,"+noteText+"panic"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if panicked != c.want {
			t.Errorf("got the panic %v, want %v", panicked, c.want)
		}
	}
}

// The wrapper of NotifyElsewhere would deliver nothing, and count each notification as failed.
func TestNotifier_keepsNotifyElsewhere(t *testing.T) {
	w := newWorld(t, incidentotel.Options{})
	if n := w.Notifier("pager", incident.NotifyElsewhere); n != incident.NotifyElsewhere {
		t.Errorf("got %T", n)
	}
	if n := w.Notifier("pager", nil); n != nil {
		t.Errorf("got %T for nil", n)
	}
}

// Attempts of a real relay, and the statistics that count them.
func TestNotifier_ofManager(t *testing.T) {
	w := newWorld(t, incidentotel.Options{})
	var mu sync.Mutex
	failures := 1
	flaky := incident.NotifierFunc(func(context.Context, incident.Notification) error {
		mu.Lock()
		defer mu.Unlock()
		if failures--; failures >= 0 {
			return errors.New("busy")
		}
		return nil
	})
	m := w.manager(t, incident.Options{Notifiers: map[string]incident.NamedNotifier{"pager": {
		Notifier: w.Notifier("pager", flaky),
		Notify:   incident.NotifyOptions{Backoff: func(int) time.Duration { return time.Millisecond }},
	}}})
	if _, err := w.Observe(m); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	inc, err := m.Create(ctx, search)
	if err != nil {
		t.Fatal(err)
	}
	attempts := func(outcome string) string {
		return "counter incident.notification.attempts{incident.notification.outcome=" + outcome + ",incident.notifier.name=pager}"
	}
	deadline := time.Now().Add(30 * time.Second)
	for got := w.points(t); got[attempts("delivered")] != 2 || got[attempts("failed")] != 1; got = w.points(t) {
		if time.Now().After(deadline) {
			t.Fatalf("got %v, want 2 delivered and 1 failed", got)
		}
		time.Sleep(time.Millisecond)
	}
	var seen []string
	for _, s := range w.spans.Ended() {
		if s.Name() == "incident.Notify" {
			for _, a := range s.Attributes() {
				if a.Key == "incident.notification.attempt" || a.Key == "incident.notification.type" || a.Key == "incident.outcome" {
					seen = append(seen, a.Value.String())
				}
			}
		}
		// None is hexadecimal, as a part of a UUID might be.
		for _, private := range []string{"grace", "Search", "slow"} {
			if strings.Contains(text(s.Attributes()), private) {
				t.Errorf("%s tells %q: %s", s.Name(), private, text(s.Attributes()))
			}
		}
	}
	if got, want := strings.Join(seen, " "), "Detected 1 _OTHER Detected 2 ok Created 1 ok"; got != want {
		t.Errorf("the attempts for %s are %q, want %q", inc.Key(), got, want)
	}
}
