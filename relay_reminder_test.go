package incident_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// dueIn returns a reminder that is due after d.
func dueIn(d time.Duration, unless incident.Unless) incident.Reminder {
	return incident.Reminder{Name: "escalate", At: time.Now().Add(d), Unless: unless}
}

func (o *office) mustSetStatus(t *testing.T, key incident.Key, status incident.Status) {
	t.Helper()
	if _, err := o.UpdateStatus(t.Context(), key, incident.StatusUpdate{Status: status, UserID: "ada"}); err != nil {
		t.Fatal(err)
	}
}

func (o *office) mustAcknowledge(t *testing.T, key incident.Key, a incident.Acknowledgement) {
	t.Helper()
	a.UserID = "eve"
	if _, err := o.Acknowledge(t.Context(), key, a); err != nil {
		t.Fatal(err)
	}
}

// A reminder is delivered at its time, by the process that set it, with its incident and all
// subscribers, and is then no longer pending.
func TestRelay_deliversReminders(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		key := o.mustCreate(t, "acme")
		o.mustComment(t, key, "bob")
		for _, d := range []time.Duration{time.Second + 123*time.Microsecond, 15 * time.Minute, 3 * time.Hour} {
			synctest.Wait()
			o.take()
			r := dueIn(d, incident.UnlessAcknowledged)
			o.mustRemind(t, key, r)
			pending := mustReminders(t, o, key)
			time.Sleep(d - time.Nanosecond)
			synctest.Wait()
			o.want(t)
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			got := o.all()
			if len(got) != 1 {
				t.Fatalf("after %v %d notifications came, want the reminder", d, len(got))
			}
			n := got[0]
			if n.Reminder == nil || *n.Reminder != pending[0] || n.Activity != (incident.Activity{}) || n.UUID() != pending[0].NotificationUUID ||
				n.Incident.Key() != key || !slices.Equal(n.Recipients, []incident.UserID{"ada", "bob"}) || n.Attempt != 1 || n.Replayed {
				t.Errorf("the notification is %+v, want the reminder %+v", n, pending[0])
			}
			if all := mustReminders(t, o, key); len(all) != 0 {
				t.Errorf("after the delivery %+v is pending", all)
			}
		}
		time.Sleep(time.Hour)
		if got := o.all(); len(got) != 1 || o.Stats().Notifications.Delivered != 6 {
			t.Errorf("%d notifications came, %d are counted", len(got), o.Stats().Notifications.Delivered)
		}
	})
}

// The conditions of a reminder are compared with the incident at the time of the delivery.
func TestRelay_observesUnless(t *testing.T) {
	const open, warning, critical, closed = incident.StatusOpen, incident.StatusWarning, incident.StatusCritical, incident.StatusClosed
	const none, acknowledged, lowered = incident.UnlessClosed, incident.UnlessAcknowledged, incident.UnlessLowered
	type step func(t *testing.T, o *office, key incident.Key)
	status := func(all ...incident.Status) step {
		return func(t *testing.T, o *office, key incident.Key) {
			for _, s := range all {
				o.mustSetStatus(t, key, s)
			}
		}
	}
	acknowledge := func(until time.Duration) step {
		return func(t *testing.T, o *office, key incident.Key) {
			a := incident.Acknowledgement{}
			if until != 0 {
				a.Until = time.Now().Add(until)
			}
			o.mustAcknowledge(t, key, a)
		}
	}
	withdrawn := func(t *testing.T, o *office, key incident.Key) {
		o.mustAcknowledge(t, key, incident.Acknowledgement{})
		o.mustAcknowledge(t, key, incident.Acknowledgement{Withdraw: true})
	}
	const due = time.Minute // after the step
	for name, c := range map[string]struct {
		unless incident.Unless
		step   step
		comes  bool
	}{
		"nothing happened":                        {acknowledged | lowered, status(), true},
		"closed":                                  {none, status(closed), false},
		"closed and reopened":                     {none, status(closed, warning), false},
		"acknowledged":                            {acknowledged, acknowledge(0), false},
		"acknowledged, without the condition":     {lowered, acknowledge(0), true},
		"acknowledged until then":                 {acknowledged, acknowledge(due), true},
		"acknowledged until a moment before":      {acknowledged, acknowledge(due - time.Microsecond), true},
		"acknowledged until a moment after":       {acknowledged, acknowledge(due + time.Microsecond), false},
		"acknowledged and withdrawn":              {acknowledged, withdrawn, true},
		"lowered":                                 {lowered, status(open), false},
		"lowered, without the condition":          {acknowledged, status(open), true},
		"lowered and raised":                      {lowered, status(open, warning), true},
		"raised":                                  {lowered, status(critical), true},
		"raised and lowered to the status before": {lowered, status(critical, warning), true},
		"raised and lowered below it":             {lowered, status(critical, open), false},
		"both, acknowledged":                      {acknowledged | lowered, acknowledge(0), false},
		"both, lowered":                           {acknowledged | lowered, status(open), false},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
				key := o.mustCreate(t, "acme")
				o.mustSetStatus(t, key, warning)
				o.mustRemind(t, key, dueIn(due, c.unless))
				c.step(t, o, key)
				synctest.Wait()
				o.take()
				before := o.Stats().Notifications.Delivered
				time.Sleep(due)
				synctest.Wait()
				var want []string
				if c.comes {
					want = []string{"acme#1/escalate"}
				}
				o.want(t, want...)
				if got := o.Stats().Notifications.Delivered - before; got != uint64(len(want)) {
					t.Errorf("%d deliveries are counted, want %d", got, len(want))
				}
				time.Sleep(time.Hour)
				o.want(t)
				if all := mustReminders(t, o, key); len(all) != 0 {
					t.Errorf("after its time %+v is pending", all)
				}
			})
		})
	}
}

// A reminder can be moved and cancelled until it is delivered. Each time has a UUID of its own.
func TestRelay_observesMoves(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		key := o.mustCreate(t, "acme")
		synctest.Wait()
		o.take()
		start := time.Now()
		o.mustRemind(t, key, dueIn(time.Minute, 0))
		o.mustRemind(t, key, dueIn(3*time.Minute, 0))
		time.Sleep(2 * time.Minute)
		o.want(t)
		o.mustRemind(t, key, incident.Reminder{Name: "escalate", At: start.Add(150 * time.Second)})
		other := dueIn(time.Minute, 0)
		other.Name = "other"
		o.mustRemind(t, key, other)
		if err := o.CancelReminder(t.Context(), key, "other"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		o.want(t, "acme#1/escalate")
		time.Sleep(time.Hour)
		o.want(t)
	})
}

// A Notifier repeats a reminder by setting it again. A cancellation, a close, or a new time during
// a delivery that fails keeps it from being retried.
func TestRelay_remindsFromTheNotifier(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		key := o.mustCreate(t, "acme")
		synctest.Wait()
		o.take()
		uuids := map[uuid.UUID]bool{}
		steps := 0
		o.fails(func(ctx context.Context, n incident.Notification) error {
			uuids[n.UUID()] = true
			if steps++; steps == 3 {
				return nil
			}
			return o.Remind(ctx, key, dueIn(10*time.Minute, incident.UnlessAcknowledged))
		})
		o.mustRemind(t, key, dueIn(10*time.Minute, incident.UnlessAcknowledged))
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		o.want(t, "acme#1/escalate", "acme#1/escalate", "acme#1/escalate")
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(uuids) != 3 {
			t.Errorf("the three steps have %d UUIDs", len(uuids))
		}
		o.want(t)
		for name, during := range map[string]func(ctx context.Context) error{
			"cancelled": func(ctx context.Context) error { return o.CancelReminder(ctx, key, "escalate") },
			"closed":    func(ctx context.Context) error { return errors.Join(closeIncident(ctx, o, key), reopen(ctx, o, key)) },
			"moved":     func(ctx context.Context) error { return o.Remind(ctx, key, dueIn(time.Hour, 0)) },
		} {
			var attempts atomic.Int64
			o.fails(func(ctx context.Context, n incident.Notification) error {
				if n.Reminder == nil || n.Reminder.Name != "escalate" {
					return nil
				}
				if attempts.Add(1) > 1 {
					return nil
				}
				if err := during(ctx); err != nil {
					t.Error(err)
				}
				return errors.New("busy")
			})
			o.mustRemind(t, key, dueIn(time.Minute, 0))
			time.Sleep(59 * time.Minute)
			synctest.Wait()
			if attempts.Load() != 1 {
				t.Errorf("%s during its delivery, it was delivered %d times", name, attempts.Load())
			}
			if name != "moved" {
				continue
			}
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			if attempts.Load() != 2 {
				t.Errorf("moved during its delivery, it was delivered %d times", attempts.Load())
			}
		}
	})
}

// A reminder is retried, given up and replayed like other notifications. When it is replayed, its
// conditions decide again.
func TestRelay_parksReminders(t *testing.T) {
	inOffice(t, incident.Options{Notify: incident.NotifyOptions{MaxAttempts: 3}}, func(t *testing.T, o *office) {
		key := o.mustCreate(t, "acme")
		synctest.Wait()
		o.take()
		o.fails(func(context.Context, incident.Notification) error { return errors.New("busy") })
		o.mustRemind(t, key, dueIn(time.Minute, incident.UnlessAcknowledged))
		set := mustReminders(t, o, key)[0]
		time.Sleep(time.Minute + 2*time.Second)
		if all := mustReminders(t, o, key); len(all) != 1 || all[0] != set {
			t.Errorf("while it is retried, %+v is pending", all)
		}
		time.Sleep(time.Minute)
		page, err := o.Parked(t.Context(), incident.ParkedFilter{OrganizationID: "acme"})
		if err != nil || len(page.Notifications) != 1 {
			t.Fatalf("parked are %+v, %v", page, err)
		}
		p := page.Notifications[0]
		if p.Reminder == nil || *p.Reminder != set || p.NotificationUUID != set.NotificationUUID || p.Sequence != 0 || p.Incident != key || p.Attempts != 3 || p.Error != "busy" {
			t.Errorf("parked is %+v, want %+v", p, set)
		}
		if all := mustReminders(t, o, key); len(all) != 0 {
			t.Errorf("beside what is parked, %+v is pending", all)
		}
		if got := o.Stats().Notifications; got.Failed != 3 || got.GivenUp != 1 {
			t.Errorf("the counters are %+v", got)
		}
		o.mustRemind(t, key, dueIn(time.Hour, 0)) // of the same name
		o.fails(nil)
		if n, err := o.Replay(t.Context(), parkedOf(key)); n != 1 || err != nil {
			t.Errorf("Replay = %d, %v", n, err)
		}
		synctest.Wait()
		if got := o.all(); len(got) != 1 || got[0].Reminder == nil || *got[0].Reminder != set || !got[0].Replayed || got[0].Attempt != 1 {
			t.Errorf("after Replay %+v came", got)
		}
		o.take()
		o.fails(func(context.Context, incident.Notification) error { return incident.ErrUndeliverable })
		time.Sleep(time.Hour + time.Millisecond)
		synctest.Wait()
		o.fails(nil)
		o.mustAcknowledge(t, key, incident.Acknowledgement{})
		synctest.Wait()
		o.take()
		if n, err := o.Replay(t.Context(), parkedOf(key)); n != 1 || err != nil {
			t.Errorf("Replay = %d, %v", n, err)
		}
		synctest.Wait()
		o.want(t, "acme#1/escalate") // set without a condition
		o.mustRemind(t, key, dueIn(time.Second, incident.UnlessAcknowledged))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		o.want(t)
	})
}

// A reminder of another process is delivered within the poll interval, whatever the clocks of the
// Managers are: the clock of the store counts.
func TestRelay_remindsByTheClockOfTheStore(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		key := o.mustCreate(t, "acme")
		time.Sleep(time.Minute)
		o.take()
		for _, skew := range []time.Duration{-time.Hour, time.Hour} {
			other, err := incident.New(o.store, &incident.Options{
				Notifier: incident.NotifyElsewhere, Now: func() time.Time { return time.Now().Add(skew) },
			})
			if err != nil {
				t.Fatal(err)
			}
			r := dueIn(90*time.Minute, 0)
			if err := other.Remind(t.Context(), key, r); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(r.At) - time.Nanosecond)
			synctest.Wait()
			o.want(t)
			time.Sleep(incident.DefaultNotifyPollInterval + 100*time.Millisecond)
			synctest.Wait()
			o.want(t, "acme#1/escalate")
		}
	})
}

// A reminder is delivered late, and not lost, if no process delivers at its time.
func TestRelay_remindsAfterRunBegins(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		key := o.mustCreate(t, "acme")
		o.mustRemind(t, key, dueIn(time.Minute, 0))
		late := dueIn(time.Hour, 0)
		late.Name = "late"
		o.mustRemind(t, key, late)
		synctest.Wait()
		o.take()
		o.stop()
		time.Sleep(30 * time.Minute)
		o.want(t)
		o.start(t)
		synctest.Wait()
		o.want(t, "acme#1/escalate")
		time.Sleep(time.Until(late.At))
		synctest.Wait()
		o.want(t, "acme#1/late")
	})
}

// The backlog counts pending reminders apart from what is due.
func TestRelay_countsReminders(t *testing.T) {
	inOffice(t, incident.Options{}, func(t *testing.T, o *office) {
		key := o.mustCreate(t, "acme")
		o.mustRemind(t, key, dueIn(time.Minute, 0))
		time.Sleep(20 * time.Second)
		if got := o.Stats().Notifications.Backlog; got != (incident.Backlog{Reminders: 1}) {
			t.Errorf("before its time the backlog is %+v", got)
		}
		o.fails(func(context.Context, incident.Notification) error { return errors.New("busy") })
		time.Sleep(time.Minute)
		if got := o.Stats().Notifications.Backlog; got.Pending != 1 || got.Reminders != 0 || got.Oldest <= 0 || got.Oldest > 30*time.Second {
			t.Errorf("after its time the backlog is %+v", got)
		}
	})
}
