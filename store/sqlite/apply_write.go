package sqlite

import (
	"context"
	"errors"

	"github.com/incidentkit/incident"
)

// writing is a change that passed all checks.
type writing struct {
	*incident.Change
	session
	ctx     context.Context // of the statements; it does not end
	before  stored          // zero for a new incident
	applied incident.Applied

	org         string
	args        []any // the organization; has space for the arguments of a statement
	identifier  int64
	transaction int64 // the number of the transaction, or 0 if the change is not for the feed
}

// write writes the change and sets applied.
func (w *writing) write() error {
	w.org, w.identifier = string(w.Key.OrganizationID), w.Key.Identifier
	if w.Incident != nil || len(w.Activities) > 0 || len(w.Claim) > 0 || len(w.Release) > 0 {
		var err error
		if w.transaction, err = nextTransaction(w.ctx, w.session); err != nil {
			return err
		}
	}
	for _, part := range []func() error{
		w.writeIncident, w.writeLists, w.writeActivities, w.writeTriggers, w.writeSubscriptions, w.writeSlots, w.enqueue,
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// maxArguments is the most arguments of a statement of run.
const maxArguments = 17

// run runs a statement whose arguments begin with the organization.
func (w *writing) run(text string, args ...any) error {
	if w.args == nil {
		w.args = append(make([]any, 0, maxArguments), w.org)
	}
	_, err := w.exec(w.ctx, text, append(w.args, args...)...)
	return err
}

// nextTransaction returns the number of the transaction for the feed. A number is a position in
// the history, whether or not a transaction ends there: the writes of a batch share a number, and
// each write in any other transaction has its own.
func nextTransaction(ctx context.Context, q session) (number int64, err error) {
	c, own := q.(*conn)
	if own && c.batch && c.counted {
		return c.number, nil
	}
	// RETURNING makes a temporary table for each execution. A process that writes alone knows the number.
	if own && c.number > 0 {
		n, err := c.exec(ctx, `UPDATE incident_history SET transactions = ? WHERE singleton = 1 AND transactions = ?`, c.number+1, c.number)
		if err != nil {
			return 0, err
		}
		if n == 1 {
			c.number, c.counted = c.number+1, true
			return c.number, nil
		}
	}
	found, err := queryOne(ctx, q,
		`UPDATE incident_history SET transactions = transactions + 1 WHERE singleton = 1 RETURNING transactions`, nil, integer(&number))
	switch {
	case err != nil:
		return 0, err
	case !found:
		return 0, errNoHistory
	}
	if own {
		c.number, c.counted = number, true
	}
	return number, nil
}

var errNoHistory = errors.New("sqlite: the row of incident_history is missing; restore a backup")

const countIncidentSQL = `
INSERT INTO incident_organization (organization_id, incidents) VALUES (?, ?)
ON CONFLICT DO UPDATE SET incidents = excluded.incidents`

const insertIncidentSQL = `
INSERT INTO incident (
	version, activities, changed, type, status, status_method,
	date_started, date_detected, date_added, date_closed,
	detection_uuid, title, title_folded, alert_rule_id, query_id, projects, optional,
	organization_id, identifier
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// The statements of a change bind their arguments in order: the driver makes a text of the number of
// each numbered parameter.
const updateIncidentSQL = `
UPDATE incident SET
	version = ?, activities = ?, changed = ?, type = ?, status = ?, status_method = ?,
	date_started = ?, date_detected = ?, date_added = ?, date_closed = ?,
	detection_uuid = ?, title = ?, title_folded = ?, alert_rule_id = ?, query_id = ?, projects = ?, optional = ?
WHERE organization_id = ? AND identifier = ?`

const countActivitiesOfSQL = `UPDATE incident SET activities = ?, changed = ? WHERE organization_id = ? AND identifier = ?`

// writeIncident writes the row, or only its counter of activities.
func (w *writing) writeIncident() error {
	inc := w.Incident
	activities := w.before.activities + int64(len(w.Activities))
	if len(w.Activities) > 0 {
		w.applied.Sequence = w.before.activities + 1
	}
	if inc == nil {
		if len(w.Activities) == 0 {
			return nil
		}
		_, err := w.exec(w.ctx, countActivitiesOfSQL, activities, w.transaction, w.org, w.identifier)
		return err
	}
	isNew := w.identifier == 0
	if isNew {
		w.identifier = w.before.incidents + 1
		if err := w.run(countIncidentSQL, w.identifier); err != nil {
			return err
		}
	}
	w.applied.Incident = inc.Clone()
	w.applied.Incident.Identifier = w.identifier
	columns := [...]any{
		inc.Version, activities, w.transaction,
		int(inc.Type), int(inc.Status), int(inc.StatusMethod),
		micro(inc.DateStarted), micro(inc.DateDetected), micro(inc.DateAdded), optionalMicro(inc.DateClosed),
		optionalUUID(inc.DetectionUUID), inc.Title, incident.FoldTitle(inc.Title),
		string(inc.AlertRuleID), string(inc.QueryID), listOf(inc.Projects), optionalOf(inc),
		w.org, w.identifier, // the key comes last in both statements
	}
	statement := updateIncidentSQL
	if isNew {
		statement = insertIncidentSQL
	}
	_, err := w.exec(w.ctx, statement, columns[:]...)
	return err
}

const insertActivitySQL = `
INSERT INTO incident_activity (
	organization_id, identifier, sequence, revision, type, value, previous_value, date_added, date_edited, date_deleted,
	notification_uuid, user_id, comment, trigger_id, field, old_text, new_text
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// insertPlainActivitySQL leaves out the columns that most activities lack: to bind a NULL costs as
// much as to bind a value.
const insertPlainActivitySQL = `
INSERT INTO incident_activity (
	organization_id, identifier, sequence, revision, type, value, previous_value, date_added,
	notification_uuid, user_id, comment
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

func (w *writing) writeActivities() error {
	for i := range w.Activities {
		a := &w.Activities[i]
		if a.DateEdited == nil && a.DateDeleted == nil && a.TriggerID == "" && a.Field == "" && a.Old == "" && a.New == "" {
			err := w.run(insertPlainActivitySQL, w.identifier, w.applied.Sequence+int64(i), a.Revision,
				int(a.Type), int(a.Value), int(a.PreviousValue), micro(a.DateAdded), a.NotificationUUID[:], string(a.UserID), a.Comment)
			if err != nil {
				return err
			}
			continue
		}
		err := w.run(insertActivitySQL, w.identifier, w.applied.Sequence+int64(i), a.Revision,
			int(a.Type), int(a.Value), int(a.PreviousValue),
			micro(a.DateAdded), optionalMicro(a.DateEdited), optionalMicro(a.DateDeleted),
			a.NotificationUUID[:], string(a.UserID), a.Comment,
			optionalString(a.TriggerID), optionalString(a.Field), optionalString(a.Old), optionalString(a.New))
		if err != nil {
			return err
		}
	}
	return nil
}

const putTriggerSQL = `
INSERT INTO incident_trigger (organization_id, identifier, trigger_id, status, severity, date_added, date_modified)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
	status = excluded.status, severity = excluded.severity,
	date_added = excluded.date_added, date_modified = excluded.date_modified`

func (w *writing) writeTriggers() error {
	for i := range w.Triggers {
		t := &w.Triggers[i]
		err := w.run(putTriggerSQL, w.identifier, string(t.TriggerID), int(t.Status), int(t.Severity),
			micro(t.DateAdded), micro(t.DateModified))
		if err != nil {
			return err
		}
	}
	return nil
}

const addSubscriptionSQL = `
INSERT INTO incident_subscription (organization_id, identifier, user_id, date_added) VALUES (?, ?, ?, ?)
ON CONFLICT DO NOTHING`

func (w *writing) writeSubscriptions() error {
	for i := range w.Subscriptions {
		sub := &w.Subscriptions[i]
		if err := w.run(addSubscriptionSQL, w.identifier, string(sub.UserID), micro(sub.DateAdded)); err != nil {
			return err
		}
	}
	return nil
}

const putSlotSQL = `
INSERT INTO incident_slot (organization_id, alert_rule_id, project_id, query_id, version, holder, last, changed)
VALUES (?, ?, ?, ?, 1, ?, ?, ?)
ON CONFLICT DO UPDATE SET
	version = version + 1, holder = excluded.holder, last = CASE excluded.holder WHEN 0 THEN last ELSE excluded.holder END,
	changed = excluded.changed
RETURNING version`

// writeSlots releases and claims slots.
func (w *writing) writeSlots() error {
	if n := len(w.Release) + len(w.Claim); n > 0 {
		w.applied.Slots = make([]incident.SlotVersion, 0, n)
	}
	if err := w.setHolders(w.Release, 0); err != nil {
		return err
	}
	return w.setHolders(w.Claim, w.identifier)
}

func (w *writing) setHolders(slots []incident.Slot, holder int64) error {
	for _, sl := range slots {
		sv := incident.SlotVersion{Slot: sl}
		args := append(slotArgs(sl), holder, holder, w.transaction)
		if _, err := queryOne(w.ctx, w, putSlotSQL, args, integer(&sv.Version)); err != nil {
			return err
		}
		w.applied.Slots = append(w.applied.Slots, sv)
	}
	return nil
}
