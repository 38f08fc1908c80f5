package statuspage

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/incidentkit/incident"
)

// History is the incident history of a status page.
type History struct {
	// Page is the page's id, or its name if it has none.
	Page incident.OrganizationID

	*source
	pageAt    int             // offset of the page in the source
	incidents []pastIncident  // by start, oldest first
	ids       map[string]bool // of incidents
	bare      bool            // a list without a page
	strict    bool
	leftOut   LeftOut
}

// Len returns the number of usable incidents.
func (h *History) Len() int { return len(h.incidents) }

// pastIncident is an incident in the history.
type pastIncident struct {
	at     int    // offset in the source
	kind   string // incident or maintenance
	number int    // position in the page's list, from 1

	id, title  string
	page       string // only in a list without a page
	severity   incident.Status
	started    time.Time
	resolved   *time.Time // nil while active
	closing    string     // id of the update that resolved it; empty if unknown
	planned    bool       // scheduled, and not yet in progress
	components []incident.ProjectID
	updates    []pastUpdate // in order of time
}

func (p pastIncident) String() string { return label(p.kind, p.number, p.id) }

// updatesUntilEnd returns the number of updates that are not after the end.
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

// pastUpdate is an update that the page published about an incident.
type pastUpdate struct {
	at, number int
	id, body   string
	status     string // empty if unknown
	date       time.Time
	effect     effect
}

// effect is the change of status by an update of an incident that was reopened.
type effect int

const (
	noEffect effect = iota
	resolves        // before it was reopened
	reopens
)

// blank reports whether the update has no visible text. It may still have a status.
func (u pastUpdate) blank() bool {
	return !strings.ContainsFunc(u.body, func(r rune) bool {
		return !unicode.IsSpace(r) && !unicode.IsControl(r) && !unicode.Is(unicode.Cf, r)
	})
}

func (u pastUpdate) String() string { return label("update", u.number, u.id) }

// label names a part of the file. Text of the file is quoted and shortened, so that it
// cannot affect a terminal.
func label(what string, number int, id string) string {
	if id == "" {
		return fmt.Sprintf("%s %d", what, number)
	}
	return fmt.Sprintf("%s %d (id %.40q)", what, number, id)
}

// isOver reports whether a status of the page means that the incident has ended.
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
