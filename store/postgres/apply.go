package postgres

import (
	"context"
	"fmt"

	"github.com/incidentkit/incident"
)

// Apply implements [incident.IncidentStore]. It is one statement, which writes
// all of the change or nothing. Only when it has written nothing does a second
// one ask why.
func (s *Store) Apply(ctx context.Context, c incident.Change) (applied incident.Applied, err error) {
	err = s.write(ctx, "apply", func(ctx context.Context, by *call) error {
		by.once = c.Key.Identifier == 0 && len(c.Activities) == 0
		applied, err = s.apply(ctx, c, by)
		return err
	})
	if err != nil {
		return incident.Applied{}, err
	}
	return applied, nil
}

func (s *Store) apply(ctx context.Context, c incident.Change, by *call) (incident.Applied, error) {
	if c.Key.Identifier == 0 && s.tx == nil && !by.once {
		return s.create(ctx, c, by)
	}
	return s.applyAlone(ctx, c, by)
}

func (s *Store) applyAlone(ctx context.Context, c incident.Change, by *call) (incident.Applied, error) {
	w := s.writing(c, by)
	for {
		done, err := askWrite(ctx, s, by, s.applyStatement(w, by), func(rows rowSet) (outcome, error) {
			return readOutcome(rows, w)
		})
		if err != nil {
			return incident.Applied{}, err
		}
		if done.identifier != 0 {
			return w.applied(done), nil
		}
		why, err := s.explain(ctx, c)
		if err != nil {
			return incident.Applied{}, err
		}
		if why.movesFrom(w) {
			w = w.from(why.started)
			continue
		}
		return s.judge(c, by, why)
	}
}

// outcome is what the statement of a change has written.
type outcome struct {
	identifier int64 // 0 for nothing
	last       int64 // the sequence of the incident's last activity
	slots      []incident.SlotVersion
}

func readOutcome(rows rowSet, w writing) (o outcome, err error) {
	dest := []any{integer(&o.identifier), integer(&o.last)}
	if !w.layout().slots {
		return o, each(rows, func() {}, dest...)
	}
	sv := incident.SlotVersion{Slot: incident.Slot{OrganizationID: w.Key.OrganizationID}}
	err = each(rows, func() {
		if sv.Version != 0 { // a row without a slot is that of a change without any
			o.slots = append(o.slots, sv)
		}
	}, append(dest,
		text(&sv.Slot.AlertRuleID), text(&sv.Slot.ProjectID), text(&sv.Slot.QueryID), integer(&sv.Version))...)
	return o, err
}

// applied is what the caller of a change gets to know.
func (w writing) applied(o outcome) incident.Applied {
	c := w.Change
	a := incident.Applied{Slots: o.slots}
	if n := int64(len(c.Activities)); n > 0 {
		a.Sequence = o.last - n + 1
	}
	if c.Incident != nil {
		a.Incident = c.Incident.Clone()
		a.Incident.Identifier = o.identifier
	}
	return a
}

// judge says what became of a change of which the last statement has written
// nothing: it was written before, by this call or by another, or it must not be.
func (s *Store) judge(c incident.Change, by *call, why explanation) (incident.Applied, error) {
	known := why.activity.Sequence != 0
	switch {
	case known && why.writtenBy == by.id:
		// The reply was lost. Which versions the slots had then is not known.
		a := incident.Applied{Sequence: why.activity.Sequence}
		if c.Incident != nil {
			a.Incident = c.Incident.Clone()
			a.Incident.Identifier = why.activity.Incident.Identifier
		}
		return a, nil
	case why.detected != nil:
		return incident.Applied{Replayed: true, Incident: *why.detected}, nil
	case known && c.Key.Identifier != 0 && c.Key.Identifier != why.activity.Incident.Identifier:
		return incident.Applied{}, fmt.Errorf("%w: the notification UUID belongs to another incident", incident.ErrConflict)
	case known:
		return incident.Applied{
			Replayed: true, Incident: why.notified, Activity: &why.activity,
		}, nil
	case c.Key.Identifier != 0 && why.version == 0:
		return incident.Applied{}, incident.ErrNotFound
	case c.Key.Identifier != 0 && c.Incident != nil && why.version != c.ExpectVersion:
		return s.judgeVersion(c, by, why)
	case why.holder != 0:
		return incident.Applied{}, &incident.ConflictError{
			Existing: incident.Key{OrganizationID: c.Key.OrganizationID, Identifier: why.holder},
		}
	}
	return incident.Applied{}, errAgain
}

// judgeVersion is about a change that finds another version than it expects.
// Without an activity only the version itself tells who wrote it.
func (s *Store) judgeVersion(c incident.Change, by *call, why explanation) (incident.Applied, error) {
	switch {
	case why.version == c.Incident.Version && why.versionBy == by.id:
		return incident.Applied{Incident: c.Incident.Clone()}, nil
	case by.lost() && len(c.Activities) == 0 && why.version > c.Incident.Version:
		return incident.Applied{}, incident.ErrUnknownOutcome // what this call may have written is overwritten
	}
	return incident.Applied{}, incident.ErrVersionConflict
}
