package postgres

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// All creations of an organization take their identifiers from the same row, and each holds
// the row's lock until its commit is on disk. By itself, every creation would wait for
// every earlier disk write. Therefore creations that arrive while another is in progress
// form a group and share a commit:
//
//  1. The first creation runs alone.
//  2. Creations that arrive in the meantime wait.
//  3. When it ends, up to maxGroup of them run in a single transaction, and so on until no
//     creation waits.
//
// The connection of a creation in progress may be silent. A creation waits for others only
// for a bounded time. Then it runs alone, and the remaining creations run as a group.

const (
	// maxGroup bounds the creations that share a commit.
	maxGroup = 32
	// groupTimeout bounds the commit of a group, whose members have contexts of their own.
	groupTimeout = 10 * time.Second
	// minGroupWait and maxGroupWait bound how long a creation waits for others.
	minGroupWait, maxGroupWait = 500 * time.Millisecond, 5 * time.Second
)

// groups are the creations in progress.
type groups struct {
	usual   atomic.Int64                                // the usual duration of a creation, in nanoseconds
	mu      sync.Mutex                                  // guards waiting
	waiting map[incident.OrganizationID][]*groupedWrite // has a key while a creation is in progress
}

// maxWait returns how long a creation waits for others: a multiple of the usual duration,
// so that a slow database does not get more work.
func (g *groups) maxWait() time.Duration {
	return min(max(minGroupWait, 4*time.Duration(g.usual.Load())), maxGroupWait)
}

// took records the duration of a successful creation.
func (g *groups) took(d time.Duration) {
	usual := g.usual.Load()
	g.usual.Store(usual + (int64(d)-usual)/8) // a concurrent duration may be lost
}

// groupedWrite is a creation that waits for a group. Its results may be read once done is
// closed.
type groupedWrite struct {
	change  incident.Change
	call    *call
	applied incident.Applied
	err     error
	begun   chan struct{} // closed when the group is sent
	done    chan struct{}
	hasLeft bool // runs alone although the group has not ended
}

// errAlone means that a group wrote nothing, and that each member must run alone.
var errAlone = errors.New("the commit of the group failed")

// applyGrouped applies a creation: alone if no other creation of the organization is in
// progress, otherwise in the next group.
func (s *Store) applyGrouped(ctx context.Context, change incident.Change, c *call) (incident.Applied, error) {
	member := s.groups.join(change, c)
	if member == nil {
		defer s.startGroup(change.Key.OrganizationID)
		return s.applyTimed(ctx, change, c)
	}
	switch err := s.awaitGroup(ctx, member); {
	case errors.Is(err, errAlone), err == nil && errors.Is(member.err, errAlone):
		applied, err := s.applyTimed(ctx, change, c)
		isRefused := isAnswer(err) || isDisturbed(err)
		if member.hasLeft && isRefused && member.ends(ctx) && member.err == nil {
			return member.applied, nil
		}
		return applied, err
	case err != nil:
		return incident.Applied{}, err
	}
	return member.applied, member.err
}

// ends waits for the end of a group that a creation has left, and reports whether it has
// ended. Until then a refusal does not prove that the creation is not written.
func (member *groupedWrite) ends(ctx context.Context) bool {
	timer := time.NewTimer(maxGroupWait)
	defer timer.Stop()
	select {
	case <-member.done:
		member.call.trust()
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// applyTimed is applyAlone, and records its duration.
func (s *Store) applyTimed(ctx context.Context, change incident.Change, c *call) (incident.Applied, error) {
	start := time.Now()
	applied, err := s.applyAlone(ctx, change, c)
	if err == nil {
		s.groups.took(time.Since(start))
	}
	return applied, err
}

// awaitGroup waits until the creation's group has ended. It returns errAlone if that takes
// too long.
func (s *Store) awaitGroup(ctx context.Context, member *groupedWrite) error {
	timer := time.NewTimer(s.groups.maxWait())
	defer timer.Stop()
	select {
	case <-member.begun:
		timer.Reset(s.groups.maxWait())
	case <-timer.C:
		if s.groups.leave(member) {
			s.startGroup(member.change.Key.OrganizationID) // without the silent creation
			return errAlone
		}
		timer.Reset(s.groups.maxWait())
	case <-ctx.Done():
		if s.groups.leave(member) {
			return ctx.Err()
		}
	}
	ended := ctx.Done()
	for {
		select {
		case <-member.done:
			return nil
		case <-ended:
			ended = nil
			timer.Reset(patience)
		case <-timer.C:
			member.call.distrust()
			if ctx.Err() != nil {
				return errAbandoned
			}
			member.call.again.Store(true)
			member.hasLeft = true
			return errAlone
		}
	}
}

// join adds a creation to the next group of its organization. It returns nil if no creation
// is in progress: then the caller must run, and call startGroup at the end.
func (g *groups) join(change incident.Change, c *call) *groupedWrite {
	g.mu.Lock()
	defer g.mu.Unlock()
	org := change.Key.OrganizationID
	waiting, busy := g.waiting[org]
	if g.waiting == nil {
		g.waiting = map[incident.OrganizationID][]*groupedWrite{}
	}
	if !busy {
		g.waiting[org] = nil
		return nil
	}
	member := &groupedWrite{change: change, call: c, begun: make(chan struct{}), done: make(chan struct{})}
	g.waiting[org] = append(waiting, member)
	return member
}

// leave removes a waiting creation. It returns false if the group was sent.
func (g *groups) leave(member *groupedWrite) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	org := member.change.Key.OrganizationID
	for i, other := range g.waiting[org] {
		if other == member {
			g.waiting[org] = append(g.waiting[org][:i:i], g.waiting[org][i+1:]...)
			return true
		}
	}
	return false
}

// next takes the next group, or nil if no creation waits.
func (g *groups) next(org incident.OrganizationID) []*groupedWrite {
	g.mu.Lock()
	defer g.mu.Unlock()
	waiting := g.waiting[org]
	if len(waiting) == 0 {
		delete(g.waiting, org)
		return nil
	}
	n := min(len(waiting), maxGroup)
	g.waiting[org] = waiting[n:]
	for _, member := range waiting[:n] {
		close(member.begun)
	}
	return waiting[:n]
}

// startGroup runs the next group in the background, because its members wait with contexts
// of their own. It starts the following group at the end.
func (s *Store) startGroup(org incident.OrganizationID) {
	group := s.groups.next(org)
	if group == nil {
		return
	}
	go func() {
		defer s.startGroup(org)
		ctx, cancel := context.WithTimeout(context.Background(), groupTimeout)
		defer cancel()
		start := time.Now()
		if len(group) == 1 {
			group[0].applied, group[0].err = s.applyAlone(ctx, group[0].change, group[0].call)
		} else if err := s.applyGroup(ctx, group); err != nil {
			for _, member := range group {
				member.err = err
			}
		} else {
			s.groups.took(time.Since(start))
		}
		for _, member := range group {
			close(member.done)
		}
	}()
}

// applyGroup applies creations in a single transaction. An error of the transaction is returned
// and concerns every member; otherwise each member has its own result.
func (s *Store) applyGroup(ctx context.Context, group []*groupedWrite) error {
	beginning, cancel := context.WithTimeout(ctx, s.groups.maxWait())
	defer cancel()
	tx, err := s.begin(beginning)
	if err != nil {
		return errAlone
	}
	tx.grouped = true
	inner := &Store{database: s.database, tx: tx}
	for _, member := range group {
		// The transaction blocks all creations of the organization while it lasts, also
		// those of other processes.
		applying, cancel := context.WithTimeout(ctx, s.groups.maxWait())
		member.applied, member.err = inner.applyAlone(applying, member.change, member.call.inTransaction())
		cancel()
		if tx.failure != nil {
			tx.rollBack()
			return errAlone
		}
	}
	err = tx.commit(ctx)
	if err == nil {
		return nil
	}
	if isRefusal(err) || errors.Is(err, sql.ErrTxDone) {
		return errAlone
	}
	for _, member := range group {
		member.call.distrust()
	}
	return err
}
