package incident

import (
	"time"

	"github.com/google/uuid"
)

// NewIncident holds the parameters of [IncidentManager.Create].
type NewIncident struct {
	OrganizationID OrganizationID `json:"organizationId"` // required

	// Title is required: 1 to [MaxTitleLength] characters, not all blank, without
	// control characters other than newline and tab.
	Title string `json:"title"`

	// Type defaults to [TypeDetected].
	Type Type `json:"type,omitzero"`

	// Status must be active. Defaults to [StatusOpen].
	Status Status `json:"status,omitzero"`

	// AlertRuleID and QueryID name the detector of the incident. With an AlertRuleID
	// the incident needs at least one project, and claims a slot for each.
	AlertRuleID AlertRuleID `json:"alertRule,omitzero"`
	QueryID     QueryID     `json:"query,omitzero"`

	// Projects lists the affected projects in any order, at most [MaxProjects]
	// entries. Repetitions count as entries, and are dropped.
	Projects []ProjectID `json:"projects,omitzero"`

	// DetectionUUID makes the call safe to repeat: the first call creates the
	// incident, and later calls return its current state. Zero for none.
	DetectionUUID uuid.UUID `json:"detectionUuid,omitzero"`

	// DateStarted defaults to now, and DateDetected to DateStarted. Neither may
	// be more than [MaxClockLead] in the future.
	DateStarted  time.Time `json:"dateStarted,omitzero"`
	DateDetected time.Time `json:"dateDetected,omitzero"`

	// DateAdded is when the incident was recorded, for imports. Defaults to now, and must
	// not be in the future.
	DateAdded time.Time `json:"dateCreated,omitzero"`

	// Labels and Annotations are those of the incident: see [MaxLabels].
	Labels      map[string]string `json:"labels,omitzero"`
	Annotations map[string]string `json:"annotations,omitzero"`

	// UserID is the creator. Empty for a program.
	UserID UserID `json:"userId,omitzero"`
}

// check validates n and returns the incident to create.
func (n NewIncident) check(now time.Time) (inc Incident, err error) {
	if err := checkID("organizationId", n.OrganizationID, false); err != nil {
		return inc, err
	}
	if err := checkTitle(n.Title); err != nil {
		return inc, err
	}
	if n.Status == 0 {
		n.Status = StatusOpen
	}
	if err := n.checkKind(); err != nil {
		return inc, err
	}
	if err := checkID("alertRule", n.AlertRuleID, true); err != nil {
		return inc, err
	}
	if err := checkID("query", n.QueryID, true); err != nil {
		return inc, err
	}
	projects, err := checkIDs("projects", n.Projects, MaxProjects)
	if err != nil {
		return inc, err
	}
	if err := checkRuleProjects(n.AlertRuleID, projects); err != nil {
		return inc, err
	}
	if err := checkID("userId", n.UserID, true); err != nil {
		return inc, err
	}
	if err := n.checkDates(now); err != nil {
		return inc, err
	}
	labels, annotations, err := checkLabels(n.Labels, n.Annotations)
	if err != nil {
		return inc, err
	}
	method := StatusMethodManual
	if n.AlertRuleID != "" {
		method = StatusMethodRuleTriggered
	}
	return Incident{
		OrganizationID: n.OrganizationID,
		Title:          n.Title,
		Type:           n.Type,
		Status:         n.Status,
		StatusMethod:   method,
		AlertRuleID:    n.AlertRuleID,
		QueryID:        n.QueryID,
		DetectionUUID:  n.DetectionUUID,
		Projects:       projects,
		DateStarted:    n.DateStarted,
		DateDetected:   n.DateDetected,
		DateAdded:      n.DateAdded,
		Labels:         labels,
		Annotations:    annotations,
	}, nil
}

// checkDates validates and completes the dates.
func (n *NewIncident) checkDates(now time.Time) (err error) {
	if n.DateStarted, err = checkDate("dateStarted", n.DateStarted, now, now); err != nil {
		return err
	}
	if n.DateDetected, err = checkDate("dateDetected", n.DateDetected, n.DateStarted, now); err != nil {
		return err
	}
	if n.DateAdded, err = checkDate("dateCreated", n.DateAdded, now, now); err != nil {
		return err
	}
	if n.DateAdded.After(now) {
		return invalid("dateCreated", "must not be in the future")
	}
	return nil
}

func (n *NewIncident) checkKind() error {
	switch {
	case !n.Type.known():
		return invalid("type", "has the unknown value %d", int(n.Type))
	case !n.Status.known():
		return invalid("status", "has the unknown value %d", int(n.Status))
	case !n.Status.Active():
		return invalid("status", "of a new incident must be an active one; close it with UpdateStatus")
	}
	return nil
}
