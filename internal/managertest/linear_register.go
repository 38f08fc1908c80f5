package managertest

import (
	"context"
	"errors"
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/incidentkit/incident"
)

// A register is the state of an incident with a single trigger. No other incident
// competes for its slot. Users set its status. Its version, triggers, slot and latest
// activity follow from that, and are read in several ways.

type registerOp string

const (
	opUpdate   registerOp = "UpdateStatus"
	opTx       registerOp = "UpdateStatus twice in a transaction"
	opRollBack registerOp = "UpdateStatus rolled back"
	opGet      registerOp = "Get"
	opDetails  registerOp = "Details"
	opTriggers registerOp = "Triggers"
	opActive   registerOp = "Active"
	opLatest   registerOp = "the latest activity"
	opListed   registerOp = "List"
)

var registerOps = []registerOp{
	opUpdate, opUpdate, opUpdate, opUpdate, opTx, opRollBack,
	opGet, opGet, opGet, opActive, opActive, opTriggers, opDetails, opLatest, opListed,
}

// registerInput is a call of a history of registers.
type registerInput struct {
	Identifier int64
	Op         registerOp
	To, Then   incident.Status
	Expect     int64
	Comment    string // of an update; identifies its activity
}

// registerOutput has the part of the state that a call returns, and zeros for the rest.
type registerOutput struct {
	Status   incident.Status
	Version  int64
	Changed  bool
	Conflict bool // with the expected version
	Firing   bool // the trigger is active
}

type registerState struct {
	Status  incident.Status
	Version int64
	Firing  bool
}

func (s registerState) set(to incident.Status) registerState {
	if to == s.Status {
		return s
	}
	return registerState{Status: to, Version: s.Version + 1, Firing: s.Firing && to != incident.StatusClosed}
}

// registerOpened is the state after the firing that opens the incident.
var registerOpened = registerState{Status: incident.StatusWarning, Version: 1, Firing: true}

var registerModel = porcupine.Model{
	Partition: partition(func(in registerInput) int64 { return in.Identifier }),
	Init:      func() any { return registerOpened },
	Step: func(state, input, output any) (bool, any) {
		next, want := state.(registerState).step(input.(registerInput))
		if _, ok := output.(unknown); ok {
			return true, next
		}
		return want == output.(registerOutput), next
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
}

func (s registerState) step(in registerInput) (next registerState, out registerOutput) {
	switch in.Op {
	case opUpdate:
		if in.Expect != 0 && in.Expect != s.Version {
			return s, registerOutput{Conflict: true}
		}
		next = s.set(in.To)
		return next, registerOutput{Status: next.Status, Version: next.Version, Changed: next != s}
	case opTx:
		next = s.set(in.To).set(in.Then)
		return next, registerOutput{Status: next.Status, Version: next.Version}
	case opTriggers:
		return s, registerOutput{Firing: s.Firing}
	case opDetails:
		return s, registerOutput{Status: s.Status, Version: s.Version, Firing: s.Firing}
	case opActive:
		if s.Status == incident.StatusClosed {
			return s, registerOutput{}
		}
	}
	return s, registerOutput{Status: s.Status, Version: s.Version}
}

const registerOrg incident.OrganizationID = "register"

func registerKey(identifier int64) incident.Key {
	return incident.Key{OrganizationID: registerOrg, Identifier: identifier}
}

func registerSlot(identifier int64) incident.Slot {
	return incident.Slot{OrganizationID: registerOrg, AlertRuleID: "r", ProjectID: incident.ProjectID(fmt.Sprint("p", identifier))}
}

// checkRegister records a history of several registers and checks it.
func checkRegister(s labSetup) error {
	const incidents = 3
	l, err := newRegisters(s, incidents)
	if err != nil {
		return err
	}
	history, err := l.run(func(c *client) error {
		in := registerInput{
			Identifier: c.rng.Int64N(incidents) + 1,
			Op:         registerOps[c.rng.IntN(len(registerOps))],
			To:         statuses[c.rng.IntN(len(statuses))],
		}
		switch {
		case in.Op == opTx:
			in.Then = statuses[c.rng.IntN(len(statuses))]
		case in.Op == opUpdate && c.rng.IntN(3) == 0:
			in.Expect = c.lastVersion(in.Identifier)
		}
		return l.register(c, in)
	})
	if err != nil {
		return err
	}
	return errors.Join(
		l.checkHistory("register", registerModel, history),
		Audit(context.Background(), l.manager, l.store, registerOrg),
	)
}

// newRegisters returns a lab with n open registers.
func newRegisters(s labSetup, n int64) (*lab, error) {
	l, err := newLab(s)
	if err != nil {
		return nil, err
	}
	for i := range n {
		err := openRegister(i+1, func(f incident.Firing) (incident.Result, error) { return fireSafely(l, f) })
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// openRegister opens the incident of a register. It must get the given identifier.
func openRegister(identifier int64, fire func(incident.Firing) (incident.Result, error)) error {
	r, err := fire(incident.Firing{
		Slot: registerSlot(identifier), TriggerID: "t", Severity: incident.StatusWarning, Title: "register",
	})
	if err == nil && r.Identifier != identifier {
		err = fmt.Errorf("opened %s, want %s", r.Key(), registerKey(identifier))
	}
	return err
}

// fireSafely repeats a firing whose answer was lost.
func fireSafely(l *lab, f incident.Firing) (r incident.Result, err error) {
	for range 5 {
		if r, err = l.manager.Fire(context.Background(), f); !errors.Is(err, incident.ErrUnknownOutcome) {
			break
		}
	}
	return r, err
}

// lastVersion returns the latest version of the incident that the client has seen.
func (c *client) lastVersion(identifier int64) int64 {
	for i := len(c.ops) - 1; i >= 0; i-- {
		in := c.ops[i].Input.(registerInput)
		out, ok := c.ops[i].Output.(registerOutput)
		if ok && in.Identifier == identifier && out.Version != 0 {
			return out.Version
		}
	}
	return 1
}

func (l *lab) register(c *client, in registerInput) error {
	isRead := in.Op != opUpdate && in.Op != opTx && in.Op != opRollBack
	return observe(c, in, isRead, func(ctx context.Context) (registerOutput, error) {
		switch in.Op {
		case opUpdate:
			return l.update(ctx, in)
		case opTx, opRollBack:
			return l.updateInTx(ctx, in)
		}
		return l.readRegister(ctx, in)
	})
}

func outputOf(inc incident.Incident) registerOutput {
	return registerOutput{Status: inc.Status, Version: inc.Version}
}

func (l *lab) update(ctx context.Context, in registerInput) (registerOutput, error) {
	r, err := l.manager.UpdateStatus(ctx, registerKey(in.Identifier), incident.StatusUpdate{
		Status: in.To, ExpectVersion: in.Expect, Comment: in.Comment,
	})
	if in.Expect != 0 && errors.Is(err, incident.ErrVersionConflict) {
		return registerOutput{Conflict: true}, nil
	}
	out := outputOf(r.Incident)
	out.Changed = r.Changed
	return out, err
}

// updateInTx retries the transaction after a version conflict.
func (l *lab) updateInTx(ctx context.Context, in registerInput) (out registerOutput, err error) {
	for range 100 {
		err = l.manager.InTx(ctx, func(tx incident.Manager) error {
			r, err := tx.UpdateStatus(ctx, registerKey(in.Identifier), incident.StatusUpdate{Status: in.To})
			if err != nil {
				return err
			}
			if in.Op == opRollBack {
				return errAbandoned
			}
			r, err = tx.UpdateStatus(ctx, registerKey(in.Identifier), incident.StatusUpdate{Status: in.Then})
			out = outputOf(r.Incident)
			return err
		})
		if !errors.Is(err, incident.ErrVersionConflict) {
			break
		}
	}
	return out, err
}

func (l *lab) readRegister(ctx context.Context, in registerInput) (out registerOutput, err error) {
	key := registerKey(in.Identifier)
	switch in.Op {
	case opGet:
		inc, err := l.manager.Get(ctx, key)
		return outputOf(inc), err
	case opDetails:
		d, err := l.manager.Details(ctx, key, "")
		out = outputOf(d.Incident)
		out.Firing = isFiring(d.Triggers)
		return out, err
	case opTriggers:
		triggers, err := l.manager.Triggers(ctx, key)
		return registerOutput{Firing: isFiring(triggers)}, err
	case opActive:
		inc, _, err := l.manager.Active(ctx, registerSlot(in.Identifier))
		return outputOf(inc), err
	case opListed:
		page, err := l.manager.List(ctx, incident.IncidentFilter{
			OrganizationID: registerOrg, Projects: []incident.ProjectID{registerSlot(in.Identifier).ProjectID},
		})
		if err == nil && len(page.Incidents) != 1 {
			err = fmt.Errorf("%d incidents listed, want 1", len(page.Incidents))
		}
		if err != nil {
			return out, err
		}
		return outputOf(page.Incidents[0]), nil
	}
	page, err := l.manager.Activities(ctx, key, incident.ActivityFilter{Descending: true, Limit: 1})
	if err == nil && len(page.Activities) != 1 {
		err = fmt.Errorf("%d activities, want 1", len(page.Activities))
	}
	if err != nil {
		return out, err
	}
	// Three activities opened the incident, and each change added another.
	return registerOutput{Status: page.Activities[0].Value, Version: page.Activities[0].Sequence - 2}, nil
}

func isFiring(triggers []incident.Trigger) bool {
	return len(triggers) == 1 && triggers[0].Status == incident.TriggerStatusActive
}
