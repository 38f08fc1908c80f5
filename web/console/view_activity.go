package console

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/incidentkit/incident"
)

// activityView is an activity as a sentence: the actor, the verb, the object, and the values before
// and after.
type activityView struct {
	Sequence      int64
	Kind          string // the type, in lower case, for the style sheet
	Actor         *name  // nil for a program
	Verb          string
	Object        *value // of the verb; nil for none
	Before, After *value // nil for none
	Trigger       string // whose event caused the activity; empty for none
	At            moment
	Comment       string
	Whole         string // the URL of the whole comment; empty if it is not cut
	Revise        string // the URL of the form that changes the comment; empty if the viewer may not
	Edited        *moment
	Deleted       *moment
}

// value is a value in a sentence. A single field is set, and none for an empty text.
type value struct {
	Status   *statusView
	Name     *name
	Time     *moment
	Incident *reference
	Text     string
}

// addActivities adds a page of activities, the latest first.
func (v *incidentView) addActivities(c *console, req *request, log incident.ActivityPage, cursor string) {
	for i := range log.Activities {
		v.Activities = append(v.Activities, c.activityOf(req, &log.Activities[i]))
		v.Activities[i].shorten(v.Href, cursor, req.r.URL.Query().Get("whole"))
		v.offerRevision(req, &log.Activities[i], &v.Activities[i], cursor)
	}
	if len(log.Activities) > 0 {
		v.Since = log.Activities[0].Sequence
	}
	if v.Newest = cursor == ""; !v.Newest {
		v.First = v.Href
	}
	if log.Next != "" {
		v.Older = v.Href + "?cursor=" + log.Next
	}
}

// maxShown is the most characters of a comment on a page of activities.
const maxShown = 4000

// shorten cuts a long comment, unless its sequence is that of the query.
func (v *activityView) shorten(href, cursor, whole string) {
	sequence := strconv.FormatInt(v.Sequence, 10)
	short := cut(v.Comment, maxShown)
	if short == v.Comment || sequence == whole {
		return
	}
	query := url.Values{"whole": {sequence}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	v.Comment, v.Whole = short, href+"?"+query.Encode()+"#a"+sequence
}

// activityOf returns the sentence of an activity.
func (c *console) activityOf(req *request, a *incident.Activity) activityView {
	v := activityView{
		Sequence: a.Sequence, Kind: strings.ToLower(a.Type.String()), Actor: req.names.user(a.UserID), At: req.at(a.DateAdded),
		Comment: a.Comment, Edited: req.atOptional(a.DateEdited), Deleted: req.atOptional(a.DateDeleted), Trigger: string(a.TriggerID),
	}
	// does selects the words for a user or for a program.
	does := func(user, program string) {
		if v.Verb = user; v.Actor == nil {
			v.Verb = program
		}
	}
	switch a.Type {
	case incident.ActivityTypeDetected:
		does("detected the incident", "The incident was detected")
	case incident.ActivityTypeCreated:
		does("recorded the incident as", "The incident was recorded as")
		v.Object = statusValue(a.Value)
	case incident.ActivityTypeStatusChange:
		does("changed the status", "The status changed")
		v.Before, v.After = statusValue(a.PreviousValue), statusValue(a.Value)
	case incident.ActivityTypeComment:
		does("commented", "A program commented")
	case incident.ActivityTypeAcknowledged:
		does("acknowledged the incident", "A program acknowledged the incident")
		if at, ok := req.atText(a.New); ok {
			v.Verb += " until"
			v.Object = &value{Time: &at}
		}
	case incident.ActivityTypeUnacknowledged:
		does("withdrew the acknowledgement", "The acknowledgement ended")
	case incident.ActivityTypeAssigned:
		does("changed the assignee", "A program changed the assignee")
		v.Before, v.After = req.userValue(a.Old), req.userValue(a.New)
	case incident.ActivityTypeEdited:
		req.edited(&v, a, does)
	case incident.ActivityTypeTriggerFired:
		v.Verb, v.Object, v.Trigger = "A trigger fired:", &value{Text: string(a.TriggerID)}, ""
		if v.After = statusValue(a.Value); a.PreviousValue != 0 {
			v.Before = statusValue(a.PreviousValue)
		}
	case incident.ActivityTypeTriggerResolved:
		v.Verb, v.Object, v.Trigger = "A trigger was resolved:", &value{Text: string(a.TriggerID)}, ""
	case incident.ActivityTypeProjectLinked:
		does("added the project", "A program added the project")
		v.Object = &value{Name: req.names.project(incident.ProjectID(a.New))}
	case incident.ActivityTypeProjectUnlinked:
		does("removed the project", "A program removed the project")
		v.Object = &value{Name: req.names.project(incident.ProjectID(a.Old))}
	case incident.ActivityTypeMarkedDuplicate:
		does("marked the incident as a duplicate of", "A program marked the incident as a duplicate of")
		number, _ := strconv.ParseInt(a.New, 10, 64)
		ref := c.refer(req, number)
		v.Object = &value{Incident: &ref}
	default:
		does("did something that this page does not know", "Something happened that this page does not know")
	}
	return v
}

// edited adds the changed field and its values.
func (req *request) edited(v *activityView, a *incident.Activity, does func(user, program string)) {
	v.Before, v.After = &value{Text: a.Old}, &value{Text: a.New}
	label, isLabel := strings.CutPrefix(a.Field, "labels.")
	annotation, isAnnotation := strings.CutPrefix(a.Field, "annotations.")
	switch {
	case isLabel:
		does("changed the label", "A program changed the label")
		v.Object = &value{Text: label}
	case isAnnotation:
		does("changed the annotation", "A program changed the annotation")
		v.Object = &value{Text: annotation}
	case a.Field == "title":
		does("changed the title", "A program changed the title")
	case a.Field == "dateStarted":
		does("changed the start", "A program changed the start")
		for _, side := range []*value{v.Before, v.After} {
			if at, ok := req.atText(side.Text); ok {
				side.Text, side.Time = "", &at
			}
		}
	default:
		does("changed the field", "A program changed the field")
		v.Object = &value{Text: a.Field}
	}
}

func statusValue(s incident.Status) *value {
	v := statusOf(s)
	return &value{Status: &v}
}

// userValue returns a user, or "nobody" for an empty ID.
func (req *request) userValue(id string) *value {
	if id == "" {
		return &value{Text: "nobody"}
	}
	return &value{Name: req.names.user(incident.UserID(id))}
}
