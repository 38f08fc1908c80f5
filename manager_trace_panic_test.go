package incident_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// recovered calls f and returns its panic.
func recovered(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

func TestTrace_panics(t *testing.T) {
	store := memory.New()
	m, tr := mustTraced(t, store, incident.Options{})
	made := func(n int) {
		t.Helper()
		tr.begin = nil
		page, err := m.List(t.Context(), incident.IncidentFilter{OrganizationID: "acme"})
		if err != nil || len(page.Incidents) != n {
			t.Errorf("%d incidents, error %v, want %d", len(page.Incidents), err, n)
		}
	}
	do := create(func(*incident.NewIncident) {})
	tr.begin = func(context.Context, incident.Call) (context.Context, func(error)) { panic("at the beginning") }
	if p := recovered(func() { _ = do(t.Context(), m) }); p != "at the beginning" {
		t.Errorf("got %v", p)
	}
	made(0)
	atEnd := func(context.Context, incident.Call) (context.Context, func(error)) {
		return nil, func(error) { panic("at the end") }
	}
	tr.begin = atEnd
	if p := recovered(func() { _ = do(t.Context(), m) }); p != "at the end" {
		t.Errorf("got %v", p)
	}
	made(1)

	// The function of InTx may recover: the call that was reported has returned.
	err := m.InTx(t.Context(), func(tx incident.Manager) error {
		tr.begin = atEnd
		if p := recovered(func() { _ = do(t.Context(), tx) }); p != "at the end" {
			t.Errorf("got %v", p)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	made(2)
	tr.begin = nil
	p := recovered(func() {
		_ = m.InTx(t.Context(), func(tx incident.Manager) error {
			tr.begin = atEnd
			return do(t.Context(), tx)
		})
	})
	if p != "at the end" {
		t.Errorf("got %v", p)
	}
	made(2)
}

func TestTrace_callsThatDoNotReturn(t *testing.T) {
	end := func() {}
	m, tr := mustTraced(t, memory.New(), incident.Options{
		Authorizer: incident.AuthorizerFunc(func(context.Context, incident.OrganizationID, []incident.ProjectID, []incident.UserID) ([]incident.UserID, error) {
			end()
			return nil, nil
		}),
	})
	mustFire(t, m, "5%", incident.StatusWarning)
	tr.take()
	subscribe := func() { _, _ = m.Subscribe(t.Context(), key, "ada") }
	end = func() { panic("the host's") }
	if p := recovered(subscribe); p != "the host's" {
		t.Errorf("got %v", p)
	}
	end = runtime.Goexit
	var wg sync.WaitGroup
	wg.Go(subscribe)
	wg.Wait()
	if _, ended := tr.take(); !slices.Equal(ended, []error{incident.ErrNoReturn, incident.ErrNoReturn}) {
		t.Errorf("got %v, want ErrNoReturn twice", ended)
	}
}
