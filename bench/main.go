// Bench measures the library side by side with its peers, taking turns within the same
// run:
//
//   - bare SQL statements
//   - the statements of Sentry's code
//   - Alertmanager's provider
//   - River's jobs
//   - bbolt
//
// It prints all results as Markdown, including those where the library is slower, and
// fails if a ratio is below its bar. See README.md for the parts and the flags.
//
// It is a separate module, so that hosts do not depend on the peers.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 5, "rounds of each comparison; the median counts")
	length := flag.Duration("length", 2*time.Second, "duration of a side's turn in a round")
	only := flag.String("only", "", "memory, postgres, sqlite, notifications, notifiers, delayed, report, scale, retention, console, sqlite-report, sqlite-scale, sqlite-retention or sqlite-console; the first five if empty")
	match := flag.String("match", "", "only comparisons whose name contains this")
	out := flag.String("o", "", "also write the results into this document, below its marker line")
	load := flag.Int("load", 0, "fill the database of -dsn with this many incidents, and measure nothing")
	incidents := flag.Int("incidents", 100_000, "the incidents of retention, sqlite-retention and the consoles")
	dsn := flag.String("dsn", "", "the database of -load; the tables are created there")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch w, is := os.LookupEnv(envWriter); {
	case is:
		err = beWriter(ctx, w)
	case *load > 0:
		err = fill(ctx, *dsn, *load)
	default:
		b := &bench{rounds: *rounds, length: *length, match: *match, incidents: *incidents}
		err = b.run(ctx, *only, *out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is a run.
type bench struct {
	rounds    int
	length    time.Duration
	match     string
	machine   string
	incidents int // of the parts retention, console and sqlite-console
	sections  []*section
	failed    int // missed bars that are no ratios
}

func (b *bench) run(ctx context.Context, only, out string) (err error) {
	if b.machine, err = describe(ctx, b.rounds, b.length); err != nil {
		return err
	}
	parts := map[string]func(context.Context) error{
		"postgres": b.postgres, "memory": b.memory, "scale": b.scale, "notifications": b.notifications, "notifiers": b.notifiers,
		"delayed": b.delayed, "sqlite": b.sqlite, "sqlite-scale": b.sqliteScale,
		"retention": b.retention, "sqlite-retention": b.sqliteRetention, "report": b.numbers, "sqlite-report": b.sqliteNumbers,
		"console": b.console, "sqlite-console": b.sqliteConsole,
	}
	chosen := []string{only}
	if only == "" {
		chosen = []string{"postgres", "notifications", "notifiers", "sqlite", "memory"}
	}
	for _, name := range chosen {
		measure, ok := parts[name]
		if !ok {
			return fmt.Errorf("there is no part %q", name)
		}
		if err := measure(ctx); err != nil {
			return err
		}
	}
	var results bytes.Buffer
	err = b.report(&results)
	os.Stdout.Write(results.Bytes())
	if out != "" {
		err = errors.Join(err, rewrite(out, results.Bytes()))
	}
	return err
}

func (b *bench) postgres(ctx context.Context) error {
	s, err := startServer()
	if err != nil {
		return err
	}
	defer s.Stop()
	b.begin("PostgreSQL", "Both sides have a pool of 16 connections. The library has no cache, except in the rows that say so. "+
		"An incident has a project and a user. Unless a row says otherwise, the incidents belong to 200 organizations.")
	all, err := besideFloor(ctx, s)
	if err := b.measure(all, err); err != nil {
		return err
	}
	if err := b.latencies(ctx, s, all[0].ours, all[0].theirs); err != nil {
		return err
	}
	all, stop, err := besideFeed(ctx, s)
	if err == nil {
		err = b.measure(all, nil)
		stop()
	}
	if err != nil {
		return err
	}
	for _, checked := range []func(context.Context, *server) ([]comparison, func() (string, error), error){besideReference, storm} {
		all, check, err := checked(ctx, s)
		if err := b.measure(all, err); err != nil {
			return err
		}
		found, err := check()
		if err != nil {
			return err
		}
		if found != "" {
			b.note("%s", found)
		}
	}
	all, err = comments(ctx, s)
	if err := b.measure(all, err); err != nil {
		return err
	}
	all, err = besideUpdates(ctx, s)
	if err := b.measure(all, err); err != nil {
		return err
	}
	all, err = reads(ctx, s)
	if err := b.measure(all, err); err != nil {
		return err
	}
	return b.latencies(ctx, s, all[0].ours, all[0].theirs)
}

func (b *bench) memory(ctx context.Context) error {
	b.begin("In memory", "The peer is the provider of Prometheus Alertmanager, which keeps alerts in memory and no history. "+
		"With two goroutines each has its own alerts.")
	all, err := memoryComparisons(ctx)
	return b.measure(all, err)
}

// measure runs comparisons. A comparison that misses its bar is run once more, and then
// all of its rounds count.
func (b *bench) measure(all []comparison, err error) error {
	for _, c := range all {
		if !strings.Contains(c.ours.name, b.match) {
			continue
		}
		r, err := c.run(b.rounds, b.length)
		if err == nil && r.missed() {
			fmt.Fprintf(os.Stderr, "%s, %d: %.2f; once more\n", c.ours.name, c.goroutines, r.ratio())
			err = r.again(b.rounds, b.length)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s, %d: %.2f\n", c.ours.name, c.goroutines, r.ratio())
		b.add(r)
	}
	return err
}
