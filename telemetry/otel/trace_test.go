package otel_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
	incidentotel "github.com/incidentkit/incident/telemetry/otel"
)

var search = incident.NewIncident{OrganizationID: "acme", Title: "Search is slow", UserID: "grace"}

func TestTrace_makesASpanOfEachCall(t *testing.T) {
	w := newWorld(t, incidentotel.Options{Attributes: []attribute.KeyValue{attribute.String("incident.manager.name", "eu")}})
	m := w.manager(t, incident.Options{})
	ctx, host := w.begin(t.Context(), "request")
	inc, err := m.Create(ctx, search)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Comment(ctx, inc.Key(), incident.NewComment{UserID: "ada", Comment: "Rolling back."}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"incident.Create":  "internal Unset incident.manager.name=eu,incident.operation.name=Create,incident.organization.id=acme,incident.outcome=ok",
		"incident.Comment": "internal Unset incident.id=1,incident.manager.name=eu,incident.operation.name=Comment,incident.organization.id=acme,incident.outcome=ok",
	} {
		s := w.one(t, name)
		if got := described(s); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		if s.Parent().SpanID() != host.SpanContext().SpanID() {
			t.Errorf("%s is no child of the host's span", name)
		}
		if len(s.Events()) > 0 {
			t.Errorf("%s has events: %v", name, s.Events())
		}
	}
	want := map[string]float64{
		"histogram incident.operation.duration{incident.manager.name=eu,incident.operation.name=Create,incident.outcome=ok}":  1,
		"histogram incident.operation.duration{incident.manager.name=eu,incident.operation.name=Comment,incident.outcome=ok}": 1,
	}
	if got := w.points(t); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// insisting is an error of the host that panics when it is looked at.
type insisting struct{}

func (insisting) Error() string   { return "insisting" }
func (insisting) Is(error) bool   { panic("looked at") }
func (insisting) As(any) bool     { panic("looked at") }
func (e insisting) Unwrap() error { panic("looked at") }

func TestTrace_classifiesErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		class  string
		failed bool
	}{
		{nil, "ok", false},
		{incident.ErrNotFound, "not_found", false},
		{&incident.FieldError{Field: "title", Problem: "is required"}, "invalid", false},
		{&incident.ConflictError{}, "conflict", false},
		{incident.ErrVersionConflict, "version_conflict", false},
		{incident.ErrForbidden, "forbidden", false},
		{context.Canceled, "canceled", false},
		{context.DeadlineExceeded, "deadline_exceeded", true},
		{incident.ErrUnavailable, "unavailable", true},
		{fmt.Errorf("%w: %w", incident.ErrUnavailable, incident.ErrVersionConflict), "unavailable", true},
		{incident.ErrUnknownOutcome, "unknown_outcome", true},
		{errors.Join(incident.ErrUnknownOutcome, context.Canceled), "unknown_outcome", true},
		{incident.ErrNoReturn, "panic", true},
		{errors.New("the host's"), "_OTHER", true},
		{insisting{}, "_OTHER", true},
	} {
		w := newWorld(t, incidentotel.Options{})
		_, end := w.Trace(t.Context(), incident.Call{Name: "Fire", OrganizationID: "acme"})
		if c.err != nil && c.class != "_OTHER" {
			end(fmt.Errorf("incident: fire: %w", c.err))
		} else {
			end(c.err)
		}
		attributes := "incident.operation.name=Fire,incident.outcome=" + c.class
		if c.failed {
			attributes = "error.type=" + c.class + "," + attributes
		}
		s := w.one(t, "incident.Fire")
		if got := text(s.Attributes()); got != strings.Replace(attributes, "incident.outcome", "incident.organization.id=acme,incident.outcome", 1) || isFailed(s) != c.failed {
			t.Errorf("%v: status %v, attributes %s", c.err, s.Status(), got)
		}
		if s.Status().Description != "" || len(s.Events()) > 0 {
			t.Errorf("%v: the span tells %v, %v", c.err, s.Status(), s.Events())
		}
		if got := w.points(t); got["histogram incident.operation.duration{"+attributes+"}"] != 1 {
			t.Errorf("%v: got %v", c.err, got)
		}
	}
}

func TestTrace_callsThatPanic(t *testing.T) {
	w := newWorld(t, incidentotel.Options{})
	m := w.manager(t, incident.Options{Authorizer: incident.AuthorizerFunc(
		func(context.Context, incident.OrganizationID, []incident.ProjectID, []incident.UserID) ([]incident.UserID, error) {
			panic("the host's")
		})})
	fired, err := m.Fire(t.Context(), incident.Firing{
		Slot:      incident.Slot{OrganizationID: "acme", AlertRuleID: "rule", ProjectID: "search"},
		TriggerID: "5%", Severity: incident.StatusWarning, Title: "Error rate",
	})
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if p := recover(); p != "the host's" {
				t.Errorf("got %v", p)
			}
		}()
		_, _ = m.Subscribe(t.Context(), fired.Key(), "ada")
	}()
	want := "internal Error error.type=panic,incident.id=1,incident.operation.name=Subscribe,incident.organization.id=acme,incident.outcome=panic"
	if got := described(w.one(t, "incident.Subscribe")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// parents returns the name of each ended span's parent, by the name of the span.
func (w *world) parents() map[string]string {
	names := map[trace.SpanID]string{}
	for _, s := range w.spans.Ended() {
		names[s.SpanContext().SpanID()] = s.Name()
	}
	all := map[string]string{}
	for _, s := range w.spans.Ended() {
		all[s.Name()] = names[s.Parent().SpanID()]
	}
	return all
}

func TestTrace_nestsTransactions(t *testing.T) {
	for _, hasParent := range []bool{true, false} {
		w := newWorld(t, incidentotel.Options{})
		m := w.manager(t, incident.Options{})
		ctx, want := t.Context(), map[string]string{
			"incident.InTx": "", "incident.Create": "incident.InTx", "own": "", "incident.Get": "own", "incident.Count": "",
		}
		if hasParent {
			var host trace.Span
			ctx, host = w.begin(ctx, "request")
			defer host.End()
		}
		err := m.InTx(ctx, func(tx incident.Manager) error {
			inc, err := tx.Create(ctx, search)
			if err != nil {
				return err
			}
			within, own := w.begin(ctx, "own")
			defer own.End()
			_, err = tx.Get(within, inc.Key())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Count(ctx, incident.IncidentFilter{OrganizationID: "acme"}); err != nil {
			t.Fatal(err)
		}
		if got := w.parents(); !maps.Equal(got, want) {
			t.Errorf("with a span of the host %v: got %v, want %v", hasParent, got, want)
		}
	}
}

func TestTrace_nestsTransactionsInTransactions(t *testing.T) {
	w := newWorld(t, incidentotel.Options{})
	m := w.manager(t, incident.Options{})
	ctx, host := w.begin(t.Context(), "request")
	undone := errors.New("undone")
	err := m.InTx(ctx, func(tx incident.Manager) error {
		return tx.InTx(ctx, func(tx incident.Manager) error {
			_, err := tx.Create(ctx, search)
			return errors.Join(err, undone)
		})
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	host.End()
	byID := map[trace.SpanID]sdktrace.ReadOnlySpan{}
	for _, s := range w.spans.Ended() {
		byID[s.SpanContext().SpanID()] = s
	}
	var path []string
	for s := w.one(t, "incident.Create"); s != nil; s = byID[s.Parent().SpanID()] {
		path = append(path, s.Name())
		if s.Name() == "incident.InTx" && !isFailed(s) {
			t.Error("a transaction that was undone has the status of success")
		}
	}
	if got, want := strings.Join(path, " < "), "incident.Create < incident.InTx < incident.InTx < request"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// tracedStore makes a span of each Load, as an instrumented driver does.
type tracedStore struct {
	incident.Store
	w *world
}

func (s tracedStore) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	_, span := s.w.begin(ctx, "SELECT")
	defer span.End()
	return s.Store.Load(ctx, key)
}

func TestTrace_isTheParentOfTheStoresSpans(t *testing.T) {
	w := newWorld(t, incidentotel.Options{})
	m, err := incident.New(tracedStore{memory.New(), w}, &incident.Options{Trace: w.Trace, Cache: incident.NoCache})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Get(t.Context(), incident.Key{OrganizationID: "acme", Identifier: 1}); !errors.Is(err, incident.ErrNotFound) {
		t.Fatal(err)
	}
	if got := w.parents()["SELECT"]; got != "incident.Get" {
		t.Errorf("the parent of the statement is %q", got)
	}
}

func TestTrace_concurrently(t *testing.T) {
	var shared []attribute.KeyValue
	for i := 0; cap(slices.Clone(shared)) == i; i++ { // until a copy has room for more
		shared = append(shared, attribute.Int(fmt.Sprintf("a%02d", i), i))
	}
	w := newWorld(t, incidentotel.Options{Attributes: shared})
	m := w.manager(t, incident.Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ctx, span := w.begin(t.Context(), fmt.Sprint("request", i))
			defer span.End()
			for range 20 {
				n := search
				n.OrganizationID = incident.OrganizationID(fmt.Sprint("org", i))
				if _, err := m.Create(ctx, n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	names := map[trace.SpanID]string{}
	for _, s := range w.spans.Ended() {
		names[s.SpanContext().SpanID()] = s.Name()
	}
	created := 0
	for _, s := range w.spans.Ended() {
		if s.Name() != "incident.Create" {
			continue
		}
		created++
		want := text(shared) + ",incident.operation.name=Create,incident.organization.id=org" + strings.TrimPrefix(names[s.Parent().SpanID()], "request") + ",incident.outcome=ok"
		if got := text(s.Attributes()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := w.points(t)["histogram incident.operation.duration{"+text(shared)+",incident.operation.name=Create,incident.outcome=ok}"]; got != 160 || created != 160 {
		t.Errorf("%d spans and %v durations, want 160", created, got)
	}
}

func TestTrace_anonymous(t *testing.T) {
	w := newWorld(t, incidentotel.Options{Anonymous: true})
	m := w.manager(t, incident.Options{})
	_, _ = m.Get(t.Context(), incident.Key{OrganizationID: "acme", Identifier: 1})
	if got, want := text(w.one(t, "incident.Get").Attributes()), "incident.operation.name=Get,incident.outcome=not_found"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNew_nilReportsToTheGlobalProviders(t *testing.T) {
	before := otel.GetTracerProvider()
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	w := newWorld(t, incidentotel.Options{})
	for _, provider := range []trace.TracerProvider{noop.NewTracerProvider(), w.provider} {
		otel.SetTracerProvider(provider)
		telemetry, err := incidentotel.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := incident.New(memory.New(), &incident.Options{Trace: telemetry.Trace, Notifier: telemetry.Notifier("", incident.NotifyElsewhere)})
		if err != nil {
			t.Fatal(err)
		}
		registration, err := telemetry.Observe(m)
		if err != nil {
			t.Fatal(err)
		}
		err = m.InTx(t.Context(), func(tx incident.Manager) error {
			_, err := tx.Create(t.Context(), search)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if err := registration.Unregister(); err != nil {
			t.Error(err)
		}
	}
	if got, want := w.parents(), map[string]string{"incident.InTx": "", "incident.Create": "incident.InTx"}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
