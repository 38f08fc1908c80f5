package incident

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Identifiers of the host: integers, UUIDs, slugs and names all fit. Each is 1 to
// [MaxIDSize] bytes of valid UTF-8 without control characters, and is compared byte
// for byte.
type (
	// OrganizationID names a tenant. No call reads or writes across tenants.
	OrganizationID string
	// UserID names a person or a program.
	UserID string
	// AlertRuleID names an alert rule. Empty for no rule.
	AlertRuleID string
	// QueryID names the query of an alert rule. Empty for no query.
	QueryID string
)

// Key names an incident. Identifiers run 1, 2, 3 … without a gap within each
// organization.
type Key struct {
	OrganizationID OrganizationID `json:"organizationId"`
	Identifier     int64          `json:"identifier,string"`
}

// String returns the key in the form "acme#42".
func (k Key) String() string {
	return string(k.OrganizationID) + "#" + strconv.FormatInt(k.Identifier, 10)
}

// Incident is a disruption, from its start until it is closed.
type Incident struct {
	OrganizationID OrganizationID `json:"organizationId"`
	Identifier     int64          `json:"identifier,string"`

	// Title describes the disruption in a line.
	Title string `json:"title"`

	Type         Type         `json:"type"`
	Status       Status       `json:"status"`
	StatusMethod StatusMethod `json:"statusMethod"`

	// AlertRuleID and QueryID name the detector of the incident. Empty if there is none.
	AlertRuleID AlertRuleID `json:"alertRule"`
	QueryID     QueryID     `json:"query"`

	// DetectionUUID is the idempotency key of the incident's creation, unique in the
	// organization. Zero if none was given.
	DetectionUUID uuid.UUID `json:"detectionUuid,omitzero"`

	// Projects lists the affected projects in ascending order. A [Manager] never
	// returns nil here, so that an empty list is [] in JSON.
	Projects []ProjectID `json:"projects"`

	DateStarted  time.Time `json:"dateStarted"`  // when the disruption began
	DateDetected time.Time `json:"dateDetected"` // when it was noticed
	DateAdded    time.Time `json:"dateCreated"`  // when it was recorded

	// DateClosed is when the incident ended, never before DateStarted. It is
	// set if and only if the status is [StatusClosed].
	DateClosed *time.Time `json:"dateClosed"`

	// Version counts the changes to the incident and its triggers, from 1. Comments,
	// subscriptions and views do not change it.
	Version int64 `json:"version"`

	// Response names the people at work on the incident. Nil if there are none.
	Response *Response `json:"response,omitzero"`

	// Labels classify the incident; [IncidentFilter] selects by them. Annotations
	// describe it. Nil if there are none.
	Labels      map[string]string `json:"labels,omitzero"`
	Annotations map[string]string `json:"annotations,omitzero"`

	// DuplicateOf is the identifier of the incident that this incident repeats. 0 if it
	// was not marked as a duplicate.
	DuplicateOf int64 `json:"duplicateOf,string,omitzero"`
}

// Key returns the key of the incident.
func (inc Incident) Key() Key {
	return Key{OrganizationID: inc.OrganizationID, Identifier: inc.Identifier}
}

// key is Key without a copy of the incident.
func (inc *Incident) key() Key {
	return Key{OrganizationID: inc.OrganizationID, Identifier: inc.Identifier}
}

// CurrentEnd returns when the incident ended, or now if it is still active.
func (inc Incident) CurrentEnd(now time.Time) time.Time {
	if inc.DateClosed != nil {
		return *inc.DateClosed
	}
	return now
}

// Duration returns how long the incident lasted, or has lasted until now.
func (inc Incident) Duration(now time.Time) time.Duration {
	return inc.CurrentEnd(now).Sub(inc.DateStarted)
}

// Clone returns a copy that shares no memory with inc.
func (inc Incident) Clone() Incident {
	inc.Projects = slices.Clone(inc.Projects)
	inc.DateClosed = cloneTime(inc.DateClosed)
	inc.Response = inc.Response.clone()
	inc.Labels, inc.Annotations = maps.Clone(inc.Labels), maps.Clone(inc.Annotations)
	return inc
}

func cloneTime(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	c := *t
	return &c
}

// listed replaces a nil list by an empty list, since nil is null in JSON.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// listed returns the incident with Projects that are not nil, and the zero Incident
// unchanged.
func (inc Incident) listed() Incident {
	if inc.Identifier != 0 {
		inc.Projects = listed(inc.Projects)
	}
	return inc
}

// equal compares all fields except Version.
func (inc *Incident) equal(other *Incident) bool {
	return inc.key() == other.key() &&
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
		equalTimes(inc.DateClosed, other.DateClosed) &&
		inc.Response.equal(other.Response) &&
		maps.Equal(inc.Labels, other.Labels) &&
		maps.Equal(inc.Annotations, other.Annotations) &&
		inc.DuplicateOf == other.DuplicateOf
}

func equalTimes(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// Result is an incident after a call. Changed reports whether the call changed it;
// finding nothing to change is not an error.
type Result struct {
	Incident
	Changed bool `json:"-"`
}

func (r Result) listed() Result {
	r.Incident = r.Incident.listed()
	return r
}

// Details is an incident with its triggers and views, for one user. Its lists are
// never nil.
type Details struct {
	Incident

	// Triggers lists the incident's triggers in order of TriggerID.
	Triggers []Trigger `json:"triggers"`

	// SeenBy lists the users who have seen the incident, the latest first.
	SeenBy []Seen `json:"seenBy"`

	// HasSeen and IsSubscribed are about the user that was passed to Details.
	HasSeen      bool `json:"hasSeen"`
	IsSubscribed bool `json:"isSubscribed"`
}

// IncidentManager is the incidents' part of [Manager].
type IncidentManager interface {
	// Create records a new incident with a Detected and a Created activity.
	//
	// It returns a [*ConflictError] if another incident is active in one of the new
	// incident's slots. If the DetectionUUID is known, Create writes nothing and
	// returns the incident that was created with it.
	Create(ctx context.Context, n NewIncident) (Result, error)

	// Get returns an incident. It reads through the cache.
	Get(ctx context.Context, key Key) (Incident, error)

	// Details returns an incident with its triggers and views, in a single read of the
	// store. An empty user has seen nothing and is not subscribed.
	Details(ctx context.Context, key Key, user UserID) (Details, error)

	// List returns a page of an organization's incidents, the newest started
	// first. It reads the store.
	List(ctx context.Context, f IncidentFilter) (IncidentPage, error)

	// UpdateStatus sets the status of an incident. If the incident has that status
	// already, nothing is written and nobody is notified. Otherwise UpdateStatus
	// appends one StatusChange activity and subscribes the user.
	//
	// Closing an incident resolves its active triggers and frees its slots. Reopening
	// claims the slots again, and removes the acknowledgement and the mark as a duplicate.
	// It returns a [*ConflictError] if another incident is active in one of the slots.
	UpdateStatus(ctx context.Context, key Key, u StatusUpdate) (Result, error)

	// Edit corrects the title, the start, the labels and the annotations of an incident,
	// active or closed. It appends an Edited activity for each changed field, and
	// subscribes the user. If nothing differs, nothing is written and nobody is notified.
	Edit(ctx context.Context, key Key, e Edit) (Result, error)

	// MarkDuplicate records that an incident repeats another incident of the
	// organization, and closes it if it is active. It appends a MarkedDuplicate activity
	// and, if it closes the incident, a StatusChange, and subscribes the user. A later mark
	// replaces the mark, and reopening the incident removes it. It runs in a transaction.
	//
	// It returns [ErrInvalid] if the other incident is itself marked as a duplicate, and
	// [ErrNotFound] if either does not exist.
	MarkDuplicate(ctx context.Context, key Key, d Duplicate) (Result, error)

	// UpdateStatusAll updates the status of up to [MaxBulk] different incidents of one
	// organization, each by itself, and returns the results in the order of keys. See
	// [StatusUpdate.NotificationUUID]: each incident gets a UUID that is derived from it
	// and the key, so that the whole call is safe to repeat. ExpectVersion must be 0.
	//
	// It returns an error, and writes nothing, if the input is invalid or the context has
	// ended before the call. Failures of single incidents are in their results, also those
	// of a context that ends during the call. In a transaction, a failure of the store fails
	// the results of the following incidents, and the transaction.
	UpdateStatusAll(ctx context.Context, keys []Key, u StatusUpdate) ([]BulkResult, error)

	// Count counts the incidents that match a filter without Cursor, by status. It counts
	// each status up to the Limit of the filter, which is 1 to [MaxCount] here and defaults
	// to it. A low Limit makes a count cheap. Count reads the store. A count of many
	// incidents need not be of one moment.
	Count(ctx context.Context, f IncidentFilter) (Counts, error)

	// Active returns the active incident of a slot, and false if the slot is free. It
	// reads through the cache, which also keeps free slots.
	Active(ctx context.Context, slot Slot) (Incident, bool, error)
}

// IncidentStore persists incidents with their projects, triggers and slots.
type IncidentStore interface {
	// Load returns the state of the incident. It must return [ErrNotFound] if the
	// incident does not exist.
	Load(ctx context.Context, key Key) (State, error)

	// LoadSlot returns the version of the slot and the state of its holder, or of a free
	// slot's last holder, in a single read. For a slot that was never claimed it returns
	// the zero SlotState and a nil error.
	LoadSlot(ctx context.Context, slot Slot) (SlotState, error)

	// LoadDetails returns the [Details] of the incident for user, in a single read. It
	// must return [ErrNotFound] if the incident does not exist.
	LoadDetails(ctx context.Context, key Key, user UserID) (Details, error)

	// Incidents returns at most q.Limit incidents that match q, in the order of q. It
	// must not return incidents that do not match. Following the pages from either
	// end must return each match once. A long page need not be of one moment: an
	// incident that changes during the call may be in the page or not.
	Incidents(ctx context.Context, q IncidentQuery) ([]Incident, error)

	// CountIncidents counts the incidents that match q, by status, up to q.Limit of each
	// status. It ignores q.After and q.Reverse. A status without a match may be missing. Many
	// counts need not be of one moment: an incident that changes during the call may be
	// counted under either status, under both, or not at all.
	CountIncidents(ctx context.Context, q IncidentQuery) (map[Status]int, error)

	// Apply writes c, after these checks, in this order:
	//
	//  1. If c makes a new incident and the organization knows its DetectionUUID, or
	//     if the organization knows the NotificationUUID of c's first activity, Apply
	//     must write nothing. It returns an Applied that is Replayed, with the incident
	//     of that UUID. It must return [ErrConflict] if the activity belongs to
	//     an incident other than c.Key.
	//  2. It must return [ErrNotFound] if c.Key names no incident.
	//  3. It must return [ErrVersionConflict] if c.Incident is given and the stored
	//     version is not c.ExpectVersion.
	//  4. It must return a [*ConflictError] that names the holder if another incident
	//     holds a slot of c.Claim.
	//  5. It must return [ErrVersionConflict] if c.ExpectSlot is given and the slot has
	//     another version.
	//
	// Identifiers of an organization must be 1, 2, 3 … in order of commit; a change
	// that fails or is rolled back must not use up an identifier. The same holds for
	// the sequences of an incident's activities. Claiming a slot and releasing it must
	// each raise its version by 1.
	Apply(ctx context.Context, c Change) (Applied, error)
}
