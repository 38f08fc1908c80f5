package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

const (
	// maxUserStreams is the most streams of a user in an organization, so that nobody uses up
	// the streams of all.
	maxUserStreams = 20

	// maxCompared is the most changed incidents of a second whose projects are compared with
	// the access of viewers. If more have changed, all viewers are told.
	maxCompared = 100

	// runInterval is how often open streams check that Run is running.
	runInterval = time.Second
)

// hub tells the streams of an organization that incidents have changed. The streams of an
// organization share one call of Watch, which lasts as long as there are any.
//
// A viewer with restricted projects gets no event when other incidents change, since even the time
// of an event would be a fact about them. The hub reads each changed incident once, and compares
// its projects. If an incident has lost its projects or was deleted, there is nothing to compare.
// So restricted viewers also get an event each minute, at a time that says nothing.
//
// All viewers get an event in three cases:
//
//   - Watch reports a Resync.
//   - A changed incident cannot be read.
//   - More than maxCompared incidents have changed within a second.
type hub struct {
	manager incident.Manager
	log     *slog.Logger
	limit   int // of streams

	mu        sync.Mutex // guards the fields below, and those of audiences and listeners
	open      int        // streams
	byUser    map[seat]int
	audiences map[incident.OrganizationID]*audience
}

// seat names a user of an organization.
type seat struct {
	org  incident.OrganizationID
	user incident.UserID
}

// audience has the streams of an organization.
type audience struct {
	listeners map[*listener]struct{}
	begun     bool // Watch has called back
	stop      context.CancelFunc
	done      chan struct{} // closed when the Watch has ended
}

// listener is a stream.
type listener struct {
	seat     seat
	viewer   Viewer
	audience *audience
	wake     chan struct{} // of capacity 1: has a token if incidents have changed
}

// ended is closed when no further change will be told.
func (l *listener) ended() <-chan struct{} { return l.audience.done }

func (l *listener) tell() {
	select {
	case l.wake <- struct{}{}:
	default: // a token says it all
	}
}

func newHub(m incident.Manager, log *slog.Logger, limit int) *hub {
	return &hub{
		manager: m, log: log, limit: limit,
		byUser: map[seat]int{}, audiences: map[incident.OrganizationID]*audience{},
	}
}

// join returns a listener for a stream that begins, or nil if there are too many. The listener
// is told at once: its page may be older. The caller must call leave.
func (h *hub) join(v Viewer) *listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := seat{v.Organization, v.User}
	if h.open >= h.limit || h.byUser[s] >= maxUserStreams {
		return nil
	}
	a := h.audiences[s.org]
	if a == nil {
		a = h.gather(s.org)
	}
	l := &listener{seat: s, viewer: v, audience: a, wake: make(chan struct{}, 1)}
	a.listeners[l] = struct{}{}
	h.open++
	h.byUser[s]++
	if a.begun { // otherwise the first call back of Watch tells
		l.tell()
	}
	return l
}

// gather begins the audience of an organization. The caller holds mu.
func (h *hub) gather(org incident.OrganizationID) *audience {
	ctx, stop := context.WithCancel(context.Background())
	a := &audience{listeners: map[*listener]struct{}{}, stop: stop, done: make(chan struct{})}
	h.audiences[org] = a
	var both sync.WaitGroup
	both.Go(func() {
		defer stop()
		h.untilStopped(ctx)
	})
	both.Go(func() {
		defer stop()
		if err := h.watch(ctx, org, a); err != nil {
			h.log.Error("console: the streams of an organization end", "organization", org, "error", err)
		}
	})
	go func() {
		both.Wait()
		h.dismiss(org, a)
		close(a.done)
	}()
	return a
}

// watch tells an audience of changes until ctx ends. The panic of a host's Manager is an error: outside
// of a handler it would end the process.
func (h *hub) watch(ctx context.Context, org incident.OrganizationID, a *audience) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return h.manager.Watch(ctx, org, func(c incident.Changes) error {
		h.tell(ctx, a, c)
		return nil
	})
}

// untilStopped returns when Run has ended: then the changes of other processes are not known.
func (h *hub) untilStopped(ctx context.Context) {
	ticker := time.NewTicker(runInterval)
	defer ticker.Stop()
	for h.manager.Stats().Running {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// dismiss makes the next listener of an organization begin another audience.
func (h *hub) dismiss(org incident.OrganizationID, a *audience) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.audiences[org] == a {
		delete(h.audiences, org)
	}
}

// leave ends a listener. The last of an audience waits until its Watch has ended.
func (h *hub) leave(l *listener) {
	if last := h.remove(l); last {
		l.audience.stop()
		<-l.audience.done
	}
}

// remove reports whether the listener was the last of its audience.
func (h *hub) remove(l *listener) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open--
	if h.byUser[l.seat]--; h.byUser[l.seat] == 0 {
		delete(h.byUser, l.seat)
	}
	a := l.audience
	delete(a.listeners, l)
	if len(a.listeners) > 0 {
		return false
	}
	if h.audiences[l.seat.org] == a {
		delete(h.audiences, l.seat.org)
	}
	return true
}

// admit renews the viewer of a listener. It reports whether the page may show something else now.
func (h *hub) admit(l *listener, v Viewer) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changed = v.Access != nil || l.viewer.Access != nil
	l.viewer = v
	return changed
}

// tell tells the listeners whom a change concerns, and then waits, so that changes are gathered.
func (h *hub) tell(ctx context.Context, a *audience, c incident.Changes) {
	all := c.Resync || len(c.Incidents) > maxCompared
	var changed [][]incident.ProjectID
	if !all && h.restricted(a) {
		changed, all = h.projects(ctx, c.Incidents)
	}
	h.wake(a, changed, all)
	select {
	case <-ctx.Done():
	case <-time.After(eventInterval):
	}
}

// restricted reports whether a listener does not see all incidents.
func (h *hub) restricted(a *audience) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range a.listeners {
		if l.viewer.Access != nil {
			return true
		}
	}
	return false
}

// projects returns the projects of each incident. unknown reports that they cannot be read.
func (h *hub) projects(ctx context.Context, changed []incident.IncidentVersion) (projects [][]incident.ProjectID, unknown bool) {
	for _, v := range changed {
		inc, err := h.manager.Get(ctx, v.Key)
		switch {
		case err == nil:
			projects = append(projects, inc.Projects)
		case !errors.Is(err, incident.ErrNotFound):
			return nil, true
		}
	}
	return projects, false
}

// wake tells the listeners who see one of the changed incidents, or all.
func (h *hub) wake(a *audience, changed [][]incident.ProjectID, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.begun = true
	for l := range a.listeners {
		if all || l.viewer.Access == nil || slices.ContainsFunc(changed, l.viewer.sees) {
			l.tell()
		}
	}
}
