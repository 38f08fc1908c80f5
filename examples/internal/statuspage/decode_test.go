package statuspage

import (
	"errors"
	"fmt"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// These files look wrong but are valid.
func TestDecode_Accepts(t *testing.T) {
	tests := []struct{ name, data string }{
		{"the good file", good},
		{"no incidents", `{"page": {"id": "p"}, "incidents": []}`},
		{"a page without an id", change(`{"id": "p"}`, `{"name": "p"}`)},
		{"null lists", change(`[{"id": "1", "name": "API"}]`, `null`)},
		{"the same component twice", change(`[{"id"`, `[{"name": "API"}, {"id"`)},
		{"a component without a name", change(`"name": "API"`, `"name": null`)},
		{"another case of a field", change(`"name": "B"`, `"name": "B", "NAME": 1`)},
		{"a surrogate pair", change("Begun.", `\ud83d\ude00 \\ud83d \\\ud83d\ude00`)},
		{"U+FFFD itself", change("Begun.", `� \ufffd`)},
		{"title of two lines", change(`"B"`, `"B\n\tC"`)},
		{"created_at for display_at", change(`"display_at": "2024-01-02T00:00:00Z"`, `"created_at": "2024-01-02T00:00:00Z"`)},
		{"created_at for started_at", change(`"started_at": "2024-01-02T00:00:00Z"`, `"created_at": "2024-01-02T00:00:00Z"`)},
		{"an end of an active incident", change(`"resolved", "impact": "major"`, `"monitoring", "impact": "major"`)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			past, err := Options{}.decode("f.json", []byte(test.data))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Import(t.Context(), newManager(t), past, func(int) {}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Each status and impact of the real format has its meaning.
func TestDecode_StatusAndImpact(t *testing.T) {
	for status, over := range map[string]bool{
		"investigating": false, "identified": false, "monitoring": false, "resolved": true, "postmortem": true,
		"scheduled": false, "in_progress": false, "verifying": false, "completed": true,
	} {
		past := mustDecode(t, change(`"resolved", "impact": "major"`, fmt.Sprintf(`%q, "impact": "major"`, status)))
		if got := past.incidents[1].resolved != nil; got != over {
			t.Errorf("status %s is over: %t, want %t", status, got, over)
		}
	}
	for impact, severity := range map[string]incident.Status{
		"none": incident.StatusOpen, "maintenance": incident.StatusOpen, "minor": incident.StatusWarning,
		"major": incident.StatusCritical, "critical": incident.StatusCritical,
	} {
		past := mustDecode(t, change(`"major"`, fmt.Sprintf("%q", impact)))
		if got := past.incidents[1].severity; got != severity {
			t.Errorf("impact %s is %v, want %v", impact, got, severity)
		}
	}
}

// Equal times have an order too: incidents by ID, and updates by the page's order, latest
// first. The announcement of a maintenance is before its start.
func TestDecode_ordersTies(t *testing.T) {
	const data = `{"page": {"id": "p"}, "incidents": [
{"id": "b", "name": "B", "status": "monitoring", "impact": "minor", "started_at": "2024-01-01T00:00:00Z", "incident_updates": [
  {"id": "0", "body": "x", "status": "scheduled", "display_at": "2023-12-31T23:59:59Z"},
  {"id": "3", "body": "x", "display_at": "2024-01-01T00:00:00Z"},
  {"id": "1", "body": "x", "display_at": "2024-01-01T00:00:00Z"},
  {"id": "2", "body": "x", "display_at": "2024-01-01T00:00:00Z"}]},
{"id": "c", "name": "C", "status": "monitoring", "impact": "minor", "started_at": "2024-01-01T01:00:00+01:00"},
{"id": "a", "name": "A", "status": "monitoring", "impact": "minor", "started_at": "2024-01-01T00:00:00.000Z"}]}`
	past := mustDecode(t, data)
	var incidents, updates string
	for _, p := range past.incidents {
		incidents += p.id
		for _, u := range p.updates {
			updates += u.id
		}
	}
	if incidents != "abc" || updates != "0213" {
		t.Errorf("incidents are in order %s, updates in order %s, want abc and 0213", incidents, updates)
	}
}

func TestRead_TooLarge(t *testing.T) {
	if _, err := Read("f.json", endless{}); err == nil || err.Error() != "f.json: larger than 64 MiB" {
		t.Errorf("Read() of an endless file = %v", err)
	}
}

// endless is an infinite file of zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func mustDecode(t *testing.T, data string) *History {
	t.Helper()
	past, err := Options{}.decode("f.json", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return past
}

func newManager(t *testing.T) incident.Manager {
	t.Helper()
	incidents, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return incidents
}

// stored is everything stored about an incident.
type stored struct {
	incident.Incident
	activities []incident.Activity
}

// snapshot returns everything in an organization, in order of identifier.
func snapshot(t *testing.T, incidents incident.Manager, organization incident.OrganizationID) []stored {
	t.Helper()
	ctx := t.Context()
	var all []stored
	for n := int64(1); ; n++ {
		key := incident.Key{OrganizationID: organization, Identifier: n}
		inc, err := incidents.Get(ctx, key)
		if errors.Is(err, incident.ErrNotFound) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		activities, err := Activities(ctx, incidents, key)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, stored{inc, activities})
	}
}
