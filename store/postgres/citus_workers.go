package postgres

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// With [Options.CitusWorker] statements about an organization go straight to the worker that has it:
//
//  1. The list of servers has the range of hashes of each shard. The store computes the hash of an
//     organization, so that its memory of routes is the list.
//  2. The worker runs the statement only if it has the shard: see incident_prepare. Otherwise the
//     list is read again, and the statement repeated. So an old route costs a call, and changes
//     nothing that is read or written.
//  3. Each new connection must show that it leads to the worker of the list, and that this is no
//     standby.
//  4. A worker that fails any of this is avoided for a while. Then its statements go through the
//     coordinator, as do all those of transactions.
//
// If the store's hash of a made-up organization of the list is not in the range of its shard, there
// are no routes.

const (
	// connectWait is how long a statement waits for a connection to a worker.
	connectWait = time.Second
	// leastAvoided and mostAvoided bound how long a worker is avoided. The time doubles until a call
	// succeeds.
	leastAvoided, mostAvoided = time.Second, 32 * time.Second
)

// identityForm is the form of the text that identifies the tables.
const identityForm = "00000000-0000-0000-0000-000000000000"

const identifySQL = `
SELECT (SELECT groupid FROM pg_dist_local_group), pg_is_in_recovery(), (SELECT text FROM @incident_statement WHERE form = $1)`

// citusRoute is a shard's range of hashes, and its server. The zero value is no route.
type citusRoute struct {
	least, greatest int32
	group           int64        // of the server
	shard           int64        // of table incident
	worker          *citusWorker // nil without a connection to the server itself
}

// isShared reports whether calls by the route may be for several organizations. Those to a shard of a single
// hash are not.
func (r citusRoute) isShared() bool { return r.least < r.greatest }

// citusRoutes are the routes to all shards, in the order of their ranges.
type citusRoutes []citusRoute

// worker returns the worker that has the organization, or nil if the statement must go through the
// coordinator.
func (s *Store) worker(ctx context.Context, organization any) *citusWorker {
	if s.options.CitusWorker == nil {
		return nil
	}
	return s.route(ctx, organization).worker
}

// route returns the route to the organization if it is known. While a caller reads the list of servers,
// the others do not wait for it.
func (s *Store) route(ctx context.Context, organization any) (none citusRoute) {
	if s.tx != nil {
		return none
	}
	known, workers := &s.citus.known, &s.citus.workers
	routes := known.routes.Load()
	if routes == nil {
		if !workers.reading.CompareAndSwap(false, true) {
			return none
		}
		defer workers.reading.Store(false)
		if _, err := s.nodes(ctx); err != nil {
			return none // the coordinator's error is that of the statement
		}
		if routes = known.routes.Load(); routes == nil {
			return none
		}
	}
	switch v := organization.(type) {
	case string:
		return routes.of(v)
	case counted:
		return routes.of(v.value)
	}
	return none
}

func (r citusRoutes) of(organization string) (none citusRoute) {
	hash := shardHash(organization)
	i, found := slices.BinarySearchFunc(r, hash, func(r citusRoute, hash int32) int { return cmp.Compare(r.greatest, hash) })
	if !found && (i == len(r) || hash < r[i].least) {
		return none
	}
	return r[i]
}

// newCitusRoutes returns the routes of found shards, whose servers are nodes.
func newCitusRoutes(found []foundShard, nodes []citusNode) *citusRoutes {
	routes := make(citusRoutes, len(found))
	for i, f := range found {
		if !f.has(f.organization) {
			return &citusRoutes{}
		}
		routes[i] = citusRoute{least: int32(f.least), greatest: int32(f.greatest), group: f.group, shard: f.shard}
		for _, n := range nodes {
			if n.group == f.group {
				routes[i].worker = n.worker
			}
		}
	}
	slices.SortFunc(routes, func(a, b citusRoute) int { return cmp.Compare(a.least, b.least) })
	return &routes
}

// citusWorkers are the workers of the list that have connections.
type citusWorkers struct {
	options     Options
	identifySQL sqlText
	reading     atomic.Bool // a caller reads the list

	mu  sync.Mutex // guards all
	all map[string]*citusWorker
}

// of makes the list of servers, and asks the host for connections.
func (w *citusWorkers) of(found []foundShard, identity string) (nodes []citusNode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]*citusWorker{}
	for _, f := range found {
		if nodes == nil || nodes[len(nodes)-1].group != f.group {
			nodes = append(nodes, citusNode{group: f.group, organization: map[int64]string{}})
			n := &nodes[len(nodes)-1]
			address := net.JoinHostPort(f.name, strconv.FormatInt(f.port, 10))
			if n.worker = w.worker(address, f.group, identity); n.worker != nil {
				all[address] = n.worker
			}
		}
		n := &nodes[len(nodes)-1]
		n.shards = append(n.shards, f.shard)
		n.organization[f.shard] = f.organization
	}
	for address, worker := range w.all {
		if all[address] != worker {
			_ = worker.store.Close() // the pool belongs to the host
		}
	}
	w.all = all
	return nodes
}

// worker returns the worker with the address, or nil if the host gives no pool that suits.
func (w *citusWorkers) worker(address string, group int64, identity string) *citusWorker {
	if w.options.CitusWorker == nil || identity == "" {
		return nil
	}
	pool := w.options.CitusWorker(address)
	if known := w.all[address]; known != nil && known.store.pool == pool && known.group == group && known.identity == identity {
		return known
	}
	store, err := New(pool, &Options{Schema: w.options.Schema, Unprepared: w.options.Unprepared})
	if err != nil {
		return nil
	}
	store.connectWait, store.schema.isSpread = connectWait, true
	return &citusWorker{store: store, group: group, identity: identity, identifySQL: &w.identifySQL}
}

func (w *citusWorkers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, worker := range w.all {
		_ = worker.store.Close() // it frees what the end of a connection frees, too
	}
}

// citusWorker is a worker to which statements may go without the coordinator.
type citusWorker struct {
	store       *Store // only for its connections
	group       int64
	identity    string
	identifySQL *sqlText

	avoided atomic.Int64 // until then, in nanoseconds since 1970; 0 after a call that succeeded
	pause   atomic.Int64 // for the next time, in nanoseconds
}

// runAt calls run with a connection to a worker. reached is false if it was not called.
func runAt[T any](ctx context.Context, w *citusWorker, a *attempt, run func(*session) (T, error)) (v T, reached bool, err error) {
	if w == nil || !w.mayTry() || ctx.Err() != nil {
		return v, false, nil
	}
	if err = w.decide(ctx); err == nil {
		v, err = within(ctx, a, func() (T, error) {
			return onPool(ctx, w.store, a, func(session *session) (v T, err error) {
				if err := w.identify(ctx, session); err != nil {
					return v, unsentError{err}
				}
				return run(session)
			})
		}, nil)
	} else {
		err = unsentError{err}
	}
	w.learn(ctx, err)
	return v, !isUnsent(err), err
}

// mayTry reports whether to send a statement to the worker. After the time to avoid it, a single
// statement tries.
func (w *citusWorker) mayTry() bool {
	until := w.avoided.Load()
	if until == 0 {
		return true
	}
	now, pause := time.Now().UnixNano(), w.pause.Load()
	if now < until || !w.avoided.CompareAndSwap(until, now+pause) {
		return false
	}
	w.pause.Store(min(2*pause, int64(mostAvoided)))
	return true
}

// learn avoids the worker after an error that is not its answer to the statement.
func (w *citusWorker) learn(ctx context.Context, err error) {
	switch state := sqlState(err); {
	case err == nil, !isUnsent(err) && isRefusal(err) && state != shardElsewhere && !isReadOnly(err):
		if w.avoided.Load() != 0 {
			w.avoided.Store(0)
		}
	case endOf(ctx) == nil || errors.Is(err, errAbandoned):
		w.avoid()
	}
}

// avoid has statements go through the coordinator for a while, unless they do already.
func (w *citusWorker) avoid() {
	if w.avoided.CompareAndSwap(0, time.Now().Add(leastAvoided).UnixNano()) {
		w.pause.Store(int64(2 * leastAvoided))
	}
}

// decide decides, at the first statement, how the worker's connections are used.
func (w *citusWorker) decide(ctx context.Context) error {
	if w.store.wire.decided.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	return w.store.checkSchema(ctx)
}

var errOtherServer = errors.New("the pool that CitusWorker returned leads to another server, or to a standby")

// identify checks a new connection.
func (w *citusWorker) identify(ctx context.Context, session *session) error {
	if session.state.identified {
		return nil
	}
	_, err := send(ctx, session, w.identifySQL, []any{identityForm}, func(rows *driverRows) (none struct{}, err error) {
		group, isStandby, identity := int64(0), false, ""
		err = scanOne(rows, integer(&group), boolean(&isStandby), text(&identity))
		session.state.identified = err == nil && group == w.group && !isStandby && identity == w.identity
		return none, err
	})
	if err == nil && !session.state.identified {
		session.spoiled.Store(true)
		err = errOtherServer
	}
	return err
}
