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

// Manager is incident management for a host application. Its methods are safe for
// concurrent use. Only this package implements it, and a minor release may add methods.
//
// Every method returns
//
//   - the context's error if the context has ended;
//   - [ErrInvalid] if the input breaks a rule;
//   - [ErrNotFound] if the incident does not exist in its organization, or was deleted;
//   - [ErrUnavailable] or [ErrUnknownOutcome] if the store fails.
//
// A write whose context ends during the call may return an error that matches both
// ErrUnknownOutcome and the context's error: it may have been written.
//
// Returned values belong to the caller. No call waits long for a call of another
// goroutine; the package of the store tells how it treats a connection that does not
// answer.
type Manager interface {
	IncidentManager
	ActivityManager
	ProjectManager
	SeenManager
	SubscriptionManager
	TriggerManager
	ResponseManager
	NotificationManager
	ReminderManager
	RetentionManager
	WatchManager
	ReportManager

	// InTx runs fn in a transaction. The writes of fn through tx are committed if fn
	// returns nil, and undone if fn returns an error or panics. InTx returns fn's
	// error unchanged. If a write through tx fails in the store, the transaction fails:
	// later calls of tx return that failure, and so does InTx, even if fn returns nil.
	//
	// Reads through tx see its own writes and bypass the cache. tx is for one
	// goroutine, and ends with fn. Its own InTx runs in the same transaction: if it does
	// not return nil, or panics and fn recovers, the whole transaction fails.
	//
	// The host can run its own statements in the transaction: see Tx of package
	// postgres.
	//
	// fn must not call the Manager on which InTx was called: the call would wait for
	// the end of the transaction. In the goroutine of fn such calls, except Stats and
	// Join, return [ErrInvalid]; in goroutines that fn starts they are not recognized.
	// The same holds for an [Authorizer], a [Cache] and Options.Now that tx calls. If an
	// Authorizer does not answer tx within 5 s, the call returns [ErrUnavailable].
	InTx(ctx context.Context, fn func(tx Manager) error) error

	// Join returns a Manager whose calls run in a transaction that the host has begun.
	// The host ends the transaction itself, and must then call done, whether it was
	// committed, rolled back, or failed:
	//
	//	tx, done, err := incidents.Join(store.Join(hostTx))
	//	…
	//	err = hostTx.Commit()
	//	done()
	//
	// The parameter is the result of Join of the Manager's own store: see package
	// postgres. Join returns [ErrInvalid] for a store that is not joined, or was joined
	// from another store.
	//
	// The joined Manager has the options of this Manager. Its reads see its own writes
	// and bypass the cache. It is for one goroutine, and ends with done. Its InTx is a
	// savepoint, which can be undone alone. After one of its writes fails, its calls
	// are refused, and the host should roll back.
	//
	// From its first write to an incident or slot until done, the process reads that
	// incident or slot from the store. No reader is served an older version after the
	// commit, even before done is called. done also wakes the delivery of queued
	// notifications. It may be called in any goroutine, and more than once. If done is
	// never called, the incidents and slots are read from the store until a read shows
	// the commit, or for a day after a rollback, and notifications wait until Run polls
	// the store.
	//
	// While the host's transaction is open, writes of this Manager to the same
	// incidents, and creations in the same organization, wait for its end. Do not make
	// them where the transaction waits for them. Reads of this Manager need another
	// connection.
	Join(store Store) (tx Manager, done func(), err error)

	// Run does background work until ctx ends. Any number of processes may run it.
	//
	// It follows the writes of other processes to a shared store, so that reads can be
	// served from the cache. Such a write is seen after 50 ms in the usual case, and
	// after 1 s at the latest. While the writes cannot be followed, and without Run, a
	// Manager of a shared store reads everything from the store. If no call has read
	// for a second, and no Watch is in progress, Run stops asking for changes; the next
	// read asks the store and wakes it. Run drops the cache if the store was restored, has lost commits in a
	// failover or crash, or has changed too much to catch up.
	//
	// It also delivers queued notifications to the [Notifier], if there is one. The
	// processes share this work.
	//
	// With [Options.Retention] it deletes incidents some time after they were closed. One of
	// the processes does it at a time: see [Retention].
	//
	// Run returns nil after ctx has ended, when the deliveries in progress are done or
	// [NotifyOptions.Grace] has passed, and the deletions in progress are done or a second
	// has passed. It returns [ErrConflict] at once if it is
	// running already, and [ErrUnavailable] if code of the host panics in it, such as a
	// handler of the Logger or KeepFor of the Retention. It treats a panic of the store as an error of the store.
	Run(ctx context.Context) error

	// Stats returns counters and the state of the Manager, without asking the store.
	Stats() Stats
}

// New returns a Manager for store. It starts no goroutine and needs no closing. Create a single
// Manager for each store in a process: the cache of a second Manager would miss the writes of
// the first.
func New(store Store, opts *Options) (Manager, error) {
	if store == nil {
		return nil, wrap(invalid("store", "is required"), "new")
	}
	options, err := opts.withDefaults()
	if err != nil {
		return nil, wrap(err, "new")
	}
	if joined, ok := storeAs[JoinedStore](store); ok && joined.JoinedTo() != nil {
		return nil, wrap(invalid("store", "is joined to a transaction of the host's; make a Manager of the store itself, "+
			"once, and pass this one to its Manager.Join for each transaction"), "new")
	}
	if _, ok := storeAs[RetentionStore](store); !ok && options.Retention.enabled() {
		return nil, wrap(invalid("Retention", "needs a store that is a RetentionStore"), "new")
	}
	local, ok := storeAs[LocalStore](store)
	c := &core{
		options:  options,
		local:    ok && local.Local(),
		watchers: newWatchers(),
	}
	c.coherence = newCoherence(&options, store, c.watchers.MissedAll)
	if feed, ok := storeAs[FeedStore](store); ok && store.Shared() {
		c.feed = c.newFeed(feed)
	}
	m := &manager{core: c, store: store}
	if c.relays, err = newRelays(m); err != nil {
		return nil, wrap(err, "new")
	}
	c.freshReads.Panicked = storePanicked
	if options.Trace != nil {
		return &traced{m: m}, nil
	}
	return m, nil
}

// manager is a Manager, or the Manager of a transaction.
type manager struct {
	*core
	store Store
	tx    *transaction // nil outside a transaction
}

var _ Manager = (*manager)(nil)

// core is shared by a manager and the managers of its transactions.
type core struct {
	options    Options
	local      bool // the store is a LocalStore that says so
	coherence  *coherence.Engine
	turns      turns.Lines[subject]
	freshReads flight.Next[subject, view]
	uuids      uuid7.Source
	feed       *coherence.Feed // nil if there is nothing to follow
	watchers   *watchHub
	relays     *relays
	running    atomic.Bool // Run is running
	failRun    atomic.Pointer[context.CancelCauseFunc]
	warned     atomic.Bool // unqueued has logged its warning
	inside     insiders
	retention  retentionRecord

	conflicts, loadsShared atomic.Uint64 // see Stats
}

// usable returns an error if a call must not begin.
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
		return invalid("tx", "has ended; a joined Manager must not be used after the done function of its Join was called")
	case m.tx.ended.Load():
		return invalid("tx", "has ended; it must not be used after the function of InTx has returned")
	case m.tx.failure != nil:
		return fmt.Errorf("the transaction has failed and must be undone: %w", m.tx.failure)
	}
	return nil
}

// begin begins a call that needs the time.
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
		return wrap(fmt.Errorf("%w: Run is running already", ErrConflict), "run")
	}
	defer m.running.Store(false)
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	m.failRun.Store(&fail)
	var parts sync.WaitGroup
	start := func(part func(context.Context)) {
		parts.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					m.endRun(p)
				}
			}()
			part(running)
		})
	}
	if m.feed != nil {
		start(m.feed.Follow)
	}
	for _, r := range m.relays.all {
		if !r.isElsewhere() {
			start(r.Run)
		}
	}
	if m.relays.outbox != nil {
		start(m.relays.watchBacklog)
	}
	if m.options.Retention.enabled() {
		start(m.retain)
	}
	<-running.Done()
	parts.Wait()
	if ctx.Err() == nil {
		return wrap(context.Cause(running), "run")
	}
	return nil
}

// endRun ends Run, if it is running, because code of the host has panicked.
func (c *core) endRun(panicked any) {
	if fail := c.failRun.Load(); fail != nil {
		(*fail)(fmt.Errorf("%w: a part of Run panicked: %v", ErrUnavailable, panicked))
	}
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
		Retention:     m.retention.stats(),
	}
	m.relays.addStats(&s)
	return s
}

func (m *manager) feedStats(cached *coherence.Stats) FeedStats {
	s := FeedStats{Told: cached.Told, Resets: cached.Resets}
	switch {
	case m.feed == nil, m.options.Cache == NoCache && !m.watchers.Watched():
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
