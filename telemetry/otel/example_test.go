package otel_test

import (
	"context"
	"fmt"
	"log"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	incidentotel "github.com/incidentkit/incident/telemetry/otel"
)

// Trace and measure a Manager. A host has exporters where this example has a recorder and a reader.
func Example() {
	ctx := context.Background()
	spans, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	telemetry, err := incidentotel.New(&incidentotel.Options{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	})
	if err != nil {
		log.Fatal(err)
	}
	notifier := incident.NotifierFunc(func(context.Context, incident.Notification) error { return nil })
	incidents, err := incident.New(memory.New(), &incident.Options{
		Trace:    telemetry.Trace,
		Notifier: telemetry.Notifier("", notifier), // Run calls it
	})
	if err != nil {
		log.Fatal(err)
	}
	registration, err := telemetry.Observe(incidents)
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		if err := registration.Unregister(); err != nil {
			log.Print(err)
		}
	}()

	err = incidents.InTx(ctx, func(tx incident.Manager) error {
		_, err := tx.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Search is slow"})
		return err
	})
	if err != nil {
		log.Fatal(err)
	}

	for _, s := range spans.Ended() {
		fmt.Println(s.Name(), "has a parent:", s.Parent().IsValid())
	}
	var data metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &data); err != nil {
		log.Fatal(err)
	}
	for _, m := range data.ScopeMetrics[0].Metrics {
		if m.Name == "incident.operation.duration" {
			fmt.Println(m.Name, "in", m.Unit)
		}
	}
	// Output:
	// incident.Create has a parent: true
	// incident.InTx has a parent: false
	// incident.operation.duration in s
}
