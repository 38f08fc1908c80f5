package sqlite_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/sqlite"
)

// A caller that leads returns once the batch of its own write is done, even if other writes wait.
func TestWriter_leaderLeavesOtherWrites(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), nil)
	leads, led, last := make(chan struct{}), make(chan error, 1), make(chan error, 1)
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
	joined := make(chan error, sqlite.MaxBatch)
	for range sqlite.MaxBatch - 1 { // they fill the batch of the leader
		go func() { joined <- s.Do(context.Background(), func() error { return nil }) }()
	}
	awaitWaiting(t, s, sqlite.MaxBatch-1)
	go func() { last <- s.Do(context.Background(), func() error { <-hang.Done(); return nil }) }()
	awaitWaiting(t, s, sqlite.MaxBatch)
	leaves()
	if err := await(t, "the leader to leave the write of another caller", led); err != nil {
		t.Errorf("the leader's write = %v, want nil", err)
	}
	for range sqlite.MaxBatch - 1 {
		if err := await(t, "a write of the leader's batch", joined); err != nil {
			t.Errorf("a write of the leader's batch = %v, want nil", err)
		}
	}
	hangs()
	if err := await(t, "the write that waited", last); err != nil {
		t.Errorf("the write that waited = %v, want nil", err)
	}
}

// Writes that arrive while a write is applied share its commit, up to the next transaction.
func TestWriter_lateWritesJoin(t *testing.T) {
	t.Parallel()
	for name, ctx := range map[string]context.Context{"the caller leads": context.Background(), "a goroutine leads": t.Context()} {
		s := mustOpen(t, newPath(t), nil)
		commits := s.CountCommits()
		begun, goOn := make(chan struct{}), make(chan struct{})
		all := make(chan error)
		enter := func(write func() error) { go func() { all <- write() }() }
		createIn := func(s incident.Store, want int64) error {
			n, err := create(ctx, s, "x")
			if err == nil && n != want {
				err = fmt.Errorf("it created incident %d, want %d", n, want)
			}
			return err
		}
		createAs := func(want int64) func() error { return func() error { return createIn(s, want) } }
		enter(func() error { return s.Do(ctx, func() error { close(begun); <-goOn; return nil }) })
		await(t, "the first write to begin", begun)
		var during int64
		for i, write := range []func() error{
			createAs(1), createAs(2),
			func() error {
				return s.InTx(ctx, func(tx incident.Store) error { during = commits.Load(); return createIn(tx, 3) })
			},
			createAs(4), createAs(5),
		} {
			enter(write)
			awaitWaiting(t, s, i+1)
		}
		close(goOn)
		for range 6 {
			if err := await(t, "a write", all); err != nil {
				t.Errorf("%s: a write = %v, want nil", name, err)
			}
		}
		if during != 1 {
			t.Errorf("%s: there were %d commits before the transaction, want 1", name, during)
		}
	}
}

// A write is told whether others wait for it: in the line, or in its batch.
func TestWriter_isAwaited(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), nil)
	begun, goOn := make(chan struct{}), make(chan struct{})
	awaited := make(chan bool, 6)
	done := make(chan error)
	write := func(between func()) {
		go func() {
			done <- s.Do(context.Background(), func() error {
				awaited <- s.IsAwaited()
				between()
				awaited <- s.IsAwaited()
				return nil
			})
		}()
	}
	nothing := func() {}
	write(func() { close(begun); <-goOn })
	await(t, "the first write to begin", begun)
	write(nothing)
	awaitWaiting(t, s, 1)
	write(nothing)
	awaitWaiting(t, s, 2)
	close(goOn)
	for range 3 {
		if err := await(t, "a write", done); err != nil {
			t.Error(err)
		}
	}
	close(awaited)
	var got []bool
	for a := range awaited {
		got = append(got, a)
	}
	if want := []bool{false, true, true, true, false, false}; !slices.Equal(got, want) {
		t.Errorf("the writes were awaited: %t, want %t", got, want)
	}
}

// A late write that violates a constraint does not fail the writes that it has joined.
func TestWriter_lateWriteFails(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newPath(t), nil)
	first := newChange("first", nil)
	begun, goOn := make(chan struct{}), make(chan struct{})
	led, joined, violated := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	applied := 0
	go func() {
		led <- s.Do(context.Background(), func() error {
			if applied++; applied == 1 {
				close(begun)
				<-goOn
			}
			return nil
		})
	}()
	await(t, "the first write to begin", begun)
	go func() { _, err := s.Apply(context.Background(), first); joined <- err }()
	awaitWaiting(t, s, 1)
	go func() {
		_, err := s.Apply(context.Background(), newChange("closed without a date", func(c *incident.Change) { c.Incident.Status = incident.StatusClosed }))
		violated <- err
	}()
	awaitWaiting(t, s, 2)
	close(goOn)
	if err := await(t, "the first write", led); err != nil || applied != 2 {
		t.Errorf("the first write = %v and was applied %d times, want nil, and again in a transaction of its own", err, applied)
	}
	if err := await(t, "the write that joined", joined); err != nil {
		t.Errorf("the write that joined = %v, want nil", err)
	}
	wantError(t, "the late write", await(t, "the late write", violated), "", incident.ErrInvalid)
	if n := mustCreate(t, s, "after"); n != 2 {
		t.Errorf("the next identifier is %d, want 2", n)
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
