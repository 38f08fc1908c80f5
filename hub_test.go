package incident_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// hub is a store that several Managers share, as processes do. Its feed reports all writes
// through it.
type hub struct {
	incident.Store
	loads atomic.Int64
	fault atomic.Pointer[func(context.Context) error] // before the feed answers; nil for none
	late  atomic.Int64                                // the delay of its answers
	asked atomic.Int64                                // how often the feed was asked

	// changed returns the changes since a position, in place of the feed.
	changed atomic.Pointer[func(context.Context, incident.FeedPosition) (incident.FeedChanges, error)]

	mu  sync.Mutex // guards log
	log []incident.FeedChanges
}

func (h *hub) Shared() bool { return true }

func (h *hub) Load(ctx context.Context, key incident.Key) (incident.State, error) {
	h.loads.Add(1)
	return h.Store.Load(ctx, key)
}

func (h *hub) LoadSlot(ctx context.Context, s incident.Slot) (incident.SlotState, error) {
	h.loads.Add(1)
	return h.Store.LoadSlot(ctx, s)
}

func (h *hub) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	applied, err := h.Store.Apply(ctx, c)
	if err == nil && !applied.Replayed {
		h.committed(hubWrite{changedKey(c, applied), applied.Slots})
	}
	return applied, err
}

func changedKey(c incident.Change, applied incident.Applied) incident.Key {
	if c.Incident != nil {
		return applied.Incident.Key()
	}
	return c.Key
}

func (h *hub) ReviseActivity(ctx context.Context, a incident.Activity) error {
	err := h.Store.ReviseActivity(ctx, a)
	if err == nil {
		h.committed(hubWrite{key: a.Incident})
	}
	return err
}

func (h *hub) InTx(ctx context.Context, fn func(incident.Store) error) error {
	tx := &hubTx{}
	err := h.Store.InTx(ctx, func(s incident.Store) error {
		tx.Store = s
		return fn(tx)
	})
	if err == nil {
		h.committed(tx.writes...)
	}
	return err
}

// hubTx is a transaction of a hub.
type hubTx struct {
	incident.Store
	writes []hubWrite
}

// hubWrite is an incident and slots that were written.
type hubWrite struct {
	key   incident.Key
	slots []incident.SlotVersion
}

func (tx *hubTx) Apply(ctx context.Context, c incident.Change) (incident.Applied, error) {
	applied, err := tx.Store.Apply(ctx, c)
	if err == nil && !applied.Replayed {
		tx.writes = append(tx.writes, hubWrite{changedKey(c, applied), applied.Slots})
	}
	return applied, err
}

func (tx *hubTx) ReviseActivity(ctx context.Context, a incident.Activity) error {
	err := tx.Store.ReviseActivity(ctx, a)
	if err == nil {
		tx.writes = append(tx.writes, hubWrite{key: a.Incident})
	}
	return err
}

// committed logs writes with the present numbers of their incidents.
func (h *hub) committed(writes ...hubWrite) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range writes {
		c := incident.FeedChanges{Slots: w.slots}
		log, err := h.Store.Activities(context.Background(), w.key, incident.ActivityQuery{Descending: true, Limit: 1})
		if err == nil {
			c.Incidents = []incident.IncidentVersion{{Key: w.key, Version: log.Version, Activities: log.Activities[0].Sequence}}
		}
		h.log = append(h.log, c)
	}
}

// Changes implements [incident.FeedStore]. A position is a length of the log.
func (h *hub) Changes(ctx context.Context, since incident.FeedPosition) (changes incident.FeedChanges, err error) {
	h.asked.Add(1)
	if fault := h.fault.Load(); fault != nil {
		if err := (*fault)(ctx); err != nil {
			return changes, err
		}
	}
	if changed := h.changed.Load(); changed != nil && since != "" {
		return (*changed)(ctx, since)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	changes.Position = incident.FeedPosition(strconv.Itoa(len(h.log)))
	if since == "" {
		return changes, nil
	}
	defer func() {
		h.mu.Unlock()
		time.Sleep(time.Duration(h.late.Load()))
		h.mu.Lock()
	}()
	n, err := strconv.Atoi(string(since))
	for _, c := range h.log[n:] {
		changes.Reset = changes.Reset || c.Reset
		changes.Incidents = append(changes.Incidents, c.Incidents...)
		changes.Slots = append(changes.Slots, c.Slots...)
	}
	return changes, err
}

// process is a Manager of a hub, which runs until stop.
type process struct {
	incident.Manager
	log  *bytes.Buffer
	stop func()
}

func newProcess(t *testing.T, h *hub) *process {
	t.Helper()
	return newProcessOf(t, h)
}

// newProcessOf is newProcess with a store in front of the hub.
func newProcessOf(t *testing.T, s incident.Store) *process {
	t.Helper()
	p := &process{log: &bytes.Buffer{}}
	var err error
	p.Manager, err = incident.New(s, &incident.Options{Logger: slog.New(slog.NewTextHandler(p.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	p.start(t)
	return p
}

func (p *process) start(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v when its context ends, want nil", err)
		}
	})
}

// cached reports whether reading the incident needs no load.
func (h *hub) cached(t *testing.T, m incident.Manager) bool {
	t.Helper()
	before := h.loads.Load()
	mustGet(t, m)
	return h.loads.Load() == before
}

// twoProcesses runs a test with two processes of one hub and the incident acme#1.
func twoProcesses(t *testing.T, test func(t *testing.T, h *hub, a, b *process)) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{Store: memory.New()}
		a, b := newProcess(t, h), newProcess(t, h)
		defer a.stop()
		defer b.stop()
		time.Sleep(time.Second)
		mustFire(t, b, "5%", incident.StatusWarning)
		time.Sleep(time.Second)
		a.wake(t)
		test(t, h, a, b)
	})
}

// wake reads a missing incident, so that a sleeping feed follows again.
func (p *process) wake(t *testing.T) {
	t.Helper()
	if _, err := p.Get(t.Context(), incident.Key{OrganizationID: "umbrella", Identifier: 1}); !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("Get() of no incident = %v, want ErrNotFound", err)
	}
	time.Sleep(10 * time.Millisecond) // it asks every 40 ms: not at this moment
}
