package postgres_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/store/postgres"
)

// envProcess makes the test binary a process of its own, whose task it holds.
const envProcess = "INCIDENT_TEST_PROCESS"

// task is what a process does until its standard input ends. What it has to tell it
// writes to its standard output.
type task struct {
	URL    string
	Number int

	// Library is the schema version of the process's library, or 0 for this one's.
	Library int

	// LooksOn has the process read only, Contends write to one incident only, and Relays
	// deliver notifications. Otherwise it does what all do together.
	LooksOn, Contends bool
	Relays            *relayTask

	// ClockSteps sets the clock of the Manager an hour forward, back, and an hour too far
	// back, each second.
	ClockSteps bool
}

// asProcess runs the test binary as a process, if that is what it was started for.
func asProcess() (is bool, err error) {
	text, is := os.LookupEnv(envProcess)
	if !is {
		return false, nil
	}
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return true, err
	}
	return true, t.run()
}

func (t task) run() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	pool, err := sqlx.Open("postgres", t.URL)
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(8)
	defer pool.Close()
	s, err := postgres.New(pool, nil)
	if err != nil {
		return err
	}
	if t.Library > 0 {
		s.SetLibraryVersion(t.Library)
	}
	if t.Relays != nil {
		return t.Relays.run(ctx, s, t.Number)
	}
	opts := &incident.Options{}
	if t.ClockSteps {
		opts.Now = steppingClock
	}
	m, err := incident.New(s, opts)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { _ = m.Run(ctx) }) // it ends with its context
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte() // waits for the end
		cancel()
	}()
	out := json.NewEncoder(os.Stdout)
	if t.Contends {
		return contend(ctx, m, t.Number, out)
	}
	return managertest.TogetherWorker{
		Manager: m, Process: t.Number, ReadsOnly: t.LooksOn,
		Emit: func(o managertest.Operation) { _ = out.Encode(o) }, // the parent is gone: so is the reader
	}.Run(ctx)
}

func steppingClock() time.Time {
	now := time.Now()
	return now.Add([]time.Duration{time.Hour, 0, -time.Hour, 0}[now.Unix()%4])
}

// contention is what became of the writes of one goroutine.
type contention struct {
	Changed  int
	Failures []string
}

// contendingWriters and contendedWrites are how many goroutines of a process write to one
// incident, and how often.
const contendingWriters, contendedWrites = 4, 25

// contend fires and resolves from several goroutines, each without a rest a trigger of its
// own in the same incident, so that each write changes it.
func contend(ctx context.Context, m incident.Manager, number int, out *json.Encoder) error {
	var all sync.WaitGroup
	results := make([]contention, contendingWriters)
	for w := range results {
		r := &results[w]
		all.Go(func() {
			own := firing
			own.TriggerID = incident.TriggerID(fmt.Sprintf("of process %d, writer %d", number, w))
			for i := range contendedWrites {
				var u incident.Result
				var err error
				if i%2 == 0 {
					u, err = m.Fire(ctx, own)
				} else {
					u, err = m.Resolve(ctx, incident.Resolution{Slot: own.Slot, TriggerID: own.TriggerID})
				}
				if err != nil {
					r.Failures = append(r.Failures, err.Error())
				} else if u.Changed {
					r.Changed++
				}
			}
		})
	}
	all.Wait()
	for _, r := range results {
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	return nil
}
