package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/lib/pq"

	"github.com/incidentkit/incident"
)

// Apply implements [incident.IncidentStore]. Creations that meet are written together;
// every other change is applied alone, in the transaction if the store has one.
func (s *Store) Apply(ctx context.Context, change incident.Change) (incident.Applied, error) {
	isCreation := change.Key.Identifier == 0
	c := newCall("apply")
	c.once = isCreation && len(change.Activities) == 0 // without a UUID by which a repetition is found
	for {
		var applied incident.Applied
		var err error
		if isCreation && !c.once && s.tx == nil {
			applied, err = s.applyInLane(ctx, change, c)
		} else {
			applied, err = s.applyAlone(ctx, change, c)
		}
		if done, err := s.concluded(ctx, c, err); err != nil {
			return incident.Applied{}, err
		} else if done {
			if change.Incident != nil && !applied.Replayed {
				applied.WriteID = incident.WriteID(c.id)
			}
			return applied, nil
		}
	}
}

// applyAlone runs a single statement that writes all of the change or nothing. If it wrote
// nothing, a second statement finds the reason. After several losses both are in a transaction, which
// locks the rows first.
func (s *Store) applyAlone(ctx context.Context, change incident.Change, c *call) (incident.Applied, error) {
	if c.waitsForTurn(s) {
		return inTurn(ctx, s, c, func(tx *Store) (incident.Applied, error) {
			if err := tx.lockFor(ctx, &change); err != nil {
				return incident.Applied{}, err
			}
			return tx.applyAlone(ctx, change, c)
		})
	}
	w := s.newWriting(change, c)
	for {
		done, err := queryCounted(ctx, s, c, s.applyStatement(w, c), w.readWritten)
		switch {
		case err != nil:
			return incident.Applied{}, err
		case done.identifier != 0:
			return w.applied(done), nil
		}
		found, err := s.diagnose(ctx, change)
		if err != nil {
			return incident.Applied{}, err
		}
		if !found.onlyMoves(w) {
			return found.verdict(w.Change, c)
		}
		if found.isOutdated() {
			if err := s.delistOutdated(ctx, w.Key.OrganizationID, w.Key.Identifier); err != nil {
				return incident.Applied{}, err
			}
		}
		w.moveFrom(found.place)
	}
}

// writing is a change and the facts that its statement needs besides.
type writing struct {
	incident.Change

	// looks has the statement look for an earlier write of the change, and then write
	// nothing. Without it a repeated UUID violates an index, and the statement fails.
	looks bool

	fence int64 // of the claims that Leases asks for; 0 for none

	// optional is the value of incident.optional.
	optional any

	// before is the place of the stored incident. The statement writes nothing if the
	// incident has another place.
	before place

	// The differences of the lists that have the incident, between before and after the
	// change.
	link, unlink   []incident.ProjectID
	label, unlabel pq.StringArray
	relist         relist

	expected expectation // set by a statement that expects the version of a slot
}

// place has the stored fields by which lists find an incident, and that a change does not
// name. The start is part of the key in all lists.
type place struct {
	started  time.Time
	assignee incident.UserID
	listing  int // see listingSQL
}

func (p place) equal(q place) bool {
	return p.started.Equal(q.started) && p.assignee == q.assignee && p.listing == q.listing
}

func (p place) status() incident.Status { return incident.Status(max(p.listing, -p.listing)) }

// isOutdated reports whether incident_active may have wrong rows of the incident: see active.go.
func (p place) isOutdated() bool { return p.listing < 0 }

// newWriting prepares a change. Only a repetition after a lost reply repeats the UUIDs of a
// creation, so the first attempt outside a transaction skips the look-up. In a transaction
// of the caller it looks, because a violated index would fail the whole transaction. On Citus, where
// each organization is settled by itself, claims of the write would save nothing.
func (s *Store) newWriting(change incident.Change, c *call) writing {
	if change.Key.Identifier != 0 || s.tx != nil && !s.tx.grouped || s.citus != nil {
		change.Leases = nil
	}
	w := writing{Change: change, fence: fenceOf(&change, c), looks: c.again.Load() || change.Key.Identifier != 0 || s.tx != nil && !s.tx.grouped}
	w.link, w.unlink = change.Link, change.Unlink
	if change.Incident != nil {
		w.optional = optionalOf(change.Incident)
		w.moveFrom(likelyPlace(&change))
	}
	return w
}

// likelyPlace returns the place from which a change probably moves its incident. If the
// stored incident has another place, diagnose finds it.
func likelyPlace(c *incident.Change) place {
	p := place{
		started: c.StartedBefore, assignee: assigneeOf(c.Incident),
		listing: int(cmp.Or(statusBefore(c), c.Incident.Status)),
	}
	if p.started.IsZero() {
		p.started = c.Incident.DateStarted
	}
	for i := range c.Activities {
		if a := &c.Activities[i]; a.Type == incident.ActivityTypeAssigned {
			p.assignee = incident.UserID(a.Old)
			break
		}
	}
	return p
}

// statusBefore returns the status from which a change moves an existing incident, or 0 if no
// activity tells.
func statusBefore(c *incident.Change) incident.Status {
	for i := range c.Activities {
		if a := &c.Activities[i]; a.Type == incident.ActivityTypeStatusChange && a.PreviousValue != 0 {
			return a.PreviousValue
		}
	}
	return 0
}

// writeBefore returns the call that wrote the version on which a change was decided, or nil if unknown.
func writeBefore(c *incident.Change) any {
	if c.ExpectWrite == 0 {
		return nil
	}
	return int64(c.ExpectWrite)
}

// moveFrom sets the differences of lists for an incident that has the given place before
// the change. If the start moves, the incident leaves all its lists, and enters them at the
// new start.
func (w *writing) moveFrom(before place) {
	w.before = before
	assignee, assigneeBefore := assigneeOf(w.Incident), before.assignee
	isNew := w.Key.Identifier == 0
	switch {
	case isNew:
		assigneeBefore = ""
	case before.started.Equal(w.Incident.DateStarted) && assignee == assigneeBefore:
		assignee, assigneeBefore = "", ""
	}
	w.link, w.unlink = w.Link, w.Unlink
	w.label, w.unlabel = digestsOf(w.AddLabels, assignee), digestsOf(w.RemoveLabels, assigneeBefore)
	w.relist = w.relistFrom(before)
	if isNew || before.started.Equal(w.Incident.DateStarted) {
		return
	}
	w.link = w.Incident.Projects
	w.unlink = append(slices.DeleteFunc(slices.Clone(w.link), func(p incident.ProjectID) bool {
		return slices.Contains(w.Link, p)
	}), w.Unlink...)
	for name, value := range w.Incident.Labels {
		if l := (incident.Label{Name: name, Value: value}); !slices.Contains(w.AddLabels, l) {
			w.label, w.unlabel = append(w.label, labelDigest(l)), append(w.unlabel, labelDigest(l))
		}
	}
}

// written is the answer to the statement of a change.
type written struct {
	identifier int64 // 0 if nothing was written
	last       int64 // the sequence of the incident's last activity
	slots      []incident.SlotVersion
}

func (w writing) readWritten(rows rowSet) (o written, err error) {
	dest := []any{integer(&o.identifier), integer(&o.last)}
	if !w.layout().slots {
		err = scanOne(rows, dest...)
		return o, err
	}
	sv := incident.SlotVersion{Slot: incident.Slot{OrganizationID: w.Key.OrganizationID}}
	err = scanEach(rows, func() {
		if sv.Version != 0 { // 0 if the change has no slots
			o.slots = append(o.slots, sv)
		}
	}, append(dest,
		text(&sv.Slot.AlertRuleID), text(&sv.Slot.ProjectID), text(&sv.Slot.QueryID), integer(&sv.Version))...)
	return o, err
}

// applied returns the result of a change that was written.
func (w writing) applied(o written) incident.Applied {
	a := incident.Applied{Slots: o.slots, Fence: w.fence}
	if n := int64(len(w.Activities)); n > 0 {
		a.Sequence = o.last - n + 1
	}
	if w.Incident != nil {
		a.Incident = w.Incident.Clone()
		a.Incident.Identifier = o.identifier
	}
	return a
}
