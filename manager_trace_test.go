package incident_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// tracer records the calls that Options.Trace reports.
type tracer struct {
	begin func(context.Context, incident.Call) (context.Context, func(error)) // runs after the recording, if set

	mu    sync.Mutex // guards the fields below
	calls []incident.Call
	ended []error
}

type tracerKey struct{}

// Trace is an Options.Trace. The call is in the context that it returns.
func (tr *tracer) Trace(ctx context.Context, call incident.Call) (context.Context, func(error)) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.calls = append(tr.calls, call)
	if tr.begin != nil {
		return tr.begin(ctx, call)
	}
	return context.WithValue(ctx, tracerKey{}, call.Name), func(err error) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.ended = append(tr.ended, err)
	}
}

// take returns the recorded calls and errors, and forgets them.
func (tr *tracer) take() ([]incident.Call, []error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	calls, ended := tr.calls, tr.ended
	tr.calls, tr.ended = nil, nil
	return calls, ended
}

// names returns the names of the recorded calls, and forgets them.
func (tr *tracer) names() []string {
	calls, _ := tr.take()
	names := make([]string, len(calls))
	for i, c := range calls {
		names[i] = c.Name
	}
	return names
}

func mustTraced(t *testing.T, store incident.Store, opts incident.Options) (incident.Manager, *tracer) {
	t.Helper()
	tr := &tracer{}
	opts.Trace = tr.Trace
	m, err := incident.New(store, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return m, tr
}

// untraced are the methods of the Manager that Options.Trace does not report.
var untraced = []string{"Join", "Run", "Stats", "Watch"}

// withoutOrganization are the reported methods that name no organization.
var withoutOrganization = []string{"Discard", "InTx", "Organizations"}

// named sets each organization in v to "acme" and each identifier of a key to 7.
func named(v reflect.Value) {
	switch v.Interface().(type) {
	case incident.OrganizationID:
		v.SetString("acme")
		return
	case incident.Key:
		v.Set(reflect.ValueOf(incident.Key{OrganizationID: "acme", Identifier: 7}))
		return
	case []incident.Key:
		v.Set(reflect.ValueOf([]incident.Key{{OrganizationID: "acme", Identifier: 7}}))
		return
	}
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				named(v.Field(i))
			}
		}
	}
}

// callByName calls a method of the Manager with arguments that name acme#7, and reports whether
// they name an incident.
func callByName(ctx context.Context, m incident.Manager, name string) (err error, hasKey bool) {
	method := reflect.ValueOf(m).MethodByName(name)
	args := []reflect.Value{reflect.ValueOf(ctx)}
	for i := 1; i < method.Type().NumIn(); i++ {
		arg := reflect.New(method.Type().In(i)).Elem()
		named(arg)
		switch arg.Interface().(type) {
		case incident.Key, []incident.Key:
			hasKey = true
		case incident.CommentEdit:
			if name == "EditComment" {
				arg.FieldByName("Comment").SetString("x") // it is validated before the context
			}
		case func(incident.Manager) error:
			arg.Set(reflect.ValueOf(func(incident.Manager) error { return nil }))
		}
		args = append(args, arg)
	}
	results := method.Call(args)
	err, _ = results[len(results)-1].Interface().(error)
	return err, hasKey
}

func TestTrace_reportsEachMethod(t *testing.T) {
	m, tr := mustTraced(t, memory.New(), incident.Options{Notifier: incident.NotifyElsewhere})
	methods := reflect.TypeFor[incident.Manager]()
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		if slices.Contains(untraced, name) {
			continue
		}
		err, hasKey := callByName(t.Context(), m, name)
		want := incident.Call{Name: name}
		if !slices.Contains(withoutOrganization, name) {
			want.OrganizationID = "acme"
		}
		if hasKey {
			want.Identifier = 7
		}
		calls, ended := tr.take()
		if !slices.Equal(calls, []incident.Call{want}) {
			t.Errorf("%s: got %+v, want %+v alone", name, calls, want)
		}
		if !slices.Equal(ended, []error{err}) {
			t.Errorf("%s: the end got %v, want %v", name, ended, err)
		}
	}
}

// Each call runs with the context that Trace returns: here it has ended.
func TestTrace_givesTheContext(t *testing.T) {
	m, tr := mustTraced(t, memory.New(), incident.Options{Notifier: incident.NotifyElsewhere})
	tr.begin = func(ctx context.Context, _ incident.Call) (context.Context, func(error)) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx, nil
	}
	methods := reflect.TypeFor[incident.Manager]()
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		if slices.Contains(untraced, name) {
			continue
		}
		if err, _ := callByName(t.Context(), m, name); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want the error of the context that Trace has returned", name, err)
		}
	}
}

func TestTrace_doesNotReport(t *testing.T) {
	m, tr := mustTraced(t, memory.New(), incident.Options{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_ = m.Stats()
	var none context.Context
	errs := []error{
		m.Run(ended),
		m.Watch(ended, "acme", func(incident.Changes) error { return nil }),
	}
	if got := tr.names(); len(got) > 0 || errors.Join(errs...) != nil {
		t.Errorf("reported %q, errors %v", got, errs)
	}
	if _, _, err := m.Join(nil); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("Join without a store: %v", err)
	}
	if _, err := m.Get(none, key); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("Get with a nil context: %v", err)
	}
	if got := tr.names(); len(got) > 0 {
		t.Errorf("reported %q", got)
	}
}

// tracedStore records the reported call in the context of its calls.
type tracedStore struct {
	incident.Store

	mu   sync.Mutex // guards seen
	seen []any
}

func (s *tracedStore) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	s.mu.Lock()
	s.seen = append(s.seen, ctx.Value(tracerKey{}))
	s.mu.Unlock()
	return s.Store.Load(ctx, key)
}

func TestTrace_contextReachesStoreAndAuthorizer(t *testing.T) {
	var asked []any
	authorizer := incident.AuthorizerFunc(func(ctx context.Context, _ incident.OrganizationID, _ []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
		asked = append(asked, ctx.Value(tracerKey{}))
		return users, nil
	})
	store := &tracedStore{Store: memory.New()}
	m, tr := mustTraced(t, store, incident.Options{Authorizer: authorizer, Cache: incident.NoCache})
	mustFire(t, m, "5%", incident.StatusWarning)
	store.seen, asked = nil, nil
	tr.take()
	if _, err := m.Subscribe(t.Context(), key, "ada"); err != nil {
		t.Fatal(err)
	}
	want := []any{"Subscribe"}
	if !reflect.DeepEqual(store.seen, want) || !reflect.DeepEqual(asked, want) {
		t.Errorf("the store got %v, the Authorizer %v, want %v", store.seen, asked, want)
	}
	// The calls within a call are part of it.
	if _, err := m.UpdateStatusAll(t.Context(), []incident.Key{key, {OrganizationID: "acme", Identifier: 2}}, incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
		t.Fatal(err)
	}
	calls, _ := tr.take()
	wantCalls := []incident.Call{
		{Name: "Subscribe", OrganizationID: "acme", Identifier: 1},
		{Name: "UpdateStatusAll", OrganizationID: "acme"},
	}
	if !slices.Equal(calls, wantCalls) {
		t.Errorf("got %+v, want %+v", calls, wantCalls)
	}
	for range incident.All(t.Context(), m, incident.IncidentFilter{OrganizationID: "acme"}) {
		break
	}
	if got := tr.names(); !slices.Equal(got, []string{"List"}) {
		t.Errorf("an iterator: got %q, want a List", got)
	}
}

func TestTrace_omitsInvalidOrganizations(t *testing.T) {
	m, tr := mustTraced(t, memory.New(), incident.Options{})
	for name, id := range badIDs {
		_, err := m.Get(t.Context(), incident.Key{OrganizationID: incident.OrganizationID(id), Identifier: -1})
		calls, _ := tr.take()
		if !errors.Is(err, incident.ErrInvalid) || !slices.Equal(calls, []incident.Call{{Name: "Get"}}) {
			t.Errorf("%s: %+v, error %v", name, calls, err)
		}
	}
	if _, err := m.UpdateStatusAll(t.Context(), nil, incident.StatusUpdate{Status: incident.StatusClosed}); err != nil && !errors.Is(err, incident.ErrInvalid) {
		t.Error(err)
	}
	if calls, _ := tr.take(); !slices.Equal(calls, []incident.Call{{Name: "UpdateStatusAll"}}) {
		t.Errorf("no keys: %+v", calls)
	}
}

func TestTrace_transactions(t *testing.T) {
	m, tr := mustTraced(t, memory.New(), incident.Options{})
	undone := errors.New("undone")
	err := m.InTx(t.Context(), func(tx incident.Manager) error {
		if _, err := incident.StoreOf(tx); err != nil {
			t.Errorf("StoreOf: %v", err)
		}
		if err := create(func(*incident.NewIncident) {})(t.Context(), tx); err != nil {
			return err
		}
		if err := second(m.Get(t.Context(), key)); !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("a call of the Manager within its transaction: %v", err)
		}
		return tx.InTx(t.Context(), func(tx incident.Manager) error {
			if err := second(tx.Get(t.Context(), key)); err != nil {
				t.Error(err)
			}
			return undone
		})
	})
	if err != undone {
		t.Fatalf("got %v, want the error of the function", err)
	}
	calls, ended := tr.take()
	var got []string
	for _, c := range calls {
		within := "nothing"
		if c.InTx != nil {
			within = fmt.Sprint(c.InTx.Value(tracerKey{}))
		}
		got = append(got, c.Name+" in "+within)
	}
	want := []string{"InTx in nothing", "Create in InTx", "Get in nothing", "InTx in InTx", "Get in InTx"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if calls[4].InTx == calls[1].InTx {
		t.Error("the call of the inner InTx has the context of the outer")
	}
	if len(ended) != 5 || ended[3] != undone || ended[4] != undone {
		t.Errorf("the ends got %v, want the error of the function twice at the end", ended)
	}
	if err := m.InTx(t.Context(), nil); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("InTx without a function: %v", err)
	}
}

// joinable is a store that is part of a transaction of the host, without one.
type joinable struct {
	incident.Store
	origin incident.Store
}

func (s joinable) JoinedTo() incident.Store { return s.origin }

func TestTrace_join(t *testing.T) {
	store := memory.New()
	m, tr := mustTraced(t, store, incident.Options{})
	joined := joinable{store, store}
	tx, done, err := m.Join(joined)
	if err != nil {
		t.Fatal(err)
	}
	if err := create(func(*incident.NewIncident) {})(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if s, err := incident.StoreAs[joinable](tx); err != nil || s != joined {
		t.Errorf("StoreAs: %v, %v", s, err)
	}
	err = tx.InTx(t.Context(), func(tx incident.Manager) error { return second(tx.Get(t.Context(), key)) })
	if err != nil {
		t.Error(err)
	}
	done()
	if err := second(tx.Get(t.Context(), key)); !errors.Is(err, incident.ErrInvalid) {
		t.Errorf("after done: %v", err)
	}
	if got, want := tr.names(), []string{"Create", "InTx", "Get", "Get"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A Manager without Trace is the manager itself, which pays nothing.
func TestTrace_nilReportsNothing(t *testing.T) {
	m, err := incident.New(memory.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%T", m); got != "*incident.manager" {
		t.Errorf("New returned a %s", got)
	}
}
