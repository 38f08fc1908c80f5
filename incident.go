package incident

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// The host's own identifiers: integers, UUIDs, slugs and names all fit. Each
// is 1 to 255 bytes of valid UTF-8 without control characters, compared byte
// for byte.
type (
	// OrganizationID names a tenant. Nothing is ever read or written across
	// two of them.
	OrganizationID string
	// UserID names a person or a program of the host.
	UserID string
	// AlertRuleID names an alert rule. It may be empty: no rule.
	AlertRuleID string
	// QueryID names the query of an alert rule. It may be empty: no query.
	QueryID string
)

// Key names one incident everywhere. Identifiers run 1, 2, 3 … without a gap
// within the organization.
type Key struct {
	OrganizationID OrganizationID `json:"organizationId"`
	Identifier     int64          `json:"identifier,string"`
}

// String returns the key as in "acme#42".
func (k Key) String() string {
	return string(k.OrganizationID) + "#" + strconv.FormatInt(k.Identifier, 10)
}

// Incident is something that went wrong, from when it started to when it was
// closed.
type Incident struct {
	OrganizationID OrganizationID `json:"organizationId"`
	Identifier     int64          `json:"identifier,string"`

	// Title says in a line what is wrong.
	Title string `json:"title"`

	Type         Type         `json:"type"`
	Status       Status       `json:"status"`
	StatusMethod StatusMethod `json:"statusMethod"`

	// AlertRuleID and QueryID are what detected the incident. Empty for none.
	AlertRuleID AlertRuleID `json:"alertRule"`
	QueryID     QueryID     `json:"query"`

	// DetectionUUID is the idempotency key that the incident was created with,
	// unique in the organization. Zero for none.
	DetectionUUID uuid.UUID `json:"detectionUuid,omitzero"`

	// Projects are what the incident affects, in ascending order. Of an incident
	// that a [Manager] returns they are never nil, so that none is [] in JSON.
	Projects []ProjectID `json:"projects"`

	DateStarted  time.Time `json:"dateStarted"`  // when it began
	DateDetected time.Time `json:"dateDetected"` // when it was noticed
	DateAdded    time.Time `json:"dateCreated"`  // when it was recorded

	// DateClosed is when the incident ended, never before DateStarted. It is
	// set if and only if the status is [StatusClosed].
	DateClosed *time.Time `json:"dateClosed"`

	// Version counts the changes to the incident and its triggers, from 1.
	// Comments, subscriptions and views are no such changes.
	Version int64 `json:"version"`
}

// Key returns the incident's name.
func (inc Incident) Key() Key {
	return Key{OrganizationID: inc.OrganizationID, Identifier: inc.Identifier}
}

// CurrentEnd returns when the incident ended, or now while it goes on.
func (inc Incident) CurrentEnd(now time.Time) time.Time {
	if inc.DateClosed != nil {
		return *inc.DateClosed
	}
	return now
}

// Duration returns how long the incident lasted, or has lasted by now.
func (inc Incident) Duration(now time.Time) time.Duration {
	return inc.CurrentEnd(now).Sub(inc.DateStarted)
}

// Clone returns a copy that shares no memory with inc.
func (inc Incident) Clone() Incident {
	inc.Projects = slices.Clone(inc.Projects)
	inc.DateClosed = cloneTime(inc.DateClosed)
	return inc
}

func cloneTime(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	c := *t
	return &c
}

// listed returns a list that is not nil, which would be null in JSON.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// listed is the incident as it is returned. The zero one is none.
func (inc Incident) listed() Incident {
	if inc.Identifier != 0 {
		inc.Projects = listed(inc.Projects)
	}
	return inc
}

// equal compares everything but the version.
func (inc *Incident) equal(other *Incident) bool {
	return inc.Key() == other.Key() &&
		inc.Title == other.Title &&
		inc.Type == other.Type &&
		inc.Status == other.Status &&
		inc.StatusMethod == other.StatusMethod &&
		inc.AlertRuleID == other.AlertRuleID &&
		inc.QueryID == other.QueryID &&
		inc.DetectionUUID == other.DetectionUUID &&
		slices.Equal(inc.Projects, other.Projects) &&
		inc.DateStarted.Equal(other.DateStarted) &&
		inc.DateDetected.Equal(other.DateDetected) &&
		inc.DateAdded.Equal(other.DateAdded) &&
		equalTimes(inc.DateClosed, other.DateClosed)
}

func equalTimes(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// NewIncident is what [IncidentManager.Create] makes an incident from.
type NewIncident struct {
	OrganizationID OrganizationID

	// Title is required: 1 to 1,000 characters that are not all blank. Of control
	// characters only newline and tab are let in.
	Title string

	// Type defaults to [TypeDetected].
	Type Type

	// Status is that of an active incident. Defaults to [StatusOpen].
	Status Status

	// AlertRuleID and QueryID are what detected the incident. An incident of an
	// alert rule needs at least one project, and claims a slot for each.
	AlertRuleID AlertRuleID
	QueryID     QueryID

	// Projects are what the incident affects, at most 100 with repetitions. Their
	// order does not matter.
	Projects []ProjectID

	// DetectionUUID, when given, makes the call safe to repeat: the first one
	// creates the incident, and all others return it as it then is.
	DetectionUUID uuid.UUID

	// DateStarted defaults to now, and DateDetected to DateStarted. Neither may
	// lie more than 24 hours ahead.
	DateStarted  time.Time
	DateDetected time.Time

	// UserID is who creates the incident. Empty for a program.
	UserID UserID
}

// Result is an incident after a call, and whether the call changed it. What
// was so before is not an error: it is not Changed.
type Result struct {
	Incident
	Changed bool `json:"-"`
}

func (r Result) listed() Result {
	r.Incident = r.Incident.listed()
	return r
}

// Details is an incident with what a user is shown beside it. Its lists are
// never nil.
type Details struct {
	Incident

	// Triggers are those of the incident, in order of TriggerID.
	Triggers []Trigger `json:"triggers"`

	// SeenBy is who has seen the incident, the latest first.
	SeenBy []Seen `json:"seenBy"`

	// HasSeen and IsSubscribed are about the user who asks.
	HasSeen      bool `json:"hasSeen"`
	IsSubscribed bool `json:"isSubscribed"`
}

// IncidentManager is the incidents' part of [Manager].
type IncidentManager interface {
	// Create records a new incident, with a Detected and a Created activity.
	//
	// It returns a [*ConflictError] if the incident is of an alert rule and
	// another one is active in one of its slots. A DetectionUUID that is known
	// returns the incident it created, not Changed.
	Create(ctx context.Context, n NewIncident) (Result, error)

	// Get returns an incident. It reads through the cache.
	Get(ctx context.Context, key Key) (Incident, error)

	// Details returns an incident with what user is shown beside it, in one
	// read of the store. The user may be empty, who has seen nothing.
	Details(ctx context.Context, key Key, user UserID) (Details, error)

	// List returns a page of an organization's incidents, the newest started
	// first. It reads the store.
	List(ctx context.Context, f IncidentFilter) (IncidentPage, error)

	// UpdateStatus sets an incident's status. The status that it has already is
	// not Changed: nothing is written and nobody notified. Otherwise one
	// StatusChange activity is written with it, and the user is subscribed.
	// Closing resolves the active triggers and frees the slots. Reopening
	// claims them again, and returns a [*ConflictError] that names the other
	// incident where one is active.
	UpdateStatus(ctx context.Context, key Key, u StatusUpdate) (Result, error)

	// Active returns the incident that is active in the slot, and false if
	// there is none. It reads through the cache, which remembers 'none' too.
	Active(ctx context.Context, slot Slot) (Incident, bool, error)
}

// IncidentStore persists incidents with their projects, triggers and slots.
type IncidentStore interface {
	// Load returns the state of the incident. It must return [ErrNotFound]
	// where there is none.
	Load(ctx context.Context, key Key) (State, error)

	// LoadSlot returns what the slot holds, in one read. A slot that nobody
	// ever claimed is the zero SlotState and a nil error.
	LoadSlot(ctx context.Context, slot Slot) (SlotState, error)

	// LoadDetails returns the incident with all that [Details] shows to user,
	// in one read. It must return [ErrNotFound] where there is none.
	LoadDetails(ctx context.Context, key Key, user UserID) (Details, error)

	// Incidents returns at most q.Limit incidents that match q, in its order.
	// Only what matches may be returned, and following the pages from either
	// end must return each match once. A long page need not be of one moment:
	// what changes while it is made may be in it or not.
	Incidents(ctx context.Context, q IncidentQuery) ([]Incident, error)

	// Apply writes c. What it checks, in this order:
	//
	//   - A new incident whose DetectionUUID the organization has already, and
	//     a change whose first activity has a NotificationUUID that the
	//     organization has already, must write nothing: Applied is Replayed,
	//     with the incident of that UUID. Where c.Key names another incident than
	//     that activity's, it must return [ErrConflict].
	//   - It must return [ErrNotFound] if c.Key names no incident.
	//   - It must return [ErrVersionConflict] if c.Incident is given and the
	//     stored version is not c.ExpectVersion.
	//   - It must return a [*ConflictError] that names the holder if a slot of
	//     c.Claim is held by another incident.
	//
	// Identifiers of an organization must be 1, 2, 3 … in the order of commit;
	// a change that fails or is rolled back must not use one up. Sequences of
	// an incident's activities must be 1, 2, 3 … likewise. Claiming and
	// releasing must each raise the version of the slot by one.
	Apply(ctx context.Context, c Change) (Applied, error)
}

// check returns the incident that is to be made.
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
	started, err := checkDate("dateStarted", n.DateStarted, now, now)
	if err != nil {
		return inc, err
	}
	detected, err := checkDate("dateDetected", n.DateDetected, started, now)
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
		DateStarted:    started,
		DateDetected:   detected,
		DateAdded:      now,
	}, nil
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
