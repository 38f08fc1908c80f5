package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// The peer of the notifications is River, a job queue on PostgreSQL. A job has the
// arguments of a job in River's own benchmark, and its worker does nothing.

type riverArgs struct {
	Num int `json:"num"`
}

func (riverArgs) Kind() string { return "notification" }

// riverWorker calls begun at the start of each job.
type riverWorker struct {
	river.WorkerDefaults[riverArgs]
	begun func() // changed only while the client is stopped
}

func (w *riverWorker) Work(context.Context, *river.Job[riverArgs]) error {
	w.begun()
	return nil
}

// riverWorkers is the number of workers in the fast settings.
const riverWorkers = 2000

// riverQueue is a client of River with its own schema and pool. The client is stopped
// except while a method runs it. The methods must not be called concurrently.
type riverQueue struct {
	pool   *pgxpool.Pool
	schema string
	client *river.Client[pgx.Tx]
	worker *riverWorker
}

// newRiver creates River's tables in a new schema, and a client with River's defaults or,
// if fast is set, with the settings for the highest throughput.
func newRiver(ctx context.Context, s *server, fast bool) (*riverQueue, error) {
	config, err := pgxpool.ParseConfig(s.URL())
	if err != nil {
		return nil, err
	}
	config.MaxConns = conns
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s.schemas++
	q := &riverQueue{pool: pool, schema: fmt.Sprintf("river_%d_%d", os.Getpid(), s.schemas), worker: &riverWorker{}}
	if err := errors.Join(q.migrate(ctx), q.configure(fast)); err != nil {
		q.close()
		return nil, err
	}
	return q, nil
}

// silent keeps River from writing to the standard output.
var silent = slog.New(slog.DiscardHandler)

func (q *riverQueue) migrate(ctx context.Context) error {
	if _, err := q.pool.Exec(ctx, "CREATE SCHEMA "+q.schema); err != nil {
		return err
	}
	m, err := rivermigrate.New(riverpgxv5.New(q.pool), &rivermigrate.Config{Schema: q.schema, Logger: silent})
	if err != nil {
		return err
	}
	_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// configure makes the client. The fast settings are those of River's own benchmark,
// except the cooldown: it is River's minimum, half of the benchmark's. River has no
// setting for its batches of completions.
func (q *riverQueue) configure(fast bool) (err error) {
	config := &river.Config{Schema: q.schema, Logger: silent, Workers: river.NewWorkers()}
	workers := 100 // River has no default; its examples use 100
	if fast {
		config.FetchCooldown = river.FetchCooldownMin
		config.FetchPollInterval = 20 * time.Millisecond
		workers = riverWorkers
	}
	config.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}}
	river.AddWorker(config.Workers, q.worker)
	q.client, err = river.NewClient(riverpgxv5.New(q.pool), config)
	return err
}

func (q *riverQueue) close() { q.pool.Close() }

// run runs the client while do runs. The client calls begun at the start of each job,
// concurrently. When run returns, everything it started has ended.
func (q *riverQueue) run(ctx context.Context, begun func(), do func() error) error {
	q.worker.begun = begun
	if err := q.client.Start(ctx); err != nil {
		return err
	}
	return errors.Join(do(), q.client.Stop(context.WithoutCancel(ctx)))
}

// riverBatch is the number of jobs per insertion.
const riverBatch = 5000

// insert inserts jobs. They are pending until the client runs. Then insert does the work
// of autovacuum, because River is faster with statistics.
func (q *riverQueue) insert(ctx context.Context, n int) error {
	for first := 0; first < n; first += riverBatch {
		jobs := make([]river.InsertManyParams, min(riverBatch, n-first))
		for i := range jobs {
			jobs[i].Args = riverArgs{Num: first + i}
		}
		if _, err := q.client.InsertManyFast(ctx, jobs); err != nil {
			return err
		}
	}
	_, err := q.pool.Exec(ctx, q.inSchema("ANALYZE @.river_job"))
	return err
}

// empty deletes all jobs, so that a round does not slow down the next.
func (q *riverQueue) empty(ctx context.Context) error {
	_, err := q.pool.Exec(ctx, q.inSchema("TRUNCATE @.river_job"))
	return err
}

func (q *riverQueue) inSchema(text string) string { return inSchema(text, q.schema) }

// drain works n pending jobs, and returns the rate per second from the start of the
// client until the last completion in the database. River reports each right after its
// commit, and that costs River less than queries.
func (q *riverQueue) drain(ctx context.Context, n int) (perSecond float64, err error) {
	completed, cancel := q.client.SubscribeConfig(&river.SubscribeConfig{
		Kinds:    []river.EventKind{river.EventKindJobCompleted},
		ChanSize: n, // River drops events that do not fit
	})
	defer cancel()
	var worked atomic.Int64
	var took time.Duration
	start := time.Now()
	err = q.run(ctx, func() { worked.Add(1) }, func() error {
		for range n {
			select {
			case <-completed:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		took = time.Since(start)
		return ctx.Err() // the canceled client closed the channel
	})
	if err != nil {
		return 0, err
	}
	return float64(n) / took.Seconds(), q.check(ctx, n, worked.Load())
}

const riverUndoneSQL = `
SELECT count(*)
FROM @.river_job
WHERE state <> 'completed' OR attempt <> 1`

// check returns an error unless every job was worked exactly once.
func (q *riverQueue) check(ctx context.Context, n int, worked int64) error {
	var undone int64
	if err := q.pool.QueryRow(ctx, q.inSchema(riverUndoneSQL)).Scan(&undone); err != nil {
		return err
	}
	if worked != int64(n) || undone > 0 {
		return fmt.Errorf("%d jobs were worked %d times, and %d were not completed at the first attempt", n, worked, undone)
	}
	return nil
}

// A client notifies of insertions once in a cooldown at most, and does not make up for it
// afterwards. With a gap between two jobs that is shorter than the cooldown, 100 ms by
// default, many jobs wait until River polls.

// insertOne inserts a job, and returns the time of the commit.
//
// A client notifies of insertions at most once per cooldown, 100 ms by default, and does
// not catch up afterwards. So if jobs come faster than that, many wait until River polls.
func (q *riverQueue) insertOne(ctx context.Context) (committed time.Time, err error) {
	_, err = q.client.Insert(ctx, riverArgs{}, nil)
	return time.Now(), err
}

// riverInserter returns insertOne of a client that only inserts, for another process.
func riverInserter(ctx context.Context, url, schema string) (write, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: schema, Logger: silent})
	q := &riverQueue{pool: pool, schema: schema, client: client}
	return q.insertOne, err
}
