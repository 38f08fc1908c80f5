package postgres_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/postgres"
)

// The organizations whose incidents are purged under load: those of passingOrg by Run, those of
// calledOrg by calls of Purge. Their incidents were closed an hour before they are due.
const (
	passingOrg incident.OrganizationID = "passing"
	calledOrg  incident.OrganizationID = "called"
)

// retentionTask is the task of a process that opens, changes, closes and reads incidents of both
// organizations, delivers their notifications as lines into the pipe of its file descriptor 3,
// and takes part in the random calls on other organizations.
type retentionTask struct {
	Writers int
	Purges  bool          // the process deletes
	Memory  time.Duration // how long it keeps the records of deletions
}

// kindOfRead is a way to see an incident.
type kindOfRead string

const (
	cachedRead kindOfRead = "cached"
	storedRead kindOfRead = "stored"
	written    kindOfRead = "written"
	created    kindOfRead = "created"
	purged     kindOfRead = "purged" // a call of Purge for calledOrg, which names no incident
)

// sighting is a call of a process that told whether an incident exists.
type sighting struct {
	Kind       kindOfRead
	Process    int                     `json:",omitempty"`
	Org        incident.OrganizationID `json:",omitempty"`
	Identifier int64                   `json:",omitempty"`
	Found      bool                    `json:",omitempty"`

	// Call and Return are nanoseconds since 1970, by the clock of the machine.
	Call, Return int64
}

// retentionLine is a line of a process's standard output.
type retentionLine struct {
	Sighting  *sighting              `json:",omitempty"`
	Operation *managertest.Operation `json:",omitempty"`
	Counts    *retentionCounts       `json:",omitempty"`
}

// retentionCounts are the counters of a process so far. It reports them again and again, and at its
// end.
type retentionCounts struct{ Hits, Resets uint64 }

// retained is a process with a retentionTask.
type retained struct {
	retentionTask
	number int
	m      incident.Manager
	newest [2]atomic.Int64 // identifiers, of passingOrg and calledOrg

	mu  sync.Mutex // guards out
	out *json.Encoder
}

func (t *retentionTask) run(ctx context.Context, s *postgres.Store, number int) error {
	r := &retained{retentionTask: *t, number: number, out: json.NewEncoder(os.Stdout)}
	s.SetFeedMemory(t.Memory)
	var err error
	if r.m, err = incident.New(s, r.options(os.NewFile(3, "notifications"))); err != nil {
		return err
	}
	running, end := context.WithCancel(ctx)
	defer end()
	var run sync.WaitGroup
	run.Go(func() { _ = r.m.Run(running) }) // Run ends with its context
	working, stop := context.WithCancel(running)
	defer stop()
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte() // blocks until the end
		stop()
	}()
	go func() {
		for working.Err() == nil {
			r.emitCounts()
			time.Sleep(20 * time.Millisecond)
		}
	}()
	err = r.work(working)
	end()
	run.Wait()
	r.emitCounts()
	return err
}

func (r *retained) emitCounts() {
	stats := r.m.Stats()
	r.emit(retentionLine{Counts: &retentionCounts{stats.CacheHits, stats.Feed.Resets}})
}

// options returns the options of the Manager, which delivers into out.
func (r *retained) options(out io.Writer) *incident.Options {
	opts := &incident.Options{
		Notifier: incident.NotifierFunc(func(_ context.Context, n incident.Notification) error {
			if rand.N(20) == 0 {
				return errors.New("busy") // holds the incident back
			}
			_, err := fmt.Fprintf(out, "%d %s %d %s\n", r.number, n.Incident.Key(), n.Activity.Sequence, n.Activity.NotificationUUID)
			return err
		}),
		Notify: incident.NotifyOptions{
			Timeout: time.Second, PollInterval: 50 * time.Millisecond,
			MaxAttempts: math.MaxInt32, Backoff: func(int) time.Duration { return 20 * time.Millisecond },
		},
		Logger: slog.New(slog.DiscardHandler),
	}
	if r.Purges {
		opts.Retention = incident.Retention{Interval: time.Second, KeepFor: func(org incident.OrganizationID) time.Duration {
			if org == passingOrg {
				return time.Hour
			}
			return 0
		}}
	}
	return opts
}

// work makes the calls until ctx ends.
func (r *retained) work(ctx context.Context) error {
	var all sync.WaitGroup
	for w := range r.Writers {
		all.Go(func() {
			for ctx.Err() == nil {
				r.live(ctx, w%2)
			}
		})
	}
	for range 2 {
		all.Go(func() {
			for ctx.Err() == nil {
				r.read(ctx, rand.N(2))
				time.Sleep(rand.N(2 * time.Millisecond))
			}
		})
	}
	if r.Purges {
		all.Go(func() {
			for ctx.Err() == nil {
				r.purge(ctx)
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	var err error
	all.Go(func() {
		err = managertest.TogetherWorker{
			Manager: r.m, Process: r.number, ReadsOnly: r.number != 1, MaxPause: 10 * time.Millisecond,
			Emit: func(o managertest.Operation) { r.emit(retentionLine{Operation: &o}) },
		}.Run(ctx)
	})
	all.Wait()
	return err
}

func (r *retained) emit(l retentionLine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.out.Encode(l) // without a parent there is no reader
}

// see makes a call, and reports whether the incident was found. Calls that fail tell nothing.
func (r *retained) see(kind kindOfRead, key incident.Key, call func() error) (found bool) {
	s := &sighting{
		Kind: kind, Process: r.number, Org: key.OrganizationID, Identifier: key.Identifier, Call: time.Now().UnixNano(),
	}
	err := call()
	s.Return, s.Found = time.Now().UnixNano(), err == nil
	if err == nil || errors.Is(err, incident.ErrNotFound) {
		r.emit(retentionLine{Sighting: s})
	}
	return s.Found
}

// live opens an incident, changes it and others, and closes it. Some incidents are reopened
// and closed again.
func (r *retained) live(ctx context.Context, o int) {
	org := []incident.OrganizationID{passingOrg, calledOrg}[o]
	pause := func() { time.Sleep(rand.N(60 * time.Millisecond)) }
	pause()
	s := &sighting{Kind: created, Process: r.number, Org: org, Found: true, Call: time.Now().UnixNano()}
	n, err := r.m.Create(ctx, incident.NewIncident{
		OrganizationID: org, Title: "Down", DateStarted: time.Now().Add(-3 * time.Hour),
		Projects: []incident.ProjectID{"shop"}, Labels: map[string]string{"team": "payments"},
	})
	if err != nil {
		return
	}
	s.Identifier, s.Return = n.Identifier, time.Now().UnixNano()
	r.emit(retentionLine{Sighting: s})
	for newest := &r.newest[o]; ; {
		if before := newest.Load(); before >= n.Identifier || newest.CompareAndSwap(before, n.Identifier) {
			break
		}
	}
	for range rand.N(4) {
		pause()
		r.change(ctx, n.Key())
		r.change(ctx, r.recent(o))
	}
	for again := true; again && ctx.Err() == nil; again = rand.N(8) == 0 {
		r.set(ctx, n.Key(), incident.StatusClosed)
		pause()
		r.change(ctx, n.Key())
		r.change(ctx, r.recent(o))
	}
}

// recent draws an incident among the newest that the process knows.
func (r *retained) recent(o int) incident.Key {
	newest := r.newest[o].Load()
	return incident.Key{
		OrganizationID: []incident.OrganizationID{passingOrg, calledOrg}[o],
		Identifier:     max(newest-rand.Int64N(150), 1),
	}
}

// set changes the status of an incident two hours ago.
func (r *retained) set(ctx context.Context, key incident.Key, status incident.Status) {
	r.see(written, key, func() error {
		_, err := r.m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: status, Date: time.Now().Add(-2 * time.Hour)})
		return err
	})
}

// change makes a random write.
func (r *retained) change(ctx context.Context, key incident.Key) {
	user := incident.UserID(fmt.Sprint("user-", rand.N(5)))
	switch rand.N(7) {
	case 0:
		r.set(ctx, key, incident.StatusWarning)
		r.set(ctx, key, incident.StatusClosed)
		return
	case 1:
		r.see(written, key, func() error { _, err := r.m.MarkSeen(ctx, key, user); return err })
	case 2:
		r.see(written, key, func() error { _, err := r.m.Subscribe(ctx, key, user); return err })
	case 3:
		r.see(written, key, func() error {
			_, err := r.m.Assign(ctx, key, incident.Assignment{UserID: user, Assignee: user})
			return err
		})
	case 4:
		r.see(written, key, func() error {
			err := r.m.Remind(ctx, key, incident.Reminder{Name: "late", At: time.Now().Add(time.Hour)})
			if errors.Is(err, incident.ErrInvalid) { // the incident is closed
				return nil
			}
			return err
		})
	default:
		r.see(written, key, func() error {
			_, err := r.m.Comment(ctx, key, incident.NewComment{UserID: user, Comment: "Looking"})
			return err
		})
	}
}

// read reads an incident from the cache, and often so that the cache has it, or from the store.
func (r *retained) read(ctx context.Context, o int) {
	key := r.recent(o)
	if rand.N(10) > 0 {
		r.see(cachedRead, key, func() error { _, err := r.m.Get(ctx, key); return err })
		return
	}
	r.see(storedRead, key, func() error { _, err := r.m.Details(ctx, key, ""); return err })
}

func (r *retained) purge(ctx context.Context) {
	s := &sighting{Kind: purged, Process: r.number, Org: calledOrg, Call: time.Now().UnixNano()}
	_, err := r.m.(incident.RetentionManager).Purge(ctx, incident.Purge{
		OrganizationID: calledOrg, ClosedBefore: time.Now().Add(-time.Hour),
	})
	if s.Return = time.Now().UnixNano(); err == nil {
		r.emit(retentionLine{Sighting: s})
	}
}
