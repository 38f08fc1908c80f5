package incident_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/incidentkit/incident"
)

// Each loop over All begins again, and ends where the caller ends it.
func TestAll(t *testing.T) {
	m, _ := fixture(t)
	for range 4 {
		if err := create(func(*incident.NewIncident) {})(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	all := incident.All(t.Context(), m, incident.IncidentFilter{OrganizationID: "acme", Limit: 2})
	for _, n := range []int{3, 5, 5, 1} {
		var got []int64
		for inc, err := range all {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, inc.Identifier); len(got) == n {
				break
			}
		}
		if want := []int64{5, 4, 3, 2, 1}[:n]; !slices.Equal(got, want) {
			t.Errorf("a loop returns %v, want %v", got, want)
		}
	}
	page, err := m.List(t.Context(), incident.IncidentFilter{OrganizationID: "acme", Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	rest := 0
	for _, err := range incident.All(t.Context(), m, incident.IncidentFilter{OrganizationID: "acme", Cursor: page.Next}) {
		if rest++; err != nil {
			t.Fatal(err)
		}
	}
	if rest != 2 {
		t.Errorf("%d incidents after a page of 3, want 2", rest)
	}
}

func TestAll_endsWithAnError(t *testing.T) {
	m, _ := fixture(t)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	var errs []error
	for inc, err := range incident.All(canceled, m, incident.IncidentFilter{OrganizationID: "acme"}) {
		if errs = append(errs, err); !reflect.ValueOf(inc).IsZero() {
			t.Errorf("an error comes with %+v", inc)
		}
	}
	if len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("the errors are %v", errs)
	}
}

// countingStore counts n incidents of each status.
type countingStore struct {
	incident.Store
	n     map[incident.Status]int
	query incident.IncidentQuery
}

func (s *countingStore) CountIncidents(_ context.Context, q incident.IncidentQuery) (map[incident.Status]int, error) {
	s.query = q
	return s.n, nil
}

func TestManager_Count(t *testing.T) {
	_, store := fixture(t)
	s := &countingStore{Store: store, n: map[incident.Status]int{
		incident.StatusOpen: 3, incident.StatusCritical: incident.MaxCount + 1, incident.StatusClosed: incident.MaxCount,
		incident.StatusWarning: incident.MaxCount + 1,
	}}
	m, err := incident.New(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := incident.Counts{
		ByStatus: map[incident.Status]int{
			incident.StatusOpen: 3, incident.StatusCritical: incident.MaxCount, incident.StatusClosed: incident.MaxCount,
			incident.StatusWarning: incident.MaxCount,
		},
		Capped: []incident.Status{incident.StatusWarning, incident.StatusCritical},
	}
	some := incident.Counts{ByStatus: map[incident.Status]int{incident.StatusOpen: 3, incident.StatusClosed: incident.MaxCount}}
	got, err := m.Count(t.Context(), incident.IncidentFilter{OrganizationID: "acme"})
	if err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("Count() = %+v, %v, want %+v", got, err, all)
	}
	if s.query.Limit != incident.MaxCount+1 || s.query.After != nil {
		t.Errorf("the store counts %+v", s.query)
	}
	statuses := []incident.Status{incident.StatusClosed, incident.StatusOpen, incident.StatusClosed}
	got, err = m.Count(t.Context(), incident.IncidentFilter{OrganizationID: "acme", Statuses: statuses})
	if err != nil || !reflect.DeepEqual(got, some) {
		t.Errorf("Count() of two statuses = %+v, %v, want %+v", got, err, some)
	}
	few := incident.Counts{
		ByStatus: map[incident.Status]int{incident.StatusOpen: 3, incident.StatusClosed: 100},
		Capped:   []incident.Status{incident.StatusClosed},
	}
	got, err = m.Count(t.Context(), incident.IncidentFilter{OrganizationID: "acme", Statuses: statuses, Limit: 100})
	if err != nil || !reflect.DeepEqual(got, few) || s.query.Limit != 101 {
		t.Errorf("Count() up to 100 = %+v, %v of %d, want %+v of 101", got, err, s.query.Limit, few)
	}
	s.n = nil
	none := incident.Counts{ByStatus: map[incident.Status]int{incident.StatusCritical: 0}}
	got, err = m.Count(t.Context(), incident.IncidentFilter{OrganizationID: "acme", Statuses: []incident.Status{incident.StatusCritical}})
	if err != nil || !reflect.DeepEqual(got, none) {
		t.Errorf("Count() of none = %+v, %v, want %+v", got, err, none)
	}
}
