package managertest

import (
	"context"
	"errors"
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/incidentkit/incident"
)

// A family is a few incidents that several users mark as duplicates of each other, in all
// directions at the same time, and reopen.

// familySize is small, so that marks in opposite directions meet.
const familySize = 3

type familyInput struct {
	Identifier int64
	Of         int64 // 0 reopens
}

// familyOutput is the incident after the call.
type familyOutput struct {
	Of, Version int64
	IsClosed    bool
	Changed     bool
	Refused     bool // the other incident is a duplicate
}

// family is the state of the incidents, by identifier - 1.
type family [familySize]familyOutput

const familyOrg incident.OrganizationID = "family"

var familyModel = porcupine.Model{
	Init: func() any {
		var f family
		for i := range f {
			f[i].Version = 1
		}
		return f
	},
	Step: func(state, input, output any) (bool, any) {
		next, want := state.(family).step(input.(familyInput))
		if _, ok := output.(unknown); ok {
			return true, next
		}
		return want == output.(familyOutput), next
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
}

func (f family) step(in familyInput) (family, familyOutput) {
	inc := &f[in.Identifier-1]
	switch {
	case in.Of == 0 && !inc.IsClosed, in.Of != 0 && inc.Of == in.Of:
		return f, *inc
	case in.Of != 0 && f[in.Of-1].Of != 0:
		return f, familyOutput{Refused: true}
	}
	inc.Of, inc.IsClosed = in.Of, in.Of != 0
	inc.Version++
	out := *inc
	out.Changed = true
	return f, out
}

// checkFamily records a history of a family and checks it. No call may wait for a call that waits
// for it: observe bounds each call.
func checkFamily(s labSetup) error {
	s.calls /= 2 // the history has a single part
	l, err := newLab(s)
	if err != nil {
		return err
	}
	if err := createSafely(l, familyOrg, familySize); err != nil {
		return err
	}
	history, err := l.run(func(c *client) error {
		in := familyInput{Identifier: c.rng.Int64N(familySize) + 1, Of: c.rng.Int64N(familySize + 1)}
		if in.Of == in.Identifier {
			in.Of = 0
		}
		return observe(c, in, false, func(ctx context.Context) (familyOutput, error) { return l.mark(ctx, in) })
	})
	if err != nil {
		return err
	}
	return errors.Join(
		l.checkHistory("family", familyModel, history),
		Audit(context.Background(), l.manager, l.store, familyOrg),
	)
}

func (l *lab) mark(ctx context.Context, in familyInput) (familyOutput, error) {
	key := incident.Key{OrganizationID: familyOrg, Identifier: in.Identifier}
	var r incident.Result
	var err error
	if in.Of == 0 {
		r, err = l.manager.UpdateStatus(ctx, key, incident.StatusUpdate{Status: incident.StatusOpen})
	} else {
		r, err = l.manager.MarkDuplicate(ctx, key, incident.Duplicate{Of: in.Of})
	}
	if errors.Is(err, incident.ErrInvalid) {
		return familyOutput{Refused: true}, nil
	}
	return familyOutput{
		Of: r.DuplicateOf, Version: r.Version, IsClosed: r.Status == incident.StatusClosed, Changed: r.Changed,
	}, err
}
