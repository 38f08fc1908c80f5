package incident_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// deaf is an outbox that writes no activities.
type deaf struct{ *memory.Store }

func (deaf) Apply(context.Context, incident.Change) (incident.Applied, error) {
	return incident.Applied{Sequence: 3}, nil
}

// A write allocates nothing for its notifiers, unless some want only some types.
func TestManager_allocatesNothingForNotifiers(t *testing.T) {
	allocated := func(opts incident.Options) float64 {
		m, err := incident.New(deaf{memory.New()}, &opts)
		if err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(100, func() {
			if _, err := m.Comment(t.Context(), key, incident.NewComment{UserID: "ada", Comment: "Hm"}); err != nil {
				t.Fatal(err)
			}
		})
	}
	none := allocated(incident.Options{})
	for name, opts := range map[string]incident.Options{
		"one":   {Notifier: incident.NotifyElsewhere},
		"three": {Notifier: incident.NotifyElsewhere, Notifiers: elsewhere("mail", "pager")},
	} {
		if got := allocated(opts); got > none {
			t.Errorf("with %s a comment makes %v allocations, without %v", name, got, none)
		}
	}
}

// elsewhere returns notifiers that other processes deliver for.
func elsewhere(names ...string) map[string]incident.NamedNotifier {
	all := map[string]incident.NamedNotifier{}
	for _, name := range names {
		all[name] = incident.NamedNotifier{Notifier: incident.NotifyElsewhere}
	}
	return all
}

// timesheet is a Notifier that notes when notifications come: for each incident, the activities with
// the time since the start of the test.
type timesheet struct {
	start time.Time
	mu    sync.Mutex // guards came
	came  map[incident.Key][]string
}

func (h *timesheet) Notify(_ context.Context, n incident.Notification) error {
	time.Sleep(5 * time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.came[n.Incident.Key()] = append(h.came[n.Incident.Key()], fmt.Sprintf("%d at %v, attempt %d", n.Activity.Sequence, time.Since(h.start), n.Attempt))
	return nil
}

// A notifier that fails, hangs or panics changes nothing in the deliveries of another.
func TestRelay_notifiersAreIndependent(t *testing.T) {
	deliver := func(t *testing.T, others map[string]incident.NotifierFunc) (came map[incident.Key][]string, s incident.Stats) {
		synctest.Test(t, func(t *testing.T) {
			third := &timesheet{start: time.Now(), came: map[incident.Key][]string{}}
			opts := incident.Options{Notifiers: map[string]incident.NamedNotifier{"third": {Notifier: third}}}
			for name, n := range others {
				opts.Notifiers[name] = incident.NamedNotifier{Notifier: n, Notify: incident.NotifyOptions{Concurrency: 2, MaxAttempts: 3}}
			}
			m, err := incident.New(memory.New(), &opts)
			if err != nil {
				t.Fatal(err)
			}
			o := &office{Manager: m}
			o.start(t)
			var keys []incident.Key
			for i := range 6 {
				keys = append(keys, o.mustCreate(t, incident.OrganizationID(fmt.Sprint("org", i%3))))
				time.Sleep(time.Second)
			}
			for i := range 60 {
				o.mustComment(t, keys[i%6])
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(10 * time.Minute)
			s = m.Stats()
			o.stop()
			time.Sleep(time.Minute) // until all abandoned calls have ended
			came = third.came
		})
		return came, s
	}
	alone, _ := deliver(t, nil)
	if n := len(slices.Concat(slices.Collect(maps.Values(alone))...)); n != 72 {
		t.Fatalf("alone, %d notifications came, want 72", n)
	}
	var panics atomic.Int64
	came, s := deliver(t, map[string]incident.NotifierFunc{
		"fails":  func(context.Context, incident.Notification) error { return errors.New("busy") },
		"hangs":  func(ctx context.Context, _ incident.Notification) error { <-ctx.Done(); return ctx.Err() },
		"panics": func(context.Context, incident.Notification) error { panics.Add(1); panic("oh") },
		"stays":  func(context.Context, incident.Notification) error { time.Sleep(30 * time.Second); return nil },
	})
	if !maps.EqualFunc(came, alone, slices.Equal) {
		t.Errorf("beside others that fail these came:\n%v\nalone:\n%v", came, alone)
	}
	if got := s.Notifiers["third"]; got.Delivered != 72 || got.Failed != 0 || s.Notifications != (incident.NotificationStats{}) || len(s.Notifiers) != 5 {
		t.Errorf("the counters are %+v", s)
	}
	for name := range s.Notifiers {
		if got := s.Notifiers[name]; name != "third" && (got.Delivered != 0 || got.Failed == 0) {
			t.Errorf("the counters of the notifier that %s are %+v", name, got)
		}
	}
	if got := s.Notifiers["fails"]; got.GivenUp != 72 || got.Failed != 3*72 || panics.Load() != 3*72 {
		t.Errorf("of 72 notifications with 3 attempts %+v, and %d panics", got, panics.Load())
	}
}

// Each notifier has its own permits, time limit, attempts and delays.
func TestRelay_notifiersHaveTheirOwnOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var narrow, wide gauge
		hold := func(g *gauge) incident.NotifierFunc {
			return func(ctx context.Context, _ incident.Notification) error {
				g.hold(time.Second)
				return ctx.Err()
			}
		}
		fails := incident.NotifierFunc(func(context.Context, incident.Notification) error { return errors.New("busy") })
		m, err := incident.New(memory.New(), &incident.Options{
			Notifier: fails,
			Notify:   incident.NotifyOptions{MaxAttempts: 4, Concurrency: 1, Backoff: func(n int) time.Duration { return time.Duration(n) * time.Minute }},
			Notifiers: map[string]incident.NamedNotifier{
				"narrow": {Notifier: hold(&narrow), Notify: incident.NotifyOptions{Concurrency: 4}},
				"wide":   {Notifier: hold(&wide), Notify: incident.NotifyOptions{Concurrency: 16}},
				"short":  {Notifier: hold(&gauge{}), Notify: incident.NotifyOptions{Timeout: 500 * time.Millisecond, MaxAttempts: 1}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		o := &office{Manager: m}
		for range 40 {
			o.mustCreate(t, "acme")
		}
		o.start(t)
		time.Sleep(100 * time.Second)
		synctest.Wait()
		if narrow.highest() != 3 || wide.highest() != 12 { // three quarters, for a single organization
			t.Errorf("%d and %d attempts were in progress at a time, want 3 and 12", narrow.highest(), wide.highest())
		}
		s := m.Stats()
		if s.Notifiers["wide"].Delivered != 80 || s.Notifiers["short"].GivenUp != 80 || s.Notifications.GivenUp != 0 {
			t.Errorf("the counters are %+v", s)
		}
		if s.Notifications.Failed != 80 { // each first activity at once, and after a minute
			t.Errorf("%d attempts of the failing notifier were made, want 80", s.Notifications.Failed)
		}
		o.stop()
	})
}

// A notifier gets the types that it wants, in order, and all reminders.
func TestRelay_observesTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var comments, changes, all postbox
		m, err := incident.New(memory.New(), &incident.Options{
			Notifier: &all,
			Notifiers: map[string]incident.NamedNotifier{
				"comments": {Notifier: &comments, Notify: incident.NotifyOptions{Types: []incident.ActivityType{incident.ActivityTypeComment, incident.ActivityTypeComment}}},
				"changes":  {Notifier: &changes, Notify: incident.NotifyOptions{Types: []incident.ActivityType{incident.ActivityTypeStatusChange, incident.ActivityTypeCreated}}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		o := &office{Manager: m}
		write := func() {
			key := o.mustCreate(t, "acme") // 1 and 2
			o.mustComment(t, key)
			o.mustSetStatus(t, key, incident.StatusCritical)
			o.mustComment(t, key)
			o.mustComment(t, key)
			o.mustSetStatus(t, key, incident.StatusWarning)
			r := dueIn(time.Second, 0)
			for _, r.Notifier = range []string{"comments", "changes", ""} {
				if r.Name = r.Notifier; r.Name == "" {
					r.Name = "all"
				}
				o.mustRemind(t, key, r)
			}
		}
		write()
		backlog, err := incident.StoreOf(m)
		if err != nil {
			t.Fatal(err)
		}
		counts, err := backlog.(incident.OutboxStore).Backlog(t.Context())
		if err != nil || counts["comments"].Pending != 3 || counts["changes"].Pending != 3 || counts[""].Pending != 7 {
			t.Errorf("the backlogs are %+v, %v", counts, err)
		}
		o.start(t)
		time.Sleep(2 * time.Second)
		write()
		time.Sleep(2 * time.Second)
		o.stop()
		for name, c := range map[string]struct {
			box  *postbox
			want string
		}{
			"comments": {&comments, "acme#%[1]d/3 acme#%[1]d/5 acme#%[1]d/6 acme#%[1]d/comments"},
			"changes":  {&changes, "acme#%[1]d/2 acme#%[1]d/4 acme#%[1]d/7 acme#%[1]d/changes"},
			"all":      {&all, "acme#%[1]d/1 acme#%[1]d/2 acme#%[1]d/3 acme#%[1]d/4 acme#%[1]d/5 acme#%[1]d/6 acme#%[1]d/7 acme#%[1]d/all"},
		} {
			want := fmt.Sprintf(c.want, 1) + " " + fmt.Sprintf(c.want, 2)
			if got := strings.Join(c.box.take(), " "); got != want {
				t.Errorf("%s got %s, want %s", name, got, want)
			}
		}
	})
}

// A process that leaves a name to others queues for it, and does not deliver.
func TestRelay_leavesNamesElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		var here, there postbox
		newOffice := func(mail, pager incident.Notifier) *office {
			m, err := incident.New(store, &incident.Options{Notifiers: map[string]incident.NamedNotifier{
				"mail": {Notifier: mail}, "pager": {Notifier: pager},
			}})
			if err != nil {
				t.Fatal(err)
			}
			return &office{Manager: m}
		}
		one, two := newOffice(&here, incident.NotifyElsewhere), newOffice(incident.NotifyElsewhere, &there)
		one.start(t)
		two.mustCreate(t, "acme")
		one.mustCreate(t, "acme")
		time.Sleep(time.Minute)
		if n := here.take(); len(n) != 4 || len(there.all()) != 0 {
			t.Errorf("%v came for mail, %d for the pager", n, len(there.all()))
		}
		if got := one.Stats(); got.Notifiers["pager"].Backlog.Pending != 4 || got.Abandoned != nil {
			t.Errorf("the counters are %+v, want the backlog of the pager", got)
		}
		two.start(t)
		time.Sleep(time.Minute)
		if n := there.take(); len(n) != 4 || len(here.all()) != 0 {
			t.Errorf("%v came for the pager, %d again for mail", n, len(here.all()))
		}
		one.stop()
		two.stop()
	})
}
