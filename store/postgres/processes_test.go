//go:build unix

package postgres_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgtest"
)

// child is a process and what it has recorded.
type child struct {
	cmd    *exec.Cmd
	stdin  interface{ Close() error }
	events []event
	writes atomic.Int64 // of events
	ended  chan struct{}
}

func startChild(t *testing.T, url string, number int) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0]), ended: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", envProcess, number, url))
	c.cmd.Stderr = os.Stderr
	stdin, err1 := c.cmd.StdinPipe()
	stdout, err2 := c.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, c.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	c.stdin = stdin
	go func() {
		defer close(c.ended)
		for d := json.NewDecoder(stdout); ; {
			var e event
			if d.Decode(&e) != nil {
				return
			}
			c.events = append(c.events, e)
			if e.Wrote {
				c.writes.Add(1)
			}
		}
	}()
	return c
}

// stop ends the process, and waits for all that it has to say.
func (c *child) stop(t *testing.T) {
	t.Helper()
	_ = c.stdin.Close()
	// A process that does not end shows what its goroutines are doing.
	timer := time.AfterFunc(20*time.Second, func() { _ = c.cmd.Process.Signal(syscall.SIGQUIT) })
	defer timer.Stop()
	<-c.ended
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("a process ended with %v", err)
	}
}

// machine is a server and processes on it, the first of which is behind a proxy.
type machine struct {
	server   *pgtest.Server
	proxy    *pgtest.Proxy
	admin    *sqlx.DB
	children [3]*child
}

// goOn lets the processes work for two seconds, and until they have written enough to
// show something.
func (m *machine) goOn(t *testing.T) {
	t.Helper()
	written := func() (n int64) {
		for _, c := range m.children {
			n += c.writes.Load()
		}
		return n
	}
	target := written() + enough
	time.Sleep(2 * time.Second)
	for deadline := time.Now().Add(time.Minute); written() < target; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the processes make no progress")
		}
	}
}

// enough is how many writes show something.
const enough = 100

// processes runs three real processes, with faults on the way, and checks what they
// have recorded.
func processes(t *testing.T, faults ...func(t *testing.T, m *machine)) {
	t.Setenv(pgtest.EnvURL, "") // a server of its own, which faults may restart
	server, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	pool := mustOpen(t, server.URL(), 4)
	mustMigrate(t, pool, nil)
	s := mustNew(t, pool, nil)
	manager := mustManager(t, s)
	for range processKeys {
		if _, err := manager.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"}); err != nil {
			t.Fatal(err)
		}
	}
	m := &machine{server: server, proxy: pgtest.NewProxy(t, server.URL()), admin: mustOpen(t, server.URL(), 1)}
	for i := range m.children {
		url := server.URL()
		if i == 0 {
			url = m.proxy.URL()
		}
		m.children[i] = startChild(t, url, i)
	}
	m.goOn(t)
	for _, fault := range faults {
		fault(t, m)
		m.goOn(t)
	}
	var events []event
	for _, c := range m.children {
		c.stop(t)
		events = append(events, c.events...)
	}
	checkEvents(t, events)
	if err := managertest.Audit(t.Context(), manager, s, "acme"); err != nil {
		t.Error(err)
	}
}

// checkEvents checks that no write was made twice, that all who fired met in one
// incident, and that no read was older than a second, nor than what its process had
// read or written before.
func checkEvents(t *testing.T, events []event) {
	t.Helper()
	type version struct{ identifier, version int64 }
	writes := map[version]event{}
	slots := map[string]int64{}
	reads, stale := 0, 0
	for _, e := range events {
		if e.Wrote {
			if other, twice := writes[version{e.Identifier, e.Version}]; twice {
				t.Errorf("version %d of %d was written by %+v and by %+v", e.Version, e.Identifier, other, e)
			}
			writes[version{e.Identifier, e.Version}] = e
		}
		if e.Slot != "" {
			if other, known := slots[e.Slot]; known && other != e.Identifier {
				t.Errorf("of slot %q both %d and %d were active", e.Slot, other, e.Identifier)
			}
			slots[e.Slot] = e.Identifier
		}
		if !e.Wrote && e.Slot == "" {
			reads++
		}
	}
	for _, e := range events {
		if e.Identifier > processKeys || e.Wrote {
			continue
		}
		if newer, ok := writes[version{e.Identifier, e.Version + 1}]; ok && newer.End+int64(time.Second) < e.Start {
			stale++
		}
	}
	back := countBack(events)
	if stale > 0 || back > 0 {
		t.Errorf("of %d reads %d are older than a second, and %d older than what their process knew", reads, stale, back)
	}
	if reads < 1000 || len(writes) < enough {
		t.Errorf("only %d reads and %d writes were made", reads, len(writes))
	}
	t.Logf("%d reads, %d writes, %d slots", reads, len(writes), len(slots))
}

// countBack counts the calls that returned a lower version than one which had returned
// before they began, in the same process.
func countBack(events []event) (back int) {
	type of struct {
		process    int
		identifier int64
	}
	byKey := map[of][]event{}
	for _, e := range events {
		byKey[of{e.Process, e.Identifier}] = append(byKey[of{e.Process, e.Identifier}], e)
	}
	for _, calls := range byKey {
		// The highest version among those that ended before each began.
		ends := sortedBy(calls, func(e event) int64 { return e.End })
		highest, next := int64(0), 0
		for _, e := range sortedBy(calls, func(e event) int64 { return e.Start }) {
			for ; next < len(ends) && ends[next].End < e.Start; next++ {
				highest = max(highest, ends[next].Version)
			}
			if e.Version < highest {
				back++
			}
		}
	}
	return back
}

func sortedBy(events []event, by func(event) int64) []event {
	return slices.SortedFunc(slices.Values(events), func(a, b event) int { return cmp.Compare(by(a), by(b)) })
}

// Processes that share a database act as one: they make each change once, open one
// incident for what they all fire, and never read what is older than a second.
func TestProcesses(t *testing.T) { processes(t) }

// So they do when a process stands still, when its connections fall silent or are
// killed, and when the server crashes.
func TestProcesses_faults(t *testing.T) {
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

// stillFor is 30 s in a long run.
func stillFor() time.Duration {
	if os.Getenv("INCIDENT_TEST_LONG") != "" {
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
