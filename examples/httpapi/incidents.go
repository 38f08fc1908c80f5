package main

import (
	"net/http"

	"github.com/incidentkit/incident"
)

// details is the response for a single incident.
type details struct {
	incident.Details

	// Activities is the first page of activities, oldest first. The activity endpoint has
	// the others.
	Activities []incident.Activity `json:"activities"`
}

// statusFilters are the values of the parameter status. As in Sentry's API, "open"
// selects every incident that is not closed.
var statusFilters = map[string][]incident.Status{
	"open":     incident.ActiveStatuses(),
	"warning":  {incident.StatusWarning},
	"critical": {incident.StatusCritical},
	"closed":   {incident.StatusClosed},
}

func (a *api) listIncidents(c *call) error {
	q := c.query
	f := incident.IncidentFilter{
		OrganizationID: c.organization,
		AlertRuleID:    incident.AlertRuleID(q.Get("alertRule")),
		Title:          q.Get("title"),
		Cursor:         q.Get("cursor"),
		Access:         c.access.filter(),
	}
	var err error
	if f.Projects, err = c.projects(q["project"]); err != nil {
		return err
	}
	if status := q.Get("status"); status != "" {
		if f.Statuses = statusFilters[status]; f.Statuses == nil {
			return &incident.FieldError{Field: "status", Problem: "must be open, warning, critical or closed"}
		}
	}
	if f.Start, err = date(q, "start"); err != nil {
		return err
	}
	if f.End, err = date(q, "end"); err != nil {
		return err
	}
	if f.Limit, err = perPage(q); err != nil {
		return err
	}
	x, err := c.expanded()
	if err != nil {
		return err
	}
	page, err := a.incidents.List(c.ctx, f)
	if err != nil {
		return err
	}
	for i := range page.Incidents {
		x.incident(&page.Incidents[i])
	}
	return c.sendPage(incidentList(page.Incidents), link{"previous", page.Previous}, link{"next", page.Next})
}

// projects returns the requested projects. It returns [incident.ErrForbidden] for a
// project without access.
func (c *call) projects(asked []string) ([]incident.ProjectID, error) {
	projects := make([]incident.ProjectID, len(asked))
	for i, p := range asked {
		if projects[i] = incident.ProjectID(p); !c.access.has(projects[i]) {
			return nil, incident.ErrForbidden
		}
	}
	return projects, nil
}

func (a *api) getIncident(c *call) error {
	key, err := c.key()
	if err != nil {
		return err
	}
	x, err := c.expanded()
	if err != nil {
		return err
	}
	return a.sendDetails(c, key, x)
}

// sendDetails reads the activities last, so that they are at least as new as the rest of
// the response. The ETag is that of the version, with and without expansions: a version that
// differs in parts that were not asked for still fails a condition.
func (a *api) sendDetails(c *call, key incident.Key, x expansions) error {
	d, err := a.incidents.Details(c.ctx, key, c.user)
	if err != nil {
		return err
	}
	if !c.access.admits(d.Projects) {
		return incident.ErrForbidden
	}
	page, err := a.activities(c.ctx, key, incident.ActivityFilter{}, x)
	if err != nil {
		return err
	}
	x.incident(&d.Incident)
	c.w.Header().Set("ETag", etag(d.Version))
	return c.send(http.StatusOK, &details{d, page.Activities})
}

// updateIncident closes an incident. Users cannot set another status.
func (a *api) updateIncident(c *call) error {
	key, err := a.readable(c)
	if err != nil {
		return err
	}
	conditions, err := parsePreconditions(c.r.Header)
	if err != nil {
		return err
	}
	x, err := c.expanded()
	if err != nil {
		return err
	}
	var status int64
	u := incident.StatusUpdate{Status: incident.StatusClosed, UserID: c.user}
	if err := c.body(map[string]any{"status": &status, "comment": &u.Comment}); err != nil {
		return err
	}
	if err := checkStatus(incident.Status(status)); err != nil {
		return err
	}
	if err := a.update(c.ctx, key, u, conditions); err != nil {
		return err
	}
	return a.sendDetails(c, key, x)
}

func checkStatus(s incident.Status) error {
	switch {
	case s == incident.StatusClosed:
		return nil
	case s.Active():
		return errStatus
	}
	return &incident.FieldError{Field: "status", Problem: "Invalid value for status. Valid values: [1, 2, 10, 20]"}
}
