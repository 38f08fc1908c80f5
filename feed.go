package incident

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// FeedStore is what a shared [Store] is in addition if it can tell what other
// processes have written. A [Manager] of it serves from its cache while
// [Manager.Run] follows them; one of a shared store without a feed serves nothing
// from its cache. RunFeed of package storetest is the proof of a new feed.
type FeedStore interface {
	Store

	// Changes returns what was committed since a position, and nothing else, and where
	// to go on: the position of a moment between call and return. Everything that
	// commits after that moment must be told by the call that goes on from there, in
	// whatever order transactions began; what is told again, for a second at most, or
	// has changed again since, does no harm. The zero position returns a position
	// alone.
	//
	// A position must stay good for any number of calls: an answer can be lost on its
	// way. Each process follows on its own.
	//
	// It is called several times a second, and not within a transaction.
	Changes(ctx context.Context, since FeedPosition) (FeedChanges, error)
}

// FeedPosition is a moment in what a [FeedStore] has committed. It means something to
// the store alone.
type FeedPosition string

// FeedChanges are the incidents whose version has changed, and the slots, of all
// organizations.
type FeedChanges struct {
	Incidents []IncidentVersion
	Slots     []SlotVersion
	Position  FeedPosition
}

// IncidentVersion is an incident's version after a change.
type IncidentVersion struct {
	Key     Key
	Version int64
}

const (
	// feedInterval is how often the changes of other processes are asked for.
	feedInterval = 40 * time.Millisecond

	// feedLease is how long after asking what is cached may be served. It bounds how
	// old an answer can be, whatever becomes of the connection or of the process.
	feedLease = 750 * time.Millisecond
)

// feed is what a Manager knows of the changes of other processes.
type feed struct {
	store FeedStore // nil if there is nothing to follow

	// position is where to go on. It is kept from one Run to the next: what was
	// written in between is told then.
	position FeedPosition
}

// follow asks for changes until ctx ends. What is cached is served for some time after
// each answer, counted from when it was asked for.
func (m *manager) follow(ctx context.Context) {
	defer m.coherence.serveUntil(0)
	lost := false
	for ctx.Err() == nil {
		asked := m.coherence.now()
		err := m.catchUp(ctx)
		if took := m.coherence.now() - asked; err == nil && took >= feedLease {
			err = fmt.Errorf("%w: the answer took %v, which is more than %v", ErrUnavailable, took.Round(time.Millisecond), feedLease)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			m.coherence.serveUntil(asked + feedLease)
			if lost {
				m.options.Logger.InfoContext(ctx, "incident: the feed of changes is back; the cache is served again")
			}
			lost = false
		case !lost:
			m.options.Logger.WarnContext(ctx, "incident: the feed of changes is lost; reading the store until it is back", "error", err)
			lost = true
		}
		pause(ctx, feedInterval-(m.coherence.now()-asked))
	}
}

// catchUp tells the cache what has changed since the last time.
func (m *manager) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, feedLease)
	defer cancel()
	changes, err := m.feed.store.Changes(ctx, m.feed.position)
	if err != nil {
		return err
	}
	if m.feed.position == "" {
		m.coherence.off.Store(false) // from here on, nothing is missed
	}
	m.coherence.counters.told.Add(uint64(len(changes.Incidents) + len(changes.Slots)))
	for _, v := range changes.Incidents {
		m.coherence.observe(ctx, v.Key.cacheKey(), v.Version)
	}
	for _, v := range changes.Slots {
		m.coherence.observe(ctx, v.Slot.cacheKey(), v.Version)
	}
	m.feed.position = changes.Position
	return nil
}

// observe tells the cache which version of an incident this process has read from the
// store. One that its own transaction has written is not committed yet.
func (m *manager) observe(ctx context.Context, inc *Incident) {
	if inc.Identifier != 0 {
		m.observeVersion(ctx, inc.Key(), inc.Version)
	}
}

func (m *manager) observeVersion(ctx context.Context, key Key, version int64) {
	if m.coherence.followed {
		m.observeKey(ctx, key.cacheKey(), version)
	}
}

// observeSlot is observe for a slot and who holds it.
func (m *manager) observeSlot(ctx context.Context, slot Slot, held SlotState) {
	if !m.coherence.followed || held.Version == 0 {
		return
	}
	m.observeKey(ctx, slot.cacheKey(), held.Version)
	if held.State != nil {
		m.observe(ctx, &held.State.Incident)
	}
}

func (m *manager) observeKey(ctx context.Context, key string, version int64) {
	if m.tx == nil || !slices.Contains(m.tx.publication.marked, key) {
		m.coherence.observe(ctx, key, version)
	}
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
