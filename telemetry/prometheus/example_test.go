package prometheus_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	incidentprometheus "github.com/incidentkit/incident/telemetry/prometheus"
)

// Serve the statistics of a Manager under /metrics.
func Example() {
	ctx := context.Background()
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(incidentprometheus.NewCollector(incidents, nil)); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	inc, err := incidents.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Search is slow"})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		if _, err := incidents.Get(ctx, inc.Key()); err != nil {
			log.Fatal(err)
		}
	}

	server := httptest.NewServer(mux) // a host listens on its own address
	defer server.Close()
	resp, err := http.Get(server.URL + "/metrics")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, "incident_cache_") {
			fmt.Print(line)
		}
	}
	// Output:
	// incident_cache_bypassed_total 0
	// incident_cache_hits_total 1
	// incident_cache_misses_total 1
	// incident_cache_stale_drops_total 0
}
