package sqlite

import (
	"context"
	"sync/atomic"

	driver "modernc.org/sqlite"

	"github.com/incidentkit/incident"
)

// SetFileSystem makes each directory be on the named network file system, until the returned
// function is called.
func SetFileSystem(name string) (restore func()) {
	before := fileSystemOf
	fileSystemOf = func(string) string { return name }
	return func() { fileSystemOf = before }
}

// Exec runs a statement on the connection that writes, between the writes.
func (s *Store) Exec(ctx context.Context, text string) error {
	if err := s.writer.takeTurn(ctx); err != nil {
		return err
	}
	defer s.writer.endTurn()
	_, err := s.writer.conn.exec(context.Background(), text)
	return err
}

// Checkpoint starts a checkpoint beside the writes, unless another runs.
func (s *Store) Checkpoint() {
	if s.writer.takeTurn(context.Background()) != nil {
		return // the store is closed
	}
	s.writer.checkpoints.since.Add(wantedPages)
	s.writer.endTurn()
}

// BeforeCheckpoints runs fn before each later checkpoint beside the writes.
func (s *Store) BeforeCheckpoints(fn func()) { s.writer.checkpoints.before = fn }

// StatementsOf returns the statements of a migration.
var StatementsOf = statementsOf

// Batch runs applies as a batch of writes that wait together, and returns their errors.
func (s *Store) Batch(ctx context.Context, applies ...func(exec func(text string) error) error) []error {
	if err := s.writer.takeTurn(ctx); err != nil {
		return []error{err}
	}
	all := make([]*write, len(applies))
	for i, apply := range applies {
		all[i] = s.writer.newWrite(func(q session) error {
			return apply(func(text string) error {
				_, err := q.exec(context.Background(), text)
				return err
			})
		})
		if err := s.writer.enter(all[i]); err != nil {
			all[i].err = err
			close(all[i].done)
		}
	}
	s.writer.endTurn()
	errs := make([]error, len(all))
	for i, j := range all {
		<-j.done
		errs[i] = j.err
	}
	return errs
}

// Do runs apply as a write.
func (s *Store) Do(ctx context.Context, apply func() error) error {
	return s.writer.do(ctx, func(session) error { return apply() })
}

// Borrow calls read while it has the connection of the writer, and reports whether it was idle.
func (s *Store) Borrow(read func()) bool { return s.writer.borrow(func(*conn) { read() }) }

// MaxBatch is the most writes that share a commit.
const MaxBatch = maxBatch

// CountCommits counts the later commits of the writer, up to the next transaction.
func (s *Store) CountCommits() *atomic.Int64 {
	n := new(atomic.Int64)
	s.BeforeCommits(func() { n.Add(1) })
	return n
}

// BeforeCommits runs fn before each later commit of the writer, up to the next transaction.
func (s *Store) BeforeCommits(fn func()) {
	if s.writer.takeTurn(context.Background()) != nil {
		return // the store is closed
	}
	defer s.writer.endTurn()
	s.writer.conn.raw.(driver.HookRegisterer).RegisterCommitHook(func() int32 { fn(); return 0 })
}

// IsLate reports whether a portion of a purge ends after a time.
var IsLate = isLate

// IsAwaited reports, in a write, whether other writes wait for it.
func (s *Store) IsAwaited() bool { return s.writer.isAwaited() }

// Waiting returns the number of writes that wait.
func (s *Store) Waiting() int {
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	return len(s.writer.waiting)
}

// ReaderConns returns the number of idle connections of the readers.
func (s *Store) ReaderConns() int {
	s.readers.mu.Lock()
	defer s.readers.mu.Unlock()
	return len(s.readers.idle)
}

// Bound is the driver's value of an argument.
var Bound = bound

// Texts returns the texts of the statements that the connections of the store have prepared.
func (s *Store) Texts() (all []string) {
	if s.writer.takeTurn(context.Background()) == nil { // a write may go on after its caller has left
		defer s.writer.endTurn()
	}
	for text := range s.writer.conn.stmts {
		all = append(all, text)
	}
	s.readers.mu.Lock()
	defer s.readers.mu.Unlock()
	for _, c := range s.readers.idle {
		for text := range c.stmts {
			all = append(all, text)
		}
	}
	return all
}

// PurgeAfter runs a purge that calls between after it has found the due incidents.
func (s *Store) PurgeAfter(ctx context.Context, pq incident.PurgeQuery, between func()) (incident.PurgeBatch, error) {
	due, err := s.findDue(ctx, &pq)
	if err != nil {
		return incident.PurgeBatch{}, err
	}
	between()
	return s.purgeDue(ctx, &pq, due)
}
