// Bench measures the library beside a floor of bare SQL, beside what Sentry's code
// does, beside Alertmanager's provider and beside River's jobs, each in turn in the same
// run. It prints all that it measures as Markdown, what is slower than its peer too, and
// fails where a ratio is below its bar.
//
// It is a module of its own, so that no host inherits what it compares with.
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
	rounds := flag.Int("rounds", 5, "rounds of each comparison, of which the median counts")
	length := flag.Duration("length", 2*time.Second, "length of a side's turn in a round")
	only := flag.String("only", "", "memory, postgres, notifications, delayed or scale; all but scale and delayed if it is empty")
	match := flag.String("match", "", "only comparisons whose name contains this")
	out := flag.String("o", "", "write the results into this document too, below the line for them")
	load := flag.Int("load", 0, "fill the database of -dsn with so many incidents, and measure nothing")
	dsn := flag.String("dsn", "", "the database of -load, in which the tables are made")
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
		b := &bench{rounds: *rounds, length: *length, match: *match}
		err = b.run(ctx, *only, *out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	rounds   int
	length   time.Duration
	match    string
	machine  string
	sections []*section
}

func (b *bench) run(ctx context.Context, only, out string) (err error) {
	if b.machine, err = describe(ctx, b.rounds, b.length); err != nil {
		return err
	}
	parts := map[string]func(context.Context) error{"postgres": b.postgres, "memory": b.memory, "scale": b.scale, "notifications": b.notifications, "delayed": b.delayed}
	chosen := []string{only}
	if only == "" {
		chosen = []string{"postgres", "notifications", "memory"}
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
	b.begin("PostgreSQL", "The library has no cache here but in the rows that say so, and a pool of 16 connections, as has what it is compared with. "+
		"An incident has one project and one user. Where no other number is given the incidents are of 200 organizations.")
	all, err := besideFloor(ctx, s)
	if err := b.measure(all, err); err != nil {
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
	all, err = reads(ctx, s)
	return b.measure(all, err)
}

func (b *bench) memory(ctx context.Context) error {
	b.begin("In memory", "The peer is the provider of Prometheus Alertmanager, which keeps its alerts in memory and no history of them. "+
		"With two goroutines each has alerts of its own.")
	all, err := memoryComparisons(ctx)
	return b.measure(all, err)
}

// measure runs comparisons. One that misses its bar is run once more: all of its rounds
// count then.
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
