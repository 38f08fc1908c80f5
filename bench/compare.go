package main

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"
)

// side is a side of a comparison: a call that several goroutines make concurrently. call
// gets the number of the goroutine and the number of its call.
type side struct {
	name string
	call func(goroutine, n int) error
	n    []int // calls made by each goroutine

	// begin, if not nil, makes the initial state of a turn, outside the measured time.
	begin func() error

	// prepare, if not nil, makes the inputs of chunk calls, starting with call n, outside
	// the measured time.
	prepare func(goroutine, n int)
}

// chunk is the number of calls between two readings of the clock, or less if they take longer than
// chunkTime: the goroutines of a turn end together.
const (
	chunk     = 64
	chunkTime = time.Millisecond
)

// comparison is a measurement of two sides.
type comparison struct {
	ours, theirs *side
	goroutines   int
	bar          float64 // required ratio of the rates, ours to theirs; 0 for none
}

// result holds the rates of a comparison in calls per second, and their ratio for each
// round.
type result struct {
	comparison
	oursRates, theirsRates, ratios []float64
	oursRate, theirsRate           float64 // medians
}

func (r result) ratio() float64 { return median(r.ratios) }
func (r result) missed() bool   { return r.bar > 0 && r.ratio() < r.bar }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// quantile returns the least value such that at least the fraction q of values do not
// exceed it.
func quantile(values []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// run measures rounds of the given length, after a short warm-up round. Both sides take
// turns in each round, and alternate in going first.
func (c comparison) run(rounds int, length time.Duration) (result, error) {
	r := result{comparison: c}
	if _, _, err := r.round(0, length/4); err != nil {
		return r, err
	}
	return r, r.again(rounds, length)
}

// again measures more rounds.
func (r *result) again(rounds int, length time.Duration) error {
	for i := range rounds {
		ours, theirs, err := r.round(i+1, length)
		if err != nil {
			return err
		}
		r.count(ours, theirs)
	}
	return nil
}

// round measures both sides and returns their rates. In odd rounds the other side goes
// first.
func (r *result) round(i int, length time.Duration) (ours, theirs float64, err error) {
	order := []*side{r.ours, r.theirs}
	if i%2 == 1 {
		slices.Reverse(order)
	}
	rates := map[*side]float64{}
	for _, s := range order {
		rate, err := s.rate(r.goroutines, length)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", s.name, err)
		}
		rates[s] = rate
	}
	return rates[r.ours], rates[r.theirs], nil
}

// count adds the rates of a round.
func (r *result) count(ours, theirs float64) {
	r.oursRates, r.theirsRates = append(r.oursRates, ours), append(r.theirsRates, theirs)
	r.oursRate, r.theirsRate = median(r.oursRates), median(r.theirsRates)
	r.ratios = append(r.ratios, ours/theirs)
}

// rate makes calls for the duration d, and returns the rate per second.
func (s *side) rate(goroutines int, d time.Duration) (float64, error) {
	for len(s.n) < goroutines {
		s.n = append(s.n, 0)
	}
	if s.begin != nil {
		if err := s.begin(); err != nil {
			return 0, err
		}
		runtime.GC() // collects the garbage of the previous turn
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

// rateOf makes the calls of a goroutine.
func (s *side) rateOf(g int, d time.Duration) (float64, error) {
	made, size := 0, 1
	if s.prepare != nil {
		size = chunk
	}
	var took time.Duration
	for took < d {
		if s.prepare != nil {
			s.prepare(g, s.n[g])
		}
		start := time.Now()
		for range size {
			if err := s.call(g, s.n[g]); err != nil {
				return 0, err
			}
			s.n[g]++
		}
		last := time.Since(start)
		took += last
		made += size
		if size < chunk && last < chunkTime/2 {
			size *= 2
		}
	}
	return float64(made) / took.Seconds(), nil
}

// calls returns the number of calls that the sides have made.
func calls(sides ...*side) (n int64) {
	for _, s := range sides {
		for _, made := range s.n {
			n += int64(made)
		}
	}
	return n
}

func ourSides(all []comparison) (sides []*side) {
	for _, c := range all {
		sides = append(sides, c.ours)
	}
	return sides
}

func theirSides(all []comparison) (sides []*side) {
	for _, c := range all {
		sides = append(sides, c.theirs)
	}
	return sides
}
