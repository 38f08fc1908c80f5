package managertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/incidentkit/incident"
)

// labSetup configures a lab.
type labSetup struct {
	store incident.Store
	cache incident.Cache
	seed  uint64
	local bool // the result of the store's Local

	// clients is the number of concurrent clients, calls the number of calls of each.
	clients, calls int

	// losses is the maximum number of lost answers of the store.
	losses int

	// artifacts is the directory for the drawing of a failed history. Empty for none.
	artifacts string

	// decorate, if not nil, wraps the Manager.
	decorate func(incident.Manager) incident.Manager
}

// lab makes a history on a Manager of a slow store.
type lab struct {
	labSetup
	manager incident.Manager
}

func newLab(s labSetup) (*lab, error) {
	j := newJitter(s.seed, s.losses)
	cache := s.cache
	if cache != incident.NoCache {
		cache = &jitterCache{Cache: cache, jitter: j}
	}
	o := &incident.Options{Cache: cache, Logger: slog.New(slog.DiscardHandler)}
	if _, ok := s.store.(incident.OutboxStore); ok {
		o.Notifier = incident.NotifyElsewhere
	}
	m, err := incident.New(withHook(s.store, j, s.local), o)
	if err != nil {
		return nil, err
	}
	if s.decorate != nil {
		m = s.decorate(m)
	}
	return &lab{labSetup: s, manager: m}, nil
}

// client is a goroutine of a history.
type client struct {
	id   int
	rng  *rand.Rand
	base time.Time
	ops  []porcupine.Operation
	err  error

	lab            *lab // its own lab, in a history of several processes
	recorded, sent int  // number of calls; only the last are in ops
}

// run has all clients make their calls at the same time and returns the recorded history.
func (l *lab) run(call func(c *client) error) ([]porcupine.Operation, error) {
	base := time.Now() // origin of all times, with the monotonic clock
	clients := make([]client, l.clients)
	var wg sync.WaitGroup
	for i := range clients {
		c := &clients[i]
		*c = client{id: i, rng: rand.New(rand.NewPCG(l.seed, uint64(i)+10)), base: base}
		wg.Go(func() {
			for range l.calls {
				if c.err = call(c); c.err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	var history []porcupine.Operation
	var errs []error
	for _, c := range clients {
		history = append(history, c.ops...)
		errs = append(errs, c.err)
	}
	return history, errors.Join(errs...)
}

// observe makes a call and records its output. A call without an answer that wrote
// nothing is not recorded. A call of unknown outcome is recorded as never returned, under
// a client ID without other calls.
func observe[O any](c *client, input any, isRead bool, call func(ctx context.Context) (O, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	op := porcupine.Operation{ClientId: c.id, Input: input, Call: time.Since(c.base).Nanoseconds()}
	output, err := call(ctx)
	op.Return, op.Output = time.Since(c.base).Nanoseconds(), output
	switch {
	case err == nil:
	case isRead && isOutage(err), errors.Is(err, incident.ErrUnavailable), errors.Is(err, errAbandoned):
		return nil
	case errors.Is(err, incident.ErrUnknownOutcome):
		op.Return, op.Output = math.MaxInt64, unknown{}
		op.ClientId += 1000 + c.recorded*100
	default:
		return fmt.Errorf("client %d: %+v: %w", c.id, input, err)
	}
	c.ops = append(c.ops, op)
	c.recorded++
	return nil
}

// unknown is the output of a call of unknown outcome.
type unknown struct{}

// checkTimeout bounds the search for a linearization. A successful search takes
// milliseconds.
const checkTimeout = 3 * time.Minute

// checkHistory reports whether the history is linearizable with respect to the model.
func (l *lab) checkHistory(name string, model porcupine.Model, history []porcupine.Operation) error {
	if made := l.clients * l.calls; len(history) < made*3/4 {
		return fmt.Errorf("%d of %d calls had no answer, seed %d", made-len(history), made, l.seed)
	}
	result, info := porcupine.CheckOperationsVerbose(model, history, checkTimeout)
	if result == porcupine.Ok {
		return nil
	}
	err := fmt.Errorf("the history of %d calls is %s, seed %d%s", len(history), result, l.seed, contradiction(model, history, &info))
	if l.artifacts == "" {
		return err
	}
	path := filepath.Join(l.artifacts, fmt.Sprintf("%s-%d.html", name, l.seed))
	return errors.Join(fmt.Errorf("%w: see %s (kept with go test -artifacts)", err, path),
		porcupine.VisualizePath(model, info, path))
}

// contradiction describes where the longest linearization of a history ends: its last calls, and the
// first calls that it leaves out, with their times in nanoseconds.
func contradiction(model porcupine.Model, history []porcupine.Operation, info *porcupine.LinearizationInfo) string {
	var text strings.Builder
	parts := [][]porcupine.Operation{history}
	if model.Partition != nil {
		parts = model.Partition(history)
	}
	partial := info.PartialLinearizationsOperations()
	for i, part := range parts {
		var order []porcupine.Operation
		for _, o := range partial[i] {
			if len(o) > len(order) {
				order = o
			}
		}
		if len(order) == len(part) {
			continue
		}
		type id struct {
			client int
			call   int64
		}
		taken := map[id]bool{}
		for _, op := range order {
			taken[id{op.ClientId, op.Call}] = true
		}
		rest := slices.DeleteFunc(slices.Clone(part), func(op porcupine.Operation) bool { return taken[id{op.ClientId, op.Call}] })
		slices.SortFunc(rest, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
		write := func(title string, ops []porcupine.Operation) {
			for _, op := range ops {
				fmt.Fprintf(&text, "\n  %s: %d to %d, client %d: %s", title, op.Call, op.Return, op.ClientId, model.DescribeOperation(op.Input, op.Output))
			}
		}
		write("in order", order[max(len(order)-4, 0):])
		write("left out", rest[:min(len(rest), 4)])
	}
	return text.String()
}

// partition splits a history by a key of its inputs.
func partition[I any, K comparable](of func(I) K) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(history []porcupine.Operation) [][]porcupine.Operation {
		index := map[K]int{}
		var parts [][]porcupine.Operation
		for _, op := range history {
			k := of(op.Input.(I))
			i, ok := index[k]
			if !ok {
				i = len(parts)
				index[k] = i
				parts = append(parts, nil)
			}
			parts[i] = append(parts[i], op)
		}
		return parts
	}
}
