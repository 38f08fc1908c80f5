package managertest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/incidentkit/incident"
)

// A shelf is an organization whose incidents are created, closed, reopened, read and purged at the
// same time. An incident that was closed long ago is due; one that was closed now is not. Each
// incident is a part of the history, with all purges of its organization: a purge deletes its
// incidents one after the other. Nothing but a creation begins the part of an incident, so that an
// identifier that is assigned again makes the part illegal.

type shelfOp string

const (
	opPut      shelfOp = "Create"
	opCloseNew shelfOp = "close"
	opCloseOld shelfOp = "close long ago"
	opOpen     shelfOp = "open again"
	opLook     shelfOp = "Get"
	opInspect  shelfOp = "Details"
	opPurge    shelfOp = "Purge"
)

var shelfOps = []shelfOp{opPut, opPut, opCloseNew, opCloseOld, opCloseOld, opCloseOld, opOpen, opOpen, opLook, opLook, opLook, opInspect, opPurge}

// shelfInput is a call of a history of shelves.
type shelfInput struct {
	Org        incident.OrganizationID
	Identifier int64 // 0 for Create and Purge
	Op         shelfOp
}

// shelfOutput is the result of a call.
type shelfOutput struct {
	Identifier int64 // of Create
	Version    int64 // 0 if the incident is not found
	IsClosed   bool
	Held       bool // a purge has held an incident back
}

// shelfState is the state of an incident. Version is 0 before its creation and after its deletion.
type shelfState struct {
	Version         int64
	IsClosed, IsDue bool
	IsDeleted       bool
}

var shelfOrgs = []incident.OrganizationID{"shelf1", "shelf2"}

var shelfModel = func() porcupine.Model {
	model := porcupine.NondeterministicModel{
		Partition: shelfParts,
		Init:      func() []any { return []any{shelfState{}} },
		Step: func(state, input, output any) []any {
			s := state.(shelfState)
			in := input.(shelfInput)
			out, known := output.(shelfOutput)
			next, want := s.step(in, out.Identifier)
			switch {
			case in.Op == opPurge && (!known || out.Held):
				return []any{s, next} // the purge may not have visited the incident, or has held it back
			case in.Op == opPurge:
				return []any{next}
			case known && want != out:
				return nil
			}
			return []any{next}
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
	}
	return model.ToModel()
}()

// step returns the state after a call, and what the call must return. A creation has the identifier
// that was assigned.
func (s shelfState) step(in shelfInput, assigned int64) (next shelfState, out shelfOutput) {
	next = s
	switch {
	case in.Op == opPut:
		if s == (shelfState{}) {
			next.Version = 1
			return next, shelfOutput{Identifier: assigned, Version: 1}
		}
		return s, shelfOutput{} // no creation may return the identifier
	case in.Op == opPurge:
		if s.IsDue {
			next = shelfState{IsDeleted: true}
		}
		return next, shelfOutput{}
	case s.Version == 0:
		return s, shelfOutput{}
	case in.Op == opOpen && s.IsClosed:
		next = shelfState{Version: s.Version + 1}
	case !s.IsClosed && (in.Op == opCloseNew || in.Op == opCloseOld):
		next = shelfState{Version: s.Version + 1, IsClosed: true, IsDue: in.Op == opCloseOld}
	}
	return next, shelfOutput{Version: next.Version, IsClosed: next.IsClosed}
}

// shelfParts returns the calls of each incident, in the order of the first, with all purges of its
// organization.
func shelfParts(history []porcupine.Operation) [][]porcupine.Operation {
	index := map[incident.Key]int{}
	purges := map[incident.OrganizationID][]porcupine.Operation{}
	var keys []incident.Key
	var parts [][]porcupine.Operation
	for _, op := range history {
		in := op.Input.(shelfInput)
		if in.Op == opPurge {
			purges[in.Org] = append(purges[in.Org], op)
			continue
		}
		key := incident.Key{OrganizationID: in.Org, Identifier: in.Identifier}
		if out, ok := op.Output.(shelfOutput); ok && in.Op == opPut {
			key.Identifier = out.Identifier
		}
		i, ok := index[key]
		if !ok {
			i = len(parts)
			index[key], keys, parts = i, append(keys, key), append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	for i, key := range keys {
		parts[i] = append(parts[i], purges[key.OrganizationID]...)
	}
	return parts
}

// forgettingStore loses the answer to every fourth purge.
type forgettingStore struct {
	quietStore
	purges atomic.Int64
}

func (s *forgettingStore) Purge(ctx context.Context, q incident.PurgeQuery) (incident.PurgeBatch, error) {
	b, err := s.quietStore.Purge(ctx, q)
	if err == nil && s.purges.Add(1)%4 == 0 {
		return incident.PurgeBatch{}, errWriteUnknown
	}
	return b, err
}

// checkShelves records a history of shelves and checks it. The only answers that are lost are those to
// purges: all keys of the cache are then in doubt. The store has no outbox, so that nothing is held
// back for a notification.
func checkShelves(s labSetup) error {
	deletes := quietStore{s.store.(incident.RetentionStore)}
	if s.store = deletes; s.losses > 0 {
		s.store, s.losses = &forgettingStore{quietStore: deletes}, 0
	}
	l, err := newLab(s)
	if err != nil {
		return err
	}
	var newest [2]atomic.Int64
	history, err := l.run(func(c *client) error {
		n := c.rng.IntN(len(shelfOrgs))
		in := shelfInput{Org: shelfOrgs[n], Op: shelfOps[c.rng.IntN(len(shelfOps))]}
		if in.Op != opPut && in.Op != opPurge {
			in.Identifier = max(1, newest[n].Load()+1-c.rng.Int64N(6))
		}
		return observe(c, in, in.Op == opLook || in.Op == opInspect, func(ctx context.Context) (shelfOutput, error) {
			out, err := l.shelf(ctx, c, in)
			if err == nil && in.Op == opPut && out.Identifier > newest[n].Load() {
				newest[n].Store(out.Identifier)
			}
			return out, err
		})
	})
	if err != nil {
		return err
	}
	return errors.Join(
		l.checkHistory("shelf", shelfModel, history),
		AuditPurged(context.Background(), l.manager, l.store, shelfOrgs...),
	)
}

func (l *lab) shelf(ctx context.Context, c *client, in shelfInput) (shelfOutput, error) {
	key := incident.Key{OrganizationID: in.Org, Identifier: in.Identifier}
	began := c.base.Add(-10 * time.Hour)
	var r incident.Result
	var err error
	set := func(status incident.Status, date time.Time) {
		r, err = l.manager.UpdateStatus(ctx, key, incident.StatusUpdate{Status: status, Date: date})
	}
	switch in.Op {
	case opPut:
		r, err = l.manager.Create(ctx, incident.NewIncident{OrganizationID: in.Org, Title: "shelf", DateStarted: began})
		return shelfOutput{Identifier: r.Identifier, Version: r.Version, IsClosed: r.Status == incident.StatusClosed}, err
	case opPurge:
		p, err := l.manager.(incident.RetentionManager).Purge(ctx, incident.Purge{OrganizationID: in.Org, ClosedBefore: c.base.Add(-time.Hour)})
		if err != nil { // a part may be done
			err = fmt.Errorf("%w: %v", incident.ErrUnknownOutcome, err)
		}
		return shelfOutput{Held: p.Held > 0}, err
	case opCloseNew:
		set(incident.StatusClosed, time.Time{})
	case opCloseOld:
		set(incident.StatusClosed, began.Add(time.Hour))
	case opOpen:
		set(incident.StatusOpen, time.Time{})
	case opLook:
		r.Incident, err = l.manager.Get(ctx, key)
	case opInspect:
		var d incident.Details
		d, err = l.manager.Details(ctx, key, "")
		r.Incident = d.Incident
	}
	if errors.Is(err, incident.ErrNotFound) {
		return shelfOutput{}, nil
	}
	return shelfOutput{Version: r.Version, IsClosed: r.Status == incident.StatusClosed}, err
}
