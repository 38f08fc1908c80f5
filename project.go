package incident

import (
	"context"
	"slices"
	"time"
)

// ProjectID names a project of the host. An incident affects projects.
type ProjectID string

// MaxProjects is the most projects that an incident can affect.
const MaxProjects = 100

// ProjectManager is the projects' part of [Manager].
type ProjectManager interface {
	// LinkProject adds an affected project, with a ProjectLinked activity. Adding it again
	// changes nothing. An active incident of an alert rule claims the project's slot:
	// LinkProject returns a [*ConflictError] if another incident is active in the slot.
	LinkProject(ctx context.Context, key Key, project ProjectID) (Result, error)

	// UnlinkProject removes an affected project, with a ProjectUnlinked activity, and frees
	// its slot. Removing it again changes nothing. It returns [ErrInvalid] for the last
	// project of an incident of an alert rule.
	UnlinkProject(ctx context.Context, key Key, project ProjectID) (Result, error)
}

// checkRuleProjects refuses an incident of an alert rule without a project, which would
// occupy no slot.
func checkRuleProjects(rule AlertRuleID, projects []ProjectID) error {
	if rule != "" && len(projects) == 0 {
		return invalid("projects", "must name at least one project if the incident has an alert rule")
	}
	return nil
}

// link is the rule for adding a project.
func link(before *State, project ProjectID, now time.Time) (decision, error) {
	i, found := slices.BinarySearch(before.Incident.Projects, project)
	if found {
		return unchanged(before), nil
	}
	if len(before.Incident.Projects) == MaxProjects {
		return decision{}, invalid("projects", "has %d entries, which is the limit", MaxProjects)
	}
	after := before.clone()
	after.Incident.Projects = slices.Insert(after.Incident.Projects, i, project)
	return decision{before: before, after: after, activities: []Activity{{
		Incident:  before.Incident.Key(),
		Type:      ActivityTypeProjectLinked,
		Field:     fieldProject,
		New:       string(project),
		DateAdded: now,
	}}}, nil
}

// unlink is the rule for removing a project.
func unlink(before *State, project ProjectID, now time.Time) (decision, error) {
	i, found := slices.BinarySearch(before.Incident.Projects, project)
	if !found {
		return unchanged(before), nil
	}
	after := before.clone()
	after.Incident.Projects = slices.Delete(after.Incident.Projects, i, i+1)
	if err := checkRuleProjects(after.Incident.AlertRuleID, after.Incident.Projects); err != nil {
		return decision{}, err
	}
	return decision{before: before, after: after, activities: []Activity{{
		Incident:  before.Incident.Key(),
		Type:      ActivityTypeProjectUnlinked,
		Field:     fieldProject,
		Old:       string(project),
		DateAdded: now,
	}}}, nil
}
