package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// envWriter is the environment variable with the task of a writer process.
const envWriter = "INCIDENT_BENCH_WRITER"

// writerTask is the task of a writer process: to comment on an incident, or to insert
// River jobs.
type writerTask struct {
	URL, Schema string
	River       bool
	Identifier  int64 // of the incident
}

// beWriter writes once for each line of standard input, and prints the time of the
// commit. It ends with its input, and so with its parent process.
func beWriter(ctx context.Context, text string) error {
	var task writerTask
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		return err
	}
	w, err := task.open(ctx)
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		committed, err := w(ctx)
		if err != nil {
			return err
		}
		fmt.Println(committed.UnixNano())
	}
	return nil
}

func (t writerTask) open(ctx context.Context) (write, error) {
	if t.River {
		return riverInserter(ctx, t.URL, t.Schema)
	}
	db, err := sqlx.ConnectContext(ctx, "postgres", t.URL)
	if err != nil {
		return nil, err
	}
	store, err := postgres.New(db, &postgres.Options{Schema: t.Schema})
	if err != nil {
		return nil, err
	}
	m, err := incident.New(store, &incident.Options{Notifier: incident.NotifyElsewhere})
	return commenter(m, incident.Key{OrganizationID: "acme", Identifier: t.Identifier}), err
}

// writer is a writer process.
type writer struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Reader
}

func startWriter(task writerTask) (*writer, error) {
	text, err := json.Marshal(task)
	if err != nil {
		return nil, err
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &writer{cmd: exec.Command(executable)}
	w.cmd.Env = append(os.Environ(), envWriter+"="+string(text))
	w.cmd.Stderr = os.Stderr
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.lines = bufio.NewReader(out)
	return w, w.cmd.Start()
}

// write has the process write, and returns the time of the commit by the machine's clock.
func (w *writer) write(context.Context) (committed time.Time, err error) {
	if _, err := fmt.Fprintln(w.stdin); err != nil {
		return committed, err
	}
	line, err := w.lines.ReadString('\n')
	if err != nil {
		return committed, fmt.Errorf("the process that writes has ended: %w", err)
	}
	nanoseconds, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return time.Unix(0, nanoseconds), err
}

func (w *writer) stop() {
	_ = w.stdin.Close()
	_ = w.cmd.Wait() // it has nothing to report
}
