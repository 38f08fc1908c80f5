package managertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/incidentkit/incident"
)

// togetherBound is the maximum age of a cached answer.
const togetherBound = time.Second

// TogetherReport summarizes a history of several processes.
type TogetherReport struct {
	Reads, Writes, Slots int

	// Delay is the median time from the acknowledgement of a change until the read-only
	// processes have read it.
	Delay time.Duration
}

// CheckTogether checks a history of several processes:
//
//   - Writes, and reads from the store, are linearizable.
//   - Each read from a cache was true at some time within the call or the second before
//     it.
//   - No process has read a version older than it had read or written before.
//   - At most one incident is active in a slot, and the stored data passes [Audit].
//
// The drawing of a failed history is written to the directory artifacts.
func CheckTogether(ctx context.Context, m incident.Manager, s incident.Store, ops []Operation, artifacts string) (TogetherReport, error) {
	h := &togetherHistory{}
	var report TogetherReport
	if err := h.take(ctx, m, ops); err != nil {
		return report, err
	}
	l := &lab{labSetup: labSetup{artifacts: artifacts}}
	errs := []error{
		l.checkHistory("register", registerModel, h.registers),
		l.checkHistory("slot", slotModel, h.slots),
		h.checkVersions(),
		h.checkCached(),
		checkMonotonic(ops),
		Audit(ctx, m, s, append(h.orgs, registerOrg)...),
	}
	report = TogetherReport{Reads: len(h.cached), Writes: len(h.registers) + len(h.slots), Slots: len(h.orgs), Delay: h.delay(ops)}
	return report, errors.Join(errs...)
}

// togetherHistory is a history in parts that are checked differently.
type togetherHistory struct {
	registers, slots []porcupine.Operation
	orgs             []incident.OrganizationID // of the slots
	cached           []Operation
	versions         [togetherRegisters + 1][]togetherVersion // by identifier, then by version - 1
}

// togetherVersion is a version of a register, with the times at which the call that made
// it began and was acknowledged.
type togetherVersion struct {
	state              registerState
	call, acknowledged int64
}

// take sorts the operations into the parts. For updates of unknown outcome, the stored
// activities show whether the update took effect.
func (h *togetherHistory) take(ctx context.Context, m incident.Manager, ops []Operation) error {
	found, err := sequencesByComment(ctx, m)
	if err != nil {
		return err
	}
	for id := 1; id <= togetherRegisters; id++ {
		h.versions[id] = []togetherVersion{{state: registerOpened}}
	}
	seen := map[incident.OrganizationID]bool{}
	for _, o := range ops {
		switch {
		case o.Slot != nil:
			if !seen[o.Slot.Org] {
				seen[o.Slot.Org] = true
				h.orgs = append(h.orgs, o.Slot.Org)
			}
			if o.Slot.Op != opHolder && o.Slot.Op != opRead {
				h.slots = append(h.slots, o.operation(*o.Slot, o.SlotOutput))
			}
		case o.Cached():
			h.cached = append(h.cached, o)
		default:
			if o.Unknown {
				sequence, ok := found[o.Register.Comment]
				if !ok {
					continue // it changed nothing
				}
				o.RegisterOutput = &registerOutput{Status: o.Register.To, Version: sequence - 2, Changed: true}
			}
			h.registers = append(h.registers, o.operation(*o.Register, o.RegisterOutput))
			if o.RegisterOutput.Changed {
				h.addVersion(o)
			}
		}
	}
	return nil
}

// operation converts the call for porcupine.
func (o *Operation) operation(in, out any) porcupine.Operation {
	op := porcupine.Operation{ClientId: o.Process*1000 + o.Client, Input: in, Call: o.Call, Return: o.Return}
	switch v := out.(type) {
	case *registerOutput:
		op.Output = *v
	case *slotOutput:
		if op.Output = (unknown{}); v != nil {
			op.Output = *v
		}
	}
	return op
}

func (h *togetherHistory) addVersion(o Operation) {
	all := &h.versions[o.Register.Identifier]
	for int64(len(*all)) < o.RegisterOutput.Version {
		*all = append(*all, togetherVersion{})
	}
	v := &(*all)[o.RegisterOutput.Version-1]
	v.state = registerState{Status: o.RegisterOutput.Status, Version: o.RegisterOutput.Version}
	v.call, v.acknowledged = o.Call, o.Return
}

// sequencesByComment returns the sequences of the registers' activities by their
// comments.
func sequencesByComment(ctx context.Context, m incident.Manager) (map[string]int64, error) {
	found := map[string]int64{}
	for id := int64(1); id <= togetherRegisters; id++ {
		f := incident.ActivityFilter{Limit: incident.MaxPageSize}
		for {
			page, err := m.Activities(ctx, registerKey(id), f)
			if err != nil {
				return nil, err
			}
			for _, a := range page.Activities {
				found[a.Comment] = a.Sequence
			}
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
	}
	return found, nil
}

// checkVersions checks that no version is missing, and completes the versions: Firing
// follows from the versions before, and an acknowledgement covers all earlier versions.
func (h *togetherHistory) checkVersions() error {
	for id := 1; id <= togetherRegisters; id++ {
		all := h.versions[id]
		for i := range all {
			if all[i].state.Version != int64(i)+1 {
				return fmt.Errorf("version %d of incident %d was never written", i+1, id)
			}
			if i > 0 {
				all[i].state.Firing = all[i-1].state.set(all[i].state.Status).Firing
			}
		}
		for i := len(all) - 2; i >= 0; i-- {
			all[i].acknowledged = min(all[i].acknowledged, all[i+1].acknowledged)
		}
	}
	return nil
}

// checkCached checks that each answer of a cache was true recently.
func (h *togetherHistory) checkCached() error {
	stale, example := 0, ""
	for _, o := range h.cached {
		if !h.wasTrue(&o) {
			stale++
			example = fmt.Sprintf("%+v → %+v at %d", *o.Register, *o.RegisterOutput, o.Call)
		}
	}
	if stale > 0 {
		return fmt.Errorf("%d of %d cached answers were not true within %v, such as %s", stale, len(h.cached), togetherBound, example)
	}
	return nil
}

func (h *togetherHistory) wasTrue(o *Operation) bool {
	all := h.versions[o.Register.Identifier]
	// The last version acknowledged before the bound is the first that may still be
	// returned.
	first, _ := slices.BinarySearchFunc(all, o.Call-int64(togetherBound), func(v togetherVersion, at int64) int {
		return cmp.Compare(v.acknowledged, at)
	})
	for _, v := range all[max(first-1, 0):] {
		if _, want := v.state.step(*o.Register); want == *o.RegisterOutput && v.call <= o.Return {
			return true
		}
	}
	return false
}

// checkMonotonic checks that within a process no call returned a lower version than a
// call that had returned before it began.
func checkMonotonic(ops []Operation) error {
	type of struct {
		process    int
		identifier int64
	}
	calls := map[of][]Operation{}
	for _, o := range ops {
		if o.RegisterOutput != nil && o.RegisterOutput.Version > 0 {
			key := of{o.Process, o.Register.Identifier}
			calls[key] = append(calls[key], o)
		}
	}
	back := 0
	for _, all := range calls {
		// highest is the highest version among the calls that ended before o began.
		ended := slices.SortedFunc(slices.Values(all), func(a, b Operation) int { return cmp.Compare(a.Return, b.Return) })
		slices.SortFunc(all, func(a, b Operation) int { return cmp.Compare(a.Call, b.Call) })
		highest, next := int64(0), 0
		for _, o := range all {
			for ; next < len(ended) && ended[next].Return < o.Call; next++ {
				highest = max(highest, ended[next].RegisterOutput.Version)
			}
			if o.RegisterOutput.Version < highest {
				back++
			}
		}
	}
	if back > 0 {
		return fmt.Errorf("%d calls returned a version older than their process had seen", back)
	}
	return nil
}

// delay returns the median time from the acknowledgement of each version until a
// read-only process has read it.
func (h *togetherHistory) delay(ops []Operation) time.Duration {
	writes := map[int]bool{}
	for _, o := range ops {
		writes[o.Process] = writes[o.Process] || o.Wrote()
	}
	var reads [togetherRegisters + 1][]Operation
	for _, o := range h.cached {
		if !writes[o.Process] && o.Register.Op == opGet {
			reads[o.Register.Identifier] = append(reads[o.Register.Identifier], o)
		}
	}
	var all []int64
	for id := 1; id <= togetherRegisters; id++ {
		slices.SortFunc(reads[id], func(a, b Operation) int { return cmp.Compare(a.Call, b.Call) })
		for _, v := range h.versions[id][1:] {
			i, _ := slices.BinarySearchFunc(reads[id], v.acknowledged, func(o Operation, at int64) int { return cmp.Compare(o.Call, at) })
			for ; i < len(reads[id]); i++ {
				if reads[id][i].RegisterOutput.Version >= v.state.Version {
					all = append(all, reads[id][i].Call-v.acknowledged)
					break
				}
			}
		}
	}
	if len(all) == 0 {
		return math.MaxInt64
	}
	slices.Sort(all)
	return time.Duration(all[len(all)/2])
}
