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

// Creations in one organization take their identifiers from one row, which each
// holds until its commit is on disk. So that they do not wait for one write to the
// disk each, those that arrive while another is in progress are committed together.
//
// The connection of the one in progress may be silent. Those who wait for it do so
// with patience, and then go on without it: the first of them alone, and those who
// are still waiting then together.

const (
	// maxTogether is how many creations share a commit at most.
	maxTogether = 32
	// togetherTimeout bounds a commit for several, of whom each has a context of
	// its own.
	togetherTimeout = 10 * time.Second
	// minPatience and maxPatience bound how long a creation waits for others.
	minPatience, maxPatience = 500 * time.Millisecond, 5 * time.Second
)

// creations are those in progress.
type creations struct {
	usual   atomic.Int64                            // how long one takes, in nanoseconds
	mu      sync.Mutex                              // guards waiting
	waiting map[incident.OrganizationID][]*creation // has a key while one is in progress
}

// patience is how long a creation waits for others: several times as long as one
// takes, so that a slow store does not get more to do.
func (q *creations) patience() time.Duration {
	return min(max(minPatience, 4*time.Duration(q.usual.Load())), maxPatience)
}

// took notes how long a successful creation took.
func (q *creations) took(d time.Duration) {
	usual := q.usual.Load()
	q.usual.Store(usual + (int64(d)-usual)/8) // that of another may be lost
}

// creation is one that waits. Its results are for who receives from done.
type creation struct {
	change  incident.Change
	by      *call
	applied incident.Applied
	err     error
	begun   chan struct{} // closed when it is sent, with others
	done    chan struct{}
}

// errAlone means that a commit for several failed, that nothing of it was written,
// and that each has to try alone.
var errAlone = errors.New("the commit with others failed")

// create applies a creation: alone if no other is in progress in its organization,
// or else with all that wait by then.
func (s *Store) create(ctx context.Context, c incident.Change, by *call) (incident.Applied, error) {
	item := s.creations.join(c, by)
	if item == nil {
		defer s.createNext(c.Key.OrganizationID)
		return s.applyTimed(ctx, c, by)
	}
	switch err := s.await(ctx, item); {
	case errors.Is(err, errAlone), err == nil && errors.Is(item.err, errAlone):
		return s.applyTimed(ctx, c, by)
	case err != nil:
		return incident.Applied{}, err
	}
	return item.applied, item.err
}

// await waits until a creation was made with others. It returns errAlone if that
// takes too long.
func (s *Store) await(ctx context.Context, item *creation) error {
	timer := time.NewTimer(s.creations.patience())
	defer timer.Stop()
	select {
	case <-item.begun:
		timer.Reset(s.creations.patience())
	case <-timer.C:
		if s.creations.quit(item) {
			s.createNext(item.change.Key.OrganizationID) // of which nobody waits for the silent one then
			return errAlone
		}
		timer.Reset(s.creations.patience())
	case <-ctx.Done():
		if s.creations.quit(item) {
			return ctx.Err()
		}
	}
	ended := ctx.Done()
	for {
		select {
		case <-item.done:
			return nil
		case <-ended:
			ended = nil
			timer.Reset(patience)
		case <-timer.C:
			item.by.doubt()
			if ctx.Err() != nil {
				return errAbandoned
			}
			item.by.again.Store(true)
			return errAlone
		}
	}
}

// applyTimed is applyAlone, and notes how long it took.
func (s *Store) applyTimed(ctx context.Context, c incident.Change, by *call) (incident.Applied, error) {
	start := time.Now()
	applied, err := s.applyAlone(ctx, c, by)
	if err == nil {
		s.creations.took(time.Since(start))
	}
	return applied, err
}

// join returns nil for who is the first.
func (q *creations) join(c incident.Change, by *call) *creation {
	q.mu.Lock()
	defer q.mu.Unlock()
	org := c.Key.OrganizationID
	waiting, busy := q.waiting[org]
	if q.waiting == nil {
		q.waiting = map[incident.OrganizationID][]*creation{}
	}
	if !busy {
		q.waiting[org] = nil
		return nil
	}
	item := &creation{change: c, by: by, begun: make(chan struct{}), done: make(chan struct{})}
	q.waiting[org] = append(waiting, item)
	return item
}

// quit takes a creation back, unless it was sent.
func (q *creations) quit(item *creation) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	org := item.change.Key.OrganizationID
	for i, other := range q.waiting[org] {
		if other == item {
			q.waiting[org] = append(q.waiting[org][:i:i], q.waiting[org][i+1:]...)
			return true
		}
	}
	return false
}

// next takes those that are sent next, or nobody.
func (q *creations) next(org incident.OrganizationID) []*creation {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting := q.waiting[org]
	if len(waiting) == 0 {
		delete(q.waiting, org)
		return nil
	}
	n := min(len(waiting), maxTogether)
	q.waiting[org] = waiting[n:]
	for _, item := range waiting[:n] {
		close(item.begun)
	}
	return waiting[:n]
}

// createNext sends those that wait. They have contexts of their own to wait with.
func (s *Store) createNext(org incident.OrganizationID) {
	items := s.creations.next(org)
	if items == nil {
		return
	}
	go func() {
		defer s.createNext(org)
		ctx, cancel := context.WithTimeout(context.Background(), togetherTimeout)
		defer cancel()
		start := time.Now()
		if len(items) == 1 {
			items[0].applied, items[0].err = s.applyAlone(ctx, items[0].change, items[0].by)
		} else if err := s.createTogether(ctx, items); err != nil {
			for _, item := range items {
				item.err = err
			}
		} else {
			s.creations.took(time.Since(start))
		}
		for _, item := range items {
			close(item.done)
		}
	}()
}

// createTogether applies creations in one transaction. Its error is that of all of
// them, and each item has its own otherwise.
func (s *Store) createTogether(ctx context.Context, items []*creation) error {
	beginning, cancel := context.WithTimeout(ctx, s.creations.patience())
	defer cancel()
	tx, err := s.begin(beginning)
	if err != nil {
		return errAlone
	}
	tx.joint = true
	joint := &Store{database: s.database, tx: tx}
	for _, item := range items {
		// As long as it lasts the transaction keeps everybody else waiting, in other
		// processes too.
		applying, cancel := context.WithTimeout(ctx, s.creations.patience())
		item.applied, item.err = joint.applyAlone(applying, item.change, item.by)
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
	for _, item := range items {
		item.by.doubt()
	}
	return err
}
