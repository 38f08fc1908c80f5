package otel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/incidentkit/incident"
)

// outcome is the class of an error.
type outcome struct {
	class  string
	failed bool // otherwise the error is an answer
}

var ok = outcome{class: "ok"}

// other is the class of an error that no class describes, as error.type names it.
var other = outcome{"_OTHER", true}

// class is the outcome of the errors that match err.
type class struct {
	err error
	outcome
}

// classes are in order of precedence: an unknown outcome may also match the error of a context, and
// an unavailable store a conflict.
var classes = []class{
	{incident.ErrNoReturn, outcome{"panic", true}},
	{incident.ErrUnknownOutcome, outcome{"unknown_outcome", true}},
	{incident.ErrUnavailable, outcome{"unavailable", true}},
	{context.Canceled, outcome{"canceled", false}},
	{context.DeadlineExceeded, outcome{"deadline_exceeded", true}},
	{incident.ErrNotFound, outcome{"not_found", false}},
	{incident.ErrInvalid, outcome{"invalid", false}},
	{incident.ErrVersionConflict, outcome{"version_conflict", false}},
	{incident.ErrConflict, outcome{"conflict", false}},
	{incident.ErrForbidden, outcome{"forbidden", false}},
}

// outcomeOf returns the outcome of a call. The error may contain code of the host that panics.
func outcomeOf(err error) (o outcome) {
	if err == nil {
		return ok
	}
	o = other
	defer func() { _ = recover() }()
	for _, c := range classes {
		if errors.Is(err, c.err) {
			return c.outcome
		}
	}
	return other
}

// attemptOutcomeOf returns the outcome of an attempt to notify.
func attemptOutcomeOf(err error) (o outcome) {
	if err == nil {
		return ok
	}
	o = other
	defer func() { _ = recover() }()
	if errors.Is(err, incident.ErrUndeliverable) {
		return outcome{"undeliverable", true}
	}
	if _, later := errors.AsType[*incident.RetryAfterError](err); later {
		return outcome{"retry_after", true}
	}
	o = outcomeOf(err)
	o.failed = o.class != "canceled"
	return o
}

// attributes returns the attributes of spans and histograms.
func (o outcome) attributes() []attribute.KeyValue {
	all := []attribute.KeyValue{attribute.String("incident.outcome", o.class)}
	if o.failed {
		all = append(all, attribute.String("error.type", o.class))
	}
	return all
}

// end ends a span.
func (o outcome) end(span trace.Span) {
	span.SetAttributes(o.attributes()...)
	if o.failed {
		span.SetStatus(codes.Error, "") // the class is in error.type, and the text could quote a user
	}
	span.End()
}
