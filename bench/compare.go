package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// side is one of two things that are compared: a call, made by several goroutines
// at once. Each has a number, and counts its calls.
type side struct {
	name string
	call func(goroutine, n int) error
	n    []int // the calls that each goroutine has made

	// begin, where it is given, makes the state that a turn works on, before the
	// clock runs.
	begin func() error

	// prepare, where it is given, makes the inputs of chunk calls from the n-th on,
	// while the clock stands.
	prepare func(goroutine, n int)
}

// chunk is how many calls are made between two looks at the clock.
const chunk = 64

// comparison is two sides, and how much faster ours has to be.
type comparison struct {
	ours, theirs *side
	goroutines   int
	bar          float64 // of ours to theirs, in calls a second; 0 to report only
}

// result is a comparison's rates in calls a second, and their ratios.
type result struct {
	comparison
	oursRate, theirsRate float64 // medians
	ratios               []float64
}

func (r result) ratio() float64 { return median(r.ratios) }
func (r result) missed() bool   { return r.bar > 0 && r.ratio() < r.bar }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// quantile returns the least value that a part q of all does not exceed.
func quantile(values []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// run measures both sides in turn, in rounds of a length, after a short round that
// does not count. Which one begins changes from round to round.
func (c comparison) run(rounds int, length time.Duration) (result, error) {
	r := result{comparison: c}
	var ours, theirs []float64
	for i := range rounds + 1 {
		d := length
		if i == 0 {
			d /= 4
		}
		order := []*side{c.ours, c.theirs}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		rates := map[*side]float64{}
		for _, s := range order {
			rate, err := s.rate(c.goroutines, d)
			if err != nil {
				return r, fmt.Errorf("%s: %w", s.name, err)
			}
			rates[s] = rate
		}
		if i == 0 {
			continue
		}
		ours, theirs = append(ours, rates[c.ours]), append(theirs, rates[c.theirs])
		r.ratios = append(r.ratios, rates[c.ours]/rates[c.theirs])
	}
	r.oursRate, r.theirsRate = median(ours), median(theirs)
	return r, nil
}

// rate makes calls for a time, and returns how many a second there were.
func (s *side) rate(goroutines int, d time.Duration) (float64, error) {
	for len(s.n) < goroutines {
		s.n = append(s.n, 0)
	}
	if s.begin != nil {
		if err := s.begin(); err != nil {
			return 0, err
		}
		runtime.GC() // what the turn before has left is not this one's
	}
	var mu sync.Mutex // guards total and failed
	var total float64
	var failed error
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			rate, err := s.rateOf(g, d)
			mu.Lock()
			defer mu.Unlock()
			total += rate
			failed = cmp.Or(failed, err)
		})
	}
	all.Wait()
	return total, failed
}

// rateOf makes the calls of one goroutine.
func (s *side) rateOf(g int, d time.Duration) (float64, error) {
	made := 0
	var took time.Duration
	for took < d {
		if s.prepare != nil {
			s.prepare(g, s.n[g])
		}
		start := time.Now()
		for range chunk {
			if err := s.call(g, s.n[g]); err != nil {
				return 0, err
			}
			s.n[g]++
		}
		took += time.Since(start)
		made += chunk
	}
	return float64(made) / took.Seconds(), nil
}

// report prints the results as a table, and returns an error if a bar is missed.
func report(w io.Writer, results []result) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "call\tbeside\tgoroutines\tours/s\ttheirs/s\tratio\t(min to max)\tbar\t")
	missed := 0
	for _, r := range results {
		bar, verdict := "-", ""
		if r.bar > 0 {
			bar = fmt.Sprintf("%.2f", r.bar)
		}
		if r.missed() {
			verdict = "MISSED"
			missed++
		}
		fmt.Fprintf(tw, "%s\t%s\t%d\t%.0f\t%.0f\t%.2f\t(%.2f to %.2f)\t%s\t%s\n", r.ours.name, r.theirs.name, r.goroutines,
			r.oursRate, r.theirsRate, r.ratio(), slices.Min(r.ratios), slices.Max(r.ratios), bar, verdict)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d bars are missed", missed, len(results))
	}
	return nil
}
