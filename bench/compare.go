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

// result is a comparison's rates in calls a second, and their ratios, one a round.
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

// quantile returns the least value that a part q of all does not exceed.
func quantile(values []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// run measures both sides in turn, in rounds of a length, after a short round that
// does not count. The side that begins changes from round to round.
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

// round has each side take a turn, and returns the rates of both.
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

// count adds what a round has measured.
func (r *result) count(ours, theirs float64) {
	r.oursRates, r.theirsRates = append(r.oursRates, ours), append(r.theirsRates, theirs)
	r.oursRate, r.theirsRate = median(r.oursRates), median(r.theirsRates)
	r.ratios = append(r.ratios, ours/theirs)
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

// calls returns how many calls some sides have made.
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
