package incident_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// bulk is a call for many, with the NotificationUUID of the call.
type bulk func(ctx context.Context, m incident.Manager, keys []incident.Key, id uuid.UUID) ([]incident.BulkResult, error)

var bulks = map[string]bulk{
	"UpdateStatusAll": func(ctx context.Context, m incident.Manager, keys []incident.Key, id uuid.UUID) ([]incident.BulkResult, error) {
		return m.UpdateStatusAll(ctx, keys, incident.StatusUpdate{Status: incident.StatusCritical, UserID: "ada", NotificationUUID: id})
	},
	"AcknowledgeAll": func(ctx context.Context, m incident.Manager, keys []incident.Key, id uuid.UUID) ([]incident.BulkResult, error) {
		return m.AcknowledgeAll(ctx, keys, incident.Acknowledgement{UserID: "ada", NotificationUUID: id})
	},
}

// eachBulk runs a test for each call for many, over a store that is local and one that is not,
// with the incidents acme#1 to acme#n.
func eachBulk(t *testing.T, n int, o incident.Options, test func(t *testing.T, m incident.Manager, call bulk, keys []incident.Key)) {
	for name, call := range bulks {
		for kind, store := range map[string]incident.Store{"local": memory.New(), "remote": &probe{Store: memory.New()}} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				creator, err := incident.New(store, nil)
				if err != nil {
					t.Fatal(err)
				}
				keys := make([]incident.Key, n)
				for i := range keys {
					if err := create(func(n *incident.NewIncident) { n.Projects = nil })(t.Context(), creator); err != nil {
						t.Fatal(err)
					}
					keys[i] = incident.Key{OrganizationID: "acme", Identifier: int64(i) + 1}
				}
				m, err := incident.New(store, &o)
				if err != nil {
					t.Fatal(err)
				}
				test(t, m, call, keys)
			})
		}
	}
}

func versions(t *testing.T, m incident.Manager, keys []incident.Key) []int64 {
	t.Helper()
	all := make([]int64, len(keys))
	for i, key := range keys {
		inc, err := m.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = inc.Version
	}
	return all
}

func TestManager_callForMany(t *testing.T) {
	eachBulk(t, incident.MaxBulk-1, incident.Options{}, func(t *testing.T, m incident.Manager, call bulk, keys []incident.Key) {
		missing := incident.Key{OrganizationID: "acme", Identifier: 999}
		asked := append([]incident.Key{keys[50], missing}, append(keys[:50:50], keys[51:]...)...)
		id := uuid.New()
		results, err := call(t.Context(), m, asked, id)
		if err != nil || len(results) != len(asked) {
			t.Fatalf("%d results, %v, want %d", len(results), err, len(asked))
		}
		for i, r := range results {
			switch {
			case r.Key != asked[i]:
				t.Errorf("result %d is of %s, want %s", i, r.Key, asked[i])
			case r.Key == missing && (!errors.Is(r.Err, incident.ErrNotFound) || !reflect.ValueOf(r.Result).IsZero()):
				t.Errorf("a missing incident = %+v", r)
			case r.Key != missing && (r.Err != nil || !r.Result.Changed || r.Result.Key() != r.Key || r.Result.Projects == nil):
				t.Errorf("result %d is %+v", i, r)
			}
		}
		// The whole call is safe to repeat, also after another change.
		if _, err := m.UpdateStatus(t.Context(), keys[3], incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
			t.Fatal(err)
		}
		if _, err := m.UpdateStatus(t.Context(), keys[3], incident.StatusUpdate{Status: incident.StatusOpen}); err != nil {
			t.Fatal(err)
		}
		before := versions(t, m, keys)
		results, err = call(t.Context(), m, asked, id)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Key != missing && (r.Err != nil || r.Result.Changed || r.Result.Key() != r.Key) {
				t.Errorf("the repeated result %d is %+v", i, r)
			}
		}
		if after := versions(t, m, keys); !reflect.DeepEqual(before, after) {
			t.Errorf("repeating the call changed versions %v to %v", before, after)
		}
		if none, err := call(t.Context(), m, nil, id); err != nil || none == nil || len(none) != 0 {
			t.Errorf("a call for none = %v, %v", none, err)
		}
	})
}

func TestManager_callForManyInTx(t *testing.T) {
	eachBulk(t, 5, incident.Options{}, func(t *testing.T, m incident.Manager, call bulk, keys []incident.Key) {
		abandoned := errors.New("abandoned")
		before := versions(t, m, keys)
		for _, end := range []error{abandoned, nil} {
			err := m.InTx(t.Context(), func(tx incident.Manager) error {
				results, err := call(t.Context(), tx, append(keys[:5:5], incident.Key{OrganizationID: "acme", Identifier: 9}), uuid.New())
				if err != nil {
					return err
				}
				for i, r := range results[:5] {
					if r.Err != nil || !r.Result.Changed {
						t.Errorf("result %d in a transaction is %+v", i, r)
					}
				}
				if !errors.Is(results[5].Err, incident.ErrNotFound) {
					t.Errorf("a missing incident in a transaction = %+v", results[5])
				}
				return end
			})
			if !errors.Is(err, end) {
				t.Fatalf("InTx() = %v, want %v", err, end)
			}
			after := versions(t, m, keys)
			for i := range after {
				if changed := after[i] != before[i]; changed != (end == nil) {
					t.Errorf("after a transaction that ended with %v, the versions are %v, were %v", end, after, before)
				}
			}
		}
	})
}

// The results of a call show the incidents that were written before the context ended.
func TestManager_callForManyWhoseContextEnds(t *testing.T) {
	var cancel context.CancelFunc
	var asked atomic.Int64
	o := incident.Options{Authorizer: incident.AuthorizerFunc(
		func(_ context.Context, _ incident.OrganizationID, _ []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
			if asked.Add(1) == 10 {
				cancel()
			}
			return users, nil
		})}
	eachBulk(t, 30, o, func(t *testing.T, m incident.Manager, call bulk, keys []incident.Key) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		cancel = stop
		asked.Store(0)
		results, err := call(ctx, m, keys, uuid.Nil)
		if err != nil {
			t.Fatal(err)
		}
		after, failed := versions(t, m, keys), 0
		for i, r := range results {
			switch {
			case r.Err == nil && after[i] != 2, errors.Is(r.Err, context.Canceled) && !errors.Is(r.Err, incident.ErrUnknownOutcome) && after[i] != 1:
				t.Errorf("result %d is %v, and the version is %d", i, r.Err, after[i])
			case r.Err != nil:
				failed++
			}
		}
		if failed == 0 || failed == len(keys) {
			t.Errorf("%d of %d results failed", failed, len(keys))
		}
	})
}

// A panic of the host's code reaches the caller with its value, and no result is lost in
// silence. So does the end of a goroutine.
func TestManager_callForManyWhoseHostPanics(t *testing.T) {
	var misbehave func()
	var asked atomic.Int64
	o := incident.Options{Authorizer: incident.AuthorizerFunc(
		func(_ context.Context, _ incident.OrganizationID, _ []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
			if asked.Add(1) >= 3 {
				misbehave()
			}
			return users, nil
		})}
	for name, f := range map[string]func(){
		"panic": func() { panic("the host's own") }, "nil panic": func() { panic(nil) }, "exit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			misbehave = f
			eachBulk(t, 40, o, func(t *testing.T, m incident.Manager, call bulk, keys []incident.Key) {
				asked.Store(0)
				var returned bool
				var panicked any
				soon(t, func() {
					ended := make(chan struct{})
					go func() {
						defer close(ended)
						defer func() { panicked = recover() }()
						_, _ = call(t.Context(), m, keys, uuid.Nil)
						returned = true
					}()
					<-ended
				})
				if returned || (panicked == nil) != (name == "exit") || name == "panic" && panicked != "the host's own" {
					t.Errorf("the call returned: %t, panicked with %v", returned, panicked)
				}
				if n := asked.Load(); n > 10 {
					t.Errorf("the host was asked %d times, although the third call ended all", n)
				}
				// The Manager is as good as before.
				asked.Store(-1 << 30)
				if results, err := call(t.Context(), m, keys, uuid.Nil); firstError(results, err) != nil {
					t.Errorf("the next call = %v", firstError(results, err))
				}
			})
		})
	}
}

func TestManager_refusesBadCallsForMany(t *testing.T) {
	var many []incident.Key
	for i := range int64(incident.MaxBulk + 1) {
		many = append(many, incident.Key{OrganizationID: "acme", Identifier: i + 1})
	}
	eachBulk(t, 2, incident.Options{Now: func() time.Time { return now }}, func(t *testing.T, m incident.Manager, call bulk, keys []incident.Key) {
		for name, c := range map[string]struct {
			keys  []incident.Key
			field string
		}{
			"101 keys":               {many, "keys"},
			"a key twice":            {[]incident.Key{keys[0], keys[1], keys[0]}, "keys"},
			"two organizations":      {[]incident.Key{keys[0], {OrganizationID: "globex", Identifier: 1}}, "keys"},
			"a key without a number": {[]incident.Key{keys[0], {OrganizationID: "acme"}}, "identifier"},
			"a key without a tenant": {[]incident.Key{{Identifier: 1}, keys[0]}, "organizationId"},
			"a hostile tenant":       {[]incident.Key{{OrganizationID: "a\x00", Identifier: 1}}, "organizationId"},
		} {
			results, err := call(t.Context(), m, c.keys, uuid.New())
			var field *incident.FieldError
			if !errors.As(err, &field) || field.Field != c.field || results != nil {
				t.Errorf("%s: %d results, %v, want a refusal of %q", name, len(results), err, c.field)
			}
		}
		if after := versions(t, m, keys); !reflect.DeepEqual(after, []int64{1, 1}) {
			t.Errorf("refused calls changed the versions to %v", after)
		}
	})
	m, _ := fixture(t)
	for name, err := range map[string]error{
		"version":       second(m.UpdateStatusAll(t.Context(), []incident.Key{key}, incident.StatusUpdate{Status: incident.StatusOpen, ExpectVersion: 1})),
		"version, -1":   second(m.AcknowledgeAll(t.Context(), nil, incident.Acknowledgement{ExpectVersion: -1})),
		"status":        second(m.UpdateStatusAll(t.Context(), nil, incident.StatusUpdate{})),
		"until":         second(m.AcknowledgeAll(t.Context(), nil, incident.Acknowledgement{Until: now})),
		"comment, many": second(m.UpdateStatusAll(t.Context(), []incident.Key{key}, incident.StatusUpdate{Status: incident.StatusOpen, Comment: "\x00"})),
	} {
		want, _, _ := strings.Cut(name, ",")
		var field *incident.FieldError
		if !errors.As(err, &field) || field.Field != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The JSON of a failed result has no incident.
func TestWire_bulkResult(t *testing.T) {
	inc := incident.Incident{OrganizationID: "acme", Identifier: 2, Projects: []incident.ProjectID{}}
	data, err := json.Marshal([]incident.BulkResult{
		{Key: key, Err: incident.ErrNotFound},
		{Key: inc.Key(), Result: incident.Result{Incident: inc}},
	})
	const want = `[{"key":{"organizationId":"acme","identifier":"1"}},{"key":{"organizationId":"acme","identifier":"2"},"incident":{"organizationId":"acme"`
	if err != nil || !strings.HasPrefix(string(data), want) {
		t.Errorf("the results are %s, %v\nwant %s…", data, err, want)
	}
}
