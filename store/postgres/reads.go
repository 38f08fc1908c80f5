package postgres

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Reads of an incident or a slot that meet are read together. Most of the processor time of such
// a read is a fixed cost of its statement and its round trip.
//
// A lane sends statements one after the other, each for some of the reads that wait:
//
//  1. A read opens a lane if fewer than maxReadLanes are open. In any case it waits.
//  2. A lane takes a connection of the pool, and then its share of the waiting reads. So the
//     statement begins after all callers that it answers have asked.
//  3. After the statement, the callers that it has answered run before the lane continues,
//     because they may read again. If no read waits then, the lane ends.
//  4. If the statement fails, each of its reads is repeated alone, with the context of its caller.
//
// A statement has the values of the context of its first member, for a wrapper of the driver that traces:
// see valuesContext.
//
// A caller whose context ends leaves at once. A statement for which nobody waits is cancelled,
// and abandoned without an answer within patience.
//
// The connection of a lane may be silent. Therefore a lane counts only for a bounded time: see
// reads.watch.

// maxReadLanes returns how many lanes may be open. With more lanes than processors, statements
// have fewer members, and no call is faster.
func maxReadLanes() int { return min(max(2, runtime.GOMAXPROCS(0)), 8) }

func (r *reads[K, V]) mostLanes() int { return cmp.Or(r.most, maxReadLanes()) }

// reads are the reads of a kind that wait, or are in progress.
type reads[K, V any] struct {
	readKind[K, V]

	mu       sync.Mutex                   // guards the fields below, and the fields of lanes that say so
	waiting  []*reading[K, V]             // in order of arrival
	lanes    map[*readLane[K, V]]struct{} // that wait for the server, or for a connection
	open     int                          // the lanes that count
	members  int                          // the members of those
	watching bool                         // watch will be called
	apart    bool                         // the database refuses statements for several reads
	servers  map[int64]*reads[K, V]       // on Citus, the reads of each server by its group
	most     int                          // the lanes that may be open, or 0 for maxReadLanes
}

// reading is a read that waits, or is a member of a lane.
type reading[K, V any] struct {
	ctx  context.Context // of the caller
	key  K
	lane *readLane[K, V] // nil while the read waits; guarded by reads.mu

	// The fields below may be read after woken has received a value.
	value V
	err   error
	woken chan struct{} // receives one value
}

// readLane is a statement for reads that waited.
type readLane[K, V any] struct {
	ctx     context.Context // of the statement
	cancel  context.CancelFunc
	attempt *attempt

	// The fields below are guarded by reads.mu.
	began      time.Time
	counts     bool             // reads wait for the lane
	members    []*reading[K, V] // nil until the lane has a connection
	callers    int              // the members whose callers wait
	isGivenUp  bool
	isAnswered bool
}

// share returns the value of key at some time within the call. It returns errAlone if the caller
// must read alone.
func (r *reads[K, V]) share(ctx context.Context, s *Store, key K) (v V, err error) {
	if err := ctx.Err(); err != nil {
		return v, err
	}
	if err := s.checkSchema(ctx); err != nil {
		return v, err
	}
	m := &reading[K, V]{ctx: ctx, key: key, woken: make(chan struct{}, 1)}
	if !r.join(s, m) {
		return v, errAlone
	}
	select {
	case <-m.woken:
		return m.value, m.err
	case <-ctx.Done():
		r.leave(s, m)
		return v, ctx.Err()
	}
}

// join has the read wait for a lane, and opens a lane if one more may be open. It returns false
// if reads cannot be shared.
func (r *reads[K, V]) join(s *Store, m *reading[K, V]) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.apart {
		return false
	}
	r.waiting = append(r.waiting, m)
	if r.open < r.mostLanes() {
		r.openLane(s)
	}
	return true
}

// leave ends the waiting of a caller. It gives up what nobody waits for any more. The reads that
// still wait get another lane.
func (r *reads[K, V]) leave(s *Store, m *reading[K, V]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ln := m.lane; ln != nil {
		if ln.callers--; ln.callers == 0 {
			r.giveUp(ln)
			r.openLanes(s)
		}
		return
	}
	r.waiting = slices.DeleteFunc(r.waiting, func(other *reading[K, V]) bool { return other == m })
	if len(r.waiting) > 0 {
		return
	}
	for ln := range r.lanes {
		if ln.members == nil {
			r.giveUp(ln)
		}
	}
}

// giveUp cancels the statement of the lane, and abandons it without an answer within patience. No
// read waits for the lane any more.
func (r *reads[K, V]) giveUp(ln *readLane[K, V]) {
	r.uncount(ln)
	if ln.isGivenUp {
		return
	}
	ln.isGivenUp = true
	ln.cancel()
	time.AfterFunc(patience, ln.attempt.abandon)
}

// openLanes opens lanes for the reads that wait, as many as may be open.
func (r *reads[K, V]) openLanes(s *Store) {
	for n := len(r.waiting); n > 0 && r.open < r.mostLanes(); n-- {
		r.openLane(s)
	}
}

func (r *reads[K, V]) openLane(s *Store) {
	r.open++
	go r.run(s, r.begin(s))
}

// begin returns a lane that counts, for the reads that wait.
func (r *reads[K, V]) begin(s *Store) *readLane[K, V] {
	ln := &readLane[K, V]{attempt: &attempt{watched: true}, began: time.Now(), counts: true}
	ln.ctx, ln.cancel = context.WithCancel(context.WithoutCancel(r.waiting[0].ctx))
	if r.lanes == nil {
		r.lanes = map[*readLane[K, V]]struct{}{}
	}
	r.lanes[ln] = struct{}{}
	if !r.watching {
		r.watching = true
		time.AfterFunc(minLaneWait, func() { r.watch(s) })
	}
	return ln
}

// take makes waiting reads the members of the lane: a share such that all lanes have as many. There
// are none if their callers have left.
func (r *reads[K, V]) take(ln *readLane[K, V]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, lanes := len(r.waiting)+r.members, r.mostLanes()
	n := min(max(1, (all+lanes-1)/lanes), len(r.waiting), maxMembers)
	ln.members = slices.Clone(r.waiting[:n])
	ln.callers = n
	r.waiting = slices.Delete(r.waiting, 0, n)
	for _, m := range ln.members {
		m.lane = ln
	}
	if ln.counts {
		r.members += n
	}
}

// uncount has reads wait no longer for the lane.
func (r *reads[K, V]) uncount(ln *readLane[K, V]) {
	if ln.counts {
		ln.counts = false
		r.open--
		r.members -= len(ln.members)
	}
}

// end ends the statement of the lane, and answers its members. It returns the lane for the next
// statement, or nil.
func (r *reads[K, V]) end(s *Store, ln *readLane[K, V], values []V, err error) (next *readLane[K, V]) {
	ln.cancel()
	counted := r.close(ln)
	r.answer(ln, values, err)
	if !counted {
		return nil
	}
	runtime.Gosched()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		r.open--
		return nil
	}
	return r.begin(s)
}

// close ends the statement of the lane. It reports whether the lane counted, and leaves it among the
// open lanes then.
func (r *reads[K, V]) close(ln *readLane[K, V]) (counted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.lanes, ln)
	counted = ln.counts
	if counted {
		r.members -= len(ln.members)
	}
	ln.counts, ln.isGivenUp = false, true // for callers that leave late
	return counted
}

// answer passes a result to the members of the lane, unless they have one.
func (r *reads[K, V]) answer(ln *readLane[K, V], values []V, err error) {
	r.mu.Lock()
	isLate := ln.isAnswered
	ln.isAnswered = true
	r.mu.Unlock()
	if isLate {
		return
	}
	for i, m := range ln.members {
		if m.err = err; err == nil {
			m.value = values[i]
		}
		m.woken <- struct{}{}
	}
}

// watch has reads wait no longer for lanes that take too long. Each of those doubles the time that
// other lanes have, so that a silent network gets few connections. A statement with several members
// is given up after maxLaneWait, and each of its reads is repeated alone.
func (r *reads[K, V]) watch(s *Store) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watching = len(r.lanes) > 0; !r.watching {
		return
	}
	limit := minLaneWait
	for ln := range r.lanes {
		if !ln.counts {
			limit = min(2*limit, maxLaneWait)
		}
	}
	for ln := range r.lanes {
		age := time.Since(ln.began)
		if age >= limit {
			r.uncount(ln)
		}
		if age >= maxLaneWait && len(ln.members) > 1 && !ln.isGivenUp {
			r.giveUp(ln)
			time.AfterFunc(2*patience, func() { r.answer(ln, nil, errAlone) })
		}
	}
	r.openLanes(s)
	time.AfterFunc(minLaneWait, func() { r.watch(s) })
}
