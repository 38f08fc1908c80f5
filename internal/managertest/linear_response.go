package managertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/incidentkit/incident"
)

// A desk is the state of an incident that several users acknowledge, assign, edit, close and
// reopen at the same time, and that has reminders. No trigger fires.

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
	opCloseOwn    deskOp = "close in a transaction"
	opRemind      deskOp = "Remind"
	opCancel      deskOp = "CancelReminder"
	opSeeReminded deskOp = "Reminders"
)

var deskOps = []deskOp{
	opAcknowledge, opAcknowledge, opAcknowledge, opWithdraw, opAssign, opAssign, opRetitle, opLabel,
	opClose, opReopen, opReopen, opOwn, opCloseOwn, opSee, opSee, opSeeListed,
}

// reminderOps are further calls if the store keeps reminders.
var reminderOps = []deskOp{opRemind, opRemind, opCancel, opSeeReminded, opSeeReminded}

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
	Reminded                      string // the names of the reminders
}

// deskOutput is the result of a call.
type deskOutput struct {
	deskState
	Changed  bool
	Conflict bool // with the expected version
	Refused  bool // a reminder of a closed incident
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
	switch in.Op {
	case opRemind:
		if !s.IsClosed {
			next.Reminded = withName(s.Reminded, in.User)
		}
		return next, deskOutput{Refused: s.IsClosed}
	case opCancel:
		next.Reminded = strings.ReplaceAll(s.Reminded, in.User, "")
		return next, deskOutput{}
	case opSeeReminded:
		return s, deskOutput{deskState: deskState{Reminded: s.Reminded}}
	}
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
	case in.Op == opClose, in.Op == opCloseOwn:
		next.IsClosed, next.Reminded = true, ""
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
	out := deskOutput{deskState: next, Changed: changed}
	out.Reminded = "" // no other call returns the reminders
	return next, out
}

// withName adds a name of a single letter to an ordered list.
func withName(names, name string) string {
	all := strings.Split(strings.ReplaceAll(names, name, "")+name, "")
	slices.Sort(all)
	return strings.Join(all, "")
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
	ops := deskOps
	if _, ok := s.store.(incident.OutboxStore); ok {
		ops = slices.Concat(ops, reminderOps)
	}
	history, err := l.run(func(c *client) error {
		in := deskInput{
			Identifier: c.rng.Int64N(incidents) + 1,
			Op:         ops[c.rng.IntN(len(ops))],
			User:       string(rune('a' + c.rng.IntN(3))),
		}
		if in.expects() && c.rng.IntN(4) == 0 {
			in.Expect = c.lastDesk(in.Identifier)
		}
		return observe(c, in, in.Op == opSee || in.Op == opSeeListed || in.Op == opSeeReminded,
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

// expects reports whether the call can expect a version.
func (in deskInput) expects() bool {
	switch in.Op {
	case opSee, opSeeListed, opOwn, opCloseOwn, opRemind, opCancel, opSeeReminded:
		return false
	}
	return true
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
	case opRemind, opCancel, opSeeReminded:
		return l.deskReminder(ctx, key, in)
	case opSee:
		r.Incident, err = l.manager.Get(ctx, key)
	case opSeeListed:
		r.Incident, err = l.deskListed(ctx, key)
	case opOwn, opCloseOwn:
		for range 100 {
			err = l.manager.InTx(ctx, func(tx incident.Manager) error {
				if in.Op == opCloseOwn {
					var err error
					r, err = tx.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusClosed})
					return err
				}
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

func (l *lab) deskReminder(ctx context.Context, key incident.Key, in deskInput) (out deskOutput, err error) {
	switch in.Op {
	case opRemind:
		err = l.manager.Remind(ctx, key, incident.Reminder{Name: in.User, At: time.Now().Add(time.Hour)})
		if errors.Is(err, incident.ErrInvalid) {
			return deskOutput{Refused: true}, nil
		}
	case opCancel:
		err = l.manager.CancelReminder(ctx, key, in.User)
	case opSeeReminded:
		var all []incident.Reminder
		all, err = l.manager.Reminders(ctx, key)
		for _, r := range all {
			out.Reminded += r.Name
		}
	}
	return out, err
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
