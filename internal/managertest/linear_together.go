package managertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/incidentkit/incident"
)

// Operation is a call in a history of several processes. Its JSON is how a process sends
// it to the checker.
type Operation struct {
	Process, Client int

	// Call and Return are nanoseconds since 1970, by the clock of the machine, common to
	// all processes.
	Call, Return int64

	// Unknown means that the outcome of the call is unknown.
	Unknown bool `json:",omitempty"`

	Register       *registerInput  `json:",omitempty"`
	RegisterOutput *registerOutput `json:",omitempty"`
	Slot           *slotInput      `json:",omitempty"`
	SlotOutput     *slotOutput     `json:",omitempty"`
}

// Wrote reports whether the call may have written.
func (o *Operation) Wrote() bool {
	return o.Slot != nil || o.Register != nil && o.Register.Op == opUpdate
}

// Cached reports whether the call is a read that a cache may answer.
func (o *Operation) Cached() bool {
	return o.Register != nil && slices.Contains([]registerOp{opGet, opActive, opTriggers}, o.Register.Op)
}

// TogetherWorker makes the calls of a process in a history of several processes.
type TogetherWorker struct {
	Manager incident.Manager
	Process int

	// ReadsOnly means that the process only reads, from its cache if possible. Then the
	// feed is its only source of changes.
	ReadsOnly bool

	// MaxPause bounds the random pause after a cached read. Defaults to 500 µs.
	MaxPause time.Duration

	// Emit receives each call after its return. Calls of Emit do not overlap.
	Emit func(Operation)
}

// togetherRegisters is the number of incidents that all processes read and change.
const togetherRegisters = 4

// OpenTogether opens the incidents that the processes share.
func OpenTogether(ctx context.Context, m incident.Manager) error {
	for i := range int64(togetherRegisters) {
		err := openRegister(i+1, func(f incident.Firing) (incident.Result, error) { return m.Fire(ctx, f) })
		if err != nil {
			return err
		}
	}
	return nil
}

// Run makes calls until ctx ends. It does not emit a call that failed because the
// database did, and returns any other error.
func (s TogetherWorker) Run(ctx context.Context) error {
	var mu sync.Mutex // guards Emit and failed
	var failed error
	var all sync.WaitGroup
	work := func(id int, call func(context.Context, *client) error) {
		all.Go(func() {
			l := &lab{manager: s.Manager}
			// Nanoseconds since 1970 are comparable across processes.
			c := &client{id: id, rng: rand.New(rand.NewPCG(uint64(s.Process), uint64(id))), base: time.Unix(0, 0), lab: l}
			for ctx.Err() == nil {
				err := call(ctx, c)
				mu.Lock()
				s.emit(c)
				failed = errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	for id := range 2 {
		work(id, func(ctx context.Context, c *client) error {
			return readTogether(ctx, c, cmp.Or(s.MaxPause, 500*time.Microsecond))
		})
		if !s.ReadsOnly {
			work(id+2, changeTogether)
			work(id+4, fireTogether)
		}
	}
	all.Wait()
	return failed
}

// emit sends the client's last call, if it is new, and drops old calls from memory.
func (s TogetherWorker) emit(c *client) {
	if c.sent == c.recorded {
		return
	}
	c.sent = c.recorded
	last := c.ops[len(c.ops)-1]
	o := Operation{Process: s.Process, Client: last.ClientId, Call: last.Call, Return: last.Return}
	_, o.Unknown = last.Output.(unknown)
	switch in := last.Input.(type) {
	case registerInput:
		o.Register = &in
		if out, ok := last.Output.(registerOutput); ok {
			o.RegisterOutput = &out
		}
	case slotInput:
		o.Slot = &in
		if out, ok := last.Output.(slotOutput); ok {
			o.SlotOutput = &out
		}
	}
	s.Emit(o)
	if len(c.ops) > 100 {
		c.ops = append([]porcupine.Operation(nil), c.ops[50:]...)
	}
}

// readTogether makes a read that the cache may answer, and pauses.
func readTogether(ctx context.Context, c *client, maxPause time.Duration) error {
	ops := []registerOp{opGet, opGet, opActive, opTriggers}
	err := c.lab.register(c, registerInput{Identifier: c.rng.Int64N(togetherRegisters) + 1, Op: ops[c.rng.IntN(len(ops))]})
	rest(ctx, time.Duration(c.rng.Int64N(int64(maxPause))))
	return err
}

// changeTogether changes the status of an incident, or reads it from the store.
func changeTogether(ctx context.Context, c *client) error {
	ops := []registerOp{opUpdate, opUpdate, opUpdate, opUpdate, opRollBack, opDetails, opLatest, opListed}
	in := registerInput{
		Identifier: c.rng.Int64N(togetherRegisters) + 1,
		Op:         ops[c.rng.IntN(len(ops))],
		To:         statuses[c.rng.IntN(len(statuses))],
	}
	if in.Op == opUpdate {
		in.Comment = fmt.Sprintf("%d in %d at %d", c.id, c.rng.Uint64(), time.Now().UnixNano()) // identifies its activity
		if c.rng.IntN(4) == 0 {
			in.Expect = c.lastVersion(in.Identifier)
		}
	}
	err := c.lab.register(c, in)
	rest(ctx, time.Duration(c.rng.Int64N(int64(20*time.Millisecond))))
	return err
}

// fireTogether has triggers of a slot fire and resolve, and users close and reopen its
// incidents. All processes use the same slot, and a new slot each second.
func fireTogether(ctx context.Context, c *client) error {
	ops := []slotOp{opFire, opFire, opFire, opResolve, opResolve, opHolder, opGrade, opRead}
	in := slotInput{
		Org:     incident.OrganizationID(fmt.Sprint("slot-", time.Now().Unix())),
		Op:      ops[c.rng.IntN(len(ops))],
		Trigger: c.rng.IntN(2),
		To:      severities[c.rng.IntN(2)],
		Reopens: c.rng.IntN(2) == 0,
	}
	err := c.lab.slot(c, c.aim(in))
	rest(ctx, time.Duration(c.rng.Int64N(int64(20*time.Millisecond))))
	return err
}

// rest sleeps for d, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
