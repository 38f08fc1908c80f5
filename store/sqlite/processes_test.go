//go:build unix

package sqlite_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/sqlite"
)

// bystander is the organization of the processes that are killed.
const bystander incident.OrganizationID = "bystander"

// acknowledged is a creation that was acknowledged to a child process.
type acknowledged struct {
	Identifier int64
	Title      string
}

func init() {
	tasks["write"] = func(ctx context.Context, t task) error {
		s, err := sqlite.Open(context.WithoutCancel(ctx), t.Path, &t.Options)
		if err != nil {
			return err
		}
		m, err := incident.New(s, &incident.Options{Cache: incident.NoCache, Notifier: incident.NotifyElsewhere})
		if err != nil {
			return err
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		out := json.NewEncoder(os.Stdout)
		for w := range 4 {
			all.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					title := fmt.Sprintf("%d of writer %d of process %d", i, w, t.Number)
					r, err := m.Create(context.Background(), incident.NewIncident{OrganizationID: bystander, Title: title})
					if err == nil {
						mu.Lock()
						_ = out.Encode(acknowledged{r.Identifier, title}) // without a parent there is no reader
						mu.Unlock()
						_, err = m.UpdateStatus(context.Background(), r.Key(), incident.StatusUpdate{Status: incident.StatusClosed})
					}
					if err != nil {
						fmt.Println("error:", err)
						return
					}
					time.Sleep(t.Pause)
				}
			})
		}
		all.Wait()
		return s.Close()
	}
	tasks["together"] = func(ctx context.Context, t task) error {
		s, err := sqlite.Open(context.WithoutCancel(ctx), t.Path, &t.Options)
		if err != nil {
			return err
		}
		m, err := incident.New(s, nil)
		if err != nil {
			return err
		}
		run, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		all.Go(func() { _ = m.Run(run) }) // it ends with its context
		out := json.NewEncoder(os.Stdout)
		err = managertest.TogetherWorker{
			Manager: m, Process: t.Number, ReadsOnly: t.ReadsOnly, MaxPause: 2 * time.Millisecond,
			Emit: func(o managertest.Operation) { _ = out.Encode(o) }, // without a parent there is no reader
		}.Run(ctx)
		cancel()
		all.Wait()
		if closed := s.Close(); err == nil {
			err = closed
		}
		return err
	}
}

// rounds is the number of processes that are killed.
func rounds() int {
	if long {
		return 150
	}
	return 6
}

// Whatever a process acknowledged is there after kill -9, and nothing is torn, with either
// Synchronous. Another process writes meanwhile.
func TestProcesses_killed(t *testing.T) {
	t.Parallel()
	for name, synchronous := range map[string]sqlite.Synchronous{"full": sqlite.SynchronousFull, "normal": sqlite.SynchronousNormal} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := mustOpen(t, path, nil)
			var lines []string
			steady := startChild(t, task{Name: "write", Path: path, Options: sqlite.Options{Synchronous: synchronous}})
			for round := range rounds() {
				victim := startChild(t, task{Name: "write", Path: path, Number: round + 1, Options: sqlite.Options{Synchronous: synchronous}})
				lines = append(lines, victim.next())
				time.Sleep(rand.N(150 * time.Millisecond))
				lines = append(lines, victim.kill()...)
			}
			lines = append(lines, steady.stop(t)...)
			checkAcknowledged(t, s, lines)
			auditBystander(t, s, path)
		})
	}
}

// checkAcknowledged fails unless each of the lines is an incident of the store. A killed process
// may have cut its last line.
func checkAcknowledged(t *testing.T, s incident.Store, lines []string) {
	t.Helper()
	checked := 0
	for _, line := range lines {
		var a acknowledged
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			if strings.HasPrefix(line, "error:") {
				t.Errorf("a process reports %s", line)
			}
			continue
		}
		checked++
		st, err := s.Load(t.Context(), incident.Key{OrganizationID: bystander, Identifier: a.Identifier})
		if err != nil || st.Incident.Title != a.Title {
			t.Errorf("incident %d was acknowledged as %q, and is %q, %v", a.Identifier, a.Title, st.Incident.Title, err)
		}
	}
	if checked == 0 {
		t.Error("no process acknowledged anything")
	}
	t.Logf("%d acknowledged incidents are there", checked)
}

// The calls of three processes on one file, with caches, are linearizable, although one of them
// stands still for a while, and a fourth process is killed.
func TestProcesses_together(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	m, err := incident.New(s, &incident.Options{Cache: incident.NoCache, Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	if err := managertest.OpenTogether(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var children []*child
	for i := range 3 {
		children = append(children, startChild(t, task{Name: "together", Path: path, Number: i, ReadsOnly: i == 2}))
	}
	victim := startChild(t, task{Name: "write", Path: path, Number: 3})
	lines := []string{victim.next()}
	time.Sleep(700 * time.Millisecond)
	if err := children[0].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	if err := children[0].cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(700 * time.Millisecond)
	checkAcknowledged(t, s, append(lines, victim.kill()...))
	time.Sleep(700 * time.Millisecond)
	lines = nil
	for _, c := range children {
		lines = append(lines, c.stop(t)...)
	}
	var ops []managertest.Operation
	for _, line := range lines {
		var o managertest.Operation
		if err := json.Unmarshal([]byte(line), &o); err == nil { // a killed process may have cut its last line
			ops = append(ops, o)
		}
	}
	report, err := managertest.CheckTogether(t.Context(), m, s, ops, filepath.Join(t.TempDir(), "artifacts"))
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d calls: %+v", len(ops), report)
}

// Of four processes that write all the time, none starves. What they have acknowledged is there. They
// write for a second, and on a busy machine until they have written enough to compare. In the long
// form they write for a minute. A busy machine may let a process starve, but not in each of five rounds.
func TestProcesses_fair(t *testing.T) {
	var counts []int
	for range 5 {
		if counts = writeTogether(t); slices.Min(counts)*10 >= slices.Max(counts) || t.Failed() {
			return
		}
	}
	t.Errorf("the processes wrote %v incidents in the same time, want at least a tenth of the most from each", counts)
}

// writeTogether returns how many incidents each of four processes has written.
func writeTogether(t *testing.T) (counts []int) {
	t.Helper()
	path := newPath(t)
	s := mustOpen(t, path, nil)
	length := time.Second
	if long {
		length = time.Minute
	}
	var children []*child
	for i := range 4 {
		children = append(children, startChild(t, task{Name: "write", Path: path, Number: i}))
	}
	for _, c := range children {
		c.next()
	}
	lines := make([][]string, len(children))
	var written atomic.Int64
	var all sync.WaitGroup
	for i, c := range children {
		all.Go(func() {
			for line := c.next(); line != ""; line = c.next() { // so that the pipe never fills
				lines[i] = append(lines[i], line)
				written.Add(1)
			}
		})
	}
	time.Sleep(length)
	for start := time.Now(); written.Load() < 1500 && time.Since(start) < 20*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	for _, c := range children {
		_ = c.stdin.Close() // all end at once
	}
	all.Wait()
	for i, c := range children {
		c.stop(t)
		counts = append(counts, len(lines[i]))
	}
	t.Logf("the processes wrote %v incidents", counts)
	checkAcknowledged(t, s, slices.Concat(lines...))
	auditBystander(t, s, path)
	return counts
}

// auditBystander fails unless the organization of the writing processes is whole.
func auditBystander(t *testing.T, s *sqlite.Store, path string) {
	t.Helper()
	m, err := incident.New(s, &incident.Options{Cache: incident.NoCache, Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	if err := managertest.Audit(t.Context(), m, s, bystander); err != nil {
		t.Error(err)
	}
	if err := managertest.AuditOutbox(t.Context(), m, s, bystander); err != nil {
		t.Error(err)
	}
	if result := textOf(t, path, "PRAGMA integrity_check"); result != "ok" {
		t.Errorf("integrity_check = %s", result)
	}
}
