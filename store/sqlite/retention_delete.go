package sqlite

import "github.com/incidentkit/incident"

// A deletion removes all rows of an incident, and leaves a deletion record for the feed. No other
// statement looks for the record: without the row of the incident nothing else is read, and a write
// checks that the row exists, in the transaction that has the right to write.

// deletion is a portion that deletes incidents.
type deletion struct {
	portion
	number  int64 // of the transaction, or 0 before the first deletion
	deleted []incident.IncidentVersion
}

// deleteOfIncidentSQL has a statement for each table with rows of an incident, except the lists.
var deleteOfIncidentSQL = [...]string{
	`DELETE FROM incident_queue WHERE organization_id = ? AND identifier = ?`,
	`DELETE FROM incident_subscription WHERE organization_id = ? AND identifier = ?`,
	`DELETE FROM incident_seen WHERE organization_id = ? AND identifier = ?`,
	`DELETE FROM incident_trigger WHERE organization_id = ? AND identifier = ?`,
	`DELETE FROM incident_activity WHERE organization_id = ? AND identifier = ?`,
	`DELETE FROM incident WHERE organization_id = ? AND identifier = ?`,
}

const insertDeletedSQL = `
INSERT INTO incident_deleted (organization_id, identifier, version, activities, changed, date_deleted) VALUES (?, ?, ?, ?, ?, ?)`

// delete deletes an incident with everything that belongs to it, and frees its slots.
func (d *deletion) delete(inc *listed) error {
	if err := d.begin(); err != nil {
		return err
	}
	for _, part := range []func(*listed) error{d.freeSlots, d.unlist} {
		if err := part(inc); err != nil {
			return err
		}
	}
	for _, statement := range deleteOfIncidentSQL {
		if _, err := d.exec(d.ctx, statement, string(d.org), inc.Identifier); err != nil {
			return err
		}
	}
	version := inc.version()
	version.Version++
	d.deleted = append(d.deleted, version)
	_, err := d.exec(d.ctx, insertDeletedSQL, string(d.org), inc.Identifier, version.Version, version.Activities, d.number, now())
	return err
}

// servesDeletions is the first schema version whose library looks for deletion records.
const servesDeletions = 2

// begin counts the transaction. Libraries that do not look for deletion records can no longer
// use the tables.
func (d *deletion) begin() (err error) {
	if d.number != 0 {
		return nil
	}
	if d.number, err = nextTransaction(d.ctx, d.session); err != nil {
		return err
	}
	_, err = d.exec(d.ctx, `UPDATE incident_schema SET serves = ?1 WHERE serves < ?1`, servesDeletions)
	return err
}

const freeSlotSQL = `
UPDATE incident_slot SET version = version + 1, holder = 0, changed = ?6
WHERE organization_id = ?1 AND alert_rule_id = ?2 AND project_id = ?3 AND query_id = ?4 AND holder = ?5`

// freeSlots frees the slots that the incident holds: a slot for each project while it is active.
func (d *deletion) freeSlots(inc *listed) error {
	if inc.AlertRuleID == "" || !inc.Status.Active() {
		return nil
	}
	for _, p := range inc.Projects {
		_, err := d.exec(d.ctx, freeSlotSQL, string(d.org), string(inc.AlertRuleID), string(p), string(inc.QueryID), inc.Identifier, d.number)
		if err != nil {
			return err
		}
	}
	return nil
}

// unlist removes the incident from the lists of projects, labels and the assignee.
func (d *deletion) unlist(inc *listed) error {
	for _, p := range inc.Projects {
		if _, err := d.exec(d.ctx, unlinkSQL, string(d.org), string(p), micro(inc.DateStarted), inc.Identifier); err != nil {
			return err
		}
	}
	labels := make([]incident.Label, 0, len(inc.Labels))
	for name, value := range inc.Labels {
		labels = append(labels, incident.Label{Name: name, Value: value})
	}
	for _, digest := range digestsOf(labels, assigneeOf(&inc.Incident)) {
		if _, err := d.exec(d.ctx, unlabelSQL, string(d.org), digest, micro(inc.DateStarted), inc.Identifier); err != nil {
			return err
		}
	}
	return nil
}
