package postgres

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// Creations that meet are written together, as batches. Two costs make that worthwhile. All
// creations of an organization take their identifiers from the same row, and each holds the
// row's lock until its commit is on disk. And most of the processor time of a creation is a
// fixed cost of its statement, its commit and its round trip.
//
// A statement in progress, and the creations that it writes, are a lane:
//
//  1. A creation goes alone and at once, in a lane of its own, if at most maxAlone lanes are
//     open and none has a creation of its organization.
//  2. Otherwise it waits, as a member of a later batch.
//  3. When a lane ends, the waiting creations go: in a batch if there are minBatch of them, and
//     else alone. A batch has one layout. Those before so many of another layout go at once, too.
//
// The callers of a batch come back with their next creations a moment after its end. The next
// batch waits for them: see lanes.gather.
//
// Only usual creations of a Manager, such as Create makes, are members of a batch of several
// organizations. Every other creation waits only for creations of its own organization, and goes
// with them. See writeBatch for the statements.
//
// On Citus each server has lanes of its own, and fewer of them: see writeOnCitus and crowd.
//
// A statement or commit for a batch has the values of the context of its first member, for a wrapper of
// the driver that traces.
//
// The connection of a lane may be silent, or a host's transaction may have locked its
// organization. Therefore a lane counts only for a bounded time: see lanes.retire.

const (
	// maxAlone bounds the lanes in which a creation goes alone.
	maxAlone = 4
	// maxBatches bounds the batches in progress.
	maxBatches = 2
	// minBatch is the least number of creations in a batch of several organizations, unless the
	// batch before had fewer.
	minBatch = 4
	// maxMembers bounds the members of a batch, and maxGroup those of a batch of several statements.
	maxMembers, maxGroup = 64, 32
	// minSecond is the least number of creations in a batch beside another lane of a crowded server of
	// Citus.
	minSecond = 8
	// gatherTime bounds the wait for the callers of the batch before.
	gatherTime = 100 * time.Microsecond
	// minLaneWait and maxLaneWait bound how long creations of other organizations wait for a lane.
	minLaneWait, maxLaneWait = 50 * time.Millisecond, time.Second
	// minWait and maxWait bound how long creations of its organizations wait for a lane, and how
	// long a batch may take.
	minWait, maxWait = 500 * time.Millisecond, 5 * time.Second
)

// lanes are the creations in progress, and those that wait.
type lanes struct {
	usual     atomic.Int64 // the usual duration of a lane, in nanoseconds
	crowd     *crowd       // of a server of Citus, or nil
	apartOnly atomic.Bool  // the database refuses statements for several organizations

	mu      sync.Mutex                        // guards the fields below
	waiting []*member                         // in order of arrival
	byOrg   map[incident.OrganizationID]*lane // the open lane of an organization
	alone   int                               // the open lanes of kind aloneLane
	batches int                               // the open lanes of kind batchLane
	batched int                               // the members of those
	gather  int                               // the members for which the next batch waits, or 0
	gathers int                               // counts the waits
}

// lane is a statement in progress.
type lane struct {
	lanes   *lanes
	members []*member
	began   time.Time
	kind    laneKind
}

// laneKind tells for which other creations a lane counts, beside those of its organizations.
type laneKind int

const (
	uncounted laneKind = iota
	aloneLane          // a creation, or a batch of one organization
	batchLane          // a batch of several organizations
)

// member is a creation that waits, or that a batch writes.
type member struct {
	ctx    context.Context // of the caller
	w      writing
	call   *call
	lanes  *lanes // of the server that has the organization
	layout layout // equal for the members of a batch
	byOrg  bool   // goes only with creations of its organization, and waits for no others

	// The fields below must be read only after woken has received a value.
	lane    *lane // in which the creation must go alone, if it is not written
	applied incident.Applied
	err     error
	woken   chan struct{} // receives one value
	gone    bool          // nobody waits for the creation
}

func (m *member) org() incident.OrganizationID { return m.w.Key.OrganizationID }

// errAlone means that a statement for several has not written the creation, or not answered the
// read, and that it must go alone.
var errAlone = errors.New("the batch failed")

// wait returns how long to wait for a lane: a multiple of the usual duration, so that a slow
// database does not get more work.
func (l *lanes) wait(least, most time.Duration) time.Duration {
	return min(max(least, 4*time.Duration(l.usual.Load())), most)
}

// took records the duration of a successful lane.
func (l *lanes) took(d time.Duration) {
	usual := l.usual.Load()
	l.usual.Store(usual + (int64(d)-usual)/8) // a concurrent duration may be lost
}

// applyInLane applies a creation, alone or in a batch.
func (s *Store) applyInLane(ctx context.Context, change incident.Change, c *call) (incident.Applied, error) {
	m := s.newMember(ctx, change, c)
	m.lanes.crowd.add(1)
	defer m.lanes.crowd.add(-1)
	if s.join(m) {
		if err := s.await(ctx, m); err != nil {
			return incident.Applied{}, err
		}
	}
	switch {
	case m.lane != nil:
		defer s.end(m.lane, nil)
		return s.applyTimed(m, change)
	case errors.Is(m.err, errAlone):
		return s.applyTimed(m, change)
	}
	return m.applied, m.err
}

// newMember returns the member for a creation.
func (s *Store) newMember(ctx context.Context, change incident.Change, c *call) *member {
	m := &member{ctx: ctx, w: s.newWriting(change, c), call: c, lanes: s.lanesOf(ctx, change.Key.OrganizationID)}
	if m.lanes == &s.lanes {
		m.layout, m.byOrg = m.w.batchLayout()
	} else {
		m.layout, m.byOrg = m.w.layout(), c.again.Load()
	}
	m.byOrg = m.byOrg || m.lanes.apartOnly.Load()
	return m
}

// applyTimed applies the change of a member alone, and records the duration.
func (s *Store) applyTimed(m *member, change incident.Change) (incident.Applied, error) {
	start := time.Now()
	applied, err := s.applyAlone(m.ctx, change, m.call)
	if err == nil {
		m.lanes.took(time.Since(start))
	}
	return applied, err
}

// await waits until the creation is written, or must go alone, or its context has ended.
func (s *Store) await(ctx context.Context, m *member) error {
	timer := time.NewTimer(m.lanes.wait(minLaneWait, maxLaneWait))
	defer timer.Stop()
	for ended, isEnding := ctx.Done(), false; ; {
		select {
		case <-m.woken:
			return nil
		case <-ended:
			if m.lanes.leave(m, false) {
				return ctx.Err()
			}
			ended, isEnding = nil, true
			timer.Reset(patience)
		case <-timer.C:
			if isEnding {
				return s.abandon(ctx, m)
			}
			s.retire(m.lanes)
			timer.Reset(m.lanes.wait(minLaneWait, maxLaneWait))
		}
	}
}

// abandon ends a creation after its context has ended. If it was sent, its outcome is unknown.
func (s *Store) abandon(ctx context.Context, m *member) error {
	if m.lanes.leave(m, true) {
		return ctx.Err()
	}
	select {
	case <-m.woken:
		return nil
	default:
		m.call.distrust()
		return errAbandoned
	}
}
