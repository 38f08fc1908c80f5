package incident

import (
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"github.com/incidentkit/incident/internal/cursor"
)

// Limits of a page.
const (
	DefaultPageSize = 25
	MaxPageSize     = 100
)

// IncidentFilter selects the incidents of an organization that meet all of its
// conditions. An empty condition does not restrict, but an Access without projects does.
type IncidentFilter struct {
	OrganizationID OrganizationID `json:"organizationId"` // required

	// Access restricts the list to the incidents that a user may see. Nil does not
	// restrict. A host whose users have access by project sets it in every list for a
	// user:
	//
	//	Access: &incident.ProjectAccess{Projects: projectsOf(user)}
	Access *ProjectAccess `json:"access,omitzero"`

	// Projects selects incidents that affect any of the projects, at most
	// [MaxProjects]. If empty, the list also has incidents that affect no project. Do
	// not use it for access control: see Access.
	Projects []ProjectID `json:"projects,omitzero"`

	Statuses    []Status    `json:"status,omitzero"` // any of them; see [ActiveStatuses]
	AlertRuleID AlertRuleID `json:"alertRule,omitzero"`

	// Labels selects incidents that have all of the labels, with the same values.
	Labels map[string]string `json:"labels,omitzero"`

	// Assignee selects the incidents that are assigned to a user.
	Assignee UserID `json:"assignee,omitzero"`

	// Acknowledged selects incidents that are acknowledged now, or that are not. Nil for
	// both.
	Acknowledged *bool `json:"acknowledged,omitzero"`

	// Title selects incidents whose title contains the text, regardless of case and
	// composition: see [FoldTitle]. It has no wildcards. No index finds it: to fill a page, all
	// incidents that meet the other conditions may be read.
	Title string `json:"title,omitzero"`

	// Start and End select incidents that were active at some time of the window:
	// started at End or before, and not closed before Start. Zero for no bound.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`

	// Cursor is the [IncidentPage.Next] or [IncidentPage.Previous] of a page for the
	// same organization and filter. Empty for the first page.
	Cursor string `json:"cursor,omitzero"`

	// Limit is the size of the page, 1 to [MaxPageSize]. Defaults to
	// [DefaultPageSize]. For [IncidentManager.Count] it is the highest number to which a
	// status is counted, 1 to [MaxCount]. Defaults to MaxCount.
	Limit int `json:"limit,omitzero"`
}

// ProjectAccess grants a user access to incidents by the rule of [Authorizer]: to those
// that affect any of the projects, and to those that affect no project. The zero value
// grants access to the latter only.
type ProjectAccess struct {
	// Projects lists the projects of the user in any order, at most
	// [MaxAccessProjects].
	Projects []ProjectID `json:"projects"`
}

// MaxAccessProjects is the most projects that a [ProjectAccess] can name.
const MaxAccessProjects = 1000

// IncidentPage is a page of a list, the newest started first. Incidents that started at
// the same time are in descending order of identifier. The list is never nil.
type IncidentPage struct {
	Incidents []Incident `json:"incidents"`

	// Next and Previous are the cursors of the adjacent pages. Empty if there is no
	// such page.
	Next     string `json:"next,omitzero"`
	Previous string `json:"previous,omitzero"`
}

// IncidentQuery is an [IncidentFilter] as a [Store] receives it: validated, sorted and
// without repetitions.
type IncidentQuery struct {
	OrganizationID OrganizationID
	Projects       []ProjectID
	Statuses       []Status
	AlertRuleID    AlertRuleID

	// Access restricts the result to incidents that affect any of its projects, or no
	// project at all. Its projects are sorted and without repetitions. Nil does not
	// restrict.
	Access *ProjectAccess

	// Labels must all be labels of the incident. In order of name.
	Labels []Label

	// Assignee must be the assignee of the incident. Empty does not restrict.
	Assignee UserID

	// Acknowledged must equal the incident's [Incident.Acknowledged] at Now. Nil does not
	// restrict.
	Acknowledged *bool
	Now          time.Time

	// Title is folded by [FoldTitle]. The folded title of an incident matches if it
	// contains Title. No character of Title is a wildcard.
	Title string

	// Start and End are those of the filter. Zero for no bound.
	Start, End time.Time

	// After excludes the incidents up to this position, in the direction of the page.
	// Nil for the first page.
	After *Position

	// Reverse returns the oldest started first.
	Reverse bool

	// Limit is the most incidents to return, 1 to MaxPageSize + 1, or to count of each
	// status, MaxCount + 1.
	Limit int
}

// Position is the position of an incident in a list, which is in order of DateStarted,
// then of Identifier, both descending.
type Position struct {
	DateStarted time.Time
	Identifier  int64
}

// query validates the filter and returns its canonical form: filters of the same meaning have
// the same query, so that cursors of either fit the other.
func (f IncidentFilter) query(now time.Time) (q IncidentQuery, err error) {
	if err := checkID("organizationId", f.OrganizationID, false); err != nil {
		return q, err
	}
	q = IncidentQuery{OrganizationID: f.OrganizationID, AlertRuleID: f.AlertRuleID, Title: FoldTitle(f.Title)}
	if q.Projects, err = checkIDs("projects", f.Projects, MaxProjects); err != nil {
		return q, err
	}
	if f.Access != nil {
		projects, err := checkIDs("access", f.Access.Projects, MaxAccessProjects)
		if err != nil {
			return q, err
		}
		q.Access = &ProjectAccess{Projects: projects}
	}
	for _, s := range f.Statuses {
		if !s.known() {
			return q, invalid("status", "has the unknown value %d", int(s))
		}
	}
	q.Statuses = slices.Clone(f.Statuses)
	slices.Sort(q.Statuses)
	q.Statuses = slices.Compact(q.Statuses)
	if err := checkID("alertRule", f.AlertRuleID, true); err != nil {
		return q, err
	}
	if err := checkTitleFilter(f.Title); err != nil {
		return q, err
	}
	if q.Start, err = checkBound("start", f.Start); err != nil {
		return q, err
	}
	if q.End, err = checkBound("end", f.End); err != nil {
		return q, err
	}
	if !q.Start.IsZero() && !q.End.IsZero() && q.End.Before(q.Start) {
		return q, invalid("end", "must not be before start")
	}
	if err := f.checkResponse(&q, now); err != nil {
		return q, err
	}
	q.Limit, err = checkPageSize(f.Limit)
	return q, err
}

// checkResponse validates the conditions on labels and people, and adds them to the query.
func (f IncidentFilter) checkResponse(q *IncidentQuery, now time.Time) error {
	labels, _, err := checkLabels(f.Labels, nil)
	if err != nil {
		return err
	}
	q.Labels = sortedLabels(labels)
	if q.Assignee = f.Assignee; q.Assignee != "" {
		if err := checkID("assignee", q.Assignee, false); err != nil {
			return err
		}
	}
	if f.Acknowledged != nil {
		acknowledged := *f.Acknowledged
		q.Acknowledged, q.Now = &acknowledged, now
	}
	return nil
}

// scope returns the scope of the query's cursors: the query without its page.
func (q *IncidentQuery) scope() *cursor.Scope {
	s := cursor.NewScope("incidents", string(q.OrganizationID))
	cursor.AddAll(s, q.Projects)
	if q.Access == nil {
		s.AddNumber(-1) // no list of projects has this length
	} else {
		cursor.AddAll(s, q.Access.Projects)
	}
	s.AddNumber(int64(len(q.Statuses)))
	for _, st := range q.Statuses {
		s.AddNumber(int64(st))
	}
	s.Add(string(q.AlertRuleID))
	s.Add(q.Title)
	s.AddTime(q.Start)
	s.AddTime(q.End)
	for _, l := range q.Labels {
		s.Add(l.Name)
		s.Add(l.Value)
	}
	if q.Assignee != "" || q.Acknowledged != nil {
		s.AddNumber(int64(len(q.Labels))) // no label follows
		s.Add(string(q.Assignee))
		if q.Acknowledged != nil {
			s.Add(strconv.FormatBool(*q.Acknowledged))
		}
	}
	return s
}

// listCursorSize is the size of a cursor's payload: the direction, DateStarted in microseconds,
// and the identifier.
const listCursorSize = 1 + 8 + 8

func listCursor(scope *cursor.Scope, inc Incident, reverse bool) string {
	payload := make([]byte, 1, listCursorSize)
	if reverse {
		payload[0] = 1
	}
	payload = binary.BigEndian.AppendUint64(payload, uint64(inc.DateStarted.UnixMicro()))
	payload = binary.BigEndian.AppendUint64(payload, uint64(inc.Identifier))
	return scope.Encode(payload)
}

// resume makes the query begin at a cursor.
func (q *IncidentQuery) resume(scope *cursor.Scope, token string) error {
	payload, err := decodeCursor(scope, token, listCursorSize)
	if err != nil {
		return err
	}
	q.Reverse = payload[0] == 1
	q.After = &Position{
		DateStarted: time.UnixMicro(int64(binary.BigEndian.Uint64(payload[1:]))).UTC(),
		Identifier:  int64(binary.BigEndian.Uint64(payload[9:])),
	}
	return nil
}

// decodeCursor returns the payload of a cursor, which must belong to scope.
func decodeCursor(scope *cursor.Scope, token string, size int) ([]byte, error) {
	payload, ok := scope.Decode(token, size, size)
	if !ok {
		return nil, errCursor
	}
	return payload, nil
}

var errCursor = invalid("cursor", "is damaged, or belongs to another list; start again without one")
