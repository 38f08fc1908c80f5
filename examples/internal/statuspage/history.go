package statuspage

import (
	"fmt"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// History is what a status page tells of its past.
type History struct {
	// Page is the page's id, or its name if it has none.
	Page incident.OrganizationID

	*source
	pageAt    int            // where the page is in the source
	incidents []pastIncident // the oldest started first
}

// Len returns how many incidents the page tells of.
func (h *History) Len() int { return len(h.incidents) }

// pastIncident is an incident as the page tells it.
type pastIncident struct {
	at     int // where it is in the source
	number int // its place in the page's list, from 1

	id, title  string
	severity   incident.Status
	started    time.Time
	resolved   *time.Time // nil while it goes on
	components []incident.ProjectID
	updates    []pastUpdate // in order of time
}

func (p pastIncident) String() string { return label("incident", p.number, p.id) }

// updatesUntilEnd returns how many of the updates are not after the end.
func (p pastIncident) updatesUntilEnd() int {
	if p.resolved == nil {
		return len(p.updates)
	}
	n, _ := slices.BinarySearchFunc(p.updates, *p.resolved, func(u pastUpdate, end time.Time) int {
		if u.date.After(end) {
			return 1
		}
		return -1
	})
	return n
}

// pastUpdate is what the page said about an incident at one time.
type pastUpdate struct {
	at, number int
	id, body   string
	date       time.Time
}

func (u pastUpdate) String() string { return label("update", u.number, u.id) }

// label names a part of the file. What the file says is quoted and cut, so that
// it can do no harm to a terminal.
func label(what string, number int, id string) string {
	if id == "" {
		return fmt.Sprintf("%s %d", what, number)
	}
	return fmt.Sprintf("%s %d (id %.40q)", what, number, id)
}

// isOver reports what a status of the page says about an incident.
func isOver(status string) (over, known bool) {
	switch status {
	case "resolved", "completed", "postmortem":
		return true, true
	case "investigating", "identified", "monitoring", "scheduled", "in_progress", "verifying":
		return false, true
	}
	return false, false
}

func severityOf(impact string) (severity incident.Status, known bool) {
	switch impact {
	case "none", "maintenance":
		return incident.StatusOpen, true
	case "minor":
		return incident.StatusWarning, true
	case "major", "critical":
		return incident.StatusCritical, true
	}
	return 0, false
}
