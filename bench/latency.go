package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"
)

// latencyTurn is the duration of a side's turn. Short turns let both sides meet the same disturbances
// of the machine.
const latencyTurn = 100 * time.Millisecond

// cost is the cost of the calls of a side: how long each lasted, and the processor time of all.
type cost struct {
	latencies      []time.Duration
	client, server time.Duration
}

// String returns the median, the 99th percentile, and the processor times of a call.
func (c *cost) String() string {
	n := time.Duration(max(1, len(c.latencies)))
	return fmt.Sprintf("median %v, 99th percentile %v, processor time of a call %v in the client and %v in the server",
		quantile(c.latencies, 0.5).Round(time.Microsecond), quantile(c.latencies, 0.99).Round(time.Microsecond),
		(c.client / n).Round(100*time.Nanosecond), (c.server / n).Round(100*time.Nanosecond))
}

// latencies notes the latencies and the processor time of a call beside those of the bare
// statement, by the number of goroutines.
func (b *bench) latencies(ctx context.Context, s *server, ours, bare *side) error {
	if !strings.Contains(ours.name, b.match) {
		return nil
	}
	admin, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer admin.Close()
	for _, goroutines := range []int{1, 4, 16, 64} {
		sides := []*side{ours, bare}
		costs := make([]cost, len(sides))
		rounds := b.rounds * max(1, int(b.length/latencyTurn/4))
		for round := range rounds + 1 {
			for i := range sides {
				n := (i + round) % len(sides) // the sides take turns in going first
				c := &costs[n]
				if round == 0 { // warms up
					c = &cost{}
				}
				if err := c.add(ctx, admin, sides[n], goroutines); err != nil {
					return err
				}
			}
		}
		b.note("%s, goroutines: %d: %v. The bare statement: %v.", ours.name, goroutines, &costs[0], &costs[1])
	}
	return nil
}

// add adds a turn of a side.
func (c *cost) add(ctx context.Context, admin *sqlx.DB, s *side, goroutines int) error {
	backends, err := backendsOf(ctx, admin)
	if err != nil {
		return err
	}
	client, server := clientTime(), serverTime(backends)
	var mu sync.Mutex // guards the latencies and failed
	var failed error
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			var latencies []time.Duration
			var err error
			start := time.Now()
			for n, began := 0, start; err == nil && began.Sub(start) < latencyTurn; n++ {
				err = s.call(g, n)
				now := time.Now()
				latencies = append(latencies, now.Sub(began))
				began = now
			}
			mu.Lock()
			defer mu.Unlock()
			c.latencies = append(c.latencies, latencies...)
			failed = cmp.Or(failed, err)
		})
	}
	all.Wait()
	c.client += clientTime() - client
	c.server += serverTime(backends) - server
	return failed
}

// backendsOf returns the server's processes for clients.
func backendsOf(ctx context.Context, db *sqlx.DB) (pids []int, err error) {
	err = db.SelectContext(ctx, &pids, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
	return pids, err
}

// clientTime returns the processor time of this process.
func clientTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serverTime returns the processor time of processes, 0 on a system without schedstat.
func serverTime(pids []int) (d time.Duration) {
	for _, pid := range pids {
		content, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/schedstat")
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(content), " ")
		n, _ := strconv.ParseInt(first, 10, 64)
		d += time.Duration(n)
	}
	return d
}
