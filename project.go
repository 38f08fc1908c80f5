package incident

import (
	"context"
	"slices"
)

// ProjectID names a project of the host: what an incident affects.
type ProjectID string

// MaxProjects is the most projects that an incident can affect.
const MaxProjects = 100

// ProjectManager is the projects' part of [Manager].
type ProjectManager interface {
	// LinkProject adds a project to those that the incident affects; one that is
	// there already changes nothing. An active incident of an alert rule claims
	// the project's slot: LinkProject returns a [*ConflictError] if another
	// incident is active in it.
	LinkProject(ctx context.Context, key Key, project ProjectID) (Result, error)

	// UnlinkProject takes a project away and frees its slot; one that is not
	// there changes nothing. The last project of an incident of an alert rule
	// stays: taking it away returns [ErrInvalid].
	UnlinkProject(ctx context.Context, key Key, project ProjectID) (Result, error)
}

// checkRuleProjects refuses an incident of an alert rule that would be in no
// slot.
func checkRuleProjects(rule AlertRuleID, projects []ProjectID) error {
	if rule != "" && len(projects) == 0 {
		return invalid("projects", "must name at least one project of an alert rule's incident")
	}
	return nil
}

// link is the rule of adding a project.
func link(before *State, project ProjectID) (decision, error) {
	i, found := slices.BinarySearch(before.Incident.Projects, project)
	if found {
		return unchanged(before), nil
	}
	if len(before.Incident.Projects) == MaxProjects {
		return decision{}, invalid("projects", "has %d entries, which is the limit", MaxProjects)
	}
	after := before.clone()
	after.Incident.Projects = slices.Insert(after.Incident.Projects, i, project)
	return decision{before: before, after: after}, nil
}

// unlink is the rule of taking a project away.
func unlink(before *State, project ProjectID) (decision, error) {
	i, found := slices.BinarySearch(before.Incident.Projects, project)
	if !found {
		return unchanged(before), nil
	}
	after := before.clone()
	after.Incident.Projects = slices.Delete(after.Incident.Projects, i, i+1)
	return decision{before: before, after: after}, checkRuleProjects(after.Incident.AlertRuleID, after.Incident.Projects)
}
