//go:build citus

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
)

// Shards move between the servers, in both modes of Citus, while organizations are written, followed
// and notified. No acknowledged comment is lost, none is there twice, the followers see the last
// versions, and each comment is notified.
func TestCitus_moves(t *testing.T) {
	t.Run("coordinator", func(t *testing.T) { underMoves(t, nil) })
	t.Run("workers", func(t *testing.T) { underMoves(t, openCitusWorkers(t, 16)) })
}

func underMoves(t *testing.T, workers func(string) *sqlx.DB) {
	withoutLoss(t, "moves", workers, func(pool *sqlx.DB, schema string) {
		moves := 0
		for _, mode := range []string{"force_logical", "block_writes", "force_logical", "block_writes"} {
			moves += moveShards(t, pool, schema, mode)
		}
		if moves < 4 {
			t.Errorf("%d moves are too few to show something", moves)
		}
	})
}

// withoutLoss has writers, followers and a relay work while harm is done.
func withoutLoss(t *testing.T, name string, workers func(string) *sqlx.DB, harm func(pool *sqlx.DB, schema string)) {
	t.Helper()
	pool := mustOpen(t, citusURL(t)+fmt.Sprintf("&options=-ccitus.shard_count%%3D%d", citusShards), 16)
	opts := mustCitusSchema(t, pool, fmt.Sprintf("incident_%d_%s_%t", os.Getpid(), name, workers != nil))
	opts.CitusWorker = workers
	notified := &notifiedComments{}
	newManager := func(o *incident.Options) incident.Manager {
		m, err := incident.New(mustNew(t, mustOpen(t, citusURL(t), 8), &opts), o)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := newManager(&incident.Options{Notifier: notified})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var background, writers sync.WaitGroup
	background.Go(func() { _ = m.Run(ctx) })
	var followers [3]incident.Manager
	for i := range followers {
		followers[i] = newManager(&incident.Options{Notifier: incident.NotifyElsewhere})
		background.Go(func() { _ = followers[i].Run(ctx) })
	}

	all := make([]*movedWriter, 8)
	for n := range all {
		all[n] = newMovedWriter(t, m, n)
		all[n].isCrash = !strings.HasPrefix(name, "moves")
		if name == "moves_rebalance" {
			all[n].limit = 5 * time.Minute // Citus moves shards one after another, and block_writes has a call wait for all of its move
		}
		writers.Go(func() { all[n].write(ctx, t, m) })
	}
	harm(pool, opts.Schema)
	for _, w := range all {
		w.end()
	}
	writers.Wait()
	sum := 0
	for _, w := range all {
		sum += w.check(t, m, followers[:]...)
	}
	if sum < 8 {
		t.Errorf("%d writes are too few to show something", sum)
	}
	awaitNotified(t, notified, sum)
	t.Logf("%d writes", sum)
	cancel()
	background.Wait()
}

// moveShards moves the first shard of each server to another server.
func moveShards(t *testing.T, pool *sqlx.DB, schema, mode string) (moves int) {
	t.Helper()
	var all []struct {
		Shard int64  `db:"shard"`
		From  string `db:"from_name"`
		FPort int    `db:"from_port"`
		To    string `db:"to_name"`
		TPort int    `db:"to_port"`
	}
	err := pool.Select(&all, `
		SELECT DISTINCT ON (s.nodeport) s.shardid AS shard, s.nodename AS from_name, s.nodeport AS from_port,
			n.nodename AS to_name, n.nodeport AS to_port
		FROM citus_shards s
		JOIN pg_dist_node n ON n.nodeport <> s.nodeport AND n.shouldhaveshards
		WHERE s.table_name = $1::regclass
		ORDER BY s.nodeport, s.shardid`, schema+".incident")
	if err != nil {
		t.Fatal(err)
	}
	for _, move := range all {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
			_, err := pool.Exec("SELECT citus_move_shard_placement($1, $2, $3, $4, $5, shard_transfer_mode := $6)",
				move.Shard, move.From, move.FPort, move.To, move.TPort, mode)
			if err == nil {
				break
			}
			// Citus removes what an earlier move left in the background.
			if !strings.Contains(err.Error(), "leftover from the previous move") || time.Now().After(deadline) {
				t.Errorf("a move in mode %s: %v", mode, err)
				return moves
			}
		}
		moves++
	}
	return moves
}

// movedWriter comments on an incident.
type movedWriter struct {
	key   incident.Key
	ended chan struct{}
	limit time.Duration // of a call
	acked map[string]bool
	maybe map[string]bool // without a known outcome

	isCrash bool // the servers may be unavailable
	refused int
}

func newMovedWriter(t *testing.T, m incident.Manager, n int) *movedWriter {
	t.Helper()
	inc, err := m.Create(t.Context(), incident.NewIncident{OrganizationID: incident.OrganizationID(fmt.Sprint("organization ", n)), Title: "Errors"})
	if err != nil {
		t.Fatal(err)
	}
	return &movedWriter{key: inc.Key(), limit: 30 * time.Second, ended: make(chan struct{}), acked: map[string]bool{}, maybe: map[string]bool{}}
}

func (w *movedWriter) end() { close(w.ended) }

func (w *movedWriter) write(ctx context.Context, t *testing.T, m incident.Manager) {
	for n := 0; ; n++ {
		select {
		case <-w.ended:
			return
		case <-time.After(50 * time.Millisecond):
		}
		text := fmt.Sprint("comment ", n)
		limited, cancel := context.WithTimeout(ctx, w.limit)
		_, err := m.Comment(limited, w.key, incident.NewComment{UserID: "ada", Comment: text})
		cancel()
		switch {
		case err == nil:
			w.acked[text] = true
		case errors.Is(err, incident.ErrUnknownOutcome):
			w.maybe[text] = true
		case w.isCrash && errors.Is(err, incident.ErrUnavailable):
			w.refused++
		default:
			t.Errorf("%s: %v", text, err)
			return
		}
	}
}

// check returns the number of comments.
func (w *movedWriter) check(t *testing.T, m incident.Manager, followers ...incident.Manager) int {
	t.Helper()
	found := map[string]int{}
	for cursor := ""; ; {
		page, err := m.Activities(t.Context(), w.key, incident.ActivityFilter{Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page.Activities {
			if a.Type == incident.ActivityTypeComment {
				found[a.Comment]++
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for text := range w.acked {
		if found[text] != 1 {
			t.Errorf("%v: the acknowledged %q is there %d times", w.key, text, found[text])
		}
	}
	for text, n := range found {
		if n != 1 || !w.acked[text] && !w.maybe[text] {
			t.Errorf("%v: %q is there %d times", w.key, text, n)
		}
	}
	want, err := m.UpdateStatus(t.Context(), w.key, incident.StatusUpdate{Status: incident.StatusCritical})
	if err != nil {
		t.Fatal(err)
	}
	for _, follower := range followers {
		awaitVersion(t, follower, w.key, want.Incident.Version)
	}
	return len(found)
}

// awaitVersion waits until a follower has the version.
func awaitVersion(t *testing.T, follower incident.Manager, key incident.Key, version int64) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got, err := follower.Get(t.Context(), key)
		if err == nil && got.Version >= version {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v: a follower has %+v, %v, want version %d", key, got, err, version)
		}
	}
}

// notifiedComments records the comments that were notified.
type notifiedComments struct {
	mu  sync.Mutex // guards all
	all map[string]bool
}

// Notify implements [incident.Notifier].
func (n *notifiedComments) Notify(_ context.Context, d incident.Notification) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[string]bool{}
	}
	if strings.HasPrefix(d.Activity.Comment, "comment ") {
		n.all[fmt.Sprint(d.Incident.Key(), d.Activity.Comment)] = true
	}
	return nil
}

func awaitNotified(t *testing.T, n *notifiedComments, want int) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		n.mu.Lock()
		got := len(n.all)
		n.mu.Unlock()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d comments were notified, want %d", got, want)
		}
	}
}
