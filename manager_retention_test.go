package incident_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// later is after the closing of every incident of a test.
func later() time.Time { return time.Now().Add(time.Hour) }

func purges(ctx context.Context, m incident.Manager) error {
	return only(m.Purge(ctx, incident.Purge{OrganizationID: "acme", ClosedBefore: later()}))
}

func mustPurge(t *testing.T, m incident.Manager, limit, want, held int) {
	t.Helper()
	got, err := m.Purge(t.Context(), incident.Purge{OrganizationID: "acme", ClosedBefore: later(), Limit: limit})
	if err != nil || got != (incident.Purged{Incidents: want, Held: held}) {
		t.Fatalf("Purge() = %+v, %v, want %d incidents and %d held back", got, err, want, held)
	}
}

// wantGone checks that acme#1 is not found, however often it is read.
func wantGone(t *testing.T, m incident.Manager, when string) {
	t.Helper()
	for range 2 {
		if inc, err := m.Get(t.Context(), key); !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("%s Get() = version %d, %v, want ErrNotFound", when, inc.Version, err)
		}
	}
}

// closedAndCached returns a Manager of a probe with the closed incident acme#1 in the cache.
func closedAndCached(t *testing.T, cache incident.Cache) (incident.Manager, *probe) {
	t.Helper()
	m, p := probed(t, &incident.Options{Cache: cache})
	mustClose(t, m)
	mustGet(t, m)
	mustActive(t, m)
	return m, p
}

// Every call returns ErrNotFound for a deleted incident. The other organization keeps its incident.
func TestPurge_deletesClosedIncidents(t *testing.T) {
	m, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	mustFire(t, m, "5%", incident.StatusWarning)
	other, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "globex", Title: "x"})
	if err != nil {
		t.Fatal(err)
	}
	mustPurge(t, m, 0, 0, 0)
	mustClose(t, m)
	mustGet(t, m)
	mustPurge(t, m, 0, 1, 0)
	for name, call := range keyCalls(key) {
		if name == "Remind" || name == "MarkDuplicate" {
			continue // refused before, without a Notifier and for itself
		}
		if err := call(t.Context(), m); !errors.Is(err, incident.ErrNotFound) {
			t.Errorf("%s of a deleted incident = %v, want ErrNotFound", name, err)
		}
	}
	if _, err := m.Get(t.Context(), other.Key()); err != nil {
		t.Error(err)
	}
	if got := mustFire(t, m, "5%", incident.StatusWarning); got.Identifier != 2 {
		t.Errorf("the next incident is %s, want another identifier", got.Key())
	}
}

// Limit bounds the deleted incidents, and a pass goes by incidents that are held back.
func TestPurge_limit(t *testing.T) {
	m, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 25 {
		inc, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.UpdateStatus(t.Context(), inc.Key(), incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
			t.Fatal(err)
		}
	}
	mustPurge(t, m, 3, 3, 0)
	mustPurge(t, m, 15, 15, 0)
	mustPurge(t, m, 0, 7, 0)
}

func TestPurge_holdsBackUndelivered(t *testing.T) {
	store := memory.New()
	quiet, err := incident.New(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	loud, err := incident.New(store, &incident.Options{Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		m := quiet
		if i < 20 {
			m = loud
		}
		inc, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := quiet.UpdateStatus(t.Context(), inc.Key(), incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
			t.Fatal(err)
		}
	}
	mustPurge(t, loud, 5, 5, 20)
	mustPurge(t, loud, 0, 5, 20)
}

func TestRetentionManager_refusesInput(t *testing.T) {
	m, store := fixture(t)
	before := snapshot(t, store)
	purge := func(change func(*incident.Purge)) error {
		p := incident.Purge{OrganizationID: "acme", ClosedBefore: now}
		change(&p)
		return only(m.Purge(t.Context(), p))
	}
	erase := func(change func(*incident.Erasure)) error {
		e := incident.Erasure{OrganizationID: "acme", UserID: "ada", As: "former"}
		change(&e)
		return only(m.EraseUser(t.Context(), e))
	}
	type input struct {
		field string
		err   error
	}
	all := []input{
		{"closedBefore", purge(func(p *incident.Purge) { p.ClosedBefore = time.Time{} })},
		{"closedBefore", purge(func(p *incident.Purge) { p.ClosedBefore = time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC) })},
		{"closedBefore", purge(func(p *incident.Purge) { p.ClosedBefore = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) })},
		{"limit", purge(func(p *incident.Purge) { p.Limit = -1 })},
		{"as", erase(func(e *incident.Erasure) { e.As = e.UserID })},
		{"limit", only(m.Organizations(t.Context(), "", 0))},
		{"limit", only(m.Organizations(t.Context(), "", -1))},
		{"limit", only(m.Organizations(t.Context(), "", incident.MaxPageSize+1))},
	}
	for name, id := range badIDs {
		all = append(all,
			input{"organizationId", purge(func(p *incident.Purge) { p.OrganizationID = incident.OrganizationID(id) })},
			input{"organizationId", erase(func(e *incident.Erasure) { e.OrganizationID = incident.OrganizationID(id) })},
			input{"userId", erase(func(e *incident.Erasure) { e.UserID = incident.UserID(id) })},
			input{"organizationId", only(m.DeleteOrganization(t.Context(), incident.OrganizationID(id)))})
		if name != "empty" {
			all = append(all,
				input{"as", erase(func(e *incident.Erasure) { e.As = incident.UserID(id) })},
				input{"after", only(m.Organizations(t.Context(), incident.OrganizationID(id), 1))})
		}
	}
	var got *incident.FieldError
	for _, in := range all {
		if !errors.As(in.err, &got) || got.Field != in.field {
			t.Errorf("a bad %s: %v", in.field, in.err)
		}
	}
	if !reflect.DeepEqual(before, snapshot(t, store)) {
		t.Error("refused calls changed something")
	}
}

// deletingCalls are the calls that delete.
var deletingCalls = map[string]func(ctx context.Context, m incident.Manager) error{
	"Purge": purges,
	"EraseUser": func(ctx context.Context, m incident.Manager) error {
		return only(m.EraseUser(ctx, incident.Erasure{OrganizationID: "acme", UserID: "ada"}))
	},
	"DeleteOrganization": func(ctx context.Context, m incident.Manager) error { return only(m.DeleteOrganization(ctx, "acme")) },
}

func TestRetentionManager_inTransactions(t *testing.T) {
	m, store := fixture(t)
	before := snapshot(t, store)
	for name, call := range deletingCalls {
		err := m.InTx(t.Context(), func(tx incident.Manager) error {
			var field *incident.FieldError
			if err := call(t.Context(), tx); !errors.As(err, &field) || field.Field != "tx" {
				t.Errorf("%s in a transaction = %v, want ErrInvalid for tx", name, err)
			}
			wantRefusedInside(t, name, call(t.Context(), m))
			orgs, err := tx.Organizations(t.Context(), "", 10)
			if err != nil || !slices.Equal(orgs, []incident.OrganizationID{"acme", "globex"}) {
				t.Errorf("Organizations in a transaction = %q, %v", orgs, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if !reflect.DeepEqual(before, snapshot(t, store)) {
		t.Error("refused calls changed something")
	}
}

func TestRetentionManager_needsARetentionStore(t *testing.T) {
	s := struct{ incident.Store }{memory.New()}
	m, err := incident.New(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]func(ctx context.Context, m incident.Manager) error{
		"Organizations": func(ctx context.Context, m incident.Manager) error { return only(m.Organizations(ctx, "", 1)) },
	}
	for name, call := range deletingCalls {
		calls[name] = call
	}
	for name, call := range calls {
		if err := call(t.Context(), m); !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("%s with another store = %v, want ErrInvalid", name, err)
		}
	}
}

// A store that returns the same position again would be called without end.
func TestRetentionManager_endsWithAStoreThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := incident.New(&standingStore{probe: &probe{Store: memory.New()}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, call := range deletingCalls {
			if err := call(t.Context(), m); !errors.Is(err, incident.ErrUnavailable) {
				t.Errorf("%s = %v, want ErrUnavailable", name, err)
			}
		}
	})
}

type standingStore struct{ *probe }

func (s *standingStore) Purge(context.Context, incident.PurgeQuery) (incident.PurgeBatch, error) {
	return incident.PurgeBatch{Next: &incident.Position{DateStarted: now, Identifier: 1}}, nil
}

func (s *standingStore) EraseUser(context.Context, incident.EraseQuery) (incident.EraseBatch, error) {
	return incident.EraseBatch{Next: 1}, nil
}

func (s *standingStore) DeleteOrganization(context.Context, incident.OrganizationID, int) (incident.DeleteBatch, error) {
	return incident.DeleteBatch{}, nil
}

// EraseUser replaces the user in cached incidents at once.
func TestEraseUser_updatesTheCache(t *testing.T) {
	for name, cache := range sharedCaches() {
		t.Run(name, func(t *testing.T) {
			m, err := incident.New(memory.New(), &incident.Options{Cache: cache()})
			if err != nil {
				t.Fatal(err)
			}
			mustFire(t, m, "5%", incident.StatusWarning)
			if err := assign(func(*incident.Assignment) {})(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			mustGet(t, m)
			n, err := m.EraseUser(t.Context(), incident.Erasure{OrganizationID: "acme", UserID: "grace", As: "former"})
			if n != 1 || err != nil {
				t.Fatalf("EraseUser() = %d, %v, want 1 incident", n, err)
			}
			if got := mustGet(t, m); got.Response == nil || got.Response.Assignee != "former" {
				t.Errorf("the assignee is %+v, want another user", got.Response)
			}
			if n, err := m.EraseUser(t.Context(), incident.Erasure{OrganizationID: "acme", UserID: "grace"}); n != 0 || err != nil {
				t.Errorf("EraseUser() again = %d, %v, want nothing", n, err)
			}
		})
	}
}
