package sqlite

import (
	"context"
	"time"

	"github.com/incidentkit/incident"
)

const identifiersSQL = `SELECT identifier FROM incident WHERE organization_id = ? AND identifier > ? ORDER BY identifier LIMIT ?`

// identifiersAfter returns the next identifiers of an organization.
func identifiersAfter(ctx context.Context, q session, org incident.OrganizationID, after int64, limit int) (all []int64, err error) {
	var n int64
	err = queryEach(ctx, q, identifiersSQL, []any{string(org), after, limit}, func() { all = append(all, n) }, integer(&n))
	return all, err
}

// pausesForOthers is the pause between two writes of a call, as a multiple of the time of a write.
const pausesForOthers = 4

// DeleteOrganization implements [incident.RetentionStore]. Once no incident is left, it continues,
// write by write, until everything else is deleted.
func (s *Store) DeleteOrganization(ctx context.Context, org incident.OrganizationID, limit int) (incident.DeleteBatch, error) {
	if s.tx != nil {
		return incident.DeleteBatch{}, translate(ctx, "delete organization", errRetentionTx)
	}
	first, err := read(ctx, s, "delete organization", oneStatement, func(ctx context.Context, q session) ([]int64, error) {
		return identifiersAfter(ctx, q, org, 0, min(limit, mostVisited))
	})
	if err != nil {
		return incident.DeleteBatch{}, err
	}
	for {
		began := time.Now()
		b, err := s.deleteFirst(ctx, org, first)
		if err != nil || b.Done || b.remain || len(b.Deleted) > 0 {
			return b.DeleteBatch, err
		}
		select {
		case <-time.After(pausesForOthers * time.Since(began)):
		case <-ctx.Done():
			return incident.DeleteBatch{}, translate(ctx, "delete organization", ctx.Err())
		}
	}
}

// deletedFirst is the outcome of a write of DeleteOrganization.
type deletedFirst struct {
	incident.DeleteBatch
	remain bool // there are further incidents
}

// deleteFirst deletes the incidents and, if no other is left, some of everything else.
func (s *Store) deleteFirst(ctx context.Context, org incident.OrganizationID, first []int64) (deletedFirst, error) {
	return put(ctx, s, "delete organization", func(ctx context.Context, q session) (b deletedFirst, err error) {
		d := deletion{portion: s.newPortion(ctx, q, org)}
		if err := d.deleteEach(first); err != nil {
			return b, err
		}
		b.Deleted = d.deleted
		left, err := identifiersAfter(ctx, q, org, 0, 1)
		if b.remain = len(left) > 0; err != nil || b.remain {
			return b, err
		}
		b.Done, err = d.end()
		return b, err
	})
}

// deleteEach deletes incidents until it has taken long enough.
func (d *deletion) deleteEach(identifiers []int64) error {
	for _, identifier := range identifiers {
		inc, found, err := d.read(identifier)
		if err != nil {
			return err
		}
		if found {
			if err := d.delete(&inc); err != nil {
				return err
			}
		}
		if d.isLate() {
			break
		}
	}
	return nil
}

// mostLeftovers is the most rows that a write deletes of an organization without incidents.
const mostLeftovers = 500

// leftoversSQL has a statement for each table with rows of an organization, except its counter of
// identifiers. Without incidents, only slots are left, unless a host has deleted incidents by
// statements of its own.
var leftoversSQL = [...]string{
	leftoversOf("incident_slot", "organization_id, alert_rule_id, project_id, query_id"),
	leftoversOf("incident_queue", "organization_id, identifier, notifier, reminder, replayed"),
	leftoversOf("incident_subscription", "organization_id, identifier, user_id"),
	leftoversOf("incident_seen", "organization_id, identifier, user_id"),
	leftoversOf("incident_trigger", "organization_id, identifier, trigger_id"),
	leftoversOf("incident_activity", "organization_id, identifier, sequence"),
	leftoversOf("incident_label", "organization_id, digest, date_started, identifier"),
	leftoversOf("incident_project", "organization_id, project_id, date_started, identifier"),
}

func leftoversOf(table, key string) string {
	return `DELETE FROM ` + table + ` WHERE (` + key + `) IN (SELECT ` + key + ` FROM ` + table + ` WHERE organization_id = ? LIMIT ?)`
}

// end deletes the leftovers of an organization without incidents, and reports whether all are
// deleted. The versions of slots begin again, so that all earlier positions of the feed are a
// Reset. Then no deletion record is needed any more.
func (d *deletion) end() (done bool, err error) {
	left := int64(mostLeftovers)
	for _, statement := range leftoversSQL {
		n, err := d.exec(d.ctx, statement, string(d.org), left)
		if err != nil {
			return false, err
		}
		left -= n
	}
	if left < mostLeftovers || len(d.deleted) > 0 {
		if err := d.begin(); err != nil {
			return false, err
		}
		if err := resetBefore(d.ctx, d, d.number); err != nil {
			return false, err
		}
	}
	forgotten, err := forget(d.ctx, d)
	return left > 0 && forgotten, err
}
