package otel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/incidentkit/incident"
)

// Notifier returns a Notifier that makes a span for each call of n. The name is that of n in
// Options.Notifiers, empty for Options.Notifier. Notifier returns nil and [incident.NotifyElsewhere]
// unchanged.
func (t *Telemetry) Notifier(name string, n incident.Notifier) incident.Notifier {
	if n == nil || n == incident.NotifyElsewhere {
		return n
	}
	return &notifier{t: t, name: attribute.String("incident.notifier.name", name), next: n}
}

type notifier struct {
	t    *Telemetry
	name attribute.KeyValue
	next incident.Notifier
}

// Notify implements [incident.Notifier].
func (n *notifier) Notify(ctx context.Context, note incident.Notification) (err error) {
	began := time.Now()
	ctx, span := n.t.tracer.Start(ctx, "incident.Notify", append(linked(ctx),
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(n.attributes(&note)...), trace.WithTimestamp(began))...)
	returned := false
	defer func() {
		o := attemptOutcomeOf(err)
		if !returned {
			o = attemptOutcomeOf(incident.ErrNoReturn)
		}
		n.t.attempts.Record(ctx, time.Since(began).Seconds(), metric.WithAttributes(append(n.t.with(n.name), o.attributes()...)...))
		o.end(span)
	}()
	err = n.next.Notify(ctx, note)
	returned = true
	return err
}

// linked returns a link to the span of a context, if it has a span.
func linked(ctx context.Context) []trace.SpanStartOption {
	if outer := trace.SpanContextFromContext(ctx); outer.IsValid() {
		return []trace.SpanStartOption{trace.WithLinks(trace.Link{SpanContext: outer})}
	}
	return nil
}

// attributes returns the attributes of an attempt.
func (n *notifier) attributes(note *incident.Notification) []attribute.KeyValue {
	kind := note.Activity.Type.String()
	if note.Reminder != nil {
		kind = "Reminder"
	}
	all := append(n.t.with(n.name),
		attribute.String("incident.notification.id", note.UUID().String()),
		attribute.String("incident.notification.type", kind),
		attribute.Int("incident.notification.attempt", note.Attempt),
		attribute.Bool("incident.notification.replayed", note.Replayed),
	)
	return append(all, n.t.incident(note.Incident.OrganizationID, note.Incident.Identifier)...)
}
