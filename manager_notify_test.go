package incident_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// inChange runs a test with the Managers of consecutive releases of a host, which have one store
// and other notifiers each.
func inChange(t *testing.T, test func(t *testing.T, release func(notifiers map[string]incident.Notifier) *office)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		var before *office
		stop := func() {
			if before != nil {
				before.stop()
			}
		}
		defer func() { stop() }()
		test(t, func(notifiers map[string]incident.Notifier) *office {
			stop()
			opts := incident.Options{Notifiers: map[string]incident.NamedNotifier{}}
			for name, n := range notifiers {
				if name == "" {
					opts.Notifier = n
				} else {
					opts.Notifiers[name] = incident.NamedNotifier{Notifier: n, Notify: incident.NotifyOptions{MaxAttempts: 1}}
				}
			}
			m, err := incident.New(store, &opts)
			if err != nil {
				t.Fatal(err)
			}
			before = &office{Manager: m, store: store}
			before.start(t)
			return before
		})
	})
}

// A notifier that is added gets the activities that are written from then on.
func TestOptions_addedNotifier(t *testing.T) {
	inChange(t, func(t *testing.T, release func(map[string]incident.Notifier) *office) {
		var mail, pager postbox
		o := release(map[string]incident.Notifier{"mail": &mail})
		key := o.mustCreate(t, "acme")
		synctest.Wait()
		o = release(map[string]incident.Notifier{"mail": &mail, "pager": &pager})
		o.mustComment(t, key)
		time.Sleep(time.Minute)
		if m, p := mail.take(), pager.take(); !slices.Equal(m, []string{"acme#1/1", "acme#1/2", "acme#1/3"}) || !slices.Equal(p, []string{"acme#1/3"}) {
			t.Errorf("%v came for mail, %v for the added pager", m, p)
		}
	})
}

// Stats counts what is left for a notifier that was taken away, and Discard deletes it. Discard is
// refused for a notifier in the options.
func TestDiscard_removedNotifier(t *testing.T) {
	inChange(t, func(t *testing.T, release func(map[string]incident.Notifier) *office) {
		var mail postbox
		failing := incident.NotifierFunc(func(_ context.Context, n incident.Notification) error {
			if n.Activity.Sequence == 1 {
				return incident.ErrUndeliverable
			}
			return errors.New("busy")
		})
		o := release(map[string]incident.Notifier{"": &postbox{}, "mail": &mail, "pager": failing})
		for range 3 {
			key := o.mustCreate(t, "acme")
			o.mustComment(t, key)
			o.mustRemind(t, key, incident.Reminder{Name: "a", Notifier: "pager", At: time.Now().Add(24 * time.Hour)})
			o.mustRemind(t, key, incident.Reminder{Name: "b", Notifier: "mail", At: time.Now().Add(24 * time.Hour)})
		}
		synctest.Wait()
		for _, name := range []string{"", "mail", "pager"} {
			_, err := o.Discard(t.Context(), name)
			wantRefusal(t, fmt.Sprintf("Discard of %q", name), err, "notifier")
		}
		if got := o.Stats().Abandoned; got != nil {
			t.Errorf("with all notifiers %+v is abandoned", got)
		}
		time.Sleep(time.Minute)
		o = release(map[string]incident.Notifier{"mail": &mail})
		time.Sleep(time.Minute)
		stats := o.Stats()
		got := stats.Abandoned["pager"]
		got.Oldest = 0
		if want := (incident.Backlog{Parked: 9, Reminders: 3}); len(stats.Abandoned) != 1 || got != want {
			t.Errorf("abandoned is %+v, want %+v", stats.Abandoned, want)
		}
		stats.Abandoned["pager"], stats.Notifiers["mail"] = incident.Backlog{}, incident.NotificationStats{}
		if again := o.Stats(); again.Abandoned["pager"] == (incident.Backlog{}) || again.Notifiers["mail"].Delivered != 0 {
			t.Errorf("a caller has changed the counters to %+v", again)
		}
		o.mustComment(t, key)
		err := o.InTx(t.Context(), func(tx incident.Manager) error { return second(tx.Discard(t.Context(), "pager")) })
		wantRefusal(t, "Discard in a transaction", err, "tx")
		for _, want := range []int{12, 0} {
			if n, err := o.Discard(t.Context(), "pager"); n != want || err != nil {
				t.Errorf("Discard = %d, %v, want %d", n, err, want)
			}
		}
		time.Sleep(time.Minute)
		if got := o.Stats().Abandoned; got != nil {
			t.Errorf("after Discard %+v is abandoned", got)
		}
		if all := mustReminders(t, o, key); len(all) != 1 || all[0].Name != "b" {
			t.Errorf("after Discard the reminders are %+v", all)
		}
		if got := mail.take(); len(got) != 10 {
			t.Errorf("%v came for mail, want all ten", got)
		}
	})
}

// The parked notifications of each notifier are listed, replayed and discarded on their own.
func TestParked_byNotifier(t *testing.T) {
	inChange(t, func(t *testing.T, release func(map[string]incident.Notifier) *office) {
		ctx := t.Context()
		var mail, pager postbox
		refuses := func(context.Context, incident.Notification) error { return incident.ErrUndeliverable }
		mail.fails(refuses)
		pager.fails(refuses)
		o := release(map[string]incident.Notifier{"": &postbox{}, "mail": &mail, "pager": &pager})
		for range 3 {
			key := o.mustCreate(t, "acme")
			o.mustRemind(t, key, incident.Reminder{Name: "a", Notifier: "mail", At: time.Now().Add(time.Second)})
		}
		time.Sleep(time.Minute)
		list := func(notifier string) (all []string, cursor string) {
			t.Helper()
			f := incident.ParkedFilter{OrganizationID: "acme", Notifier: notifier, Limit: 2}
			for {
				page, err := o.Parked(ctx, f)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range page.Notifications {
					name := fmt.Sprint(p.Sequence)
					if p.Reminder != nil {
						name = p.Reminder.Name
					}
					if p.Notifier != notifier {
						t.Errorf("a notification of %q is listed for %q", p.Notifier, notifier)
					}
					all = append(all, fmt.Sprintf("%s/%s", p.Incident, name))
				}
				if f.Cursor = page.Next; f.Cursor == "" {
					return all, cursor
				}
				cursor = page.Next
			}
		}
		ofMail, cursor := list("mail")
		want := []string{"acme#1/1", "acme#1/2", "acme#1/a", "acme#2/1", "acme#2/2", "acme#2/a", "acme#3/1", "acme#3/2", "acme#3/a"}
		if !slices.Equal(ofMail, want) {
			t.Errorf("for mail %v are parked, want %v", ofMail, want)
		}
		if got, _ := list("pager"); len(got) != 6 {
			t.Errorf("for the pager %v are parked", got)
		}
		if got, _ := list(""); len(got) != 0 {
			t.Errorf("for the notifier without a name %v are parked", got)
		}
		for _, other := range []incident.ParkedFilter{
			{OrganizationID: "acme", Notifier: "pager"},
			{OrganizationID: "acme"},
			{OrganizationID: "umbrella", Notifier: "mail"},
			{OrganizationID: "acme", Notifier: "mail", Identifier: 1},
		} {
			other.Cursor = cursor
			_, err := o.Parked(ctx, other)
			wantRefusal(t, fmt.Sprintf("the cursor of mail for %+v", other), err, "cursor")
		}
		mail.fails(nil)
		second := incident.ParkedSelection{OrganizationID: "acme", Notifier: "mail", Identifier: 2}
		if n, err := o.DiscardParked(ctx, second); n != 3 || err != nil {
			t.Errorf("DiscardParked = %d, %v, want 3", n, err)
		}
		if n, err := o.Replay(ctx, incident.ParkedSelection{OrganizationID: "acme", Notifier: "mail"}); n != 6 || err != nil {
			t.Errorf("Replay = %d, %v, want 6", n, err)
		}
		synctest.Wait()
		got := mail.take()
		slices.Sort(got)
		if !slices.Equal(got, slices.Concat(want[:3], want[6:])) {
			t.Errorf("after Replay %v came for mail", got)
		}
		if got, _ := list("pager"); len(got) != 6 || len(pager.all()) != 0 {
			t.Errorf("for the pager %v are parked, and %d came", got, len(pager.all()))
		}
	})
}

// Replay and DiscardParked work in batches. What was written before an error is counted.
func TestReplay_inBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parked = 2500
		store := &batches{Store: memory.New()}
		var mail postbox
		mail.fails(func(context.Context, incident.Notification) error { return incident.ErrUndeliverable })
		m, err := incident.New(store, &incident.Options{Notifiers: map[string]incident.NamedNotifier{"mail": {Notifier: &mail}}})
		if err != nil {
			t.Fatal(err)
		}
		o := &office{Manager: m}
		o.start(t)
		defer o.stop()
		for range parked / 2 {
			o.mustCreate(t, "acme")
		}
		other := o.mustCreate(t, "umbrella")
		time.Sleep(time.Minute)
		all := incident.ParkedSelection{OrganizationID: "acme", Notifier: "mail"}
		store.fails = 2
		if n, err := o.Replay(t.Context(), all); n != 1000 || !errors.Is(err, incident.ErrUnavailable) {
			t.Errorf("Replay whose second batch fails = %d, %v, want 1000", n, err)
		}
		time.Sleep(time.Minute) // they are parked again
		mail.fails(nil)
		store.calls, store.fails = nil, 0
		if n, err := o.Replay(t.Context(), all); n != parked || err != nil || !slices.Equal(store.calls, []int{1000, 1000, 500}) {
			t.Errorf("Replay = %d, %v, in batches of %v", n, err, store.calls)
		}
		time.Sleep(time.Minute)
		seen := map[string]bool{}
		for _, n := range mail.take() {
			seen[n] = true
		}
		if len(seen) != parked {
			t.Errorf("after Replay %d notifications came, want %d", len(seen), parked)
		}
		page, err := o.Parked(t.Context(), incident.ParkedFilter{OrganizationID: "umbrella", Notifier: "mail"})
		if err != nil || len(page.Notifications) != 2 || page.Notifications[0].Incident != other {
			t.Errorf("of the other organization %+v, %v are parked, want both", page, err)
		}
		mail.fails(func(context.Context, incident.Notification) error { return incident.ErrUndeliverable })
		for range 500 { // two batches, and a third that finds nothing
			o.mustCreate(t, "initech")
			o.mustCreate(t, "initech")
		}
		time.Sleep(time.Minute)
		store.calls = nil
		if n, err := o.DiscardParked(t.Context(), incident.ParkedSelection{OrganizationID: "initech", Notifier: "mail"}); n != 2000 || err != nil || !slices.Equal(store.calls, []int{1000, 1000, 0}) {
			t.Errorf("DiscardParked = %d, %v, in batches of %v", n, err, store.calls)
		}
	})
}

// batches is a store that notes the size of each batch.
type batches struct {
	*memory.Store
	calls []int
	fails int // the number of the call that fails; 0 for none
}

func (b *batches) note(batch incident.ParkedBatch, err error) (incident.ParkedBatch, error) {
	b.calls = append(b.calls, batch.Count)
	return batch, err
}

func (b *batches) Replay(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	if len(b.calls)+1 == b.fails {
		return incident.ParkedBatch{}, incident.ErrUnavailable
	}
	return b.note(b.Store.Replay(ctx, q))
}

func (b *batches) DiscardParked(ctx context.Context, q incident.ParkedQuery) (incident.ParkedBatch, error) {
	return b.note(b.Store.DiscardParked(ctx, q))
}

// A Manager without any notifier counts what is left for a notifier that was taken away, and so
// does a Manager that delivers nothing.
func TestStats_abandonedByTheLastNotifier(t *testing.T) {
	for name, after := range map[string]map[string]incident.Notifier{
		"no notifier":     nil,
		"NotifyElsewhere": {"mail": incident.NotifyElsewhere},
	} {
		t.Run(name, func(t *testing.T) {
			inChange(t, func(t *testing.T, release func(map[string]incident.Notifier) *office) {
				failing := incident.NotifierFunc(func(context.Context, incident.Notification) error { return errors.New("busy") })
				release(map[string]incident.Notifier{"pager": failing}).mustCreate(t, "acme")
				o := release(after)
				time.Sleep(time.Minute)
				if got := o.Stats().Abandoned; len(got) != 1 || got["pager"].Pending+got["pager"].Parked != 2 {
					t.Errorf("abandoned is %+v, want both notifications for the pager", got)
				}
			})
		})
	}
}
