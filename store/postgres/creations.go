package postgres

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/incidentkit/incident"
)

// Creations in one organization take their identifiers from one row, which each
// holds until its commit is on disk. So that they do not wait for one write to the
// disk each, those that arrive while another is on its way are committed together.

const (
	// maxTogether is how many creations share a commit at most.
	maxTogether = 32
	// togetherTimeout bounds a commit for several, of whom each has a context of
	// its own.
	togetherTimeout = 10 * time.Second
)

// creations are those on their way.
type creations struct {
	mu      sync.Mutex                              // guards waiting
	waiting map[incident.OrganizationID][]*creation // has a key while one is on its way
}

// creation is one that waits. Its results are for who receives from done.
type creation struct {
	change  incident.Change
	by      *call
	applied incident.Applied
	err     error
	done    chan struct{}
}

// errAlone means that a commit for several failed, that nothing of it was written,
// and that each has to try alone.
var errAlone = errors.New("the commit with others failed")

// create applies a creation: alone if no other is on its way in its organization,
// or else with all that wait by then.
func (s *Store) create(ctx context.Context, c incident.Change, by *call) (incident.Applied, error) {
	item := s.creations.join(c, by)
	if item == nil {
		defer s.createNext(c.Key.OrganizationID)
		return s.applyAlone(ctx, c, by)
	}
	select {
	case <-item.done:
	case <-ctx.Done():
		if s.creations.quit(item) {
			return incident.Applied{}, ctx.Err()
		}
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-item.done:
		case <-timer.C:
			by.doubt()
			return incident.Applied{}, errAbandoned
		}
	}
	if errors.Is(item.err, errAlone) {
		return s.applyAlone(ctx, c, by)
	}
	return item.applied, item.err
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
	item := &creation{change: c, by: by, done: make(chan struct{})}
	q.waiting[org] = append(waiting, item)
	return item
}

// quit takes a creation back, unless it is on its way.
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

// next takes those who are on their way next, or nobody.
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
	return waiting[:n]
}

// createNext sends those who wait on their way, all of whom have contexts of their
// own to wait with.
func (s *Store) createNext(org incident.OrganizationID) {
	items := s.creations.next(org)
	if items == nil {
		return
	}
	go func() {
		defer s.createNext(org)
		ctx, cancel := context.WithTimeout(context.Background(), togetherTimeout)
		defer cancel()
		if len(items) == 1 {
			items[0].applied, items[0].err = s.applyAlone(ctx, items[0].change, items[0].by)
		} else if err := s.createTogether(ctx, items); err != nil {
			for _, item := range items {
				item.err = err
			}
		}
		for _, item := range items {
			close(item.done)
		}
	}()
}

// createTogether applies creations in one transaction. Its error is that of all of
// them, and each item has its own otherwise.
func (s *Store) createTogether(ctx context.Context, items []*creation) error {
	tx, err := s.begin(ctx)
	if err != nil {
		return errAlone
	}
	tx.joint = true
	joint := &Store{database: s.database, tx: tx}
	for _, item := range items {
		item.applied, item.err = joint.applyAlone(ctx, item.change, item.by)
		if tx.failure != nil {
			tx.rollBack()
			return errAlone
		}
	}
	_, err = within(ctx, func() (struct{}, error) {
		err := tx.Commit()
		_ = tx.conn.Close()
		return struct{}{}, err
	}, nil)
	if err == nil {
		s.prepareAll(ctx, tx.unprepared)
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
