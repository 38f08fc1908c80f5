package incident_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// managerCalls are calls of a Manager that go to the store, and a call that the cache answers.
var managerCalls = map[string]func(ctx context.Context, m incident.Manager) error{
	"Run": func(ctx context.Context, m incident.Manager) error { return m.Run(ctx) },
	"Watch": func(ctx context.Context, m incident.Manager) error {
		enough := errors.New("enough")
		if err := m.Watch(ctx, "acme", func(incident.Changes) error { return enough }); !errors.Is(err, enough) {
			return err
		}
		return nil
	},
	"Get":     func(ctx context.Context, m incident.Manager) error { return only(m.Get(ctx, key)) },
	"Details": func(ctx context.Context, m incident.Manager) error { return only(m.Details(ctx, key, "ada")) },
	"List": func(ctx context.Context, m incident.Manager) error {
		return only(m.List(ctx, incident.IncidentFilter{OrganizationID: "acme"}))
	},
	"Subscribers": func(ctx context.Context, m incident.Manager) error { return only(m.Subscribers(ctx, key)) },
	"Active": func(ctx context.Context, m incident.Manager) error {
		_, _, err := m.Active(ctx, slot)
		return err
	},
	"Fire":         fires(slot),
	"UpdateStatus": updates(incident.StatusClosed),
	"Comment": func(ctx context.Context, m incident.Manager) error {
		return only(m.Comment(ctx, key, incident.NewComment{UserID: "ada", Comment: "x"}))
	},
	"MarkSeen": func(ctx context.Context, m incident.Manager) error { return only(m.MarkSeen(ctx, key, "ada")) },
	"InTx": func(ctx context.Context, m incident.Manager) error {
		return m.InTx(ctx, func(incident.Manager) error { return nil })
	},
}

// wantRefusedInside checks that a call within a transaction was refused with the remedy.
func wantRefusedInside(t *testing.T, name string, err error) {
	t.Helper()
	if !errors.Is(err, incident.ErrInvalid) || !strings.Contains(err.Error(), "call the Manager that InTx passed to its function") {
		t.Errorf("%s within a transaction of the Manager = %v, want ErrInvalid and the call to use instead", name, err)
	}
}

// soon fails the test if f does not return soon.
func soon(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		t.Fatal("a call hangs")
	}
}

// The Manager itself refuses calls within its transaction, whatever their context, and works
// before, after and beside the transaction.
func TestInTx_refusesCallsOfTheManager(t *testing.T) {
	m, _ := probed(t, nil)
	for name, call := range managerCalls {
		soon(t, func() {
			err := m.InTx(context.Background(), func(incident.Manager) error {
				wantRefusedInside(t, name, call(context.Background(), m))
				return nil
			})
			if err != nil {
				t.Errorf("InTx = %v", err)
			}
		})
	}
	soon(t, func() {
		_ = m.InTx(context.Background(), func(tx incident.Manager) error {
			return tx.InTx(context.Background(), func(incident.Manager) error {
				wantRefusedInside(t, "Get in a part", only(m.Get(context.Background(), key)))
				return nil
			})
		})
	})
	open, end := make(chan struct{}), make(chan struct{})
	s := &probe{Store: memory.New()} // its readers wait for no writer of the other store
	other, err := incident.New(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- m.InTx(context.Background(), func(incident.Manager) error { close(open); <-end; return nil })
	}()
	<-open
	if _, err := m.Get(context.Background(), key); err != nil { // from the cache
		t.Errorf("beside a transaction Get = %v", err)
	}
	mustFire(t, other, "5%", incident.StatusWarning)
	close(end)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = m.InTx(context.Background(), func(incident.Manager) error { panic("boom") })
	}()
	if _, err := m.Details(context.Background(), key, ""); err != nil {
		t.Errorf("after a transaction that panicked Details = %v", err)
	}
}

// Code of the host that a transaction calls must not call the Manager itself either.
func TestInTx_refusesCallsInCallbacks(t *testing.T) {
	var m incident.Manager
	var got error
	asked := false
	calls := func(ctx context.Context) {
		if asked {
			got = only(m.Get(ctx, key))
		}
	}
	m, err := incident.New(memory.New(), &incident.Options{
		Now: func() time.Time { calls(context.Background()); return time.Now() },
		Authorizer: incident.AuthorizerFunc(func(ctx context.Context, _ incident.OrganizationID, _ []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
			calls(context.Background())
			done := make(chan struct{})
			go func() { defer close(done); calls(ctx) }()
			<-done
			return users, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	mustFire(t, m, "5%", incident.StatusWarning)
	soon(t, func() {
		err := m.InTx(context.Background(), func(tx incident.Manager) error {
			asked = true
			defer func() { asked = false }()
			return only(tx.Subscribe(context.Background(), key, "ada"))
		})
		if err != nil {
			t.Error(err)
		}
	})
	wantRefusedInside(t, "a call of the host's", got)
}

// A transaction does not wait for an Authorizer that does not answer. Its errors and panics
// are passed on.
func TestInTx_doesNotWaitForAnAuthorizer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var current atomic.Pointer[func(ctx context.Context) error]
		m, _ := probed(t, &incident.Options{
			Authorizer: incident.AuthorizerFunc(func(ctx context.Context, _ incident.OrganizationID, _ []incident.ProjectID, users []incident.UserID) ([]incident.UserID, error) {
				return users, (*current.Load())(ctx)
			}),
		})
		in := func(answer func(ctx context.Context) error) (err error) {
			current.Store(&answer)
			return m.InTx(context.Background(), func(tx incident.Manager) error {
				return only(tx.Subscribe(context.Background(), key, "ada"))
			})
		}
		release := make(chan struct{})
		for name, answer := range map[string]func(ctx context.Context) error{
			"heeds its context": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			"heeds nothing":     func(context.Context) error { <-release; return nil },
		} {
			soon(t, func() {
				err := in(answer)
				if !errors.Is(err, incident.ErrUnavailable) || !strings.Contains(err.Error(), "a pool of its own") {
					t.Errorf("with an Authorizer that %s InTx = %v", name, err)
				}
			})
		}
		close(release)
		own := errors.New("own")
		if err := in(func(context.Context) error { return own }); !errors.Is(err, own) {
			t.Errorf("InTx = %v, want the Authorizer's error", err)
		}
		func() {
			defer func() {
				if p := recover(); p != "boom" {
					t.Errorf("the Authorizer's panic arrives as %v", p)
				}
			}()
			_ = in(func(context.Context) error { panic("boom") })
		}()
		done := make(chan struct{})
		go func() { defer close(done); _ = in(func(context.Context) error { runtime.Goexit(); return nil }) }()
		<-done
		if got := mustSubscribers(t, m); len(got) != 0 {
			t.Errorf("after all these failures %v follow", got)
		}
	})
}

// If a part of a transaction or a write does not return, the whole transaction fails, even if
// the function recovers.
func TestInTx_failsWhenAPartDoesNotReturn(t *testing.T) {
	m, p := probed(t, nil)
	panicking := func(method string) error {
		if method == "Apply" {
			panic("boom")
		}
		return nil
	}
	for name, part := range map[string]func(tx incident.Manager) error{
		"a part that panics": func(tx incident.Manager) error {
			return tx.InTx(t.Context(), func(tx incident.Manager) error { mustClose(t, tx); panic("boom") })
		},
		"a part of a part": func(tx incident.Manager) error {
			return tx.InTx(t.Context(), func(tx incident.Manager) error {
				return tx.InTx(t.Context(), func(tx incident.Manager) error { mustClose(t, tx); panic("boom") })
			})
		},
		"a part that ends its goroutine": func(tx incident.Manager) error {
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = tx.InTx(t.Context(), func(tx incident.Manager) error { mustClose(t, tx); runtime.Goexit(); return nil })
			}()
			<-done
			return nil
		},
		"a part that fails": func(tx incident.Manager) error {
			_ = tx.InTx(t.Context(), func(tx incident.Manager) error { mustClose(t, tx); return errors.New("boom") })
			return nil
		},
		"a write that panics": func(tx incident.Manager) error {
			mustClose(t, tx)
			p.before = panicking
			return only(tx.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "x"}))
		},
	} {
		err := m.InTx(t.Context(), func(tx incident.Manager) error {
			func() {
				defer func() { _ = recover() }()
				_ = part(tx)
			}()
			if _, err := tx.Get(t.Context(), key); err == nil {
				t.Errorf("after %s the transaction goes on", name)
			}
			return nil
		})
		p.before = nil
		if err == nil {
			t.Errorf("InTx with %s = nil, want an error", name)
		}
		if got := mustGet(t, m); got.Version != 1 || !mustActive(t, m) {
			t.Errorf("after %s the incident has version %d", name, got.Version)
		}
	}
}
