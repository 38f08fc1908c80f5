package sqlite

import (
	"context"
	"math"

	"github.com/incidentkit/incident"
)

// Purge implements [incident.RetentionStore]. It continues while all incidents that it found were
// deleted or reopened before the write.
func (s *Store) Purge(ctx context.Context, pq incident.PurgeQuery) (incident.PurgeBatch, error) {
	if s.tx != nil {
		return incident.PurgeBatch{}, translate(ctx, "purge", errRetentionTx)
	}
	pq.Limit = min(pq.Limit, mostVisited)
	for {
		b, err := s.purge(ctx, &pq)
		if err != nil || b.Next == nil || len(b.Purged)+b.Held > 0 {
			return b, err
		}
		pq.After = b.Next
	}
}

// purge visits the next due incidents. It visits none if all were deleted or reopened before the
// write.
func (s *Store) purge(ctx context.Context, pq *incident.PurgeQuery) (incident.PurgeBatch, error) {
	due, err := s.findDue(ctx, pq)
	if err != nil || len(due.positions) == 0 && !due.forgettable {
		return incident.PurgeBatch{}, err
	}
	return s.purgeDue(ctx, pq, due)
}

// findDue finds the next due incidents. It reads all that started early enough, also those that
// were closed too late.
func (s *Store) findDue(ctx context.Context, pq *incident.PurgeQuery) (dueIncidents, error) {
	return read(ctx, s, "purge", longSnapshot, func(ctx context.Context, q session) (dueIncidents, error) {
		return findDue(ctx, q, pq)
	})
}

// purgeDue deletes or holds back the found incidents that are still due.
func (s *Store) purgeDue(ctx context.Context, pq *incident.PurgeQuery, due dueIncidents) (incident.PurgeBatch, error) {
	return put(ctx, s, "purge", func(ctx context.Context, q session) (incident.PurgeBatch, error) {
		p := purge{deletion: deletion{portion: s.newPortion(ctx, q, pq.OrganizationID)}, closedBefore: micro(pq.ClosedBefore)}
		if err := p.visit(due); err != nil {
			return incident.PurgeBatch{}, err
		}
		p.batch.Purged = p.deleted
		_, err := forget(ctx, q)
		return p.batch, err
	})
}

// dueIncidents are the incidents that a purge visits.
type dueIncidents struct {
	positions   []incident.Position
	more        bool // further incidents are due
	forgettable bool // a deletion record can be removed
}

// An incident was closed no earlier than it started, so that the start bounds the range.
const dueSQL = `
SELECT i.date_started, i.identifier FROM incident i INDEXED BY incident_list
WHERE i.organization_id = ?1 AND i.status = 2 AND i.date_started < ?2 AND i.date_closed < ?2
	AND (i.date_started, i.identifier) > (?3, ?4)
ORDER BY i.date_started, i.identifier LIMIT ?5`

func findDue(ctx context.Context, q session, pq *incident.PurgeQuery) (due dueIncidents, err error) {
	started, identifier := int64(math.MinInt64), int64(0)
	if p := pq.After; p != nil {
		started, identifier = micro(p.DateStarted), p.Identifier
	}
	var p incident.Position
	err = queryEach(ctx, q, dueSQL, []any{string(pq.OrganizationID), micro(pq.ClosedBefore), started, identifier, pq.Limit + 1},
		func() { due.positions = append(due.positions, p) }, instant(&p.DateStarted), integer(&p.Identifier))
	if err != nil {
		return due, err
	}
	if due.more = len(due.positions) > pq.Limit; due.more {
		due.positions = due.positions[:pq.Limit]
	}
	due.forgettable, err = hasForgettable(ctx, q)
	return due, err
}

// purge is the write of a purge.
type purge struct {
	deletion
	closedBefore int64
	batch        incident.PurgeBatch
}

// visit deletes or holds back incidents until it has taken long enough.
func (p *purge) visit(due dueIncidents) error {
	for i := range due.positions {
		position := due.positions[i]
		inc, found, err := p.read(position.Identifier)
		if err != nil {
			return err
		}
		if !found || inc.DateClosed == nil || micro(*inc.DateClosed) >= p.closedBefore {
			continue // it has changed since it was found
		}
		held, err := p.isHeld(inc.Identifier)
		switch {
		case err != nil:
			return err
		case held:
			p.batch.Held++
		default:
			if err := p.delete(&inc); err != nil {
				return err
			}
		}
		if last := i == len(due.positions)-1; p.isLate() && !last {
			p.batch.Next = &position
			return nil
		}
	}
	if due.more {
		p.batch.Next = new(due.positions[len(due.positions)-1])
	}
	return nil
}

const isHeldSQL = `
SELECT EXISTS (SELECT 1 FROM incident_queue WHERE organization_id = ? AND identifier = ? AND due < 9223372036854775807)`

// isHeld reports whether a notification of the incident is to be delivered, or a reminder pending.
func (p *purge) isHeld(identifier int64) (held bool, err error) {
	_, err = queryOne(p.ctx, p, isHeldSQL, []any{string(p.org), identifier}, boolean(&held))
	return held, err
}
