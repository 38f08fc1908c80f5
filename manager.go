package incident

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident/internal/coherence"
	"github.com/incidentkit/incident/internal/flight"
	"github.com/incidentkit/incident/internal/turns"
	"github.com/incidentkit/incident/internal/uuid7"
)

// Manager is incident management: everything that a host application calls.
// Its methods are safe for use by many goroutines. Only this package
// implements it, and a minor release may add methods.
//
// All methods return the context's error when the context ends, [ErrInvalid]
// for input that breaks a rule, [ErrNotFound] for an incident that does not
// exist in its organization, and [ErrUnavailable] or [ErrUnknownOutcome] when
// the store fails. A write that was in progress when its context ended may match both
// ErrUnknownOutcome and the context's error: it may have been written. Returned values
// belong to the caller.
//
// No call waits for long for that of another caller: see the package of the store for
// how it treats connections that do not answer.
type Manager interface {
	IncidentManager
	ActivityManager
	ProjectManager
	SeenManager
	SubscriptionManager
	TriggerManager
	NotificationManager

	// InTx makes several calls one: what fn writes through tx is committed when
	// fn returns nil, and undone when fn returns an error, which InTx returns as
	// it is, or panics. When a write through tx failed in the store, all is undone:
	// every further call of tx returns that failure, and so does InTx even if fn
	// returned nil.
	//
	// Reads of tx see its own writes and do not come from the cache. tx is for
	// one goroutine and ends with fn. Its own InTx is a part of the transaction: one that
	// does not return nil, also because it panics and fn recovers, dooms the whole.
	//
	// The host's own statements become a part of the transaction by way of the store: see
	// Tx of package postgres.
	//
	// fn must not call the Manager that InTx was called on, which would wait for the end of
	// the transaction. In the goroutine of fn all calls of it but Stats and Join are refused
	// with [ErrInvalid]; goroutines that fn starts are not recognised. The same holds for
	// what tx calls: an [Authorizer], a [Cache], Options.Now. An Authorizer that has not
	// answered tx for 5 s is not waited for any longer: that is [ErrUnavailable].
	InTx(ctx context.Context, fn func(tx Manager) error) error

	// Join returns a Manager whose calls are a part of a transaction that the host has
	// begun and will end itself, and the function that the host must call once it has
	// committed or rolled back, however that went:
	//
	//	tx, done, err := incidents.Join(store.Join(hostTx))
	//	…
	//	err = hostTx.Commit()
	//	done()
	//
	// store is what Join of the Manager's own store returned: see package postgres. It
	// returns [ErrInvalid] for a store that is not joined, or joined from another one.
	//
	// The joined Manager has the options of this one: its authorizer, its clock, its
	// notifier. Its reads see its own writes and do not come from the cache. It is for one
	// goroutine and ends with done. Its InTx is a savepoint, which can be undone alone.
	// After a write of it failed, its calls are refused, and the host should roll back.
	//
	// From the first write on, what it changes is read from the store by all others, so
	// that nobody in this process is given anything older once the commit has returned,
	// also before done is called. done puts it back into the cache, and wakes the delivery
	// of what was queued. It may be called from any goroutine, and again. Where it is never
	// called, the incidents and slots are read from the store until a read shows the
	// commit, or for a day after a rollback, and notifications are delivered when the
	// store is next asked for them.
	//
	// While the host's transaction is open, writes of this Manager to the same incidents,
	// and creations in the same organization, wait for its end: do not call them from where
	// the transaction waits for them. Its reads need another connection.
	Join(store Store) (tx Manager, done func(), err error)

	// Run does what has to be done in the background, until ctx ends.
	//
	// It follows what other processes write to a shared store, so that what is cached
	// may be served. What they have written is seen after 50 ms in the usual case and
	// 1 s at the latest; while it cannot be followed, reads ask the store. Without Run a
	// Manager of a shared store reads everything from it. When nobody has read for a
	// second, Run stops asking for changes; the next read asks the store and wakes it. If
	// the store was restored, has lost commits in a failover or a crash, or has changed
	// too much to catch up, all that is cached is dropped.
	//
	// And it delivers what is queued to the [Notifier], if there is one. Any number of
	// processes may do so: they share the work.
	//
	// Run returns nil when ctx ends and what is being delivered is done, or
	// [NotifyOptions.Grace] is over. It returns an error at once if it runs already, and
	// ends with [ErrUnavailable] if a part of it panics in code of the host's, such as a
	// handler of the Logger. A panic of the store is an error of the store.
	Run(ctx context.Context) error

	// Stats returns counters, and how the Manager is. It asks nobody.
	Stats() Stats
}

// New returns a Manager of what store holds. It starts no goroutine and needs no
// closing. Make one for a store and share it: the cache of another one would not
// follow its writes.
func New(store Store, opts *Options) (Manager, error) {
	if store == nil {
		return nil, wrap(invalid("store", "is required"), "new")
	}
	options, err := opts.withDefaults()
	if err != nil {
		return nil, wrap(err, "new")
	}
	if joined, ok := store.(JoinedStore); ok && joined.JoinedTo() != nil {
		return nil, wrap(invalid("store", "is joined to a transaction of the host's; make a Manager of the store itself, "+
			"once, and pass this one to its Manager.Join for each transaction"), "new")
	}
	local, ok := store.(LocalStore)
	c := &core{
		options:   options,
		local:     ok && local.Local(),
		coherence: newCoherence(&options, store),
	}
	if feed, ok := store.(FeedStore); ok && options.Cache != NoCache && store.Shared() {
		c.feed = c.newFeed(feed)
	}
	if options.Notifier != nil {
		outbox, ok := store.(OutboxStore)
		if !ok {
			return nil, wrap(invalid("Notifier", "needs a store that is an OutboxStore"), "new")
		}
		c.relay = newRelay(outbox, &c.options)
	}
	c.freshReads.Panicked = storePanicked
	return &manager{core: c, store: store}, nil
}

// manager is a Manager, or that of one transaction.
type manager struct {
	*core
	store Store
	tx    *transaction // nil outside a transaction
}

var _ Manager = (*manager)(nil)

// core is what a manager shares with those of its transactions.
type core struct {
	options    Options
	local      bool // the store is a local one
	coherence  *coherence.Engine
	turns      turns.Lines[subject]
	freshReads flight.Next[subject, *State]
	uuids      uuid7.Source
	feed       *coherence.Feed // nil if there is nothing to follow
	relay      *relay          // nil if there is no Notifier
	running    atomic.Bool     // there is a Run
	warned     atomic.Bool     // that others queue, and this Manager does not
	inside     insiders

	conflicts, loadsShared atomic.Uint64 // see Stats
}

// usable refuses a call that must not begin.
func (m *manager) usable(ctx context.Context) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	switch {
	case m.tx == nil:
		if m.inside.has(ctx) {
			return errInside
		}
	case m.tx.ended.Load() && m.tx.joined && !m.tx.part:
		return invalid("tx", "has ended; a joined Manager must not be used after the function that came with it was called")
	case m.tx.ended.Load():
		return invalid("tx", "has ended; it must not be used after the function it was passed to")
	case m.tx.failure != nil:
		return fmt.Errorf("the transaction has failed and must be undone: %w", m.tx.failure)
	}
	return nil
}

// begin begins a call, and returns its time.
func (m *manager) begin(ctx context.Context) (now time.Time, err error) {
	if err := m.usable(ctx); err != nil {
		return now, err
	}
	return canonical(m.options.Now()), nil
}

func (m *manager) Run(ctx context.Context) error {
	if ctx == nil {
		return wrap(invalid("ctx", "is required"), "run")
	}
	if m.tx != nil {
		return wrap(invalid("tx", "does not run; call Run of the Manager itself"), "run")
	}
	if m.inside.has(ctx) {
		return wrap(errInside, "run")
	}
	if !m.running.CompareAndSwap(false, true) {
		return wrap(fmt.Errorf("%w: it runs already", ErrConflict), "run")
	}
	defer m.running.Store(false)
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var parts sync.WaitGroup
	start := func(part func(context.Context)) {
		parts.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					fail(fmt.Errorf("%w: a part of it panicked: %v", ErrUnavailable, p))
				}
			}()
			part(running)
		})
	}
	if m.feed != nil {
		start(m.feed.Follow)
	}
	if m.relay != nil && m.options.Notifier != NotifyElsewhere {
		start(m.deliver)
	}
	<-running.Done()
	parts.Wait()
	if ctx.Err() == nil {
		return wrap(context.Cause(running), "run")
	}
	return nil
}

func (m *manager) Stats() Stats {
	cached := m.coherence.Stats()
	s := Stats{
		Running:       m.running.Load(),
		CacheHits:     cached.Hits,
		CacheMisses:   cached.Misses,
		CacheBypassed: cached.Bypassed,
		StaleDrops:    cached.StaleDrops,
		LoadsShared:   cached.LoadsShared + m.loadsShared.Load(),
		Conflicts:     m.conflicts.Load(),
		Feed:          m.feedStats(&cached),
	}
	if m.relay != nil {
		s.Notifications = m.relay.record.stats()
	}
	return s
}

func (m *manager) feedStats(cached *coherence.Stats) FeedStats {
	s := FeedStats{Told: cached.Told, Resets: cached.Resets}
	switch {
	case m.feed == nil:
		return s
	case !m.running.Load():
		s.State = FeedStopped
		return s
	}
	state, lag := m.feed.State()
	s.Lag = lag
	switch state {
	case coherence.Lost:
		s.State = FeedLost
	case coherence.Following:
		s.State = FeedFollowing
	case coherence.Asleep:
		s.State = FeedAsleep
	}
	return s
}
