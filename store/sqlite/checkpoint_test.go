package sqlite_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/incidentkit/incident/store/sqlite"
)

// The log does not grow without bound, even after a reader has held it: during 2000 writes, and in
// the long form for a minute. It begins again a second after the reader has left.
func TestWriter_log(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, &sqlite.Options{Synchronous: sqlite.SynchronousNormal})
	rows, err := mustHostPool(t, path, "").Queryx("SELECT name FROM sqlite_schema")
	if err != nil || !rows.Next() {
		t.Fatal(err)
	}
	for n, start := 0, time.Now(); n < 2000 || long && time.Since(start) < time.Minute; n++ {
		mustCreate(t, s, strings.Repeat("x", 500))
		if long {
			time.Sleep(5 * time.Millisecond)
		}
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	held := sizeOf(t, path+"-wal")
	for left := time.Now(); sizeOf(t, path+"-wal") > 64<<20; {
		if time.Since(left) > 2*time.Minute { // a checkpoint takes long on a busy disk
			t.Errorf("the log has %d bytes, and %d two minutes after the reader left it, want it to begin again after a second", held, sizeOf(t, path+"-wal"))
			break
		}
		mustCreate(t, s, "x")
		time.Sleep(10 * time.Millisecond)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1500 {
				if _, err := create(context.Background(), s, strings.Repeat("x", 500)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	after := sizeOf(t, path+"-wal")
	t.Logf("the log had %d bytes when the reader left it, and %d later", held, after)
	if after > max(held, 64<<20)+32<<20 {
		t.Errorf("the log grew from %d to %d bytes after the reader had left it, want 32 MB more at most", held, after)
	}
}

// A checkpoint that is left behind does not let the log grow: the writes wait for it.
func TestWriter_logOfSlowCheckpoints(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, &sqlite.Options{Synchronous: sqlite.SynchronousNormal})
	s.BeforeCheckpoints(func() { time.Sleep(300 * time.Millisecond) })
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 700 {
				if _, err := create(context.Background(), s, strings.Repeat("x", 500)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	size := sizeOf(t, path+"-wal")
	t.Logf("the log has %d bytes", size)
	if size > 40<<20 {
		t.Errorf("the log has %d bytes after writes beside slow checkpoints, want 40 MB at most", size)
	}
}
