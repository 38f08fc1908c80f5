package storetest

import (
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// The names that the cases use. Both organizations get the same identifiers.
const (
	acme     incident.OrganizationID = "acme"
	umbrella incident.OrganizationID = "umbrella"

	ada incident.UserID = "ada"
	bob incident.UserID = "bob"
	eve incident.UserID = "eve"

	api incident.ProjectID = "api"
	db  incident.ProjectID = "db"
	web incident.ProjectID = "web"

	latency incident.AlertRuleID = "latency"
	p99     incident.QueryID     = "p99"

	critical incident.TriggerID = "critical"
	warning  incident.TriggerID = "warning"
)

// t0 is the time of the first event. It is on a leap day and uses all six decimals.
var t0 = time.Date(2024, time.February, 29, 23, 59, 58, 123456000, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

// draft returns a new incident without an alert rule.
func draft(org incident.OrganizationID) incident.Incident {
	return incident.Incident{
		OrganizationID: org,
		Title:          "Checkout fails",
		Type:           incident.TypeDetected,
		Status:         incident.StatusOpen,
		StatusMethod:   incident.StatusMethodManual,
		DateStarted:    t0,
		DateDetected:   at(time.Second),
		DateAdded:      at(2 * time.Second),
	}
}

// ruled returns a new incident of an alert rule. It occupies [slotOf] each project.
func ruled(org incident.OrganizationID, projects ...incident.ProjectID) incident.Incident {
	inc := draft(org)
	inc.Type = incident.TypeAlertTriggered
	inc.StatusMethod = incident.StatusMethodRuleTriggered
	inc.AlertRuleID = latency
	inc.QueryID = p99
	inc.Projects = projects
	return inc
}

func slotOf(org incident.OrganizationID, project incident.ProjectID) incident.Slot {
	return incident.Slot{OrganizationID: org, AlertRuleID: latency, ProjectID: project, QueryID: p99}
}

// slotsOf returns the slots that the incident occupies.
func slotsOf(inc incident.Incident) []incident.Slot {
	if inc.AlertRuleID == "" || !inc.Status.Active() {
		return nil
	}
	slots := make([]incident.Slot, len(inc.Projects))
	for i, p := range inc.Projects {
		slots[i] = incident.Slot{
			OrganizationID: inc.OrganizationID, AlertRuleID: inc.AlertRuleID, ProjectID: p, QueryID: inc.QueryID,
		}
	}
	return slots
}

// firing returns an active trigger.
func firing(id incident.TriggerID) incident.Trigger {
	return incident.Trigger{
		TriggerID:    id,
		Status:       incident.TriggerStatusActive,
		Severity:     incident.StatusCritical,
		DateAdded:    at(3 * time.Second),
		DateModified: at(4 * time.Second),
	}
}

// creation returns the change that creates inc and its triggers.
func creation(inc incident.Incident, triggers ...incident.Trigger) incident.Change {
	c := update(incident.State{}, incident.State{Incident: inc, Triggers: triggers})
	detected := activity(c.Key, incident.ActivityTypeDetected)
	detected.DateAdded = inc.DateDetected
	created := activity(c.Key, incident.ActivityTypeCreated)
	created.Value = inc.Status
	c.Activities = []incident.Activity{detected, created}
	return c
}

// creationWith returns a creation with a DetectionUUID.
func creationWith(detection uuid.UUID, inc incident.Incident) incident.Change {
	inc.DetectionUUID = detection
	return creation(inc)
}

// update returns the change from before to after, without activities.
func update(before, after incident.State) incident.Change {
	inc := after.Incident.Clone()
	inc.Version = before.Incident.Version + 1
	slices.Sort(inc.Projects)
	held, wanted := slotsOf(before.Incident), slotsOf(inc)
	c := incident.Change{
		Key:           inc.Key(),
		Incident:      &inc,
		ExpectVersion: before.Incident.Version,
		Link:          without(inc.Projects, before.Incident.Projects),
		Unlink:        without(before.Incident.Projects, inc.Projects),
		Triggers:      without(after.Triggers, before.Triggers),
		Claim:         without(wanted, held),
		Release:       without(held, wanted),
		StartedBefore: before.Incident.DateStarted,
		AddLabels:     changedLabels(inc.Labels, before.Incident.Labels),
		RemoveLabels:  changedLabels(before.Incident.Labels, inc.Labels),
	}
	for i := range c.Triggers {
		c.Triggers[i].Incident = c.Key
	}
	return c
}

// changedLabels returns the labels of a that b lacks or has with another value, in order of
// name.
func changedLabels(a, b map[string]string) []incident.Label {
	var changed []incident.Label
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if value, found := b[name]; !found || value != a[name] {
			changed = append(changed, incident.Label{Name: name, Value: a[name]})
		}
	}
	return changed
}

// retitling returns a change of the title alone.
func retitling(before incident.State, title string) incident.Change {
	after := before
	after.Incident.Title = title
	return update(before, after)
}

// reprojecting returns a change to exactly these projects.
func reprojecting(before incident.State, projects ...incident.ProjectID) incident.Change {
	after := before
	after.Incident.Projects = projects
	return update(before, after)
}

// relabelling returns a change to exactly these labels.
func relabelling(before incident.State, labels map[string]string) incident.Change {
	after := before
	after.Incident.Labels = labels
	return update(before, after)
}

// responding returns a change of the response.
func responding(before incident.State, r *incident.Response) incident.Change {
	after := before
	after.Incident.Response = r
	return update(before, after)
}

// transition returns a change of the status by bob, an hour after t0.
func transition(before incident.State, to incident.Status) incident.Change {
	after := before
	after.Triggers = slices.Clone(before.Triggers)
	after.Incident.Status = to
	after.Incident.StatusMethod = incident.StatusMethodManual
	after.Incident.DateClosed = nil
	if to == incident.StatusClosed {
		after.Incident.DateClosed = new(at(time.Hour))
		for i := range after.Triggers {
			after.Triggers[i].Status = incident.TriggerStatusResolved
			after.Triggers[i].DateModified = at(time.Hour)
		}
	}
	c := update(before, after)
	a := activity(c.Key, incident.ActivityTypeStatusChange)
	a.UserID = bob
	a.Value, a.PreviousValue = to, before.Incident.Status
	c.Activities = []incident.Activity{a}
	c.Subscriptions = []incident.Subscription{{Incident: c.Key, UserID: bob, DateAdded: at(time.Hour)}}
	return c
}

// comment returns a change that appends a comment by ada and leaves the row alone.
func comment(key incident.Key, text string) incident.Change {
	a := activity(key, incident.ActivityTypeComment)
	a.UserID = ada
	a.Comment = text
	return incident.Change{
		Key:           key,
		Activities:    []incident.Activity{a},
		Subscriptions: []incident.Subscription{{Incident: key, UserID: ada, DateAdded: at(time.Hour)}},
	}
}

func activity(key incident.Key, typ incident.ActivityType) incident.Activity {
	return incident.Activity{
		Incident:         key,
		Type:             typ,
		NotificationUUID: uuid.New(),
		DateAdded:        at(time.Hour),
	}
}

// edited returns the next revision of a comment.
func edited(a incident.Activity, text string) incident.Activity {
	a.Comment = text
	a.DateEdited = new(at(2 * time.Hour))
	a.Revision++
	return a
}

// deleted returns the tombstone of a comment.
func deleted(a incident.Activity) incident.Activity {
	a.Comment = ""
	a.DateDeleted = new(at(3 * time.Hour))
	a.Revision++
	return a
}

// cloneChange returns a copy that shares no memory with c.
func cloneChange(c incident.Change) incident.Change {
	if c.Incident != nil {
		c.Incident = new(c.Incident.Clone())
	}
	if c.ExpectSlot != nil {
		c.ExpectSlot = new(*c.ExpectSlot)
	}
	c.AddLabels, c.RemoveLabels = slices.Clone(c.AddLabels), slices.Clone(c.RemoveLabels)
	c.Link, c.Unlink = slices.Clone(c.Link), slices.Clone(c.Unlink)
	c.Activities = slices.Clone(c.Activities)
	c.Triggers = slices.Clone(c.Triggers)
	c.Subscriptions = slices.Clone(c.Subscriptions)
	c.Claim, c.Release = slices.Clone(c.Claim), slices.Clone(c.Release)
	return c
}

// without returns the elements of a that are not in b.
func without[T comparable](a, b []T) []T {
	var rest []T
	for _, v := range a {
		if !slices.Contains(b, v) {
			rest = append(rest, v)
		}
	}
	return rest
}
