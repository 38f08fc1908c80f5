package sqlite_test

import (
	"context"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// A caller that leads returns once its own write is done, even if other writes wait.
func TestWriter_leaderLeavesOtherWrites(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), nil)
	leads, led, second := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	leave, leaves := context.WithCancel(t.Context()) // also ends the writes of a test that fails
	hang, hangs := context.WithCancel(t.Context())
	defer hangs()
	defer leaves()
	go func() {
		led <- s.Do(context.Background(), func() error {
			close(leads)
			<-leave.Done()
			return nil
		})
	}()
	await(t, "the leader's write to begin", leads)
	go func() { second <- s.Do(context.Background(), func() error { <-hang.Done(); return nil }) }()
	awaitWaiting(t, s, 1)
	leaves()
	if err := await(t, "the leader to leave the write of another caller", led); err != nil {
		t.Errorf("the leader's write = %v, want nil", err)
	}
	hangs()
	if err := await(t, "the write that waited", second); err != nil {
		t.Errorf("the write that waited = %v, want nil", err)
	}
}

// A caller that leads leaves at BusyTimeout, and later writes succeed.
func TestWriter_leaderExpires(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), &sqlite.Options{BusyTimeout: 50 * time.Millisecond})
	release := holdWriteLock(t, s.Path())
	_, err := create(context.Background(), s, "x")
	wantError(t, "Apply() of the leader", err, "BusyTimeout", incident.ErrUnavailable)
	release()
	if n := mustCreate(t, s, "y"); n != 1 {
		t.Errorf("the next identifier is %d, want 1", n)
	}
}

// A write of the leader that panics does so in its caller. The writer remains usable.
func TestWriter_leaderPanics(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), nil)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a write that panics returns")
			}
		}()
		_ = s.Do(context.Background(), func() error { panic("of a write") })
	}()
	mustCreate(t, s, "after")
}

// A read of an incident uses the writer's connection while nothing is written, and otherwise a
// connection of the readers.
func TestReader_borrowsIdleWriter(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), nil)
	n := mustCreate(t, s, "x")
	borrow(t, s, func() {})
	if _, err := load(s, n); err != nil {
		t.Fatal(err)
	}
	before := s.ReaderConns()
	err := s.InTx(t.Context(), func(tx incident.Store) error {
		if _, err := create(t.Context(), tx, "uncommitted"); err != nil {
			return err
		}
		_, err := load(s, n+1)
		wantError(t, "Load() of an uncommitted incident", err, "", incident.ErrNotFound)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if after := s.ReaderConns(); before != after-1 {
		t.Errorf("the readers have %d connections before and %d after a read beside a transaction, want one more", before, after)
	}
}

// borrow calls read with the connection of the writer, once the writer is idle. A write returns a
// little before.
func borrow(t *testing.T, s *sqlite.Store, read func()) {
	t.Helper()
	eventually(t, "the writer is not idle", func() bool { return s.Borrow(read) })
}

// Writes that arrive while a read borrows the connection run afterwards, also if the read panics.
func TestWriter_waitsForBorrower(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), nil)
	written := make(chan error, 2)
	func() {
		defer func() { _ = recover() }()
		borrow(t, s, func() {
			for _, ctx := range []context.Context{context.Background(), t.Context()} {
				go func() {
					_, err := create(ctx, s, "x")
					written <- err
				}()
			}
			awaitWaiting(t, s, 2)
			panic("of a read")
		})
	}()
	for range 2 {
		if err := await(t, "a write that waited for a read", written); err != nil {
			t.Errorf("a write that waited for a read = %v, want nil", err)
		}
	}
}
