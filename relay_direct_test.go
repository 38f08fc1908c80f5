package incident_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// creationOutbox is an outbox that counts claims, and in which a creation may go wrong.
type creationOutbox struct {
	*memory.Store
	claimed atomic.Int64
	create  func(apply func() (incident.Applied, error)) (incident.Applied, error) // nil for no trouble
}

func (s *creationOutbox) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	apply := func() (incident.Applied, error) { return s.Store.Apply(ctx, c) }
	if s.create == nil || c.Key.Identifier != 0 {
		return apply()
	}
	return s.create(apply)
}

func (s *creationOutbox) Claim(ctx context.Context, q incident.ClaimQuery) ([]incident.Claim, error) {
	claims, err := s.Store.Claim(ctx, q)
	s.claimed.Add(int64(len(claims)))
	return claims, err
}

// inNewOffice is inOffice with a creationOutbox.
func inNewOffice(t *testing.T, opts incident.Options, test func(t *testing.T, o *office, s *creationOutbox)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o, s := &office{}, &creationOutbox{Store: memory.New()}
		if opts.Notifiers == nil {
			opts.Notifier = o
		}
		opts.Logger = slog.New(slog.NewTextHandler(&bytes.Buffer{}, nil))
		var err error
		if o.Manager, err = incident.New(s, &opts); err != nil {
			t.Fatal(err)
		}
		o.start(t)
		synctest.Wait()
		test(t, o, s)
		o.stop()
	})
}

// The notifications of a new incident are delivered without a claim, and equal those of a claim.
func TestRelay_deliversNewIncidentsAtOnce(t *testing.T) {
	inNewOffice(t, incident.Options{}, func(t *testing.T, o *office, s *creationOutbox) {
		created, err := o.Create(t.Context(), incident.NewIncident{
			OrganizationID: "acme", Title: "Down", UserID: "ada", Projects: []incident.ProjectID{"web", "api"},
			Labels: map[string]string{"team": "core"},
		})
		if err != nil {
			t.Fatal(err)
		}
		created.Incident.Projects[0] = "changed"
		fired, err := o.Fire(t.Context(), incident.Firing{
			Slot: incident.Slot{OrganizationID: "umbrella", AlertRuleID: "errors", ProjectID: "web"}, TriggerID: "high",
			Severity: incident.StatusCritical, Title: "Errors",
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got := o.all()
		if len(got) != 5 || s.claimed.Load() != 0 {
			t.Fatalf("%d notifications came, %d of them claimed, want 5 without a claim", len(got), s.claimed.Load())
		}
		next := map[incident.Key]int64{}
		for i := range got {
			n := &got[i]
			key := n.Incident.Key()
			next[key]++
			stored, err := s.Activity(t.Context(), key, next[key])
			if err != nil || n.Activity != stored || n.Attempt != 1 {
				t.Errorf("the notification is %+v, want activity %+v, %v", n, stored, err)
			}
			if inc, err := o.Get(t.Context(), key); err != nil || !reflect.DeepEqual(n.Incident, inc) {
				t.Errorf("the incident is %+v, want %+v, %v", n.Incident, inc, err)
			}
			n.Incident.Projects[0] = "changed by the notifier"
		}
		if next[created.Key()] != 2 || next[fired.Key()] != 3 {
			t.Errorf("the notifications are %v", next)
		}
		time.Sleep(time.Second)
		if b, err := s.Backlog(t.Context()); err != nil || b[""].Pending != 0 {
			t.Errorf("the backlog is %+v, %v", b, err)
		}
		if got := o.Stats().Notifications.Delivered; got != 5 {
			t.Errorf("%d deliveries are counted", got)
		}
	})
}

// A failure of a later notification does not repeat those before, and a slow notifier does not
// exceed the lease.
func TestRelay_settlesNewIncidentsPartly(t *testing.T) {
	inNewOffice(t, incident.Options{}, func(t *testing.T, o *office, _ *creationOutbox) {
		o.fails(func(_ context.Context, n incident.Notification) error {
			if n.Activity.Sequence == 2 && n.Attempt == 1 {
				return errors.New("busy")
			}
			return nil
		})
		o.mustCreate(t, "acme")
		time.Sleep(10 * time.Second)
		o.want(t, "acme#1/1", "acme#1/2")
		if got := o.Stats().Notifications; got.Delivered != 2 || got.Failed != 1 {
			t.Errorf("the counters are %+v", got)
		}
		o.fails(func(_ context.Context, n incident.Notification) error {
			if n.Attempt != 1 {
				t.Errorf("%d of %s is attempt %d", n.Activity.Sequence, n.Incident.Key(), n.Attempt)
			}
			time.Sleep(4 * time.Second)
			return nil
		})
		o.mustCreate(t, "acme")
		time.Sleep(10 * time.Second)
		o.want(t, "acme#2/1", "acme#2/2")
	})
}

// Each notifier gets what it wants, without a claim.
func TestRelay_deliversNewIncidentsToEach(t *testing.T) {
	var mail, chat office
	inNewOffice(t, incident.Options{Notifiers: map[string]incident.NamedNotifier{
		"mail": {Notifier: &mail, Notify: incident.NotifyOptions{Types: []incident.ActivityType{incident.ActivityTypeCreated}}},
		"chat": {Notifier: &chat},
		"far":  {Notifier: incident.NotifyElsewhere},
	}}, func(t *testing.T, o *office, s *creationOutbox) {
		o.mustCreate(t, "acme")
		time.Sleep(time.Second)
		mail.want(t, "acme#1/2")
		chat.want(t, "acme#1/1", "acme#1/2")
		if b, err := s.Backlog(t.Context()); err != nil || b["mail"].Pending+b["chat"].Pending != 0 || b["far"].Pending != 2 || s.claimed.Load() != 0 {
			t.Errorf("after %d claims the backlog is %+v, %v", s.claimed.Load(), b, err)
		}
	})
}

// After an unknown outcome the lease of a creation ends, and its notifications are delivered once.
func TestRelay_deliversNewIncidentsOfUnknownOutcome(t *testing.T) {
	inNewOffice(t, incident.Options{}, func(t *testing.T, o *office, s *creationOutbox) {
		s.create = func(apply func() (incident.Applied, error)) (incident.Applied, error) {
			if _, err := apply(); err != nil {
				return incident.Applied{}, err
			}
			return incident.Applied{}, fmt.Errorf("cut: %w", incident.ErrUnknownOutcome)
		}
		if _, err := o.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"}); !errors.Is(err, incident.ErrUnknownOutcome) {
			t.Fatalf("Create() = %v", err)
		}
		time.Sleep(16 * time.Second)
		o.want(t, "acme#1/1", "acme#1/2")
	})
}

// The lease of a creation that nobody delivers is no failure of the notifier: the only attempt that
// MaxAttempts permits is still made.
func TestRelay_attemptsNewIncidentsOfUnknownOutcome(t *testing.T) {
	for name, outcome := range map[string]error{"delivered": nil, "failed": errors.New("busy")} {
		t.Run(name, func(t *testing.T) {
			inNewOffice(t, incident.Options{Notify: incident.NotifyOptions{MaxAttempts: 1}}, func(t *testing.T, o *office, s *creationOutbox) {
				calls := 0
				o.fails(func(context.Context, incident.Notification) error {
					calls++
					return outcome
				})
				s.create = func(apply func() (incident.Applied, error)) (incident.Applied, error) {
					if _, err := apply(); err != nil {
						return incident.Applied{}, err
					}
					return incident.Applied{}, fmt.Errorf("cut: %w", incident.ErrUnknownOutcome)
				}
				_, _ = o.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
				time.Sleep(time.Minute)
				page, err := o.Parked(t.Context(), incident.ParkedFilter{OrganizationID: "acme"})
				if parked := len(page.Notifications); err != nil || calls != 2 || (parked == 0) != (outcome == nil) {
					t.Errorf("after %d calls for two notifications %+v is parked, %v", calls, page, err)
				}
			})
		})
	}
}

// A creation that fails, also by a panic, takes no place.
func TestRelay_forgetsNewIncidentsThatFail(t *testing.T) {
	inNewOffice(t, incident.Options{}, func(t *testing.T, o *office, s *creationOutbox) {
		n := 0
		s.create = func(func() (incident.Applied, error)) (incident.Applied, error) {
			if n++; n%2 == 0 {
				panic("down")
			}
			return incident.Applied{}, errors.New("down")
		}
		for range 1000 {
			func() {
				defer func() { _ = recover() }()
				if _, err := o.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"}); err == nil {
					t.Error("Create() has no error")
				}
			}()
		}
		s.create = nil
		o.mustCreate(t, "acme")
		synctest.Wait()
		o.want(t, "acme#1/1", "acme#1/2")
		if s.claimed.Load() != 0 {
			t.Error("the notifications were claimed")
		}
	})
}

// A creation that takes long, and one whose commit comes when Run ends, leave their notifications
// to the next claim, as the first attempt.
func TestRelay_releasesLateNewIncidents(t *testing.T) {
	inNewOffice(t, incident.Options{}, func(t *testing.T, o *office, s *creationOutbox) {
		takes := time.Second
		s.create = func(apply func() (incident.Applied, error)) (incident.Applied, error) {
			time.Sleep(takes)
			return apply()
		}
		isFirst := func(when string) {
			t.Helper()
			got := o.all()
			if len(got) != 2 || slices.ContainsFunc(got, func(n incident.Notification) bool { return n.Attempt != 1 }) {
				t.Errorf("%s %+v came, want two first attempts", when, got)
			}
			o.take()
		}
		o.mustCreate(t, "acme")
		time.Sleep(time.Second)
		isFirst("after a late commit")
		takes = 300 * time.Millisecond
		go func() { _, _ = o.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"}) }()
		time.Sleep(100 * time.Millisecond)
		o.stop()
		if len(o.all()) != 0 {
			t.Error("notifications came after Run has ended")
		}
		o.start(t)
		time.Sleep(time.Second)
		isFirst("in the next Run")
	})
}

// In a transaction nothing is delivered before the commit.
func TestRelay_claimsNewIncidentsOfTransactions(t *testing.T) {
	inNewOffice(t, incident.Options{}, func(t *testing.T, o *office, s *creationOutbox) {
		err := o.InTx(t.Context(), func(tx incident.Manager) error {
			_, err := tx.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
			time.Sleep(time.Minute)
			o.want(t)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		o.want(t, "acme#1/1", "acme#1/2")
		if s.claimed.Load() == 0 {
			t.Error("nothing was claimed")
		}
	})
}

// The host owns the memory of a notification: what it does with it changes no later notification of the
// same incident, nor what another notifier gets.
func TestRelay_sharesNoMemoryOfNewIncidents(t *testing.T) {
	var mail, chat office
	inNewOffice(t, incident.Options{Notifiers: map[string]incident.NamedNotifier{
		"mail": {Notifier: &mail}, "chat": {Notifier: &chat},
	}}, func(t *testing.T, o *office, _ *creationOutbox) {
		spoil := func(_ context.Context, n incident.Notification) error {
			if n.Incident.Projects[0] != "api" || n.Incident.Labels["team"] != "core" || len(n.Incident.Labels) != 1 {
				t.Errorf("activity %d comes with %+v", n.Activity.Sequence, n.Incident)
			}
			n.Incident.Projects[0], n.Incident.Labels["team"], n.Incident.Labels["seen"] = "changed", "changed", "yes"
			go func() { // also after the call
				for i := range 100 {
					n.Incident.Labels["seen"] = fmt.Sprint(i)
				}
			}()
			return nil
		}
		mail.fails(spoil)
		chat.fails(spoil)
		_, err := o.Create(t.Context(), incident.NewIncident{
			OrganizationID: "acme", Title: "Down", Projects: []incident.ProjectID{"api"}, Labels: map[string]string{"team": "core"},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if len(mail.all()) != 2 || len(chat.all()) != 2 {
			t.Errorf("%d and %d notifications came", len(mail.all()), len(chat.all()))
		}
	})
}
