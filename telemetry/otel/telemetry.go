package otel

import (
	"errors"
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// scope is the name of the instrumentation scope.
const scope = "github.com/incidentkit/incident/telemetry/otel"

// Options tunes a [Telemetry]. The zero value, and nil, are ready to use.
type Options struct {
	// TracerProvider makes the spans.
	//
	// Defaults to [otel.GetTracerProvider].
	TracerProvider trace.TracerProvider

	// MeterProvider makes the instruments.
	//
	// Defaults to [otel.GetMeterProvider].
	MeterProvider metric.MeterProvider

	// Attributes are added to all spans and metrics. Several Managers of a process need
	// different values of an attribute, such as "incident.manager.name", in a Telemetry each.
	//
	// Defaults to none.
	Attributes []attribute.KeyValue

	// Anonymous leaves organizations and incidents out of the spans.
	Anonymous bool
}

// Telemetry reports the work of a Manager to OpenTelemetry. It is safe for concurrent use, starts no
// goroutine and needs no closing.
type Telemetry struct {
	tracer     trace.Tracer
	meter      metric.Meter
	attributes []attribute.KeyValue
	anonymous  bool

	calls, attempts metric.Float64Histogram
}

// boundaries are those of the conventions for database calls, and two for reads of the cache.
var boundaries = metric.WithExplicitBucketBoundaries(0.00001, 0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)

// New returns a Telemetry for a Manager. It returns an error if the MeterProvider refuses an
// instrument.
func New(opts *Options) (*Telemetry, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	t := &Telemetry{
		tracer: o.TracerProvider.Tracer(scope), meter: o.MeterProvider.Meter(scope),
		attributes: slices.Clone(o.Attributes), anonymous: o.Anonymous,
	}
	var err, attemptsErr error
	t.calls, err = t.meter.Float64Histogram("incident.operation.duration",
		metric.WithUnit("s"), metric.WithDescription("Duration of calls of the Manager."), boundaries)
	t.attempts, attemptsErr = t.meter.Float64Histogram("incident.notification.duration",
		metric.WithUnit("s"), metric.WithDescription("Duration of attempts to notify."), boundaries)
	return t, errors.Join(err, attemptsErr)
}

// with returns the attributes of the Telemetry and others.
func (t *Telemetry) with(others ...attribute.KeyValue) []attribute.KeyValue {
	return append(slices.Clip(t.attributes), others...)
}
