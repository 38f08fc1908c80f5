package incident

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/incidentkit/incident/internal/watch"
)

const (
	// maxWatched is how many changed incidents are remembered for the watchers of an
	// organization.
	maxWatched = 1000

	// resyncInterval is how often watchers receive a Resync while the changes of other
	// processes are not known.
	resyncInterval = 5 * time.Second
)

// One source at a time reports commits to the watchers:
//
//   - While the feed follows a shared store, the feed reports the commits of all processes,
//     including this process. The feed knows the outcome of each write, and reports it once.
//   - Otherwise the writer reports the key, after the commit. The watcher reads the version from
//     the store, since writers may overtake each other between commit and report.
//
// The writer looks at the feed after its commit. If the feed follows at that moment, it has
// reported the commit, or its position is older than the commit. A feed that stops then continues
// from its position later, or starts over with a Resync. So no commit falls between the sources.

// watchHub has the watchers of a Manager by organization and identifier.
type watchHub = watch.Hub[OrganizationID, int64, watched]

// watched is a change of an incident. Version 0 stands for numbers that must be read.
type watched struct {
	IncidentVersion
	deleted bool // the numbers are the last
}

// newWatchers returns a hub without watchers.
func newWatchers() *watchHub {
	return watch.New[OrganizationID, int64](maxWatched, func(older, newer watched) watched {
		if older.deleted || older.Version == 0 && !newer.deleted {
			return older
		}
		return newer
	})
}

func (m *manager) Watch(ctx context.Context, org OrganizationID, fn func(Changes) error) error {
	if err := m.watchable(ctx, org, fn); err != nil {
		return wrap(err, "watch %q", org)
	}
	w := m.watchers.Watch(org)
	defer w.Close()
	if m.feed != nil {
		m.feed.Wake()
	}
	var tick <-chan time.Time
	if m.store.Shared() {
		ticker := time.NewTicker(resyncInterval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		changed, missed, ok := w.Next(ctx, tick, m.blind)
		if !ok {
			return nil
		}
		c := m.changes(ctx, changed, missed)
		if ctx.Err() != nil {
			return nil
		}
		if err := fn(c); err != nil {
			return err
		}
	}
}

// changes returns the Changes for a watcher. It is a Resync if the numbers of an incident cannot be
// read.
func (m *manager) changes(ctx context.Context, changed []watch.Change[int64, watched], missed bool) Changes {
	c := Changes{Resync: missed}
	for _, v := range changed {
		v := v.Value
		if v.Version == 0 {
			log, err := m.store.Activities(ctx, v.Key, ActivityQuery{Descending: true, Limit: 1})
			if err != nil || len(log.Activities) == 0 {
				return Changes{Resync: true}
			}
			v.Version, v.Activities = log.Version, log.Activities[0].Sequence
		}
		c.Incidents = append(c.Incidents, v.IncidentVersion)
	}
	return c
}

func (m *manager) watchable(ctx context.Context, org OrganizationID, fn func(Changes) error) error {
	switch {
	case ctx == nil:
		return invalid("ctx", "is required")
	case m.tx != nil:
		return invalid("tx", "does not watch; call Watch of the Manager itself")
	case m.inside.has(ctx):
		return errInside
	case fn == nil:
		return invalid("fn", "is required")
	}
	return checkID("organizationId", org, false)
}

// blind reports whether the changes of other processes to a shared store are not known.
func (m *manager) blind() bool { return m.feed == nil || !m.feed.Knows() }

// noteApplied notes the outcome of a change that was passed to the store.
func (m *manager) noteApplied(c *Change, applied *Applied, err error) {
	key := c.Key
	if err == nil && c.Incident != nil {
		key = applied.Incident.key()
	}
	if !applied.Replayed && (c.Incident != nil || len(c.Activities) > 0) {
		m.noteWritten(key, err)
	}
}

// noteWritten reports to the watchers that an incident may have been written, or notes it until
// the end of the transaction. Identifier 0 stands for a new incident that has no known key.
func (m *manager) noteWritten(key Key, err error) {
	switch {
	case err != nil && !errors.Is(err, ErrUnknownOutcome):
	case m.tx != nil:
		m.tx.written.add(key)
	default:
		m.report(key)
	}
}

// report reports commits to the watchers unless the feed does.
func (m *manager) report(keys ...Key) {
	if !m.watchers.Watched() || m.feed != nil && m.feed.Knows() {
		return
	}
	for _, key := range keys {
		if key.Identifier == 0 {
			m.watchers.Missed(key.OrganizationID)
		} else {
			m.watchers.Changed(key.OrganizationID, key.Identifier, watched{IncidentVersion: IncidentVersion{Key: key}})
		}
	}
}

// reportDeleted reports the deletion of an incident to the watchers unless the feed does.
func (m *manager) reportDeleted(v IncidentVersion) {
	if m.watchers.Watched() && (m.feed == nil || !m.feed.Knows()) {
		m.watchers.Changed(v.Key.OrganizationID, v.Key.Identifier, watched{v, true})
	}
}

// keyList has the incidents that a transaction in progress has written.
type keyList struct {
	mu   sync.Mutex // guards keys: the host may end a joined transaction in any goroutine
	keys []Key
}

func (l *keyList) add(keys ...Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys = append(l.keys, keys...)
}

// take removes and returns the keys.
func (l *keyList) take() []Key {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.keys
	l.keys = nil
	return taken
}
