package alertmanager_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/web/alertmanager"
)

// Mount the handler, and point Alertmanager at it.
func ExampleNew() {
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	alerts, err := alertmanager.New(incidents, &alertmanager.Options{
		Organization: "acme",
		ProjectLabel: "service",
		Tokens:       []string{"a-long-random-token"},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/alerts", alerts)
	server := httptest.NewServer(mux)
	defer server.Close()

	// Alertmanager sends:
	send(server.URL+"/alerts", `{"version":"4","alerts":[{
		"status":"firing",
		"labels":{"alertname":"HighLatency","service":"checkout","severity":"critical"},
		"annotations":{"summary":"Checkout is slow"},
		"startsAt":"2026-03-14T02:31:00Z","endsAt":"0001-01-01T00:00:00Z"}]}`)

	page, err := incidents.List(context.Background(), incident.IncidentFilter{OrganizationID: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	for _, inc := range page.Incidents {
		fmt.Println(inc.Key(), inc.Status, inc.Title, inc.Projects)
	}
	fmt.Println(alerts.Stats().Fired)
	// Output:
	// acme#1 Critical Checkout is slow [checkout]
	// 1
}

// Resolve what Alertmanager no longer has. A program calls Run in a goroutine instead.
func ExampleReconciler() {
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	alerts, err := alertmanager.New(incidents, &alertmanager.Options{Organization: "acme", Tokens: []string{"a-long-random-token"}})
	if err != nil {
		log.Fatal(err)
	}
	// An Alertmanager that Prometheus does not reach.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("[]")) }))
	defer server.Close()

	source := &alertmanager.API{URLs: []string{server.URL}}
	reconciler, err := alerts.NewReconciler(&alertmanager.ReconcileOptions{Alerts: source.Alerts, Watchdog: "Watchdog"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = reconciler.Reconcile(context.Background())
	fmt.Println(err)
	// Output:
	// alertmanager: reconcile: the source has no alert that proves that it receives alerts
}

func send(url, body string) {
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer a-long-random-token")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		log.Fatal(res.Status)
	}
}
