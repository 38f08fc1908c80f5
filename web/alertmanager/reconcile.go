package alertmanager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// Defaults of [ReconcileOptions].
const (
	DefaultGrace    = time.Hour
	DefaultInterval = time.Minute
	DefaultMost     = 50
)

// ErrNoEvidence means that an answer of the source does not prove that alerts have ended, since it
// has no alert at all, or not the watchdog.
var ErrNoEvidence = errors.New("the source has no alert that proves that it receives alerts")

// ReconcileOptions tunes a [Reconciler].
type ReconcileOptions struct {
	// Alerts returns all alerts that the source has now, also silenced and inhibited alerts:
	// see [API]. Required. It must return an error rather than a part of them.
	Alerts func(ctx context.Context) ([]*Alert, error)

	// Organization is the organization to reconcile. Defaults to [Options.Organization].
	Organization incident.OrganizationID

	// Watchdog is the alertname of an alert that is always firing. Without the alert, an answer
	// proves nothing: the source may be cut off from Prometheus. Defaults to none: an answer
	// must have any alert.
	Watchdog string

	// Grace is how long the source must have been without an alert. It must not be less than
	// [Options.LateDelivery]. Defaults to [DefaultGrace], or to LateDelivery if that is longer.
	Grace time.Duration

	// Interval is the time between two passes of Run, at most a sixth of Grace. Defaults to
	// [DefaultInterval].
	Interval time.Duration

	// Most is the most triggers that a pass resolves. The others wait for the next pass.
	// Defaults to [DefaultMost].
	Most int
}

// Reconciler resolves the triggers of alerts that the source no longer has: Alertmanager sends no
// resolution of an alert that ended while it was silenced, while Alertmanager was restarting, or before
// Alertmanager had the answer to its firing.
//
// The absence of an alert is weak evidence, since an Alertmanager that has just started, or is cut
// off from Prometheus, has no alerts either. So a trigger is resolved only if
//
//   - its incident has the label [SourceLabel] of the handler
//   - no answer had the alert for all of Grace, and no two answers were further apart than a third
//     of Grace
//   - each of these answers proves that the source receives alerts: see
//     [ReconcileOptions.Watchdog]
//   - the handler received no firing of the alert meanwhile, and the trigger did not change
//   - no new episode began since the first answer without the alert. The date of that answer is the
//     date of the resolution
//
// [Options.Map] may fail for an alert of an answer. The alert then has the trigger that it had in the last
// answer. If it has failed since the Reconciler was made, the alert may have any trigger of its rule:
// nothing is resolved in incidents with the AlertRuleID or the QueryID of the default mapping.
//
// An alert that fires again after that is no late delivery, and opens an incident.
//
// Any number of processes may reconcile. Each gathers its own evidence, and begins again when it
// starts. A Reconciler is safe for concurrent use.
type Reconciler struct {
	handler *Handler
	options ReconcileOptions

	passes sync.Mutex        // one pass at a time; guards mapped
	mapped map[string]target // of the alerts of the last answer, by their labels

	mu     sync.Mutex
	last   time.Time // the last answer that proved something
	absent map[target]absence
}

// target is a trigger in a slot.
type target struct {
	slot    incident.Slot
	trigger incident.TriggerID
}

// absence is the time since which the source has been without an alert. It begins again if the
// trigger has another DateModified.
type absence struct {
	since, modified time.Time
}

// Reconciled describes a pass.
type Reconciled struct {
	Alerts    int // that the source has
	Incidents int // active incidents of the source
	Absent    int // active triggers whose alert the source does not have
	Resolved  int // triggers that were resolved
	Postponed int // triggers that wait for the next pass, since the pass has resolved Most
}

// NewReconciler returns a Reconciler for the incidents that h opens.
func (h *Handler) NewReconciler(opts *ReconcileOptions) (*Reconciler, error) {
	if opts == nil || opts.Alerts == nil {
		return nil, refused("ReconcileOptions.Alerts is required")
	}
	o := *opts
	o.Organization = cmp.Or(o.Organization, h.options.Organization)
	o.Grace = cmp.Or(o.Grace, max(DefaultGrace, h.options.LateDelivery))
	o.Interval = cmp.Or(o.Interval, min(DefaultInterval, o.Grace/6))
	o.Most = cmp.Or(o.Most, DefaultMost)
	switch {
	case o.Organization == "":
		return nil, refused("ReconcileOptions.Organization is required")
	case o.Grace < h.options.LateDelivery:
		return nil, refused("ReconcileOptions.Grace must not be less than Options.LateDelivery")
	case o.Interval <= 0 || o.Interval > o.Grace/6:
		return nil, refused("ReconcileOptions.Interval must be positive, and at most a sixth of Grace")
	case o.Most < 0:
		return nil, refused("ReconcileOptions.Most must not be negative")
	}
	r := &Reconciler{handler: h, options: o, absent: make(map[target]absence)}
	h.reconcilers.add(r)
	return r, nil
}

// Run reconciles each Interval until ctx ends, and logs the errors. It returns nil.
func (r *Reconciler) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.options.Interval)
	defer ticker.Stop()
	for {
		if _, err := r.Reconcile(ctx); err != nil && ctx.Err() == nil {
			r.handler.options.Logger.LogAttrs(ctx, slog.LevelWarn, "alertmanager: could not reconcile", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Reconcile makes a pass. It resolves nothing before it has been called for all of Grace. Without a
// usable answer of the source it resolves nothing, and returns the error, or [ErrNoEvidence].
func (r *Reconciler) Reconcile(ctx context.Context) (done Reconciled, err error) {
	r.passes.Lock()
	defer r.passes.Unlock()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("alertmanager: reconcile: panic: %v", v)
		}
	}()
	at := r.handler.options.Now() // an alert that fires from now on may be missing in the answer
	alerts, err := r.options.Alerts(ctx)
	if err != nil {
		return done, fmt.Errorf("alertmanager: reconcile: %w", err)
	}
	done.Alerts = len(alerts)
	if !r.isEvidence(alerts) {
		return done, fmt.Errorf("alertmanager: reconcile: %w", ErrNoEvidence)
	}
	p := &pass{Reconciler: r, ctx: ctx, at: at, kept: make(map[target]bool), done: &done}
	p.present, p.unmapped = r.targetsOf(alerts)
	r.begin(at)
	if err := p.incidents(); err != nil {
		return done, fmt.Errorf("alertmanager: reconcile: %w", err)
	}
	r.end(p.kept)
	return done, nil
}

func (r *Reconciler) isEvidence(alerts []*Alert) bool {
	for _, a := range alerts {
		if r.options.Watchdog == "" || a.Labels["alertname"] == r.options.Watchdog {
			return true
		}
	}
	return false
}

// targetsOf returns the triggers of alerts. An alert that [Options.Map] cannot map now, as without the host's
// directory, is still there: it has the trigger that it had in the last answer. unmapped are the alerts that
// have not been mapped so far.
func (r *Reconciler) targetsOf(alerts []*Alert) (targets map[target]bool, unmapped slots) {
	mapped := make(map[string]target, len(alerts))
	targets, unmapped = make(map[target]bool, len(alerts)), newSlots()
	for _, a := range alerts {
		labels := queryOf(a.Labels["alertname"], a.Labels, "")
		t, known := r.mapped[labels]
		f, err := r.handler.mapped(r.options.Organization, a)
		switch {
		case err == nil:
			t, known = target{f.Slot, f.TriggerID}, true
		case errors.Is(err, ErrSkip):
			continue
		}
		if known {
			targets[t], mapped[labels] = true, t
		} else {
			unmapped.add(r.handler.mappedByDefault(a).Slot)
		}
	}
	r.mapped = mapped
	return targets, unmapped
}

// slots are slots by a part of their names.
type slots struct {
	rules   map[incident.AlertRuleID]bool
	queries map[incident.QueryID]bool
}

func newSlots() slots {
	return slots{make(map[incident.AlertRuleID]bool), make(map[incident.QueryID]bool)}
}

func (s slots) add(slot incident.Slot) {
	s.rules[slot.AlertRuleID] = true
	s.queries[slot.QueryID] = true
}

// mayHave reports whether an incident has the rule or the query of a slot.
func (s slots) mayHave(inc *incident.Incident) bool {
	return s.rules[inc.AlertRuleID] || s.queries[inc.QueryID]
}

// begin forgets all evidence if the last answer is too old.
func (r *Reconciler) begin(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at.Sub(r.last) > r.options.Grace/3 {
		clear(r.absent)
	}
	r.last = at
}

// end forgets the evidence about triggers that are not kept.
func (r *Reconciler) end(kept map[target]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t := range r.absent {
		if !kept[t] {
			delete(r.absent, t)
		}
	}
}

// saw forgets the evidence about an alert that has fired.
func (r *Reconciler) saw(t target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.absent, t)
}

// since returns the time since which the source has been without the alert of a trigger: at, or the
// time of an earlier answer. The trigger is in each slot of its incident.
func (r *Reconciler) since(slots []incident.Slot, t *incident.Trigger, at time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	var since time.Time
	for _, slot := range slots {
		known, ok := r.absent[target{slot, t.TriggerID}]
		if !ok || !known.modified.Equal(t.DateModified) {
			known = absence{at, t.DateModified}
			r.absent[target{slot, t.TriggerID}] = known
		}
		if known.since.After(since) {
			since = known.since
		}
	}
	return since
}

// reconcilers are the Reconcilers of a handler. They must know the alerts that arrive.
type reconcilers struct {
	mu  sync.Mutex
	all []*Reconciler
}

func (w *reconcilers) add(r *Reconciler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, r)
}

// saw reports a firing to all.
func (w *reconcilers) saw(f *incident.Firing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.all {
		r.saw(target{f.Slot, f.TriggerID})
	}
}
