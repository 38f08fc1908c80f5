package events_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	"github.com/incidentkit/incident/web/events"
)

// Receive the events of a monitoring tool.
func Example() {
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		log.Fatal(err)
	}
	key := events.NewKey() // from the host's secrets
	endpoint, err := events.New(incidents, &events.Options{Routes: []events.Route{
		{Key: key, OrganizationID: "acme", ProjectID: "checkout"},
	}})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(endpoint)
	defer server.Close()

	event := `{"routing_key":"` + key + `","event_action":"trigger","dedup_key":"disk-db-1",
		"payload":{"summary":"The disk of db-1 is full","source":"db-1","severity":"error"}}`
	answer, err := http.Post(server.URL+"/v2/enqueue", "application/json", strings.NewReader(event))
	if err != nil {
		log.Fatal(err)
	}
	answer.Body.Close()

	route := events.Route{OrganizationID: "acme", ProjectID: "checkout"}
	inc, _, err := incidents.Active(context.Background(), route.Slot("disk-db-1"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.StatusCode, inc.Key(), inc.Status, inc.Title)
	// Output: 202 acme#1 Critical The disk of db-1 is full
}
