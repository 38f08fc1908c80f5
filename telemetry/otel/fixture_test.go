package otel_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	incidentotel "github.com/incidentkit/incident/telemetry/otel"
)

// world is a Telemetry with the real SDK behind it.
type world struct {
	*incidentotel.Telemetry
	spans    *tracetest.SpanRecorder
	reader   *sdkmetric.ManualReader
	provider *sdktrace.TracerProvider
}

func newWorld(t *testing.T, opts incidentotel.Options) *world {
	t.Helper()
	w := &world{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	w.provider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w.spans))
	opts.TracerProvider, opts.MeterProvider = w.provider, sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader))
	var err error
	if w.Telemetry, err = incidentotel.New(&opts); err != nil {
		t.Fatal(err)
	}
	return w
}

// manager returns a Manager whose calls w reports.
func (w *world) manager(t *testing.T, opts incident.Options) incident.Manager {
	t.Helper()
	opts.Trace, opts.Logger = w.Trace, slog.New(slog.DiscardHandler)
	m, err := incident.New(memory.New(), &opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// begin begins a span of the host.
func (w *world) begin(ctx context.Context, name string) (context.Context, trace.Span) {
	return w.provider.Tracer("host").Start(ctx, name)
}

// one returns the only ended span of a name.
func (w *world) one(t *testing.T, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	var found []sdktrace.ReadOnlySpan
	for _, s := range w.spans.Ended() {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans %s have ended, want 1", len(found), name)
	}
	return found[0]
}

// text returns attributes as text, sorted by key.
func text(attributes []attribute.KeyValue) string {
	set := attribute.NewSet(attributes...)
	return set.Encoded(attribute.DefaultEncoder())
}

// described returns the kind, the status and the attributes of a span.
func described(s sdktrace.ReadOnlySpan) string {
	return fmt.Sprintf("%s %s %s", s.SpanKind(), s.Status().Code, text(s.Attributes()))
}

// points returns the value of each series of the metrics, and the count of each histogram.
func (w *world) points(t *testing.T) map[string]float64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := w.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, s := range data.ScopeMetrics {
		for _, m := range s.Metrics {
			if m.Unit == "" || m.Description == "" || !strings.HasPrefix(m.Name, "incident.") {
				t.Errorf("%q has the unit %q and the description %q", m.Name, m.Unit, m.Description)
			}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				if !d.IsMonotonic {
					t.Errorf("%s may decrease", m.Name)
				}
				for _, p := range d.DataPoints {
					all["counter "+m.Name+"{"+text(p.Attributes.ToSlice())+"}"] = float64(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range d.DataPoints {
					all[m.Name+"{"+text(p.Attributes.ToSlice())+"}"] = float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					all[m.Name+"{"+text(p.Attributes.ToSlice())+"}"] = p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					all["histogram "+m.Name+"{"+text(p.Attributes.ToSlice())+"}"] = float64(p.Count)
				}
			default:
				t.Errorf("%s is a %T", m.Name, d)
			}
		}
	}
	return all
}

// isFailed reports whether the status of a span is Error.
func isFailed(s sdktrace.ReadOnlySpan) bool { return s.Status().Code == codes.Error }
