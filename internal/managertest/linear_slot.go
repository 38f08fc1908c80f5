package managertest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"

	"github.com/incidentkit/incident"
)

// Each slot has its own organization, so its incidents have the identifiers 1, 2, 3 … in
// the order in which they were opened. Two triggers fire and resolve. Users close, reopen
// and grade the incidents.

type slotOp string

const (
	opFire    slotOp = "Fire"
	opResolve slotOp = "Resolve"
	opHolder  slotOp = "Active"
	opGrade   slotOp = "UpdateStatus"
	opRead    slotOp = "Get"
)

type slotInput struct {
	Org        incident.OrganizationID
	Op         slotOp
	Trigger    int             // of Fire and Resolve
	To         incident.Status // the severity of Fire, the status of UpdateStatus
	Identifier int64           // of UpdateStatus and Get
}

// slotOutput is the result of a call. It is zero if there is no incident.
type slotOutput struct {
	Identifier int64
	Status     incident.Status
	Version    int64
	Changed    bool
	Conflict   int64 // the incident that holds the slot
	NotFound   bool
}

// slotState holds the incidents of a slot in order of identifier. It is immutable.
type slotState []slotIncident

type slotIncident struct {
	status   incident.Status
	version  int64
	triggers [2]incident.Status // severity of each active trigger, else 0
}

var slotModel = porcupine.Model{
	Partition: partition(func(in slotInput) incident.OrganizationID { return in.Org }),
	Init:      func() any { return slotState(nil) },
	Step: func(state, input, output any) (bool, any) {
		next, want := state.(slotState).step(input.(slotInput))
		if _, ok := output.(unknown); ok {
			return true, next
		}
		return want == output.(slotOutput), next
	},
	Equal:             func(a, b any) bool { return slices.Equal(a.(slotState), b.(slotState)) },
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
}

// holder returns the index of the active incident, or -1.
func (s slotState) holder() int {
	return slices.IndexFunc(s, func(inc slotIncident) bool { return inc.status != incident.StatusClosed })
}

func (s slotState) output(i int, changed bool) slotOutput {
	if i < 0 {
		return slotOutput{}
	}
	return slotOutput{Identifier: int64(i) + 1, Status: s[i].status, Version: s[i].version, Changed: changed}
}

// with returns the state after incident i became inc. This counts as a change.
func (s slotState) with(i int, inc slotIncident) (slotState, slotOutput) {
	inc.version++
	next := slices.Clone(s)
	if i == len(s) {
		next = append(next, inc)
	}
	next[i] = inc
	return next, next.output(i, true)
}

func (s slotState) step(in slotInput) (slotState, slotOutput) {
	i := s.holder()
	switch in.Op {
	case opFire:
		return s.fire(i, in.Trigger, in.To)
	case opResolve:
		return s.resolve(i, in.Trigger)
	case opHolder:
		return s, s.output(i, false)
	}
	own := int(in.Identifier) - 1
	switch {
	case own >= len(s):
		return s, slotOutput{NotFound: true}
	case in.Op == opRead, s[own].status == in.To:
		return s, s.output(own, false)
	case i >= 0 && i != own:
		return s, slotOutput{Conflict: int64(i) + 1}
	}
	inc := s[own]
	inc.status = in.To
	if in.To == incident.StatusClosed {
		inc.triggers = [2]incident.Status{}
	}
	return s.with(own, inc)
}

func (s slotState) fire(i, trigger int, severity incident.Status) (slotState, slotOutput) {
	inc := slotIncident{status: incident.StatusOpen}
	if i < 0 {
		i = len(s)
	} else {
		inc = s[i]
	}
	if inc.triggers[trigger] == severity {
		return s, s.output(i, false)
	}
	inc.triggers[trigger] = severity
	if worst := max(inc.triggers[0], inc.triggers[1]); rank[worst] > rank[inc.status] {
		inc.status = worst
	}
	return s.with(i, inc)
}

func (s slotState) resolve(i, trigger int) (slotState, slotOutput) {
	if i < 0 || s[i].triggers[trigger] == 0 {
		return s, s.output(i, false)
	}
	inc := s[i]
	inc.triggers[trigger] = 0
	worst := max(inc.triggers[0], inc.triggers[1])
	switch {
	case worst == 0:
		inc.status = incident.StatusClosed
	case rank[worst] < rank[inc.status]:
		inc.status = worst
	}
	return s.with(i, inc)
}

var (
	slotOrgs = []incident.OrganizationID{"slot1", "slot2", "slot3"}

	// manualOps are the calls of triggers and users, triggerOps those of triggers alone.
	manualOps  = []slotOp{opFire, opFire, opFire, opResolve, opResolve, opHolder, opHolder, opHolder, opGrade, opGrade, opGrade, opRead}
	triggerOps = []slotOp{opFire, opFire, opFire, opResolve, opResolve, opResolve, opHolder, opHolder, opHolder, opRead}
)

// checkSlots records a history of several slots and checks it. If ops has only calls of
// triggers, checkSlots also checks the severity rule at the end.
func checkSlots(s labSetup, ops []slotOp) error {
	l, err := newLab(s)
	if err != nil {
		return err
	}
	isManual := slices.Contains(ops, opGrade)
	history, err := l.run(func(c *client) error {
		in := slotInput{
			Org:     slotOrgs[c.rng.IntN(len(slotOrgs))],
			Op:      ops[c.rng.IntN(len(ops))],
			Trigger: c.rng.IntN(2),
			To:      severities[c.rng.IntN(2)],
		}
		if !isManual {
			in.To = severities[in.Trigger] // firing never lowers the status
		}
		return l.slot(c, c.aim(in))
	})
	if err != nil {
		return err
	}
	err = errors.Join(
		l.checkHistory("slot", slotModel, history),
		Audit(context.Background(), l.manager, l.store, slotOrgs...),
	)
	if isManual {
		return err
	}
	return errors.Join(err, l.auditTriggered())
}

func (l *lab) auditTriggered() error {
	for _, org := range slotOrgs {
		all, err := allIncidents(context.Background(), l.manager, incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize})
		if err != nil {
			return err
		}
		for _, inc := range all {
			triggers, err := l.manager.Triggers(context.Background(), inc.Key())
			if err := errors.Join(err, auditTriggered(inc, triggers)); err != nil {
				return err
			}
		}
	}
	return nil
}

// aim draws the incident of a call that names an incident, near the latest that the client
// has seen.
func (c *client) aim(in slotInput) slotInput {
	switch in.Op {
	case opGrade:
		in.To = statuses[c.rng.IntN(len(statuses))]
		fallthrough
	case opRead:
		in.Identifier = max(1, c.lastIdentifier(in.Org)+1-c.rng.Int64N(3))
	}
	return in
}

// lastIdentifier returns the highest identifier among the client's last 20 calls.
func (c *client) lastIdentifier(org incident.OrganizationID) int64 {
	last := int64(1)
	for i := len(c.ops) - 1; i >= max(0, len(c.ops)-20); i-- {
		if out, ok := c.ops[i].Output.(slotOutput); ok && c.ops[i].Input.(slotInput).Org == org {
			last = max(last, out.Identifier, out.Conflict)
		}
	}
	return last
}

func (l *lab) slot(c *client, in slotInput) error {
	slot := incident.Slot{OrganizationID: in.Org, AlertRuleID: "r", ProjectID: "p", QueryID: "q"}
	key := incident.Key{OrganizationID: in.Org, Identifier: in.Identifier}
	trigger := triggerIDs[in.Trigger]
	return observe(c, in, in.Op == opHolder || in.Op == opRead, func(ctx context.Context) (slotOutput, error) {
		switch in.Op {
		case opFire:
			return slotOutputOf(l.manager.Fire(ctx, incident.Firing{Slot: slot, TriggerID: trigger, Severity: in.To, Title: "slot"}))
		case opResolve:
			return slotOutputOf(l.manager.Resolve(ctx, incident.Resolution{Slot: slot, TriggerID: trigger}))
		case opGrade:
			return slotOutputOf(l.manager.UpdateStatus(ctx, key, incident.StatusUpdate{Status: in.To}))
		case opRead:
			inc, err := l.manager.Get(ctx, key)
			return slotOutputOf(incident.Result{Incident: inc}, err)
		}
		inc, _, err := l.manager.Active(ctx, slot)
		return slotOutputOf(incident.Result{Incident: inc}, err)
	})
}

// slotOutputOf makes an output of a result. Some errors are outputs too.
func slotOutputOf(r incident.Result, err error) (slotOutput, error) {
	var conflict *incident.ConflictError
	switch {
	case errors.As(err, &conflict):
		return slotOutput{Conflict: conflict.Existing.Identifier}, nil
	case errors.Is(err, incident.ErrNotFound):
		return slotOutput{NotFound: true}, nil
	}
	return slotOutput{Identifier: r.Identifier, Status: r.Status, Version: r.Version, Changed: r.Changed}, err
}
