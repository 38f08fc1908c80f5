package timeline

import (
	"strings"

	"github.com/incidentkit/incident"
)

// sentence returns an activity as a sentence without its comment.
func (d *document) sentence(a *incident.Activity) string {
	text := d.event(a)
	if a.TriggerID != "" && a.Type != incident.ActivityTypeTriggerFired && a.Type != incident.ActivityTypeTriggerResolved {
		text += " because of the trigger " + quoted(string(a.TriggerID))
	}
	if a.DateEdited != nil {
		text += ", edited " + d.date(*a.DateEdited)
	}
	if a.DateDeleted != nil {
		text += ", deleted " + d.date(*a.DateDeleted)
	}
	return text
}

// by returns a sentence about the user who acted, or the other sentence for a program.
func (d *document) by(a *incident.Activity, active, passive string) string {
	if a.UserID == "" {
		return passive
	}
	return d.user(a.UserID) + " " + active
}

// did returns a sentence about the user or the program that acted.
func (d *document) did(a *incident.Activity, what string) string {
	return d.by(a, what, "A program "+what)
}

func (d *document) event(a *incident.Activity) string {
	switch a.Type {
	case incident.ActivityTypeDetected:
		return d.by(a, "detected the incident", "The incident was detected")
	case incident.ActivityTypeCreated:
		return d.by(a, "created the incident", "The incident was created") + " as " + a.Value.String()
	case incident.ActivityTypeStatusChange:
		return d.by(a, "changed the status", "The status changed") + " from " + a.PreviousValue.String() + " to " + a.Value.String()
	case incident.ActivityTypeComment:
		return d.did(a, "commented")
	case incident.ActivityTypeAcknowledged:
		text := d.did(a, "acknowledged the incident")
		if a.New != "" {
			text += " until " + d.dateOf(a.New)
		}
		return text
	case incident.ActivityTypeUnacknowledged:
		return d.by(a, "withdrew the acknowledgement", "The acknowledgement ended")
	case incident.ActivityTypeAssigned:
		return d.assigned(a)
	case incident.ActivityTypeEdited:
		return d.edited(a)
	case incident.ActivityTypeTriggerFired:
		text := "The trigger " + quoted(string(a.TriggerID)) + " fired with severity " + a.Value.String()
		if a.PreviousValue != 0 {
			text += " instead of " + a.PreviousValue.String()
		}
		return text
	case incident.ActivityTypeTriggerResolved:
		return "The trigger " + quoted(string(a.TriggerID)) + " was resolved"
	case incident.ActivityTypeProjectLinked:
		return d.did(a, "added the project "+d.project(incident.ProjectID(a.New)))
	case incident.ActivityTypeProjectUnlinked:
		return d.did(a, "removed the project "+d.project(incident.ProjectID(a.Old)))
	case incident.ActivityTypeMarkedDuplicate:
		return d.did(a, "marked the incident as a duplicate of "+d.key(a.New))
	}
	return d.did(a, "recorded an activity of type "+a.Type.String()) + change(a.Old, a.New)
}

func (d *document) assigned(a *incident.Activity) string {
	from, to := incident.UserID(a.Old), incident.UserID(a.New)
	switch {
	case to == "":
		return d.did(a, "removed the assignee "+d.user(from))
	case from == "":
		return d.did(a, "assigned the incident to "+d.user(to))
	}
	return d.did(a, "assigned the incident to "+d.user(to)+" instead of "+d.user(from))
}

func (d *document) edited(a *incident.Activity) string {
	from, to := a.Old, a.New
	var field string
	switch label, isLabel := strings.CutPrefix(a.Field, "labels."); {
	case isLabel:
		field = "the label " + quoted(label)
	case strings.HasPrefix(a.Field, "annotations."):
		field = "the annotation " + quoted(strings.TrimPrefix(a.Field, "annotations."))
	case a.Field == "title":
		field = "the title"
	case a.Field == "dateStarted":
		return d.did(a, "changed the start from "+d.dateOf(from)+" to "+d.dateOf(to))
	default:
		field = "the field " + quoted(a.Field)
	}
	switch {
	case from == "":
		return d.did(a, "set "+field+" to "+quoted(to))
	case to == "":
		return d.did(a, "removed "+field+", which was "+quoted(from))
	}
	return d.did(a, "changed "+field) + change(from, to)
}

// change returns the end of a sentence about a change.
func change(from, to string) string {
	if from == "" && to == "" {
		return ""
	}
	return " from " + quoted(from) + " to " + quoted(to)
}
