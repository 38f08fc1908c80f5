//go:build unix

package postgres_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// child is a child process with a task.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.Reader
	killed sync.Once
}

func startChild(t *testing.T, task task) *child {
	t.Helper()
	return startChildWith(t, task)
}

// startChildWith starts a child process with additional open files.
func startChildWith(t *testing.T, task task, files ...*os.File) *child {
	t.Helper()
	text, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), envProcess+"="+string(text))
	c.cmd.Stderr, c.cmd.ExtraFiles = os.Stderr, files
	stdin, err1 := c.cmd.StdinPipe()
	stdout, err2 := c.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, c.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	c.stdin, c.stdout = stdin, stdout
	return c
}

// kill ends the process with kill -9. It may have ended by itself. Each call returns after its end.
func (c *child) kill() {
	c.killed.Do(func() {
		if pid := c.cmd.Process.Pid; pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = c.cmd.Wait() // it was killed
		_ = c.stdin.Close()
	})
}

// lives reports whether the process is running.
func (c *child) lives() bool { return c.cmd.Process.Signal(syscall.Signal(0)) == nil }

// wait waits until the process has ended and all its reports were read.
func (c *child) wait(t *testing.T) {
	t.Helper()
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("a process ended with %v", err)
	}
}

// historian is a child process that makes calls together with others, and the calls that
// it has reported.
type historian struct {
	*child
	ops           []managertest.Operation
	reads, writes atomic.Int64 // the cached reads and the writes among ops
	ended         chan struct{}
}

func startHistorian(t *testing.T, task task) *historian {
	t.Helper()
	h := &historian{child: startChild(t, task), ended: make(chan struct{})}
	go func() {
		defer close(h.ended)
		for d := json.NewDecoder(h.stdout); ; {
			var o managertest.Operation
			if d.Decode(&o) != nil {
				return
			}
			h.ops = append(h.ops, o)
			switch {
			case o.Wrote():
				h.writes.Add(1)
			case o.Cached():
				h.reads.Add(1)
			}
		}
	}()
	return h
}

// stop ends the process, and waits for all its reports.
func (h *historian) stop(t *testing.T) {
	t.Helper()
	_ = h.stdin.Close()
	// A process that does not end prints its goroutines.
	timer := time.AfterFunc(2*time.Minute, func() { _ = h.cmd.Process.Signal(syscall.SIGQUIT) })
	defer timer.Stop()
	<-h.ended
	h.wait(t)
}

// machine is a server with three processes: the first is behind a proxy, the second has a
// clock that is set, and the third only reads.
type machine struct {
	server   *pgtest.Server
	proxy    *pgtest.Proxy
	admin    *sqlx.DB
	children [3]*historian
}

// made returns the numbers of calls that the processes have reported.
func (m *machine) made() (reads, writes int64) {
	for _, c := range m.children {
		reads += c.reads.Load()
		writes += c.writes.Load()
	}
	return reads, writes
}

// goOn lets the processes run for a second, two in the long form, and until they have made
// enough calls.
func (m *machine) goOn(t *testing.T) {
	t.Helper()
	_, before := m.made()
	time.Sleep(time.Second)
	if long {
		time.Sleep(time.Second)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		reads, writes := m.made()
		if reads >= enoughReads && writes >= before+2*enough { // some write nothing
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the processes make no progress: %d reads, %d writes after %d", reads, writes, before)
		}
	}
}

// enough is the number of writes for a meaningful result, enoughReads that of cached reads.
const enough, enoughReads = 100, 1000

// processes runs three real processes with faults, and checks the calls that they report.
func processes(t *testing.T, faults ...func(t *testing.T, m *machine)) managertest.TogetherReport {
	server, _ := startServer(t)
	return processesAt(t, server, server.URL(), faults...)
}

// processesAt is processes with a proxy and a URL. The first process reaches the server
// through the proxy; the others and the checks use the URL. If the URL is empty, all use
// the proxy.
func processesAt(t *testing.T, server *pgtest.Server, url string, faults ...func(t *testing.T, m *machine)) managertest.TogetherReport {
	m := &machine{server: server, proxy: pgtest.NewProxy(t, server.URL()), admin: mustOpen(t, server.URL(), 1)}
	if url == "" {
		url = m.proxy.URL()
	}
	return m.run(t, mustNew(t, mustOpen(t, url, 4), nil), task{URL: url}, faults...)
}

// run runs the three processes, whose common part is all, and checks their calls by a store.
func (m *machine) run(t *testing.T, s *postgres.Store, all task, faults ...func(t *testing.T, m *machine)) managertest.TogetherReport {
	t.Helper()
	manager := mustManager(t, s)
	if err := managertest.OpenTogether(t.Context(), manager); err != nil {
		t.Fatal(err)
	}
	for i, task := range []task{
		{Number: 0, URL: m.proxy.URL(), Citus: all.Citus},
		{Number: 1, URL: all.URL, Citus: all.Citus, ClockSteps: true},
		{Number: 2, URL: all.URL, Citus: all.Citus, LooksOn: true},
	} {
		m.children[i] = startHistorian(t, task)
	}
	m.goOn(t)
	for _, fault := range faults {
		fault(t, m)
		m.goOn(t)
	}
	var ops []managertest.Operation
	for _, c := range m.children {
		c.stop(t)
		ops = append(ops, c.ops...)
	}
	report, err := managertest.CheckTogether(t.Context(), manager, s, ops, t.ArtifactDir())
	if err != nil {
		t.Error(err)
	}
	if report.Reads < enoughReads || report.Writes < enough {
		t.Errorf("only %d reads and %d writes were made", report.Reads, report.Writes)
	}
	checkActive(t, s, 0)
	t.Logf("%+v", report)
	return report
}

// Processes that share a database act like a single process. Their writes and uncached
// reads are linearizable, concurrent firings open a single incident, and a cached read is
// never older than a second, nor older than an earlier read or write of its process. Delays are
// noisy, since a run is as short as a disturbance of the machine: the best of eight runs counts.
func TestProcesses(t *testing.T) {
	var delay time.Duration
	for range 8 {
		if delay = processes(t).Delay; delay <= 50*time.Millisecond || t.Failed() {
			return
		}
	}
	t.Errorf("in the median a write is seen after %v by other processes, want 50 ms", delay)
}

// The same holds if a process is stopped, if its connections fall silent or are killed,
// and if the server crashes.
func TestProcesses_faults(t *testing.T) {
	t.Parallel()
	processes(t, standStill, fallSilent, killBackends, crashServer)
}

func standStill(t *testing.T, m *machine) {
	signal := func(s syscall.Signal) {
		if pid := m.children[1].cmd.Process.Pid; pid > 1 {
			if err := syscall.Kill(pid, s); err != nil {
				t.Error(err)
			}
		}
	}
	signal(syscall.SIGSTOP)
	time.Sleep(stillFor())
	signal(syscall.SIGCONT)
}

// stillFor is 30 s in the long form.
func stillFor() time.Duration {
	if long {
		return 30 * time.Second
	}
	return 2 * time.Second
}

func fallSilent(_ *testing.T, m *machine) {
	m.proxy.Do(pgtest.Silence, 0, 1, 1_000_000)
	time.Sleep(2 * time.Second)
	m.proxy.Heal()
}

func killBackends(t *testing.T, m *machine) {
	_, err := m.admin.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`)
	if err != nil {
		t.Error(err)
	}
}

func crashServer(t *testing.T, m *machine) {
	m.server.Kill()
	if err := m.server.Restart(); err != nil {
		t.Fatal(err)
	}
}

// All writers of four processes at the same incident get their turn: each write is made
// exactly once.
func TestProcesses_contention(t *testing.T) {
	t.Parallel()
	server, pool := startServer(t)
	s := mustNew(t, pool, nil)
	m := mustManager(t, s)
	key := mustBegin(t, m)
	before := mustVersion(t, m, key)
	var children [4]*child
	for i := range children {
		children[i] = startChild(t, task{URL: server.URL(), Number: i, Contends: true})
	}
	changed := mustContend(t, children[:]...)
	if got := mustVersion(t, m, key) - before; got != int64(changed) {
		t.Errorf("%d changes were acknowledged, and %d made", changed, got)
	}
	if err := managertest.Audit(t.Context(), m, s, "acme"); err != nil {
		t.Error(err)
	}
	checkActive(t, s, 0)
}

// mustContend waits until processes have made all contended writes, and returns the number
// of their changes.
func mustContend(t *testing.T, children ...*child) (changed int) {
	t.Helper()
	made := 0
	for i, c := range children {
		d := json.NewDecoder(c.stdout)
		for range contendingWriters {
			var r contention
			if err := d.Decode(&r); err != nil {
				t.Fatal(err)
			}
			changed += r.Changed
			made += r.Made
			if len(r.Failures) > 0 {
				t.Errorf("process %d: %d of %d writes of a writer failed, for example: %s", i, len(r.Failures), r.Made, r.Failures[0])
			}
		}
		_ = c.stdin.Close()
		c.wait(t)
	}
	if least := len(children) * contendingWriters * contendedWrites; changed != made || made < least {
		t.Errorf("%d of %d writes were made, want all and at least %d", changed, made, least)
	}
	return changed
}

func mustVersion(t *testing.T, m incident.Manager, key incident.Key) int64 {
	t.Helper()
	inc, err := m.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return inc.Version
}
