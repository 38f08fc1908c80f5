package sqlite_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident/internal/leaktest"
	"github.com/incidentkit/incident/store/sqlite"
)

// long selects the long forms of the tests.
var long = os.Getenv("INCIDENT_TEST_LONG") != ""

// envProcess holds the task of a test binary that runs as a child process.
const envProcess = "INCIDENT_TEST_PROCESS"

// TestMain limits TestModel to 8 sequences, and to 32 in the long form, unless the command line
// sets the number.
func TestMain(m *testing.M) {
	if text, is := os.LookupEnv(envProcess); is {
		if err := runTask(text); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	settings := map[string]string{"rapid.checks": "40", "test.short": "true"} // in short mode rapid makes a fifth
	if long {
		settings = map[string]string{"rapid.checks": "32"}
	}
	for name, value := range settings {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	leaktest.Main(m)
}

// task is the work of a child process. The process reports on its standard output, a line for
// each result.
type task struct {
	Name    string
	Path    string
	Number  int
	Options sqlite.Options

	Pause     time.Duration // of the task write, after each incident
	ReadsOnly bool          // of the task together
	To        string        // of the task copy
}

// tasks are the works of child processes by name.
var tasks = map[string]func(ctx context.Context, t task) error{}

func runTask(text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	run := tasks[t.Name]
	if run == nil {
		return fmt.Errorf("no task has the name %q", t.Name)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte() // blocks until the parent closes it
		cancel()
	}()
	return run(ctx, t)
}

// child is a process with a task.
type child struct {
	cmd   *exec.Cmd
	stdin interface{ Close() error }
	lines *bufio.Scanner
}

func startChild(t *testing.T, work task, env ...string) *child {
	t.Helper()
	work.Options = *patient(&work.Options)
	text, err := json.Marshal(work)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), append(env, envProcess+"="+string(text))...)
	c.cmd.Stderr = os.Stderr
	stdin, err1 := c.cmd.StdinPipe()
	stdout, err2 := c.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, c.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	c.stdin, c.lines = stdin, bufio.NewScanner(stdout)
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // it may have ended
		_ = c.cmd.Wait()
	})
	return c
}

// next returns the next line, or "" at the end.
func (c *child) next() string {
	if !c.lines.Scan() {
		return ""
	}
	return c.lines.Text()
}

// stop ends the task and returns the remaining lines.
func (c *child) stop(t *testing.T) (rest []string) {
	t.Helper()
	_ = c.stdin.Close() // it may have ended by itself
	for c.lines.Scan() {
		rest = append(rest, c.lines.Text())
	}
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("the process of task %v ended with %v: %s", c.cmd.Env[len(c.cmd.Env)-1], err, strings.Join(rest, "\n"))
	}
	return rest
}

// kill ends the process at once, and returns the remaining lines.
func (c *child) kill() (rest []string) {
	_ = c.cmd.Process.Kill() // it may have ended
	for c.lines.Scan() {
		rest = append(rest, c.lines.Text())
	}
	_ = c.cmd.Wait()
	return rest
}

// await returns the next value of a channel.
func await[T any](t *testing.T, what string, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(time.Minute):
		t.Fatalf("a minute was not enough for %s", what)
	}
	return value
}

// awaitWaiting waits until n writes of the store wait.
func awaitWaiting(t *testing.T, s *sqlite.Store, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("fewer than %d writes wait", n), func() bool { return s.Waiting() >= n })
}

// eventually waits until done returns true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for start := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("a minute later: %s", what)
		}
	}
}
