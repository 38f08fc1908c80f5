// Bench measures the library beside a floor of bare SQL, beside what Sentry's code
// does, and beside Alertmanager's provider, each in turn in the same run. It prints
// the ratios as a table, and fails where one is below its bar.
//
// It is a module of its own, so that no host inherits what it compares with.
package main

import (
	"context"
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
	only := flag.String("only", "", "memory, postgres, notifications or scale; all but scale if it is empty")
	match := flag.String("match", "", "only comparisons whose name contains this")
	load := flag.Int("load", 0, "fill the database of -dsn with so many incidents, and measure nothing")
	dsn := flag.String("dsn", "", "the database of -load, in which the tables are made")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *load > 0 {
		err = fill(ctx, *dsn, *load)
	} else {
		err = run(ctx, *rounds, *length, *only, *match)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	rounds  int
	length  time.Duration
	match   string
	results []result
}

func run(ctx context.Context, rounds int, length time.Duration, only, match string) error {
	b := &bench{rounds: rounds, length: length, match: match}
	parts := map[string]func(context.Context) error{"postgres": b.postgres, "memory": b.memory, "scale": b.scale, "notifications": b.notifications}
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
	return report(os.Stdout, b.results)
}

func (b *bench) postgres(ctx context.Context) error {
	s, err := startServer()
	if err != nil {
		return err
	}
	defer s.Stop()
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
	for _, checked := range []func(context.Context, *server) ([]comparison, func() error, error){besideReference, storm} {
		all, check, err := checked(ctx, s)
		if err := b.measure(all, err); err != nil {
			return err
		}
		if err := check(); err != nil {
			return err
		}
	}
	all, err = reads(ctx, s)
	return b.measure(all, err)
}

func (b *bench) memory(ctx context.Context) error {
	all, err := memoryComparisons(ctx)
	return b.measure(all, err)
}

func (b *bench) measure(all []comparison, err error) error {
	for _, c := range all {
		if !strings.Contains(c.ours.name, b.match) {
			continue
		}
		r, err := c.run(b.rounds, b.length)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s, %d: %.2f\n", c.ours.name, c.goroutines, r.ratio())
		b.results = append(b.results, r)
	}
	return err
}
