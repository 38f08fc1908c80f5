package incident_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// escalation pages the next level whenever nobody acknowledges an incident in time.
type escalation struct {
	incidents incident.Manager
	levels    []incident.UserID
	wait      time.Duration
	page      func(ctx context.Context, user incident.UserID, n incident.Notification) error
}

func (e *escalation) Notify(ctx context.Context, n incident.Notification) error {
	level, wait := 0, e.wait
	if n.Reminder != nil {
		fmt.Sscanf(n.Reminder.Name, "level %d", &level)
	} else if !isAlert(n) {
		return nil
	}
	err := e.page(ctx, e.levels[level], n)
	if level++; level == len(e.levels) {
		return err
	}
	if err != nil {
		wait = time.Second // a pager that fails does not hold up the next level
	}
	return e.incidents.Remind(ctx, n.Incident.Key(), incident.Reminder{
		Name: fmt.Sprintf("level %d", level), At: time.Now().Add(wait), Unless: incident.UnlessAcknowledged,
	})
}

// isAlert reports whether to page for an activity: see [incident.Notifier].
func isAlert(n incident.Notification) bool {
	a, acknowledged := n.Activity, n.Incident.Acknowledged(time.Now())
	return a.Type == incident.ActivityTypeStatusChange && n.Incident.Status.Active() && !acknowledged &&
		a.Value.Active() && (a.Value > a.PreviousValue || a.PreviousValue == incident.StatusClosed)
}

// Page a second and a third user if nobody acknowledges an incident. The reminders are kept by the
// store: they survive the process, and a rollback undoes them.
func ExampleReminderManager() {
	paged := make(chan incident.UserID)
	pager := &escalation{
		levels: []incident.UserID{"ada", "grace", "eve"},
		wait:   50 * time.Millisecond, // 15 minutes in earnest
		page: func(_ context.Context, user incident.UserID, n incident.Notification) error {
			fmt.Printf("page %s: %s %s, %s\n", user, n.Incident.Key(), n.Incident.Status, n.Incident.Title)
			paged <- user
			return nil
		},
	}
	incidents, err := incident.New(memory.New(), &incident.Options{Notifier: pager})
	if err != nil {
		log.Fatal(err)
	}
	pager.incidents = incidents
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := incidents.Run(ctx); err != nil {
			log.Print(err)
		}
	})
	defer running.Wait()
	defer stop()

	_, err = incidents.Fire(ctx, incident.Firing{
		Slot:      incident.Slot{OrganizationID: "acme", AlertRuleID: "error-rate", ProjectID: "checkout"},
		TriggerID: "above-5-percent", Severity: incident.StatusCritical, Title: "Checkout fails",
	})
	if err != nil {
		log.Fatal(err)
	}
	for range pager.levels {
		<-paged
	}
	// Output:
	// page ada: acme#1 Critical, Checkout fails
	// page grace: acme#1 Critical, Checkout fails
	// page eve: acme#1 Critical, Checkout fails
}

// The escalation of the README pages the levels at their times, does not wait for a broken pager,
// and ends with an acknowledgement.
func TestREADME_escalation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards the variables below
		var start time.Time
		var pages []string
		broken := map[incident.UserID]bool{}
		e := &escalation{levels: []incident.UserID{"ada", "grace", "eve"}, wait: 15 * time.Minute}
		e.page = func(_ context.Context, user incident.UserID, _ incident.Notification) error {
			mu.Lock()
			defer mu.Unlock()
			if broken[user] {
				return fmt.Errorf("the pager of %s is broken", user)
			}
			pages = append(pages, fmt.Sprintf("%s after %v", user, time.Since(start).Round(time.Minute)))
			return nil
		}
		incidents, err := incident.New(memory.New(), &incident.Options{Notifier: e})
		if err != nil {
			t.Fatal(err)
		}
		e.incidents = incidents
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := incidents.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		defer running.Wait()
		defer stop()
		fire := func(rule incident.AlertRuleID) incident.Key {
			mu.Lock()
			start = time.Now()
			mu.Unlock()
			r, err := incidents.Fire(ctx, incident.Firing{
				Slot:      incident.Slot{OrganizationID: "acme", AlertRuleID: rule, ProjectID: "checkout"},
				TriggerID: "5%", Severity: incident.StatusCritical, Title: "Checkout fails",
			})
			if err != nil {
				t.Fatal(err)
			}
			return r.Key()
		}
		breaks := func(user incident.UserID, is bool) {
			mu.Lock()
			defer mu.Unlock()
			broken[user] = is
		}
		want := func(texts ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(pages, ", "); got != strings.Join(texts, ", ") {
				t.Errorf("paged %q, want %q", got, strings.Join(texts, ", "))
			}
			pages = nil
		}

		fire("a")
		time.Sleep(time.Hour)
		want("ada after 0s", "grace after 15m0s", "eve after 30m0s")

		breaks("ada", true)
		fire("b")
		time.Sleep(time.Hour)
		want("grace after 0s", "eve after 15m0s")

		breaks("ada", false)
		acknowledged := fire("c")
		time.Sleep(20 * time.Minute)
		if _, err := incidents.Acknowledge(ctx, acknowledged, incident.Acknowledgement{UserID: "grace"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		want("ada after 0s", "grace after 15m0s")

		closed := fire("d")
		time.Sleep(time.Minute)
		if _, err := incidents.UpdateStatus(ctx, closed, incident.StatusUpdate{Status: incident.StatusClosed}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		want("ada after 0s")
	})
}
