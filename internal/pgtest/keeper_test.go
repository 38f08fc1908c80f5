//go:build unix

package pgtest_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/incidentkit/incident/internal/pgtest"
)

// gone is how long processes and folder of a server may outlive it.
const gone = time.Minute

// remains is everything that must not outlive a server.
type remains struct {
	data   string   // the data directory
	pids   []int    // postmaster first, then its children
	memory []string // files of shared memory, on Linux
}

// occupy makes the server busy: a backend computes, another sleeps in a transaction, and
// others wait for both.
func occupy(t *testing.T, url string) remains {
	t.Helper()
	db := open(t, url)
	db.SetMaxOpenConns(10)
	ctx, cancel := context.WithCancel(t.Context())
	busy := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		for range 2 {
			<-busy
		}
	})
	for _, text := range []string{
		"SELECT count(*) FROM generate_series(1, 100000000000)", // does not notice the end of its postmaster
		"SELECT pg_sleep(600)",
	} {
		go func() {
			_, _ = db.ExecContext(ctx, text) // the server ends first
			busy <- struct{}{}
		}()
	}
	r := remains{}
	if err := db.QueryRow("SHOW data_directory").Scan(&r.data); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(r.data, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(content), "\n")
	postmaster, err := strconv.Atoi(first)
	if err != nil || postmaster <= 1 {
		t.Fatalf("the postmaster is %q", first)
	}
	r.pids = []int{postmaster}
	for deadline := time.Now().Add(gone); len(r.pids) < 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the statements did not begin")
		}
		r.pids = append(r.pids[:1], pidsOf(t, db, "state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()")...)
	}
	r.pids = append(r.pids[:1], pidsOf(t, db, "true")...)
	r.memory = memoryOf(postmaster)
	return r
}

// memoryOf returns the files of a process's shared memory, if there is a /proc.
func memoryOf(pid int) (files []string) {
	maps, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
	for line := range strings.Lines(string(maps)) {
		if i := strings.Index(line, "/dev/shm/"); i >= 0 {
			files = append(files, strings.TrimSpace(line[i:]))
		}
	}
	return slices.Compact(files)
}

func pidsOf(t *testing.T, db *sql.DB, condition string) (pids []int) {
	t.Helper()
	rows, err := db.Query("SELECT pid FROM pg_stat_activity WHERE " + condition)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		pid := 0
		if err := rows.Scan(&pid); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return pids
}

// alive reports whether a process is running. A process that ends gives up its working directory,
// is visible for a moment longer, and may remain as a zombie.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	_, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
	if !errors.Is(err, fs.ErrNotExist) {
		return true
	}
	_, err = os.Readlink("/proc/self/cwd")
	return err != nil // there is no /proc to ask
}

// checkGone fails if anything of a server is left after a while, and removes it.
func (r remains) checkGone(t *testing.T, wait time.Duration) {
	t.Helper()
	home := filepath.Dir(r.data)
	var left []int
	var files []string
	for deadline := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		left = slices.DeleteFunc(slices.Clone(r.pids), func(pid int) bool { return !alive(pid) })
		files = slices.DeleteFunc(append(slices.Clone(r.memory), home), func(path string) bool {
			_, err := os.Stat(path)
			return os.IsNotExist(err)
		})
		if len(left) == 0 && len(files) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	t.Errorf("processes %d and files %q are left, of processes %d", left, files, r.pids)
	for _, pid := range left {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
	}
	for _, path := range files {
		_ = os.RemoveAll(path) // the test has failed
	}
}

func kill(t *testing.T, pid int, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, signal); err != nil {
		t.Error(err)
	}
}

// harms are ways to damage a server without the package.
var harms = []struct {
	name string
	do   func(t *testing.T, r remains)
}{
	{"none", func(*testing.T, remains) {}},
	{"postmaster killed", func(t *testing.T, r remains) { kill(t, r.pids[0], syscall.SIGKILL) }},
	{"postmaster suspended", func(t *testing.T, r remains) { kill(t, r.pids[0], syscall.SIGSTOP) }},
	{"backends suspended", func(t *testing.T, r remains) {
		for _, pid := range r.pids[1:] {
			kill(t, pid, syscall.SIGSTOP)
		}
	}},
	{"postmaster killed, backends suspended", func(t *testing.T, r remains) {
		for _, pid := range r.pids[1:] {
			kill(t, pid, syscall.SIGSTOP)
		}
		kill(t, r.pids[0], syscall.SIGKILL)
	}},
}

// After Stop nothing of the server is left, even if it was damaged.
func TestServer_Stop_leavesNothing(t *testing.T) {
	for _, harm := range harms {
		t.Run(harm.name, func(t *testing.T) {
			t.Parallel()
			s, err := pgtest.StartOwn()
			if err != nil {
				t.Fatal(err)
			}
			r := occupy(t, s.URL())
			harm.do(t, r)
			s.Stop()
			r.checkGone(t, 0)
		})
	}
}

// Nothing of a server outlives the process that started it, even if that process is
// killed.
func TestServer_endsWithItsProcess(t *testing.T) {
	for _, harm := range harms {
		t.Run(harm.name, func(t *testing.T) {
			t.Parallel()
			cmd, url := startChild(t)
			r := occupy(t, url)
			harm.do(t, r)
			kill(t, cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait() // killed
			r.checkGone(t, gone)
		})
	}
}

// startChild starts a process that has a server.
func startChild(t *testing.T) (cmd *exec.Cmd, url string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PGTEST_CHILD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test failed
	url, err = bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(url, "postgres://") {
		t.Fatalf("the child says %q, %v", url, err)
	}
	return cmd, strings.TrimSpace(url)
}

// A process killed while it creates its cluster leaves no folder.
func TestServer_endsWithItsProcessWhileStarting(t *testing.T) {
	temp := t.TempDir()
	if err := os.Chmod(temp, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	for dir := temp; dir != os.TempDir() && len(dir) > 1; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PGTEST_CHILD=1", "TMPDIR="+temp)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	content := func() []string {
		found, err := filepath.Glob(filepath.Join(temp, "*", "data"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for deadline := time.Now().Add(gone); len(content()) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no cluster was begun")
		}
	}
	kill(t, cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait() // killed
	for deadline := time.Now().Add(gone); ; time.Sleep(20 * time.Millisecond) {
		left, err := os.ReadDir(temp)
		if err == nil && len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: %v, %v", left, err)
		}
	}
}
