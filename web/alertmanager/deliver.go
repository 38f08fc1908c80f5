package alertmanager

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// parallel is how many alerts of a request are written at the same time. Stores write several
// together.
const parallel = 8

// maxLogged is how many alerts that cannot be used are logged of a request.
const maxLogged = 10

// summary is the answer to a request.
type summary struct {
	Received  int    `json:"received"`
	Changed   int    `json:"changed"`
	Unusable  int    `json:"unusable"`
	Truncated uint64 `json:"truncated"`
}

// delivery is a request that is being delivered.
type delivery struct {
	*Handler
	ctx context.Context
	org incident.OrganizationID

	mu     sync.Mutex
	done   summary
	failed bool // repeating the request helps
	ended  bool // the other alerts would fail, too
}

// deliver writes the alerts of a webhook, the firings before the resolutions: an alert that rises
// from warning to critical is then one incident, although both are in one webhook. A repetition
// changes nothing.
func (h *Handler) deliver(ctx context.Context, org incident.OrganizationID, g *group) (summary, error) {
	d := &delivery{Handler: h, ctx: ctx, org: org}
	d.done.Truncated = g.truncated
	h.counters.truncated.Add(g.truncated)
	if g.truncated > 0 {
		h.options.Logger.LogAttrs(ctx, slog.LevelWarn, "alertmanager: alerts were cut off: set max_alerts to 0",
			slog.Uint64("truncated", g.truncated))
	}
	d.pass(g, StatusFiring, d.fire)
	d.pass(g, StatusResolved, d.resolve)
	if n := d.done.Unusable - maxLogged; n > 0 {
		h.options.Logger.LogAttrs(ctx, slog.LevelWarn, "alertmanager: more alerts cannot be used", slog.Int("alerts", n))
	}
	if d.failed {
		return d.done, errRepeat
	}
	return d.done, nil
}

// pass calls write for each alert of a status.
func (d *delivery) pass(g *group, status string, write func(a *Alert) (changed bool, err error)) {
	var (
		wg     sync.WaitGroup
		alerts = make(chan *Alert)
	)
	for range parallel {
		wg.Go(func() {
			for a := range alerts {
				d.record(a, write)
			}
		})
	}
	g.each(func(a *Alert, err error) bool {
		switch {
		case err != nil && status == StatusFiring: // once, in the first pass
			d.count(nil, false, err)
		case err == nil && a.Status == status:
			alerts <- a
		}
		return !d.hasEnded()
	})
	close(alerts)
	wg.Wait()
}

func (d *delivery) hasEnded() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = d.ended || d.ctx.Err() != nil
	d.failed = d.failed || d.ended
	return d.ended
}

// record writes an alert, and counts it. A panic of the Manager ends the process no more than an error
// would, and loses no alert: the request may be repeated.
func (d *delivery) record(a *Alert, write func(a *Alert) (changed bool, err error)) {
	var (
		changed bool
		err     error
	)
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
		d.count(a, changed, err)
	}()
	changed, err = write(a)
}

// fire writes a firing.
func (d *delivery) fire(a *Alert) (bool, error) {
	f, err := d.mapped(d.org, a)
	if err != nil {
		return false, err
	}
	d.reconcilers.saw(&f)
	r, err := d.manager.Fire(d.ctx, f)
	if isDate(err) { // a wrong clock of the source loses no alert
		f.Date, f.DetectionUUID = time.Time{}, [16]byte{}
		r, err = d.manager.Fire(d.ctx, f)
	}
	if err == nil && !r.Changed {
		r, err = d.fireAgain(f, r)
	}
	return r.Changed, err
}

// maxAgain is how many incidents of a slot fireAgain looks at. More than one is rare: the
// [incident.Firing.DetectionUUID] may name an incident before the last.
const maxAgain = 3

// fireAgain fires an alert again whose episode was resolved too long ago for a late delivery: see
// [Options.LateDelivery]. The alert has then been firing since its resolution. An incident that a
// user closed, or marked as a duplicate, stays closed until the next episode.
func (d *delivery) fireAgain(f incident.Firing, r incident.Result) (incident.Result, error) {
	for range maxAgain {
		if f.Date.IsZero() {
			return r, nil
		}
		if r.Status == incident.StatusClosed && (r.StatusMethod != incident.StatusMethodRuleTriggered || r.DuplicateOf != 0) {
			return r, nil
		}
		triggers, err := d.manager.Triggers(d.ctx, r.Key())
		if errors.Is(err, incident.ErrNotFound) { // deleted meanwhile
			return r, nil
		}
		if err != nil {
			return r, err
		}
		resolved, ok := resolvedAt(triggers, f.TriggerID)
		if !ok || d.options.Now().Sub(resolved) < d.options.LateDelivery {
			return r, nil
		}
		f.Date = resolved.Add(time.Microsecond) // the repeated resolution is outdated
		f.DetectionUUID = detectionOf(&f)
		if r, err = d.manager.Fire(d.ctx, f); err != nil || r.Changed {
			return r, err
		}
	}
	return r, nil
}

// resolvedAt returns when a trigger was resolved, and false if it is active or unknown.
func resolvedAt(triggers []incident.Trigger, id incident.TriggerID) (time.Time, bool) {
	for _, t := range triggers {
		if t.TriggerID == id {
			return t.DateModified, t.Status == incident.TriggerStatusResolved
		}
	}
	return time.Time{}, false
}

// resolve writes a resolution.
func (d *delivery) resolve(a *Alert) (bool, error) {
	f, err := d.mapped(d.org, a)
	if err != nil {
		return false, err
	}
	resolution := resolutionOf(&f, a)
	r, err := d.manager.Resolve(d.ctx, resolution)
	if isDate(err) {
		resolution.Date = time.Time{}
		r, err = d.manager.Resolve(d.ctx, resolution)
	}
	return r.Changed, err
}

// isDate reports whether a date was refused, as in 1969 or the next week.
func isDate(err error) bool {
	field, ok := errors.AsType[*incident.FieldError](err)
	return ok && field.Field == "date"
}

// unusable is the error of an alert that has no firing.
type unusable struct{ error }

func (u unusable) Unwrap() error { return u.error }

// isFinal reports whether repeating a request does not help against an error.
func isFinal(err error) bool {
	if _, ok := errors.AsType[unusable](err); ok {
		return true
	}
	if _, ok := errors.AsType[*incident.FieldError](err); ok {
		return true
	}
	return errors.Is(err, incident.ErrInvalid) || errors.Is(err, incident.ErrForbidden) || errors.Is(err, incident.ErrNotFound)
}

// count counts an alert, and logs its error. The alert is nil if it is malformed.
func (d *delivery) count(a *Alert, changed bool, err error) {
	c := &d.counters
	c.received.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done.Received++
	switch {
	case err == nil && !changed:
		c.unchanged.Add(1)
	case err == nil && a.Status == StatusFiring:
		d.done.Changed++
		c.fired.Add(1)
	case err == nil:
		d.done.Changed++
		c.resolved.Add(1)
	case errors.Is(err, ErrSkip):
		c.skipped.Add(1)
	case isFinal(err):
		c.unusable.Add(1)
		if d.done.Unusable++; d.done.Unusable <= maxLogged {
			d.log(slog.LevelWarn, "alertmanager: an alert cannot be used", a, err)
		}
	default:
		c.failed.Add(1)
		d.ended = d.ended || errors.Is(err, incident.ErrUnavailable) || d.ctx.Err() != nil
		if !d.failed { // the others fail for the same reason
			d.log(slog.LevelError, "alertmanager: an alert could not be written", a, err)
		}
		d.failed = true
	}
}

func (d *delivery) log(level slog.Level, message string, a *Alert, err error) {
	attrs := []slog.Attr{slog.String("organization", string(d.org))}
	if a != nil {
		attrs = append(attrs, slog.String("alertname", short(a.Labels["alertname"])))
	}
	d.options.Logger.LogAttrs(d.ctx, level, message, append(attrs, slog.String("error", short(err.Error())))...)
}
