package managertest

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// The Manager and the model agree on every sequence of events of two triggers in a slot: firings
// with both severities and resolutions, with several dates, without a date and with a date ahead
// of now. There are six events with one date, and four with two dates, of which users may close
// the incident. The long form has six events with up to five dates, and more clocks.
//
// The sequences form a tree. Two sequences of the same length that lead to the same state of the
// slot's last incident have the same continuations, so that only the first is continued. The
// triggers are interchangeable.
func TestOrder_everySequence(t *testing.T) {
	forward, back := []int{10, 20, 30, 40, 50, 60}, []int{10, 30, 20, 21, 40, 24}
	tests := []explorer{
		{clock: back, within: 12, dates: []int{12}, brief: true},
		{clock: back[:4], within: 12, dates: []int{12, 25}},
		{clock: forward[:4], within: 0, dates: []int{12, 25}},
		{clock: forward[:4], within: 0, dates: []int{12, 25}, episodes: true},
	}
	if os.Getenv("INCIDENT_TEST_LONG") != "" {
		still, farBack := []int{20, 20, 20, 20, 20, 20}, []int{60, 10, 11, 12, 13, 90}
		for _, clock := range [][]int{forward, back, still, farBack} {
			for _, within := range []int{0, 4, 30} {
				tests = append(tests,
					explorer{clock: clock, within: within, dates: []int{12, 25}},
					explorer{clock: clock[:5], within: within, dates: []int{12, 25, 41}, episodes: true},
					explorer{clock: clock[:5], within: within, dates: []int{5, 12, 20, 25, 41}})
			}
		}
	}
	for _, x := range tests {
		t.Run(fmt.Sprintf("%d events, %d dates, reopen within %d, clock %v, episodes %v", len(x.clock), len(x.dates), x.within, x.clock, x.episodes), func(t *testing.T) {
			t.Parallel()
			if err := x.explore(memory.New()); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d steps, %d states", x.steps, x.states)
		})
	}
}

// Each planted fault of the store must make the test fail.
func TestOrder_catches(t *testing.T) {
	for name, breakStore := range map[string]func(incident.Store) incident.Store{
		"triggers dated ahead of now":      changing(dateTriggersAhead),
		"triggers whose dates go back":     changing(dateTriggersBack),
		"a start that stays":               changing(keepStart),
		"an end at the last report":        changing(endWithReport),
		"last incidents that are not told": telling(hideLast),
		"reopening what a user has closed": telling(closedByRule),
	} {
		x := explorer{clock: []int{10, 30, 20, 21}, within: 12, dates: []int{12, 25}}
		err := x.explore(breakStore(memory.New()))
		if err == nil {
			t.Errorf("%s: the fault was not detected", name)
		}
		t.Log(err)
	}
}

// explorer makes sequences of events on a Manager and on the model.
type explorer struct {
	clock  []int // the minute of each step
	dates  []int // the minutes of events that have a date
	within int   // of each firing, in minutes
	brief  bool  // only firings are dated ahead of now, and users close nothing

	episodes bool // each firing has Episode

	manager incident.Manager
	events  []orderEvent
	now     time.Time

	orgs, steps, states int
}

// orderEvent is an event of a trigger or, without one, closing by hand.
type orderEvent struct {
	trigger  incident.TriggerID
	severity incident.Status // of a firing, else 0
	dated    bool
	minute   int // of a date; aheadOfNow after the clock if it is ahead
}

const aheadOfNow = 1000

// prepare makes the Manager and the events.
func (x *explorer) prepare(s incident.Store) (err error) {
	x.manager, err = incident.New(s, &incident.Options{Now: func() time.Time { return x.now }})
	for _, minute := range append([]int{0, aheadOfNow}, x.dates...) {
		for _, trigger := range triggerIDs {
			for _, severity := range append([]incident.Status{0}, severities...) {
				if !x.brief || severity != 0 || minute != aheadOfNow {
					x.events = append(x.events, orderEvent{trigger, severity, minute != 0, minute})
				}
			}
		}
		if !x.brief {
			x.events = append(x.events, orderEvent{"", 0, minute != 0, minute})
		}
	}
	return err
}

func orderTime(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }

// date returns the date of the event at a step.
func (x *explorer) date(e orderEvent, step int) time.Time {
	switch {
	case !e.dated:
		return time.Time{}
	case e.minute == aheadOfNow:
		return orderTime(x.clock[step] + 30)
	}
	return orderTime(e.minute)
}

// call returns the event as a call.
func (x *explorer) call(e orderEvent, step int, slot incident.Slot, last int64) call {
	date := x.date(e, step)
	switch {
	case e.trigger == "":
		key := incident.Key{OrganizationID: slot.OrganizationID, Identifier: max(last, 1)}
		return updateStatus(key, incident.StatusUpdate{Status: incident.StatusClosed, Date: date})
	case e.severity == 0:
		return resolve(incident.Resolution{Slot: slot, TriggerID: e.trigger, Date: date})
	}
	return fire(incident.Firing{
		Slot: slot, TriggerID: e.trigger, Severity: e.severity, Title: "order", Date: date,
		ReopenWithin: time.Duration(x.within) * time.Minute, Episode: x.episodes,
	})
}

// explore makes all sequences, the short ones first.
func (x *explorer) explore(s incident.Store) error {
	if err := x.prepare(s); err != nil {
		return err
	}
	frontier := [][]orderEvent{nil}
	for step := range x.clock {
		var next [][]orderEvent
		seen := map[string]bool{}
		for _, prefix := range frontier {
			w, slot, err := x.replay(prefix)
			if err != nil {
				return fmt.Errorf("%s\n%w", x.describe(prefix, slot), err)
			}
			for _, e := range x.events {
				if e.trigger != triggerIDs[0] && isSymmetric(w, slot) {
					continue // the same with the other trigger
				}
				sequence := append(slices.Clone(prefix), e)
				state, err := x.follow(w.clone(), slot, sequence)
				if err != nil {
					return fmt.Errorf("%s\n%w", x.describe(sequence, slot), err)
				}
				if step < len(x.clock)-1 && !seen[state] {
					seen[state] = true
					next = append(next, sequence)
				}
				x.steps++
			}
		}
		frontier = next
		x.states += len(next)
	}
	return nil
}

// replay makes a sequence in a new organization.
func (x *explorer) replay(sequence []orderEvent) (*world, incident.Slot, error) {
	x.orgs++
	slot := incident.Slot{OrganizationID: incident.OrganizationID(fmt.Sprint("org", x.orgs)), AlertRuleID: "r", ProjectID: "p"}
	w := newWorld(orderTime(0))
	for step, e := range sequence {
		c := x.call(e, step, slot, w.org(slot.OrganizationID).last[slot])
		w.now, x.now = orderTime(x.clock[step]), orderTime(x.clock[step])
		_, _ = c.expect(w)
		_, _ = c.do(context.Background(), x.manager)
	}
	return w, slot, x.look(x.manager, w, slot)
}

// follow makes the last event of a sequence in a transaction that is not committed. It compares
// the call and the state after it with the model, and returns the state.
func (x *explorer) follow(w *world, slot incident.Slot, sequence []orderEvent) (string, error) {
	step := len(sequence) - 1
	e := sequence[step]
	before := lastOf(w, slot)
	c := x.call(e, step, slot, w.org(slot.OrganizationID).last[slot])
	w.now, x.now = orderTime(x.clock[step]), orderTime(x.clock[step])
	err := x.manager.InTx(context.Background(), func(m incident.Manager) error {
		want, wantErr := c.expect(w)
		got, err := c.do(context.Background(), m)
		if err = checkError(wantErr, err); err == nil && wantErr == nil {
			err = checkValue(w, want, got)
		}
		if err = cmp.Or(err, x.look(m, w, slot)); err != nil {
			return err
		}
		r, _ := got.(incident.Result)
		return cmp.Or(x.invariants(m, e, step, before, slot, int64(len(w.org(slot.OrganizationID).records)), r.Changed), errAbandoned)
	})
	if err != errAbandoned {
		return "", err
	}
	return x.key(w, slot), nil
}

// isSymmetric reports whether nothing distinguishes the triggers of the slot's last incident.
func isSymmetric(w *world, slot incident.Slot) bool {
	last := lastOf(w, slot)
	if last == nil || len(last.Triggers) == 0 {
		return true
	}
	return len(last.Triggers) == 2 && triggerKey(last.Triggers[0]) == triggerKey(last.Triggers[1])
}

func triggerKey(t incident.Trigger) string {
	return fmt.Sprint(t.Status, t.Severity, t.DateAdded.Sub(start), t.DateModified.Sub(start))
}

func (x *explorer) describe(sequence []orderEvent, slot incident.Slot) string {
	var b strings.Builder
	for step, e := range sequence {
		fmt.Fprintf(&b, "at %s: %v\n", orderTime(x.clock[step]).Format(time.TimeOnly), x.call(e, step, slot, 1))
	}
	return b.String()
}

// lastOf returns the state of the slot's last incident in the model, or nil.
func lastOf(w *world, slot incident.Slot) *incident.State {
	r := w.find(incident.Key{OrganizationID: slot.OrganizationID, Identifier: w.org(slot.OrganizationID).last[slot]})
	if r == nil {
		return nil
	}
	return &incident.State{Incident: copyIncident(r.incident), Triggers: r.triggerList()}
}

// look compares the slot, its last incident and the history with the model.
func (x *explorer) look(m incident.Manager, w *world, slot incident.Slot) error {
	calls := []call{active(slot)}
	if n := int64(len(w.org(slot.OrganizationID).records)); n > 0 {
		key := incident.Key{OrganizationID: slot.OrganizationID, Identifier: n}
		calls = append(calls, details(key, ""), activities(key, incident.ActivityFilter{Limit: incident.MaxPageSize}))
	}
	for _, c := range calls {
		want, wantErr := c.expect(w)
		got, err := c.do(context.Background(), m)
		if err = checkError(wantErr, err); err == nil {
			err = checkValue(w, want, got)
		}
		if err != nil {
			return fmt.Errorf("then %s: %w", c, err)
		}
	}
	return nil
}

// key returns the state of the slot's last incident as a text, the same for both names of the
// triggers.
func (x *explorer) key(w *world, slot incident.Slot) string {
	last := lastOf(w, slot)
	if last == nil {
		return ""
	}
	var parts []string
	for _, t := range last.Triggers {
		parts = append(parts, triggerKey(t))
	}
	slices.Sort(parts)
	inc := last.Incident
	parts = append(parts, fmt.Sprint(inc.Status, inc.StatusMethod, inc.DateStarted.Sub(start)))
	if inc.DateClosed != nil {
		parts = append(parts, fmt.Sprint(inc.DateClosed.Sub(start)))
	}
	return strings.Join(parts, "|")
}

// invariants checks what must hold after any event, whatever the model says.
func (x *explorer) invariants(m incident.Manager, e orderEvent, step int, before *incident.State, slot incident.Slot, latest int64, changed bool) error {
	known := map[incident.TriggerID]incident.Trigger{}
	var key incident.Key
	if before != nil {
		key = before.Incident.Key()
		for _, t := range before.Triggers {
			known[t.TriggerID] = t
		}
	}
	isActive, actives := false, 0
	for id := max(key.Identifier, 1); id <= latest; id++ {
		d, err := m.Details(context.Background(), incident.Key{OrganizationID: slot.OrganizationID, Identifier: id}, "")
		if err != nil {
			return err
		}
		if d.Status != incident.StatusClosed {
			actives++
		} else if d.DateClosed.Before(d.DateStarted) {
			return fmt.Errorf("closed at %v, started at %v", d.DateClosed, d.DateStarted)
		}
		for _, t := range d.Triggers {
			if t.DateModified.Before(t.DateAdded) {
				return fmt.Errorf("changed before it was added: %+v", t)
			}
			if k, ok := known[t.TriggerID]; ok && d.Key() == key && t.DateModified.Before(k.DateModified) {
				return fmt.Errorf("a date went back from %v: %+v", k.DateModified, t)
			}
			isActive = isActive || t.TriggerID == e.trigger && t.Status == incident.TriggerStatusActive && cmp.Or(e.severity, t.Severity) == t.Severity
		}
	}
	date := x.date(e, step)
	if x.now.Before(date) {
		date = x.now
	}
	k, isKnown := known[e.trigger]
	switch {
	case actives > 1:
		return fmt.Errorf("%d incidents are active in the slot", actives)
	case e.trigger == "":
		return nil
	case !e.dated && isActive != (e.severity != 0):
		return fmt.Errorf("an event without a date is not the newest: the trigger is active %v", isActive)
	case e.dated && isKnown && date.Before(k.DateModified) && !k.DateModified.After(x.now) && changed:
		return fmt.Errorf("an event older than %+v changed something", k)
	}
	return nil
}
