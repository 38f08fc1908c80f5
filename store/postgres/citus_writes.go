package postgres

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/incidentkit/incident"
)

// On Citus, creations of organizations of a server share a call of incident_run_many, as reads do, but in
// lanes of their own: see lanes. The call runs the statement of a single creation for each member, so that it
// writes any creation, also a firing. It is a transaction of its server, and writes all or nothing, except a
// member whose own statement finds something in the way.
//
// The call gives up if it waits long for a shard that moves, for an organization or for a slot: its members
// would wait for another's. A deadlock ends so, too. Whatever fails, each member is repeated alone, and
// creations of its organization wait for it instead of joining the next call.
//
// A repetition after a lost answer goes alone.
//
// A call costs much and each member little, and a caller's next creation may be for any server. Therefore
// a server is crowded if its share of the creations on all servers makes a batch. Then it has one lane at a
// time, with all that wait. The next waits for 7/8 of the share, or until the callers of ended lanes, of all
// servers, have come back: all others are in open lanes. A second lane opens when minSecond wait.
// The load of a slot counts as a creation, because the firing that asks usually creates an incident next:
// otherwise a server with many firings would seem crowded and empty in turn.

// lanesOf returns the lanes for creations of the organization: those of its server on Citus, if it shares calls.
func (s *Store) lanesOf(ctx context.Context, organization incident.OrganizationID) *lanes {
	if s.citus == nil {
		return &s.lanes
	}
	route := s.route(ctx, string(organization))
	if !route.isShared() {
		return &s.lanes
	}
	c := s.citus
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lanes[route.group]
	if l == nil {
		if c.lanes == nil {
			c.lanes = map[int64]*lanes{}
		}
		l = &lanes{crowd: &c.crowd}
		c.lanes[route.group] = l
		c.crowd.servers.Store(int64(len(c.lanes)))
	}
	return l
}

// endGatherings ends the waits of the next lanes of all servers of Citus.
func (s *Store) endGatherings() {
	for _, l := range s.citus.allLanes() {
		l.mu.Lock()
		if l.gather > 0 {
			s.endGathering(l)
		}
		l.mu.Unlock()
	}
}

func (c *citus) allLanes() []*lanes {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.lanes))
}

// mayShareCall reports whether the members, of a server of Citus, may go together in a call.
func mayShareCall(l *lanes, members []*member) bool {
	for _, m := range members {
		if m.byOrg { // a call has failed
			return false
		}
	}
	return !l.apartOnly.Load()
}

// writeOnCitus writes the members, whose organizations are on a server, in a call. It returns those that are
// not written, and must go alone. An error concerns every member.
func (s *Store) writeOnCitus(l *lanes, members []*member) (left []*member, err error) {
	members = sortedByOrg(members)
	c := newCall("apply")
	st := s.statementOfMembers(members, c)
	if st == nil {
		return members, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(members[0].ctx), maxWait) // the server bounds the waits for locks
	defer cancel()
	number := 0
	all, err := queryCounted(ctx, s, c, st, func(rows rowSet) ([]written, error) {
		number = 0
		return readParts(rows.(numberedRows), len(members), func(rows rowSet) (written, error) {
			number++
			return members[number-1].w.readWritten(rows)
		})
	})
	switch {
	case err != nil && c.lost():
		distrust(members)
		return nil, err
	case err != nil:
		if sqlState(err) == undefinedFunction {
			l.apartOnly.Store(true)
		}
		return members, nil
	}
	for i, m := range members {
		if all[i].identifier != 0 {
			m.applied = m.w.applied(all[i])
			continue
		}
		if c.lost() { // an attempt without an answer may have written it
			m.call.again.Store(true)
			m.call.distrust()
		}
		left = append(left, m)
	}
	return left, nil
}

// statementOfMembers returns the statement that runs those of the members, or nil if their texts differ.
func (s *Store) statementOfMembers(members []*member, c *call) *statement {
	parts := make([]*statement, len(members))
	for i, m := range members {
		parts[i] = s.applyStatement(m.w, m.call)
		if !bytes.Equal(parts[i].shape, parts[0].shape) {
			return nil
		}
	}
	st := *parts[0]
	st.args, st.parts = []any{counted{string(members[0].org()), c}}, parts
	return &st
}

// crowd counts the creations on all servers of Citus that wait or are in progress, and the loads of slots. The
// nil crowd is that of plain PostgreSQL. All methods may be called concurrently.
type crowd struct {
	members, servers atomic.Int64 // the creations and loads, and the servers that have had any
	left             atomic.Int64 // the callers of ended lanes that have not come back
}

// add adds n creations.
func (c *crowd) add(n int64) {
	if c != nil {
		c.members.Add(n)
	}
}

// leaves counts n callers whose lane has ended.
func (c *crowd) leaves(n int) { c.left.Add(int64(n)) }

// comesBack counts a caller with its next creation. It reports whether all have come back. A caller who comes for the
// first time counts as one of them.
func (c *crowd) comesBack() (areAllBack bool) {
	if c == nil {
		return false
	}
	for {
		n := c.left.Load()
		if n <= 0 {
			return false
		}
		if c.left.CompareAndSwap(n, n-1) {
			return n == 1
		}
	}
}

// forget counts on nobody to come back.
func (c *crowd) forget() {
	if c != nil {
		c.left.Store(0)
	}
}

// share returns the share of a server in the creations.
func (c *crowd) share() int { return int(c.members.Load() / max(1, c.servers.Load())) }

// isCrowded reports whether the lanes are those of a server of Citus whose share makes a batch.
func (l *lanes) isCrowded() bool { return l.crowd != nil && l.crowd.share() >= minBatch }
