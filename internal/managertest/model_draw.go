package managertest

import (
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/incidentkit/incident"
)

// The domains are small, so that calls affect each other. Their identifiers are chosen so
// that a carelessly concatenated key equals the key of something else.
var (
	orgs       = []incident.OrganizationID{"acme", "acme#1", "ac"}
	users      = []incident.UserID{"ada", "Ada", "bob"}
	rules      = []incident.AlertRuleID{"r", "r:p"}
	projects   = []incident.ProjectID{"p", "p:p", "é"}
	queries    = []incident.QueryID{"", "p"}
	triggerIDs = []incident.TriggerID{"t1", "t2"}
	severities = []incident.Status{incident.StatusWarning, incident.StatusCritical}
	statuses   = []incident.Status{
		incident.StatusOpen, incident.StatusClosed, incident.StatusWarning, incident.StatusCritical,
	}
	methods = []incident.StatusMethod{
		0, incident.StatusMethodManual, incident.StatusMethodRuleUpdated, incident.StatusMethodRuleTriggered,
	}
	titles = []string{"Checkout fails", "CHECKOUT is slow", "100% _\\ of 'Ünïcode'\n\t漢字 🚒"}
	finds  = []string{"", "", "checkout", "ÜNÏ", "%", "_", "\\ of '", "nothing"}
	texts  = []string{"first", "second\nline", "  é 🚒\t"}

	// labelSets are labels or annotations.
	labelSets = []map[string]string{
		nil, {}, {"service": "checkout"}, {"service": "search", "région": "é\n🚒"}, {"région": "é"},
	}

	detectionUUIDs    = testUUIDs(0xd0, 3)
	notificationUUIDs = testUUIDs(0xa0, 5)

	start = time.Date(2024, 2, 29, 23, 30, 0, 123456000, time.UTC)
	zone  = time.FixedZone("elsewhere", -(9*3600 + 1800))
)

// testUUIDs returns UUIDs that the library does not generate.
func testUUIDs(kind byte, n int) []uuid.UUID {
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.UUID{0: kind, 15: byte(i + 1)}
	}
	return ids
}

// allSlots returns all slots of an organization.
func allSlots(org incident.OrganizationID) []incident.Slot {
	var slots []incident.Slot
	for _, r := range rules {
		for _, p := range projects {
			for _, q := range queries {
				slots = append(slots, incident.Slot{OrganizationID: org, AlertRuleID: r, ProjectID: p, QueryID: q})
			}
		}
	}
	return slots
}

// source draws the arguments of calls on a world.
type source struct {
	t *rapid.T
	w *world
}

// pick draws an index and not the value, because values may be long; the resulting call
// is logged.
func pick[T any](s source, label string, from []T) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(s.t, label)]
}

// oneIn is true once in n times. The simplest case is false.
func (s source) oneIn(n int, label string) bool {
	return rapid.IntRange(0, n-1).Draw(s.t, label) == n-1
}

// some returns a list in any order, with repetitions.
func some[T any](s source, label string, from []T, minLen, maxLen int) []T {
	return rapid.SliceOfN(rapid.SampledFrom(from), minLen, maxLen).Draw(s.t, label)
}

// org prefers the first organization.
func (s source) org() incident.OrganizationID {
	if s.w.focused {
		return orgs[0]
	}
	return orgs[max(0, rapid.IntRange(-3, len(orgs)-1).Draw(s.t, "org"))]
}

// key usually names an existing incident. Otherwise it names the next incident, that of
// another organization, or none.
func (s source) key() incident.Key {
	org := s.org()
	n := len(s.w.org(org).records)
	if n > 0 && !s.oneIn(12, "strange key") {
		return incident.Key{OrganizationID: org, Identifier: rapid.Int64Range(1, int64(n)).Draw(s.t, "identifier")}
	}
	if s.oneIn(4, "strange organization") {
		org = "nobody"
	}
	return incident.Key{OrganizationID: org, Identifier: rapid.SampledFrom([]int64{1, 2, 3, int64(n) + 1, 1 << 40}).Draw(s.t, "identifier")}
}

func (s source) slot() incident.Slot {
	return incident.Slot{
		OrganizationID: s.org(),
		AlertRuleID:    pick(s, "rule", []incident.AlertRuleID{rules[0], rules[0], rules[1]}),
		ProjectID:      pick(s, "project", []incident.ProjectID{projects[0], projects[0], projects[1], projects[2]}),
		QueryID:        pick(s, "query", []incident.QueryID{queries[0], queries[0], queries[1]}),
	}
}

// date is usually zero. Otherwise it is near the clock, in any zone and finer than a
// microsecond.
func (s source) date(label string) time.Time {
	step := rapid.IntRange(-8, 6).Draw(s.t, label)
	if step <= 0 && step%2 == 0 {
		return time.Time{}
	}
	t := s.w.now.Add(time.Duration(step) * 10 * time.Minute).Truncate(20 * time.Minute)
	if step%3 == 0 {
		t = t.Add(1999 * time.Nanosecond).In(zone)
	}
	return t
}

func (s source) optional(label string, ids []uuid.UUID) uuid.UUID {
	return pick(s, label, append([]uuid.UUID{{}, {}, {}}, ids...))
}

// notification is an idempotency key. Unless the world is careful, another call may have
// used the same key.
func (s source) notification(key incident.Key, kind incident.ActivityType) uuid.UUID {
	id := s.optional("notification", notificationUUIDs)
	if s.w.careful && id != uuid.Nil {
		id[1], id[2] = byte(kind), byte(key.Identifier)
	}
	return id
}

func (s source) user() incident.UserID { return pick(s, "user", users) }

// actor is a user or, if empty, a program.
func (s source) actor() incident.UserID {
	return pick(s, "actor", append([]incident.UserID{""}, users...))
}

// sequence is usually the sequence of a comment.
func (s source) sequence(key incident.Key) int64 {
	r := s.w.find(key)
	if r == nil {
		return 1
	}
	choices := []int64{1, int64(len(r.activities)) + 1}
	for _, a := range r.activities {
		if a.Type == incident.ActivityTypeComment {
			choices = append(choices, a.Sequence, a.Sequence, a.Sequence)
		}
	}
	return pick(s, "sequence", choices)
}

// version is the version that an update expects: usually any, else the current version or
// an adjacent version.
func (s source) version(key incident.Key) int64 {
	r := s.w.find(key)
	if r == nil || !s.oneIn(3, "expects a version") {
		return 0
	}
	return max(0, r.incident.Version+pick(s, "off by", []int64{0, 0, -1, 1}))
}

// limit is a page size, usually small.
func (s source) limit() int { return pick(s, "limit", []int{1, 2, 3, 0, incident.MaxPageSize}) }
