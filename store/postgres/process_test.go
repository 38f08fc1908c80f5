package postgres_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// envProcess makes the test binary a process of its own on the database that it names.
const envProcess = "INCIDENT_TEST_PROCESS"

// event is a call that a process has made. Times are of the machine's clock, which all
// processes share.
type event struct {
	Process    int
	Wrote      bool // an acknowledged change, and otherwise a read
	Identifier int64
	Version    int64
	Slot       string // of a firing: whose incident it opened or joined
	Start, End int64  // nanoseconds
}

// recorder writes down what goroutines of a process do.
type recorder struct {
	mu  sync.Mutex // guards out
	out *json.Encoder
}

func (r *recorder) add(e event, start time.Time) {
	e.Start, e.End = start.UnixNano(), time.Now().UnixNano()
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.out.Encode(e) // the parent is gone: so is the reader
}

// runProcess is the main function of a process: it reads and writes until its standard
// input ends.
func runProcess(url string, number int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	pool, err := sqlx.Open("postgres", url)
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(8)
	defer pool.Close()
	s, err := postgres.New(pool, nil)
	if err != nil {
		return err
	}
	m, err := incident.New(s, nil)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { _ = m.Run(ctx) })
	r := &recorder{out: json.NewEncoder(os.Stdout)}
	for range 2 {
		all.Go(func() { r.read(ctx, m, number) })
		if number < lookingOn {
			all.Go(func() { r.write(ctx, m, number) })
		}
	}
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // waits for the end
	return nil
}

const processKeys = 4

// lookingOn is a process that writes nothing, and has only the feed to learn from.
const lookingOn = 2

func (r *recorder) read(ctx context.Context, m incident.Manager, number int) {
	for ctx.Err() == nil {
		key := incident.Key{OrganizationID: "acme", Identifier: rand.Int64N(processKeys) + 1}
		start := time.Now()
		inc, err := m.Get(ctx, key)
		if err == nil {
			r.add(event{Process: number, Identifier: key.Identifier, Version: inc.Version}, start)
		}
		time.Sleep(rand.N(500 * time.Microsecond))
	}
}

// write changes the status of an incident, or fires what all processes fire.
func (r *recorder) write(ctx context.Context, m incident.Manager, number int) {
	statuses := []incident.Status{incident.StatusOpen, incident.StatusWarning, incident.StatusCritical}
	for round := 0; ctx.Err() == nil; round++ {
		start := time.Now()
		if round%4 == 3 {
			slot := with(firing, fmt.Sprint("all fire ", round/4)).Slot
			fired, err := m.Fire(ctx, incident.Firing{Slot: slot, TriggerID: "any", Severity: incident.StatusWarning, Title: "Slow"})
			if err == nil {
				r.add(event{Process: number, Wrote: fired.Changed, Identifier: fired.Identifier, Version: fired.Version, Slot: string(slot.AlertRuleID)}, start)
			}
		} else {
			key := incident.Key{OrganizationID: "acme", Identifier: rand.Int64N(processKeys) + 1}
			u, err := m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: statuses[rand.IntN(len(statuses))]})
			if err == nil {
				r.add(event{Process: number, Wrote: u.Changed, Identifier: key.Identifier, Version: u.Version}, start)
			}
		}
		time.Sleep(rand.N(20 * time.Millisecond))
	}
}

// asProcess runs the test binary as a process, if that is what it was started for.
func asProcess() (is bool, err error) {
	number, url, is := strings.Cut(os.Getenv(envProcess), " ")
	if !is {
		return false, nil
	}
	var n int
	if _, err := fmt.Sscan(number, &n); err != nil {
		return true, err
	}
	return true, runProcess(url, n)
}
