package managertest

import (
	"context"
	"errors"
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/incidentkit/incident"
)

// A desk is the state of an incident that several users acknowledge, assign, edit, close and
// reopen at the same time. No trigger fires.

type deskOp string

const (
	opAcknowledge deskOp = "Acknowledge"
	opWithdraw    deskOp = "withdraw"
	opAssign      deskOp = "Assign"
	opRetitle     deskOp = "Edit the title"
	opLabel       deskOp = "Edit a label"
	opClose       deskOp = "close"
	opReopen      deskOp = "reopen"
	opSee         deskOp = "Get"
	opSeeListed   deskOp = "List"
	opOwn         deskOp = "Acknowledge and Assign in a transaction"
)

var deskOps = []deskOp{
	opAcknowledge, opAcknowledge, opAcknowledge, opWithdraw, opAssign, opAssign, opRetitle, opLabel,
	opClose, opReopen, opReopen, opOwn, opSee, opSee, opSeeListed,
}

// deskInput is a call of a history of desks.
type deskInput struct {
	Identifier int64
	Op         deskOp
	User       string // acknowledges, or is assigned; of an edit, the new value
	Expect     int64
}

// deskState is what users see of the incident.
type deskState struct {
	IsClosed                      bool
	Acknowledged, Assignee, Title string
	Label                         string
	Version                       int64
}

// deskOutput is the result of a call.
type deskOutput struct {
	deskState
	Changed  bool
	Conflict bool // with the expected version
}

const deskOrg incident.OrganizationID = "desk"

var deskModel = porcupine.Model{
	Partition: partition(func(in deskInput) int64 { return in.Identifier }),
	Init:      func() any { return deskState{Title: "desk", Version: 1} },
	Step: func(state, input, output any) (bool, any) {
		next, want := state.(deskState).step(input.(deskInput))
		if _, ok := output.(unknown); ok {
			return true, next
		}
		return want == output.(deskOutput), next
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
}

func (s deskState) step(in deskInput) (deskState, deskOutput) {
	if in.Expect != 0 && in.Expect != s.Version {
		return s, deskOutput{Conflict: true}
	}
	next, both := s, in.Op == opOwn
	switch {
	case in.Op == opRetitle:
		next.Title = in.User
	case in.Op == opLabel:
		next.Label = in.User
	case in.Op == opReopen && s.IsClosed:
		next.IsClosed, next.Acknowledged = false, ""
	case s.IsClosed:
	case in.Op == opWithdraw:
		next.Acknowledged = ""
	case in.Op == opClose:
		next.IsClosed = true
	}
	if !s.IsClosed && (both || in.Op == opAcknowledge) && s.Acknowledged == "" {
		next.Acknowledged = in.User
	}
	if both && next != s {
		s = next
		s.Version++
		next.Version++
	}
	if !s.IsClosed && (both || in.Op == opAssign) {
		next.Assignee = in.User
	}
	changed := next != s
	if changed {
		next.Version++
	}
	return next, deskOutput{deskState: next, Changed: changed}
}

func deskOf(inc incident.Incident) deskState {
	s := deskState{
		IsClosed: inc.Status == incident.StatusClosed, Title: inc.Title, Label: inc.Labels["label"], Version: inc.Version,
	}
	if r := inc.Response; r != nil {
		s.Acknowledged, s.Assignee = string(r.AcknowledgedBy), string(r.Assignee)
	}
	return s
}

// checkDesk records a history of several desks and checks it.
func checkDesk(s labSetup) error {
	const incidents = 3
	l, err := newLab(s)
	if err != nil {
		return err
	}
	if err := createSafely(l, deskOrg, incidents); err != nil {
		return err
	}
	history, err := l.run(func(c *client) error {
		in := deskInput{
			Identifier: c.rng.Int64N(incidents) + 1,
			Op:         deskOps[c.rng.IntN(len(deskOps))],
			User:       string(rune('a' + c.rng.IntN(3))),
		}
		if isWrite := in.Op != opSee && in.Op != opSeeListed && in.Op != opOwn; isWrite && c.rng.IntN(4) == 0 {
			in.Expect = c.lastDesk(in.Identifier)
		}
		return observe(c, in, in.Op == opSee || in.Op == opSeeListed,
			func(ctx context.Context) (deskOutput, error) { return l.desk(ctx, in) })
	})
	if err != nil {
		return err
	}
	return errors.Join(
		l.checkHistory("desk", deskModel, history),
		Audit(context.Background(), l.manager, l.store, deskOrg),
	)
}

// createSafely creates incidents without a rule. Creations whose answer is lost are repeated.
func createSafely(l *lab, org incident.OrganizationID, n int64) error {
	for i := range n {
		r, err := incident.Result{}, error(nil)
		for range 5 {
			r, err = l.manager.Create(context.Background(), incident.NewIncident{
				OrganizationID: org, Title: string(org), DetectionUUID: testUUIDs(0xd0, int(n))[i],
			})
			if !errors.Is(err, incident.ErrUnknownOutcome) {
				break
			}
		}
		if err != nil {
			return err
		}
		if r.Identifier != i+1 {
			return fmt.Errorf("created %s, want identifier %d", r.Key(), i+1)
		}
	}
	return nil
}

// lastDesk returns the latest version of the incident that the client has seen.
func (c *client) lastDesk(identifier int64) int64 {
	for i := len(c.ops) - 1; i >= 0; i-- {
		out, ok := c.ops[i].Output.(deskOutput)
		if ok && c.ops[i].Input.(deskInput).Identifier == identifier && out.Version != 0 {
			return out.Version
		}
	}
	return 1
}

func (l *lab) desk(ctx context.Context, in deskInput) (deskOutput, error) {
	key := incident.Key{OrganizationID: deskOrg, Identifier: in.Identifier}
	var r incident.Result
	var err error
	switch in.Op {
	case opSee:
		r.Incident, err = l.manager.Get(ctx, key)
	case opSeeListed:
		r.Incident, err = l.deskListed(ctx, key)
	case opOwn:
		for range 100 {
			err = l.manager.InTx(ctx, func(tx incident.Manager) error {
				first, err := tx.Acknowledge(ctx, key, incident.Acknowledgement{UserID: incident.UserID(in.User)})
				if err != nil {
					return err
				}
				r, err = tx.Assign(ctx, key, incident.Assignment{Assignee: incident.UserID(in.User), ExpectVersion: first.Version})
				return err
			})
			if !errors.Is(err, incident.ErrVersionConflict) {
				break
			}
		}
	default:
		r, err = deskWrite(ctx, l.manager, key, in)
	}
	if in.Expect != 0 && errors.Is(err, incident.ErrVersionConflict) {
		return deskOutput{Conflict: true}, nil
	}
	return deskOutput{deskState: deskOf(r.Incident), Changed: r.Changed}, err
}

func (l *lab) deskListed(ctx context.Context, key incident.Key) (incident.Incident, error) {
	for inc, err := range incident.All(ctx, l.manager, incident.IncidentFilter{OrganizationID: deskOrg}) {
		if err != nil || inc.Key() == key {
			return inc, err
		}
	}
	return incident.Incident{}, fmt.Errorf("%s is not listed", key)
}

func deskWrite(ctx context.Context, m incident.Manager, key incident.Key, in deskInput) (incident.Result, error) {
	switch user := incident.UserID(in.User); in.Op {
	case opAcknowledge:
		return m.Acknowledge(ctx, key, incident.Acknowledgement{UserID: user, ExpectVersion: in.Expect})
	case opWithdraw:
		return m.Acknowledge(ctx, key, incident.Acknowledgement{UserID: user, Withdraw: true, ExpectVersion: in.Expect})
	case opAssign:
		return m.Assign(ctx, key, incident.Assignment{Assignee: user, ExpectVersion: in.Expect})
	case opRetitle:
		return m.Edit(ctx, key, incident.Edit{Title: in.User, ExpectVersion: in.Expect})
	case opLabel:
		return m.Edit(ctx, key, incident.Edit{Labels: map[string]string{"label": in.User}, ExpectVersion: in.Expect})
	case opClose:
		return m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed, ExpectVersion: in.Expect})
	}
	return m.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusOpen, ExpectVersion: in.Expect})
}
