package events

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// denying is a Manager that denies a user access.
type denying struct{ incident.Manager }

func (denying) Acknowledge(context.Context, incident.Key, incident.Acknowledgement) (incident.Result, error) {
	return incident.Result{}, fmt.Errorf("incident: acknowledge: %w", incident.ErrForbidden)
}

func TestHandler_triggersAcknowledgesAndResolves(t *testing.T) {
	w := newWorld(t, nil)
	if got := w.mustPost(t, trigger("disk full: db-1", fields{"severity": "warning"})); got != "disk full: db-1" {
		t.Errorf("the dedup_key is %q", got)
	}
	inc := w.only(t)
	if inc.Title != "Payments fail" || inc.Status != incident.StatusWarning || inc.AlertRuleID != DefaultAlertRule ||
		inc.QueryID != "disk full: db-1" || inc.Projects[0] != "checkout" || !inc.DateStarted.Equal(t0) {
		t.Errorf("got %+v", inc)
	}
	w.pass(time.Minute)
	w.mustPost(t, ofAction("acknowledge", "disk full: db-1"))
	if inc = w.only(t); !inc.Acknowledged(w.now) || inc.Response.AcknowledgedBy != "" {
		t.Errorf("after acknowledge: %+v", inc)
	}
	w.pass(time.Minute)
	w.mustPost(t, trigger("disk full: db-1", fields{"severity": "error", "summary": "Another title"}))
	if inc = w.only(t); inc.Status != incident.StatusCritical || inc.Title != "Payments fail" || inc.Acknowledged(w.now) {
		t.Errorf("after a higher severity: %+v", inc)
	}
	w.pass(time.Minute)
	w.mustPost(t, ofAction("resolve", "disk full: db-1"))
	if inc = w.only(t); inc.Status != incident.StatusClosed || !inc.DateClosed.Equal(w.now) {
		t.Errorf("after resolve: %+v", inc)
	}
	w.mustPost(t, trigger("disk full: db-1", nil))
	if list := w.list(t, "acme"); len(list) != 2 {
		t.Errorf("a trigger after a resolve: got %d incidents, want 2", len(list))
	}
	if got, want := w.Stats(), (Stats{Triggered: 3, Acknowledged: 1, Resolved: 1}); got != want {
		t.Errorf("Stats() = %+v, want %+v", got, want)
	}
}

func TestRefuse(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{incident.ErrUnavailable, 503},
		{incident.ErrConflict, 503},
		{&incident.ConflictError{}, 503},
		{context.Canceled, 503},
		{context.DeadlineExceeded, 503},
		{incident.ErrUnknownOutcome, 500},
		{errors.Join(incident.ErrUnknownOutcome, context.Canceled), 500},
		{incident.ErrNotFound, 500},
		{incident.ErrForbidden, 403},
		{&incident.FieldError{Field: "date", Problem: "is bad"}, 400},
		{&incident.FieldError{Field: "project", Problem: "is bad"}, 500},
	} {
		if got := refuse(fmt.Errorf("fire: %w", c.err)); got.code != c.want {
			t.Errorf("%v is answered %d, want %d", c.err, got.code, c.want)
		}
	}
}

func TestHandler_acknowledgesAsUser(t *testing.T) {
	w := newWorld(t, func(o *Options, _ *incident.Options) { o.User = "pager" })
	w.mustPost(t, trigger("x", nil))
	w.mustPost(t, ofAction("acknowledge", "x"))
	if inc := w.only(t); inc.Response == nil || inc.Response.AcknowledgedBy != "pager" {
		t.Errorf("got %+v", inc.Response)
	}
}

// Each route has its organization, project and rule, and its own dedup keys.
func TestHandler_separatesRoutes(t *testing.T) {
	w := newWorld(t, nil)
	w.mustPost(t, trigger("x", nil))
	w.mustPost(t, trigger("x", nil).with(fields{"routing_key": otherKey}))
	w.mustPost(t, trigger("x", nil).with(fields{"routing_key": rawKey}))
	w.mustPost(t, ofAction("resolve", "x").with(fields{"routing_key": rawKey}))
	globex := w.list(t, "globex")
	if len(globex) != 1 || globex[0].AlertRuleID != "probes" || globex[0].Projects[0] != "search" || !globex[0].Status.Active() {
		t.Errorf("globex has %+v", globex)
	}
	for _, inc := range w.list(t, "acme") {
		if active := inc.Projects[0] == "checkout"; inc.Status.Active() != active {
			t.Errorf("%s is %v", inc.Projects[0], inc.Status)
		}
	}
}

// An unknown dedup_key is accepted, and nothing is written.
func TestHandler_acceptsUnknownDedupKeys(t *testing.T) {
	w := newWorld(t, nil)
	for _, action := range []string{"acknowledge", "resolve"} {
		if got := w.mustPost(t, ofAction(action, "never seen")); got != "never seen" {
			t.Errorf("%s: the dedup_key is %q", action, got)
		}
	}
	if list := w.list(t, "acme"); len(list) != 0 || w.Stats() != (Stats{Unchanged: 2}) {
		t.Errorf("got %+v, %+v", list, w.Stats())
	}
}

// Each event twice in a row changes nothing twice, with and without timestamps.
func TestHandler_repetitionsChangeNothing(t *testing.T) {
	for _, dated := range []bool{false, true} {
		w := newWorld(t, nil)
		for i, e := range []fields{
			trigger("x", fields{"severity": "warning"}), trigger("x", nil), ofAction("acknowledge", "x"), ofAction("resolve", "x"),
		} {
			if dated {
				e = stamped(e, t0.Add(time.Duration(i)*time.Minute))
			}
			w.mustPost(t, e)
			inc := w.only(t)
			count := w.activities(t, inc.Key())
			w.pass(time.Minute)
			w.mustPost(t, e)
			if again := w.only(t); again.Version != inc.Version || w.activities(t, inc.Key()) != count {
				t.Errorf("dated %t, %s changed the incident twice: %+v", dated, e["event_action"], again)
			}
		}
		if s := w.Stats(); s.Unchanged != 4 {
			t.Errorf("dated %t: Stats() = %+v, want 4 unchanged", dated, s)
		}
	}
}

// A reply was lost, and the sender repeats the event later.
func TestHandler_lostReplies(t *testing.T) {
	w := newWorld(t, nil)
	for _, e := range []fields{stamped(trigger("x", nil), t0), ofAction("acknowledge", "x"), ofAction("resolve", "x"), stamped(trigger("x", nil), t0)} {
		w.store.fault, w.store.lost = incident.ErrUnknownOutcome, true
		first := w.post(t, e).code
		w.store.fault = nil
		w.pass(time.Minute)
		if w.mustPost(t, e); first != 500 && first != 202 {
			t.Errorf("%s: got %d", e["event_action"], first)
		}
		w.only(t)
	}
	inc := w.only(t)
	if got := w.activities(t, inc.Key()); inc.Status != incident.StatusClosed || got != 5 {
		t.Errorf("got %d activities of %+v, want 5", got, inc)
	}
}

// A repeated trigger with a timestamp opens nothing after the incident was closed, even where
// timestamps do not order events. A later trigger does.
func TestHandler_timestampsIdentifyTriggers(t *testing.T) {
	for _, route := range []string{key, rawKey} {
		w := newWorld(t, nil)
		first := stamped(trigger("x", nil), t0).with(fields{"routing_key": route})
		w.mustPost(t, first)
		w.pass(time.Minute)
		w.mustPost(t, ofAction("resolve", "x").with(fields{"routing_key": route}))
		w.pass(time.Minute)
		w.mustPost(t, first)
		if inc := w.only(t); inc.Status != incident.StatusClosed {
			t.Errorf("a repeated trigger reopened %+v", inc)
		}
		w.mustPost(t, stamped(first, w.now))
		if list := w.list(t, "acme"); len(list) != 2 {
			t.Errorf("a new trigger: got %d incidents, want 2", len(list))
		}
	}
}

// An old trigger that arrives after the resolve is outdated by its timestamp. Without one, and on a
// route that ignores timestamps, it opens an incident.
func TestHandler_ordersByTimestamp(t *testing.T) {
	for name, c := range map[string]struct {
		route     string
		late      func(fields) fields
		incidents int
	}{
		"an old timestamp": {key, func(e fields) fields { return stamped(e, t0.Add(time.Minute)) }, 1},
		"no timestamp":     {key, func(e fields) fields { return e }, 2},
		"no zone": {key, func(e fields) fields {
			return e.with(fields{"payload": described(fields{"timestamp": "2026-03-14T02:32:00"})})
		}, 2},
		"an ignored timestamp": {rawKey, func(e fields) fields { return stamped(e, t0.Add(time.Minute)) }, 2},
	} {
		w := newWorld(t, nil)
		w.mustPost(t, stamped(trigger("x", nil), t0).with(fields{"routing_key": c.route}))
		w.pass(2 * time.Minute)
		w.mustPost(t, ofAction("resolve", "x").with(fields{"routing_key": c.route}))
		w.pass(time.Minute)
		w.mustPost(t, c.late(trigger("x", nil)).with(fields{"routing_key": c.route}))
		if list := w.list(t, "acme"); len(list) != c.incidents {
			t.Errorf("%s: got %d incidents, want %d", name, len(list), c.incidents)
		}
	}
	// A resolve that is older than the last trigger changes nothing, either.
	w := newWorld(t, nil)
	w.pass(time.Hour)
	w.mustPost(t, stamped(trigger("x", nil), t0.Add(time.Minute)))
	w.mustPost(t, stamped(ofAction("resolve", "x"), t0))
	if inc := w.only(t); !inc.Status.Active() || !inc.DateStarted.Equal(t0.Add(time.Minute)) {
		t.Errorf("after an old resolve: %+v", inc)
	}
}

// A resolve without a timestamp may be delayed, and the clock of the source slow: a new trigger is heard.
// Its repetition opens nothing.
func TestHandler_toleratesSlowClocks(t *testing.T) {
	for name, c := range map[string]struct {
		tolerance, older time.Duration
		incidents        int
	}{
		"a little older":      {0, 59 * time.Second, 2},
		"too old":             {0, time.Minute, 1},
		"without a tolerance": {-1, time.Second, 1},
		"another tolerance":   {time.Hour, 3 * time.Minute, 2},
	} {
		w := newWorld(t, func(o *Options, _ *incident.Options) { o.Tolerance = c.tolerance })
		w.mustPost(t, stamped(trigger("x", nil), t0))
		w.pass(5 * time.Minute)
		w.mustPost(t, ofAction("resolve", "x"))
		later := stamped(trigger("x", nil), w.now.Add(-c.older))
		w.mustPost(t, later)
		w.mustPost(t, stamped(trigger("x", nil), t0)) // opened the first
		if list := w.list(t, "acme"); len(list) != c.incidents || list[0].Status.Active() != (c.incidents == 2) {
			t.Errorf("%s: got %d incidents, want %d", name, len(list), c.incidents)
		}
		w.mustPost(t, ofAction("resolve", "x"))
		w.mustPost(t, later)
		if list := w.list(t, "acme"); len(list) != c.incidents || list[0].Status.Active() {
			t.Errorf("%s: after a repetition: got %d incidents, want %d that are closed", name, len(list), c.incidents)
		}
	}
}

// A late repetition of an acknowledgement with a timestamp does not undo its withdrawal.
func TestHandler_timestampsIdentifyAcknowledgements(t *testing.T) {
	w := newWorld(t, nil)
	w.mustPost(t, trigger("x", nil))
	acknowledge := stamped(ofAction("acknowledge", "x"), t0)
	w.mustPost(t, acknowledge)
	inc := w.only(t)
	if _, err := w.incidents.Acknowledge(t.Context(), inc.Key(), incident.Acknowledgement{Withdraw: true}); err != nil {
		t.Fatal(err)
	}
	w.mustPost(t, acknowledge)
	if inc = w.only(t); inc.Acknowledged(w.now) {
		t.Error("a repetition acknowledged again")
	}
	w.mustPost(t, ofAction("acknowledge", "x"))
	if inc = w.only(t); !inc.Acknowledged(w.now) {
		t.Error("a new acknowledgement is taken for a repetition")
	}
}

// A trigger without a dedup_key gets the same at each repetition. Other triggers get others.
func TestHandler_makesDedupKeys(t *testing.T) {
	w := newWorld(t, nil)
	e := trigger("", nil)
	first := w.mustPost(t, e)
	if again := w.mustPost(t, e); again != first || len(first) != 32 {
		t.Errorf("the keys are %q and %q", first, again)
	}
	seen := map[string]bool{first: true}
	for _, other := range []fields{
		trigger("", fields{"source": "db-2"}),
		trigger("", fields{"timestamp": "2026-03-14T02:31:00Z"}),
		e.with(fields{"client": "probe"}),
		e.with(fields{"client_url": "probe"}),
		e.with(fields{"links": []any{fields{"href": "https://a.example"}}}),
		e.with(fields{"images": []any{fields{"src": "https://a.example"}}}),
		e.with(fields{"routing_key": rawKey}),
	} {
		dedupKey := w.mustPost(t, other)
		if seen[dedupKey] {
			t.Errorf("%v has the key of another", other)
		}
		seen[dedupKey] = true
	}
	w.mustPost(t, ofAction("resolve", first))
	closed := 0
	for _, inc := range w.list(t, "acme") {
		if !inc.Status.Active() {
			closed++
		}
	}
	if closed != 1 {
		t.Errorf("a made key resolved %d incidents, want one", closed)
	}
}

// Senders with the same dedup_key share an incident, and those with others have their own.
func TestHandler_concurrentSenders(t *testing.T) {
	w := newWorld(t, nil)
	var senders sync.WaitGroup
	for i := range 100 {
		senders.Go(func() {
			e := trigger("shared", nil)
			if i%2 == 1 {
				e = stamped(e, t0)
			}
			if got := w.post(t, e); got.code != 202 {
				t.Errorf("got %d %s", got.code, got.text)
			}
		})
	}
	senders.Wait()
	w.only(t)
	for range 20 {
		senders.Go(func() { w.post(t, ofAction("acknowledge", "shared")) })
		senders.Go(func() { w.post(t, ofAction("resolve", "shared")) })
	}
	senders.Wait()
	if inc := w.only(t); inc.Status != incident.StatusClosed || w.Stats().Resolved != 1 {
		t.Errorf("got %+v, %+v", inc, w.Stats())
	}
}

func TestHandler_reopensFlappingTargets(t *testing.T) {
	w := newWorld(t, func(o *Options, _ *incident.Options) { o.Routes[0].ReopenWithin = time.Hour })
	for range 3 {
		w.mustPost(t, trigger("x", nil))
		w.pass(time.Minute)
		w.mustPost(t, ofAction("resolve", "x"))
		w.pass(time.Minute)
	}
	w.only(t)
}
