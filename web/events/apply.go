package events

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/incidentkit/incident"
)

// apply writes an event. changed reports whether it changed an incident.
func (h *Handler) apply(ctx context.Context, r *Route, e *event) (changed bool, err error) {
	slot := r.Slot(e.dedupKey)
	var result incident.Result
	switch e.action {
	case actionTrigger:
		result, err = h.fire(ctx, firing(r, slot, e))
	case actionResolve:
		result, err = h.manager.Resolve(ctx, incident.Resolution{Slot: slot, TriggerID: Trigger, Date: dateOf(r, e)})
	case actionAcknowledge:
		result, err = h.acknowledge(ctx, slot, e)
	}
	return result.Changed, err
}

// fire fires a trigger. A trigger that is outdated by less than the tolerance is fired again, as of its
// arrival. A repetition of a trigger that has opened an incident then opens none, since its DetectionUUID
// is known.
func (h *Handler) fire(ctx context.Context, f incident.Firing) (incident.Result, error) {
	result, err := h.manager.Fire(ctx, f)
	if err != nil || result.Changed || f.Date.IsZero() || result.DateClosed == nil ||
		result.DateClosed.Sub(f.Date) >= h.options.Tolerance || result.DetectionUUID == f.DetectionUUID {
		return result, err
	}
	f.Date = time.Time{}
	return h.manager.Fire(ctx, f)
}

func firing(r *Route, slot incident.Slot, e *event) incident.Firing {
	f := incident.Firing{
		Slot:         slot,
		TriggerID:    Trigger,
		Severity:     e.severity,
		Title:        e.title,
		Date:         dateOf(r, e),
		Labels:       e.labels,
		Annotations:  e.annotations,
		ReopenWithin: r.ReopenWithin,
	}
	if e.stamp != "" {
		f.DetectionUUID = identify(slot, e)
	}
	return f
}

// dateOf returns the date of an event. Zero for its arrival.
func dateOf(r *Route, e *event) time.Time {
	if r.IgnoreTimestamps {
		return time.Time{}
	}
	return e.at
}

// identify returns the idempotency key of an event with a timestamp. Events without a timestamp have
// none: equal events at different times are no repetitions.
func identify(slot incident.Slot, e *event, more ...string) [16]byte {
	return uuidOf(append([]string{
		e.action, string(slot.OrganizationID), string(slot.AlertRuleID), string(slot.ProjectID), string(slot.QueryID), e.stamp,
	}, more...)...)
}

func (h *Handler) acknowledge(ctx context.Context, slot incident.Slot, e *event) (incident.Result, error) {
	active, found, err := h.manager.Active(ctx, slot)
	if err != nil || !found {
		return incident.Result{}, err
	}
	a := incident.Acknowledgement{UserID: h.options.User}
	if e.stamp != "" {
		a.NotificationUUID = identify(slot, e, strconv.FormatInt(active.Identifier, 10))
	}
	result, err := h.manager.Acknowledge(ctx, active.Key(), a)
	if errors.Is(err, incident.ErrNotFound) { // deleted meanwhile
		return incident.Result{}, nil
	}
	return result, err
}

// refusal is the answer to an event that was not written.
type refusal struct {
	code    int
	message string
	errors  []string
}

// refuse converts an error of the Manager into an answer. The answer has no text of an error except
// that of the event's date, which names no value.
func refuse(err error) *refusal {
	var field *incident.FieldError
	switch {
	case errors.As(err, &field) && field.Field == "date":
		return &refusal{http.StatusBadRequest, "Event object is invalid", []string{"'payload.timestamp' " + field.Problem}}
	case errors.Is(err, incident.ErrForbidden):
		return &refusal{http.StatusForbidden, "The event is not permitted", nil}
	case errors.Is(err, incident.ErrUnknownOutcome):
		return &refusal{http.StatusInternalServerError, "The event may have been processed; repeat it", nil}
	case errors.Is(err, incident.ErrUnavailable), errors.Is(err, incident.ErrConflict),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &refusal{http.StatusServiceUnavailable, "The event cannot be processed now; repeat it", nil}
	}
	return &refusal{http.StatusInternalServerError, "The event was not processed", nil}
}
