package otel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/incidentkit/incident"
)

// outsideKey is the context key of the span in the context that the host has passed to InTx.
type outsideKey struct{}

// Trace is the Trace of [incident.Options].
//
// The function of InTx receives no context, so that a host calls its Manager with the context that it
// has passed to InTx, whose span is the parent of the InTx. Trace makes such a call a child of the
// InTx. A call with a span of the host's own stays a child of that span.
func (t *Telemetry) Trace(ctx context.Context, call incident.Call) (context.Context, func(error)) {
	began := time.Now()
	outside := trace.SpanContextFromContext(ctx)
	if call.InTx != nil {
		if parent, ok := call.InTx.Value(outsideKey{}).(trace.SpanContext); ok && parent.Equal(outside) {
			ctx = trace.ContextWithSpan(ctx, trace.SpanFromContext(call.InTx))
		}
	}
	operation := attribute.String("incident.operation.name", call.Name)
	attributes := t.with(operation)
	attributes = append(attributes, t.incident(call.OrganizationID, call.Identifier)...)
	ctx, span := t.tracer.Start(ctx, "incident."+call.Name, trace.WithAttributes(attributes...), trace.WithTimestamp(began))
	if call.Name == "InTx" {
		ctx = context.WithValue(ctx, outsideKey{}, outside)
	}
	return ctx, func(err error) {
		o := outcomeOf(err)
		t.calls.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(append(t.with(operation), o.attributes()...)...))
		o.end(span)
	}
}

// incident returns the attributes that name an incident.
func (t *Telemetry) incident(org incident.OrganizationID, identifier int64) (all []attribute.KeyValue) {
	if t.anonymous {
		return nil
	}
	if org != "" {
		all = append(all, attribute.String("incident.organization.id", string(org)))
	}
	if identifier != 0 {
		all = append(all, attribute.Int64("incident.id", identifier))
	}
	return all
}
