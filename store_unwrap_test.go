package incident_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// hiding is a Store around another without Unwrap.
type hiding struct{ incident.Store }

func (s hiding) InTx(ctx context.Context, fn func(tx incident.Store) error) error {
	return s.Store.InTx(ctx, func(tx incident.Store) error { return fn(hiding{tx}) })
}

// contracts calls the Manager for each optional contract of its store, and returns the errors by
// contract.
func contracts(t *testing.T, s incident.Store) map[string]error {
	t.Helper()
	errs := map[string]error{}
	_, errs["Retention in New"] = incident.New(s, &incident.Options{Retention: incident.Retention{Keep: day}})
	_, errs["OutboxStore in New"] = incident.New(s, &incident.Options{Notifier: incident.NotifyElsewhere})
	m := mustNewWith(t, s, incident.Options{})
	r, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Search is down"})
	if err != nil {
		t.Fatal(err)
	}
	cancel := func(m incident.Manager) error { return m.CancelReminder(t.Context(), r.Key(), "late") }
	report := func(m incident.Manager) error {
		_, err := m.Report(t.Context(), incident.ReportFilter{OrganizationID: "acme", Start: time.Now().Add(-day), End: time.Now()})
		return err
	}
	errs["OutboxStore"], errs["ReportStore"] = cancel(m), report(m)
	_, errs["RetentionStore"] = m.(incident.RetentionManager).Purge(t.Context(), incident.Purge{OrganizationID: "acme", ClosedBefore: time.Now()})
	for name, call := range map[string]func(incident.Manager) error{"OutboxStore in a transaction": cancel, "ReportStore in a transaction": report} {
		errs[name] = m.InTx(t.Context(), call)
	}
	return errs
}

// A Manager finds each optional contract behind wrappers that have Unwrap, and only there.
func TestNew_findsContractsBehindWrappers(t *testing.T) {
	for name, err := range contracts(t, wrappedStore{wrappedStore{memory.New()}}) {
		if err != nil {
			t.Errorf("%s behind wrappers: %v", name, err)
		}
	}
	for name, err := range contracts(t, hiding{memory.New()}) {
		if !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("%s behind a wrapper without Unwrap = %v, want ErrInvalid", name, err)
		}
	}
}

func TestNew_findsTheFeedBehindWrappers(t *testing.T) {
	for want, s := range map[incident.FeedState]incident.Store{
		incident.FeedStopped: wrappedStore{&hub{Store: memory.New()}},
		incident.FeedNone:    hiding{&hub{Store: memory.New()}},
	} {
		if got := mustNewWith(t, s, incident.Options{}).Stats().Feed.State; got != want {
			t.Errorf("the feed of %T is %v, want %v", s, got, want)
		}
	}
}

// A slot of a local store is never read from the cache.
func TestNew_findsTheLocalStoreBehindWrappers(t *testing.T) {
	for _, c := range []struct {
		store incident.Store
		hits  bool
	}{{wrappedStore{memory.New()}, false}, {hiding{memory.New()}, true}} {
		m := mustNewWith(t, c.store, incident.Options{})
		if err := fire(func(*incident.Firing) {})(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, _, err := m.Active(t.Context(), slot); err != nil {
				t.Fatal(err)
			}
		}
		if hits := m.Stats().CacheHits; hits > 0 != c.hits {
			t.Errorf("%T: %d hits of the cache, want some: %t", c.store, hits, c.hits)
		}
	}
}

// A Manager without a Notifier warns that the store queues for another.
func TestNew_findsTheUsedOutboxBehindWrappers(t *testing.T) {
	own := memory.New()
	open := create(func(*incident.NewIncident) {})
	if err := open(t.Context(), mustNewWith(t, own, incident.Options{Notifier: incident.NotifyElsewhere})); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if err := open(t.Context(), mustNewWith(t, wrappedStore{own}, incident.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "without a Notifier") {
		t.Errorf("the log is %q, want a warning", log.String())
	}
}

func mustNewWith(t *testing.T, s incident.Store, opts incident.Options) incident.Manager {
	t.Helper()
	m, err := incident.New(s, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// joinedTo is a store that says that it was joined to a transaction of the host.
type joinedTo struct {
	incident.Store
	origin incident.Store
}

func (s joinedTo) JoinedTo() incident.Store { return s.origin }

func TestManager_Join_findsTheStoreBehindWrappers(t *testing.T) {
	own, other := memory.New(), memory.New()
	m := mustNewWith(t, wrappedStore{wrappedStore{own}}, incident.Options{})
	for name, s := range map[string]incident.Store{
		"the store":             joinedTo{own, own},
		"the store, wrapped":    wrappedStore{joinedTo{own, own}},
		"the inner wrapper":     joinedTo{own, wrappedStore{own}},
		"the wrapped wrapper":   wrappedStore{wrappedStore{joinedTo{own, own}}},
		"the Manager's wrapper": joinedTo{own, wrappedStore{wrappedStore{own}}},
	} {
		if _, done, err := m.Join(s); err != nil {
			t.Errorf("Join() of %s = %v, want no error", name, err)
		} else {
			done()
		}
	}
	for name, s := range map[string]incident.Store{
		"another store":             joinedTo{own, other},
		"a hidden joined store":     hiding{joinedTo{own, own}},
		"a store of no transaction": wrappedStore{own},
	} {
		if _, _, err := m.Join(s); !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("Join() of %s = %v, want ErrInvalid", name, err)
		}
	}
	if _, err := incident.New(wrappedStore{joinedTo{own, own}}, nil); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("New() of a wrapped joined store = %v, want ErrInvalid", err)
	}
}
