package incident_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// panicking is a store that panics in each call from Run.
type panicking struct {
	*memory.Store

	changes, claims, settles, backlogs atomic.Int64
	calm                               atomic.Bool
}

func (p *panicking) Shared() bool { return true }

func (p *panicking) panics(count *atomic.Int64) {
	count.Add(1)
	if !p.calm.Load() {
		panic("index out of range")
	}
}

func (p *panicking) Changes(context.Context, incident.FeedPosition) (incident.FeedChanges, error) {
	p.panics(&p.changes)
	return incident.FeedChanges{Position: "1"}, nil
}

func (p *panicking) Claim(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
	p.panics(&p.claims)
	return p.Store.Claim(ctx, q)
}

func (p *panicking) Settle(ctx context.Context, all []incident.Settlement) ([]int, error) {
	if p.settles.Load() < 2 {
		p.settles.Add(1)
		panic("index out of range")
	}
	return p.Store.Settle(ctx, all)
}

func (p *panicking) Backlog(ctx context.Context) (map[string]incident.Backlog, error) {
	p.panics(&p.backlogs)
	return p.Store.Backlog(ctx)
}

// A store that panics counts as unavailable. It does not end the process.
func TestRun_survivesPanicsOfTheStore(t *testing.T) {
	store := &panicking{Store: memory.New()}
	told := make(chan struct{}, 10)
	m, err := incident.New(store, &incident.Options{
		Logger:   slog.New(slog.DiscardHandler),
		Notifier: incident.NotifierFunc(func(context.Context, incident.Notification) error { told <- struct{}{}; return nil }),
		Notify:   incident.NotifyOptions{PollInterval: 10 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); store.changes.Load() == 0 || store.claims.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d calls of Changes, %d of Claim", store.changes.Load(), store.claims.Load())
		}
	}
	store.calm.Store(true)
	r, err := m.Create(ctx, incident.NewIncident{OrganizationID: "acme", Title: "Down", UserID: "ada"})
	if err == nil {
		_, err = m.Subscribe(ctx, r.Key(), "bob")
	}
	if err == nil {
		_, err = m.Comment(ctx, r.Key(), incident.NewComment{UserID: "ada", Comment: "Hm"})
	}
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); store.settles.Load() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d calls of Settle", store.settles.Load())
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run() = %v", err)
	}
}

// panickyHandler panics at each record.
type panickyHandler struct{}

func (panickyHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (panickyHandler) Handle(context.Context, slog.Record) error { panic("the handler of the host") }
func (h panickyHandler) WithAttrs([]slog.Attr) slog.Handler      { return h }
func (h panickyHandler) WithGroup(string) slog.Handler           { return h }

// If the handler of the host panics in a part of Run, Run ends with an error.
func TestRun_endsWithAPanicOfTheHandler(t *testing.T) {
	fails := incident.NotifierFunc(func(context.Context, incident.Notification) error { return errors.New("busy") })
	for name, c := range map[string]struct {
		store  incident.Store
		notify incident.Notifier
	}{
		"feed":       {&panicking{Store: memory.New()}, nil},
		"attempt":    {memory.New(), fails},
		"settlement": {&faultyOutbox{Store: memory.New(), settle: 1}, incident.NotifierFunc(func(context.Context, incident.Notification) error { return nil })},
		"claim":      {&faultyOutbox{Store: memory.New(), claims: 1}, fails},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := incident.New(c.store, &incident.Options{Logger: slog.New(panickyHandler{}), Notifier: c.notify})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- m.Run(t.Context()) }()
			if c.notify != nil {
				if _, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"}); err != nil {
					t.Error(err)
				}
			}
			select {
			case err := <-ended:
				if !errors.Is(err, incident.ErrUnavailable) {
					t.Errorf("Run() = %v, want ErrUnavailable", err)
				}
			case <-time.After(time.Minute):
				t.Fatal("Run continues")
			}
		})
	}
}
