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

// envProcess holds the task of a test binary that runs as a child process.
const envProcess = "INCIDENT_TEST_PROCESS"

// task is the work of a child process until its standard input ends. The process reports
// on its standard output.
type task struct {
	URL    string
	Number int

	// Library is the schema version of the process's library. Defaults to this library's
	// version.
	Library int

	// Comments makes the process comment on acme#1 until it is killed.
	Comments bool

	// Continues makes the writers of Contends write until the first byte of the standard input.
	Continues bool

	// LooksOn makes the process only read, Contends makes it write to a single incident,
	// Relays and Notifiers make it deliver notifications, Retains makes it write and delete,
	// and Deletes makes it delete until it is killed. Otherwise it takes part in the random
	// calls.
	LooksOn, Contends bool
	Relays            *relayTask
	Notifiers         *notifiersTask
	Retains           *retentionTask
	Deletes           *deletionTask

	// ClockSteps sets the Manager's clock an hour forward, back, and an hour slow, each
	// second.
	ClockSteps bool

	// Citus makes the process use tables of Citus.
	Citus *citusTask
}

// citusTask has the tables of Citus, and the URLs of the workers by their addresses, if any.
type citusTask struct {
	Schema  string
	Workers map[string]string
}

// options returns the options of a store, whose pools stay open until the end of the process.
func (t *citusTask) options() *postgres.Options {
	if t == nil {
		return nil
	}
	opts, pools := &postgres.Options{Schema: t.Schema, Citus: true}, map[string]*sqlx.DB{}
	for address, url := range t.Workers {
		pools[address] = sqlx.MustOpen("postgres", url)
		pools[address].SetMaxOpenConns(8)
		pools[address].SetMaxIdleConns(8)
	}
	if len(pools) > 0 {
		opts.CitusWorker = func(address string) *sqlx.DB { return pools[address] }
	}
	return opts
}

// asProcess runs the task if the test binary was started as a child process.
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
	pool.SetMaxIdleConns(8) // a connection costs the server as much as many calls
	defer pool.Close()
	s, err := postgres.New(pool, t.Citus.options())
	if err != nil {
		return err
	}
	if t.Library > 0 {
		s.SetLibraryVersion(t.Library)
	}
	if t.Relays != nil {
		return t.Relays.run(ctx, s, t.Number)
	}
	if t.Notifiers != nil {
		return t.Notifiers.run(ctx, s, t.Number)
	}
	if t.Retains != nil {
		return t.Retains.run(ctx, s, t.Number)
	}
	if t.Deletes != nil {
		return t.Deletes.run(ctx, s)
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
	all.Go(func() { _ = m.Run(ctx) }) // Run ends with its context
	told := make(chan struct{})
	go func() {
		stdin := bufio.NewReader(os.Stdin)
		_, err := stdin.ReadByte() // blocks until the process is told something, or until the end
		close(told)
		for err == nil {
			_, err = stdin.ReadByte()
		}
		cancel()
	}()
	if t.Comments {
		return commentOn(ctx, m, keyOf(1))
	}
	out := json.NewEncoder(os.Stdout)
	if t.Contends {
		var until <-chan struct{}
		if t.Continues {
			until = told
		}
		return contend(ctx, m, t.Number, until, out)
	}
	pause := 2 * time.Millisecond
	if long {
		pause = 0
	}
	return managertest.TogetherWorker{
		Manager: m, Process: t.Number, ReadsOnly: t.LooksOn, MaxPause: pause,
		Emit: func(o managertest.Operation) { _ = out.Encode(o) }, // without a parent there is no reader
	}.Run(ctx)
}

func steppingClock() time.Time {
	now := time.Now()
	return now.Add([]time.Duration{time.Hour, 0, -time.Hour, 0}[now.Unix()%4])
}

// contention counts the outcomes of a goroutine's writes.
type contention struct {
	Made, Changed int
	Failures      []string
}

// contendingWriters is the number of goroutines of a process that write to the same
// incident, contendedWrites the least number of writes of each.
const contendingWriters, contendedWrites = 4, 25

// contend fires and resolves continuously from several goroutines. Each has a trigger of
// its own in the same incident, so that each write changes the incident. The writers make
// contendedWrites each, and more until told is closed, unless it is nil.
func contend(ctx context.Context, m incident.Manager, number int, told <-chan struct{}, out *json.Encoder) error {
	isTold := func() bool {
		select {
		case <-told:
			return true
		default:
			return told == nil
		}
	}
	var all sync.WaitGroup
	results := make([]contention, contendingWriters)
	for w := range results {
		r := &results[w]
		all.Go(func() {
			own := firing
			own.TriggerID = incident.TriggerID(fmt.Sprintf("of process %d, writer %d", number, w))
			for i := 0; i < contendedWrites || !isTold(); i++ {
				r.Made++
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
