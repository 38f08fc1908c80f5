package managertest

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// Each fault breaks a rule of the response, of labels, edits or duplicates, in the row that the
// store writes.
func TestModel_CatchesBrokenRules(t *testing.T) {
	type response = incident.Response
	const acknowledged, unacknowledged, assigned = incident.ActivityTypeAcknowledged, incident.ActivityTypeUnacknowledged, incident.ActivityTypeAssigned
	for name, breakStore := range map[string]func(incident.Store) incident.Store{
		"the last user acknowledges": replacing(acknowledged, func(r *response, a incident.Activity) *response { r.AcknowledgedBy = a.UserID; return r }),
		"an end that is lost":        replacing(acknowledged, func(r *response, _ incident.Activity) *response { r.AcknowledgedUntil = nil; return r }),
		"acknowledging unassigns":    replacing(acknowledged, func(r *response, _ incident.Activity) *response { r.Assignee = ""; return r }),
		"any status is acknowledged": replacing(acknowledged, func(r *response, _ incident.Activity) *response {
			r.AcknowledgedStatus = incident.StatusCritical
			return r
		}),
		"withdrawing unassigns":      replacing(unacknowledged, func(*response, incident.Activity) *response { return nil }),
		"assigning unacknowledges":   replacing(assigned, func(r *response, a incident.Activity) *response { return &response{Assignee: incident.UserID(a.New)} }),
		"assigning is acknowledging": replacing(assigned, func(r *response, a incident.Activity) *response { return acknowledgedAt(r, a) }),
		"closing unacknowledges": keeping(func(after *incident.Incident, _ incident.Incident) {
			if after.Response != nil && after.Status == incident.StatusClosed {
				after.Response = &response{Assignee: after.Response.Assignee}
			}
		}),
		"closing keeps the end": keeping(func(after *incident.Incident, before incident.Incident) {
			if after.Status == incident.StatusClosed {
				after.Response = before.Response
			}
		}),
		"reopening keeps the acknowledgement": keeping(func(after *incident.Incident, before incident.Incident) {
			if before.Status == incident.StatusClosed {
				after.Response = before.Response
			}
		}),
		"reopening unassigns": keeping(func(after *incident.Incident, before incident.Incident) {
			if before.Status == incident.StatusClosed {
				after.Response = nil
			}
		}),
		"reopening keeps the mark": keeping(func(after *incident.Incident, before incident.Incident) { after.DuplicateOf = before.DuplicateOf }),
		"a raised status is not acknowledged": keeping(func(after *incident.Incident, before incident.Incident) {
			if before.Response != nil && after.Response != nil && before.Status.Active() {
				after.Response.AcknowledgedStatus = before.Response.AcknowledgedStatus
			}
		}),
		"a higher severity that stays acknowledged": keeping(func(after *incident.Incident, before incident.Incident) {
			if before.Response != nil && before.Status.Active() && after.Status > before.Status {
				after.Response = before.Response
			}
		}),
		"any severity unacknowledges": changing(func(c *incident.Change) {
			if c.ExpectVersion > 0 && len(c.Activities) > 0 && c.Activities[0].TriggerID != "" && c.Incident.Response != nil {
				inc := c.Incident.Clone()
				if inc.Response = nil; c.Incident.Response.Assignee != "" {
					inc.Response = &response{Assignee: c.Incident.Response.Assignee}
				}
				c.Incident = &inc
			}
		}),
		"an edit in a single activity": changing(func(c *incident.Change) {
			if len(c.Activities) > 1 && c.Activities[0].Type == incident.ActivityTypeEdited {
				c.Activities = c.Activities[:1]
			}
		}),
		"activities without the old value": changing(func(c *incident.Change) { tamperActivities(c, func(a *incident.Activity) { a.Old = "" }) }),
		"activities without the new value": changing(func(c *incident.Change) { tamperActivities(c, func(a *incident.Activity) { a.New = "" }) }),
		"remarks that are lost":            changing(func(c *incident.Change) { tamperActivities(c, func(a *incident.Activity) { a.Comment = "" }) }),
		"assignees that do not follow": changing(func(c *incident.Change) {
			if len(c.Activities) == 1 && c.Activities[0].Type == assigned {
				c.Subscriptions = c.Subscriptions[:0]
			}
		}),
		"counts of a page": func(s incident.Store) incident.Store { return &pagedCounts{s} },
	} {
		t.Run(name, func(t *testing.T) {
			mustFalsify(t, func(uint64) setup {
				return setup{store: breakStore(memory.New()), cache: incident.NoCache, focused: true}
			})
		})
	}
}

func acknowledgedAt(r *incident.Response, a incident.Activity) *incident.Response {
	if r == nil || r.DateAcknowledged != nil {
		return r
	}
	c := *r
	c.DateAcknowledged, c.AcknowledgedStatus = &a.DateAdded, incident.StatusOpen
	return &c
}

// tamperActivities changes the activities of this package's own types.
func tamperActivities(c *incident.Change, tamper func(*incident.Activity)) {
	for i := range c.Activities {
		if c.Activities[i].Type >= incident.ActivityTypeAcknowledged {
			tamper(&c.Activities[i])
		}
	}
}

// Each fault breaks a call of the Manager.
func TestModel_CatchesBrokenOperations(t *testing.T) {
	for name, breakManager := range map[string]func(incident.Manager) incident.Manager{
		"acknowledgements that never end": edited(editedManager{acknowledge: func(_ incident.Incident, a *incident.Acknowledgement) { a.Until = time.Time{} }}),
		"an end that cannot be moved": edited(editedManager{acknowledge: func(inc incident.Incident, a *incident.Acknowledgement) {
			if inc.Response != nil && inc.Response.DateAcknowledged != nil {
				a.Until = time.Time{}
			}
		}}),
		"withdrawals that are ignored":      edited(editedManager{acknowledge: func(_ incident.Incident, a *incident.Acknowledgement) { a.Withdraw = false }}),
		"an acknowledgement of any version": edited(editedManager{acknowledge: func(_ incident.Incident, a *incident.Acknowledgement) { a.ExpectVersion = 0 }}),
		"acknowledgements not recognized":   edited(editedManager{acknowledge: func(_ incident.Incident, a *incident.Acknowledgement) { a.NotificationUUID = uuid.Nil }}),
		"an assignment of any version":      edited(editedManager{assign: func(_ incident.Incident, a *incident.Assignment) { a.ExpectVersion = 0 }}),
		"assignments not recognized":        edited(editedManager{assign: func(_ incident.Incident, a *incident.Assignment) { a.NotificationUUID = uuid.Nil }}),
		"assignments that last": edited(editedManager{assign: func(inc incident.Incident, a *incident.Assignment) {
			if a.Assignee == "" && inc.Response != nil {
				a.Assignee = inc.Response.Assignee
			}
		}}),
		"an edit of any version": edited(editedManager{edit: func(_ incident.Incident, e *incident.Edit) { e.ExpectVersion = 0 }}),
		"edits not recognized":   edited(editedManager{edit: func(_ incident.Incident, e *incident.Edit) { e.NotificationUUID = uuid.Nil }}),
		"labels that are replaced": edited(editedManager{edit: func(inc incident.Incident, e *incident.Edit) {
			all := map[string]string{}
			for name := range inc.Labels {
				all[name] = ""
			}
			for name, value := range e.Labels {
				all[name] = value
			}
			e.Labels = all
		}}),
		"labels that stay": edited(editedManager{edit: func(_ incident.Incident, e *incident.Edit) {
			some := map[string]string{}
			for name, value := range e.Labels {
				if value != "" {
					some[name] = value
				}
			}
			e.Labels = some
		}}),
		"a start that stays":            edited(editedManager{edit: func(_ incident.Incident, e *incident.Edit) { e.DateStarted = time.Time{} }}),
		"a duplicate of any version":    edited(editedManager{duplicate: func(_ incident.Incident, d *incident.Duplicate) { d.ExpectVersion = 0 }}),
		"duplicates not recognized":     edited(editedManager{duplicate: func(_ incident.Incident, d *incident.Duplicate) { d.NotificationUUID = uuid.Nil }}),
		"duplicates without a mark":     func(m incident.Manager) incident.Manager { return &lostDuplicate{m} },
		"duplicates of duplicates":      func(m incident.Manager) incident.Manager { return &obligingManager{m} },
		"incidents without labels":      edited(editedManager{create: func(n *incident.NewIncident) { n.Labels = nil }}),
		"imports of today":              edited(editedManager{create: func(n *incident.NewIncident) { n.DateAdded = time.Time{} }}),
		"lists of any label":            edited(editedManager{filter: func(f *incident.IncidentFilter) { f.Labels = nil }}),
		"lists of any assignee":         edited(editedManager{filter: func(f *incident.IncidentFilter) { f.Assignee = "" }}),
		"lists of any acknowledgement":  edited(editedManager{filter: func(f *incident.IncidentFilter) { f.Acknowledged = nil }}),
		"counts without zeros":          func(m incident.Manager) incident.Manager { return &sparseManager{m} },
		"calls for many without checks": func(m incident.Manager) incident.Manager { return &looseManager{Manager: m} },
		"the same UUID for many":        func(m incident.Manager) incident.Manager { return &looseManager{Manager: m, sameUUID: true} },
		"calls for many that end early": func(m incident.Manager) incident.Manager { return &looseManager{Manager: m, ends: true} },
		"results in another order":      func(m incident.Manager) incident.Manager { return &looseManager{Manager: m, reversed: true} },
		"results without a change":      func(m incident.Manager) incident.Manager { return &silentManager{m} },
	} {
		t.Run(name, func(t *testing.T) {
			mustFalsify(t, func(uint64) setup {
				return setup{store: memory.New(), cache: incident.NoCache, focused: true, decorate: breakManager}
			})
		})
	}
}

func TestModel_CatchesLenientAssigner(t *testing.T) {
	mustFalsify(t, func(uint64) setup {
		store := memory.New()
		open, err := incident.New(store, &incident.Options{Cache: incident.NoCache, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return setup{store: store, cache: incident.NoCache, focused: true, guarded: true, decorate: func(m incident.Manager) incident.Manager {
			return &lenientAssigner{Manager: m, open: open}
		}}
	})
}
