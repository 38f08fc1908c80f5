package managertest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// history checks that the activities lead to the incident's current state.
func (a *auditor) history(inc incident.Incident) error {
	log, err := allActivities(a.ctx, a.manager, inc.Key(), incident.ActivityFilter{Limit: incident.MaxPageSize})
	if err != nil {
		return err
	}
	back, err := allActivities(a.ctx, a.manager, inc.Key(), incident.ActivityFilter{Limit: 7, Descending: true})
	if err != nil {
		return err
	}
	slices.Reverse(back)
	if !slices.EqualFunc(log, back, sameActivity) {
		return errors.New("the activities differ when they are read backwards")
	}
	if len(log) < 2 || log[0].Type != incident.ActivityTypeDetected || log[1].Type != incident.ActivityTypeCreated {
		return fmt.Errorf("the history begins with %s", describe(log[:min(len(log), 2)]))
	}
	if log[0].DateAdded != inc.DateDetected || log[1].DateAdded != inc.DateAdded {
		return fmt.Errorf("the dates of %s are not those of the incident", describe(log[:2]))
	}
	status, changes, followed := log[1].Value, int64(0), fields{}
	for i, act := range log {
		if err := a.activity(inc.Key(), int64(i)+1, act); err != nil {
			return fmt.Errorf("%w: %s", err, describe(act))
		}
		if err := followed.follow(act, a.purged); err != nil {
			return fmt.Errorf("%w: %s", err, describe(act))
		}
		if act.Type != incident.ActivityTypeStatusChange {
			continue
		}
		if act.PreviousValue != status || act.Value == status {
			return fmt.Errorf("at status %v: %s", status, describe(act))
		}
		status = act.Value
		changes++
	}
	if status != inc.Status {
		return fmt.Errorf("the history ends with status %v, the incident is %v", status, inc.Status)
	}
	if err := followed.end(inc); err != nil {
		return err
	}
	// The change that opened the incident may have raised its status too.
	if inc.Version < max(1, changes) {
		return fmt.Errorf("version %d after %d changes of status", inc.Version, changes)
	}
	return nil
}

func (a *auditor) activity(key incident.Key, sequence int64, act incident.Activity) error {
	isComment := act.Type == incident.ActivityTypeComment
	isTriggered := act.Type == incident.ActivityTypeTriggerFired || act.Type == incident.ActivityTypeTriggerResolved
	isRevised := act.DateEdited != nil || act.DateDeleted != nil
	switch {
	case act.Incident != key || act.Sequence != sequence:
		return fmt.Errorf("is not activity %d", sequence)
	case act.NotificationUUID == uuid.Nil:
		return errors.New("has no UUID")
	case isRevised && act.Revision == 0, act.Revision > 0 && !isComment, act.Revision > 0 && !isRevised && !a.purged:
		return errors.New("is revised, but must not be")
	case isComment && (act.Comment == "") != (act.DateDeleted != nil):
		return errors.New("is a comment without text, or a deleted comment with text")
	case sequence > 2 && act.Type != incident.ActivityTypeStatusChange && act.Type < incident.ActivityTypeAcknowledged && !isComment,
		act.Type > incident.ActivityTypeMarkedDuplicate:
		return errors.New("has an unexpected type")
	case isTriggered && act.TriggerID == "":
		return errors.New("names no trigger")
	}
	return a.unique(act.NotificationUUID, key)
}

// auditTriggered checks the severity rule: an incident that only triggers have changed
// has the severity of its worst active trigger.
func auditTriggered(inc incident.Incident, triggers []incident.Trigger) error {
	worst := incident.StatusClosed
	for _, t := range triggers {
		if t.Status == incident.TriggerStatusActive {
			worst = max(worst, t.Severity)
		}
	}
	if inc.Status != worst {
		return fmt.Errorf("%s is %v, want %v by its triggers %s", inc.Key(), inc.Status, worst, describe(triggers))
	}
	return nil
}
