package incident_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident"
)

// badInput is a call that must be refused with an error that names field.
type badInput struct {
	name  string
	field string
	call  func(ctx context.Context, m incident.Manager) error
}

func idInputs() []badInput {
	var all []badInput
	add := func(name, field string, call func(context.Context, incident.Manager) error) {
		all = append(all, badInput{name: name, field: field, call: call})
	}
	for kind, id := range badIDs {
		add("organization "+kind, "organizationId", create(func(n *incident.NewIncident) { n.OrganizationID = incident.OrganizationID(id) }))
		add("parked organization "+kind, "organizationId", parked(func(f *incident.ParkedFilter) { f.OrganizationID = incident.OrganizationID(id) }))
		add("list organization "+kind, "organizationId", list(func(f *incident.IncidentFilter) { f.OrganizationID = incident.OrganizationID(id) }))
		add("slot organization "+kind, "organizationId", fire(func(f *incident.Firing) { f.OrganizationID = incident.OrganizationID(id) }))
		add("slot rule "+kind, "alertRule", fire(func(f *incident.Firing) { f.AlertRuleID = incident.AlertRuleID(id) }))
		add("slot project "+kind, "project", fire(func(f *incident.Firing) { f.ProjectID = incident.ProjectID(id) }))
		add("trigger "+kind, "trigger", fire(func(f *incident.Firing) { f.TriggerID = incident.TriggerID(id) }))
		add("project "+kind, "projects", create(func(n *incident.NewIncident) { n.Projects = append(n.Projects, incident.ProjectID(id)) }))
		add("listed project "+kind, "projects", list(func(f *incident.IncidentFilter) { f.Projects = []incident.ProjectID{incident.ProjectID(id)} }))
		add("project of access "+kind, "access", list(func(f *incident.IncidentFilter) {
			f.Access = &incident.ProjectAccess{Projects: []incident.ProjectID{"checkout", incident.ProjectID(id)}}
		}))
		if id != "" { // a program may comment
			add("author "+kind, "userId", comment(func(n *incident.NewComment) { n.UserID = incident.UserID(id) }))
		}
		add("mention "+kind, "mentions", comment(func(n *incident.NewComment) { n.Mentions = []incident.UserID{"grace", incident.UserID(id)} }))
		add("active rule "+kind, "alertRule", func(ctx context.Context, m incident.Manager) error {
			_, _, err := m.Active(ctx, incident.Slot{OrganizationID: "acme", AlertRuleID: incident.AlertRuleID(id), ProjectID: "checkout"})
			return err
		})
		add("resolve trigger "+kind, "trigger", func(ctx context.Context, m incident.Manager) error {
			_, err := m.Resolve(ctx, incident.Resolution{Slot: slot, TriggerID: incident.TriggerID(id)})
			return err
		})
		add("seen user "+kind, "userId", func(ctx context.Context, m incident.Manager) error {
			_, err := m.MarkSeen(ctx, key, incident.UserID(id))
			return err
		})
		add("subscribe user "+kind, "userId", func(ctx context.Context, m incident.Manager) error {
			_, err := m.Subscribe(ctx, key, incident.UserID(id))
			return err
		})
		add("unsubscribe user "+kind, "userId", func(ctx context.Context, m incident.Manager) error {
			return m.Unsubscribe(ctx, key, incident.UserID(id))
		})
		add("link "+kind, "project", func(ctx context.Context, m incident.Manager) error {
			_, err := m.LinkProject(ctx, key, incident.ProjectID(id))
			return err
		})
		add("unlink "+kind, "project", func(ctx context.Context, m incident.Manager) error {
			_, err := m.UnlinkProject(ctx, key, incident.ProjectID(id))
			return err
		})
		if id == "" {
			continue // these may be empty
		}
		add("rule "+kind, "alertRule", create(func(n *incident.NewIncident) { n.AlertRuleID = incident.AlertRuleID(id) }))
		add("query "+kind, "query", create(func(n *incident.NewIncident) { n.QueryID = incident.QueryID(id) }))
		add("slot query "+kind, "query", fire(func(f *incident.Firing) { f.QueryID = incident.QueryID(id) }))
		add("creator "+kind, "userId", create(func(n *incident.NewIncident) { n.UserID = incident.UserID(id) }))
		add("updater "+kind, "userId", update(func(u *incident.StatusUpdate) { u.UserID = incident.UserID(id) }))
		add("viewer "+kind, "userId", func(ctx context.Context, m incident.Manager) error {
			_, err := m.Details(ctx, key, incident.UserID(id))
			return err
		})
	}
	return all
}

func textInputs() []badInput {
	var all []badInput
	for kind, text := range map[string]string{
		"invalid UTF-8":      "down \xff",
		"cut UTF-8":          "down \xe2\x82",
		"surrogate":          "down \xed\xa0\x80",
		"NUL":                "down \x00",
		"escape":             "down \x1b[31m",
		"carriage return":    "down\r",
		"delete":             "down\x7f",
		"C1 control":         "down\u009b31m",
		"empty":              "",
		"blank":              " \t\n\u3000",
		"bidi only":          "\u202e\u2066",
		"only zero width":    "\u200b\ufeff",
		"1001 characters":    strings.Repeat("é", incident.MaxTitleLength+1),
		"64 MiB":             strings.Repeat("x", 64<<20),
		"control at the end": strings.Repeat("x", 999) + "\x01",
	} {
		all = append(all,
			badInput{"title " + kind, "title", create(func(n *incident.NewIncident) { n.Title = text })},
			badInput{"fired title " + kind, "title", fire(func(f *incident.Firing) { f.Title = text })})
		if kind == "1001 characters" {
			continue
		}
		all = append(all,
			badInput{"comment " + kind, "comment", comment(func(n *incident.NewComment) { n.Comment = text })},
			badInput{"edit " + kind, "comment", func(ctx context.Context, m incident.Manager) error {
				_, err := m.EditComment(ctx, key, incident.CommentEdit{Sequence: 3, UserID: "ada", Comment: text})
				return err
			}})
		if kind != "empty" && kind != "blank" && kind != "bidi only" && kind != "only zero width" {
			all = append(all,
				badInput{"status comment " + kind, "comment", update(func(u *incident.StatusUpdate) { u.Comment = text })},
				badInput{"title filter " + kind, "title", list(func(f *incident.IncidentFilter) { f.Title = text })})
		}
	}
	return append(all,
		badInput{"comment of 65,537 bytes", "comment", comment(func(n *incident.NewComment) {
			n.Comment = strings.Repeat("x", incident.MaxCommentSize+1)
		})},
		badInput{"deletion with a text", "comment", func(ctx context.Context, m incident.Manager) error {
			_, err := m.DeleteComment(ctx, key, incident.CommentEdit{Sequence: 3, UserID: "ada", Comment: "x"})
			return err
		}})
}

func dateInputs() []badInput {
	var all []badInput
	for kind, date := range map[string]time.Time{
		"year 294277":   time.Date(294277, 1, 1, 0, 0, 0, 0, time.UTC),
		"year 10000":    time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"year -1":       time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
		"year -5000":    time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC),
		"before 1970":   time.Date(1969, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		"1<<62 seconds": time.Unix(1<<62, 0),
		"max seconds":   time.Unix(math.MaxInt64, math.MaxInt64),
		"min seconds":   time.Unix(math.MinInt64, 0),
	} {
		all = append(all,
			badInput{"started " + kind, "dateStarted", create(func(n *incident.NewIncident) { n.DateStarted = date })},
			badInput{"detected " + kind, "dateDetected", create(func(n *incident.NewIncident) { n.DateDetected = date })},
			badInput{"updated " + kind, "date", update(func(u *incident.StatusUpdate) { u.Date = date })},
			badInput{"commented " + kind, "date", comment(func(n *incident.NewComment) { n.Date = date })},
			badInput{"fired " + kind, "date", fire(func(f *incident.Firing) { f.Date = date })},
			badInput{"list start " + kind, "start", list(func(f *incident.IncidentFilter) { f.Start = date })},
			badInput{"list end " + kind, "end", list(func(f *incident.IncidentFilter) { f.End = date })},
			badInput{"resolved " + kind, "date", func(ctx context.Context, m incident.Manager) error {
				_, err := m.Resolve(ctx, incident.Resolution{Slot: slot, TriggerID: "5%", Date: date})
				return err
			}},
		)
	}
	tomorrow := now.Add(incident.MaxClockLead + time.Microsecond)
	return append(all,
		badInput{"detected in the far future", "dateDetected", create(func(n *incident.NewIncident) { n.DateDetected = tomorrow })},
		badInput{"started in the far future", "dateStarted", create(func(n *incident.NewIncident) { n.DateStarted = tomorrow })},
		badInput{"closed in the far future", "date", update(func(u *incident.StatusUpdate) { u.Date = tomorrow })},
		badInput{"closed before it started", "date", update(func(u *incident.StatusUpdate) { u.Date = now.Add(-time.Microsecond) })},
		badInput{"window ends before it starts", "end", list(func(f *incident.IncidentFilter) { f.Start, f.End = now, now.Add(-time.Microsecond) })},
	)
}

func numberInputs() []badInput {
	var all []badInput
	for _, n := range []int{3, -1, 255, 70000, math.MaxInt, math.MinInt} {
		all = append(all,
			badInput{fmt.Sprintf("status %d", n), "status", update(func(u *incident.StatusUpdate) { u.Status = incident.Status(n) })},
			badInput{fmt.Sprintf("new status %d", n), "status", create(func(c *incident.NewIncident) { c.Status = incident.Status(n) })},
			badInput{fmt.Sprintf("listed status %d", n), "status", list(func(f *incident.IncidentFilter) { f.Statuses = []incident.Status{incident.Status(n)} })},
			badInput{fmt.Sprintf("severity %d", n), "severity", fire(func(f *incident.Firing) { f.Severity = incident.Status(n) })},
			badInput{fmt.Sprintf("type %d", n), "type", create(func(c *incident.NewIncident) { c.Type = incident.Type(n) })},
		)
	}
	for _, n := range []int{4, -1, 70000} {
		all = append(all, badInput{fmt.Sprintf("method %d", n), "statusMethod", update(func(u *incident.StatusUpdate) { u.Method = incident.StatusMethod(n) })})
	}
	for _, n := range []int{-1, 101, 1_000_000_000, math.MinInt} {
		all = append(all,
			badInput{fmt.Sprintf("parked page of %d", n), "limit", parked(func(f *incident.ParkedFilter) { f.Limit = n })},
			badInput{fmt.Sprintf("page of %d", n), "limit", list(func(f *incident.IncidentFilter) { f.Limit = n })},
			badInput{fmt.Sprintf("activities of %d", n), "limit", func(ctx context.Context, m incident.Manager) error {
				_, err := m.Activities(ctx, key, incident.ActivityFilter{Limit: n})
				return err
			}})
	}
	for _, n := range []int64{0, -1, math.MinInt64} {
		all = append(all, keyInputs(fmt.Sprintf("identifier %d", n), "identifier", incident.Key{OrganizationID: "acme", Identifier: n})...)
		all = append(all, badInput{fmt.Sprintf("sequence %d", n), "sequence", func(ctx context.Context, m incident.Manager) error {
			_, err := m.EditComment(ctx, key, incident.CommentEdit{Sequence: n, UserID: "ada", Comment: "x"})
			return err
		}})
	}
	all = append(all, keyInputs("no organization", "organizationId", incident.Key{Identifier: 1})...)
	return append(all,
		badInput{"no status", "status", update(func(u *incident.StatusUpdate) { u.Status = 0 })},
		badInput{"new and closed", "status", create(func(n *incident.NewIncident) { n.Status = incident.StatusClosed })},
		badInput{"severity Open", "severity", fire(func(f *incident.Firing) { f.Severity = incident.StatusOpen })},
		badInput{"negative version", "version", update(func(u *incident.StatusUpdate) { u.ExpectVersion = -1 })},
		badInput{"rule without a project", "projects", create(func(n *incident.NewIncident) { n.AlertRuleID, n.Projects = "rule", nil })},
		badInput{"101 projects", "projects", create(func(n *incident.NewIncident) { n.Projects = many[incident.ProjectID](101) })},
		badInput{"1,001 projects of access", "access", list(func(f *incident.IncidentFilter) {
			f.Access = &incident.ProjectAccess{Projects: many[incident.ProjectID](1001)}
		})},
		badInput{"101 projects listed", "projects", list(func(f *incident.IncidentFilter) { f.Projects = many[incident.ProjectID](101) })},
		badInput{"a million mentions", "mentions", comment(func(n *incident.NewComment) { n.Mentions = many[incident.UserID](1_000_000) })},
		badInput{"edit of what is no comment", "sequence", func(ctx context.Context, m incident.Manager) error {
			_, err := m.EditComment(ctx, key, incident.CommentEdit{Sequence: 1, UserID: "ada", Comment: "x"})
			return err
		}},
		badInput{"nil function", "fn", func(ctx context.Context, m incident.Manager) error { return m.InTx(ctx, nil) }},
	)
}

// selects has the calls for which identifier 0 stands for all incidents.
var selects = map[string]bool{"Replay": true, "DiscardParked": true}

// keyInputs returns all calls that name an incident, with a bad key.
func keyInputs(name, field string, key incident.Key) []badInput {
	var all []badInput
	for method, call := range keyCalls(key) {
		if key.Identifier == 0 && selects[method] {
			continue
		}
		all = append(all, badInput{method + " with " + name, field, call})
	}
	return all
}

func cursorInputs(t *testing.T, m incident.Manager) []badInput {
	t.Helper()
	for range 3 {
		if err := create(func(*incident.NewIncident) {})(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	page, err := m.List(t.Context(), incident.IncidentFilter{OrganizationID: "acme", Limit: 1})
	if err != nil || page.Next == "" {
		t.Fatalf("List = %+v, %v", page, err)
	}
	log, err := m.Activities(t.Context(), key, incident.ActivityFilter{Limit: 1})
	if err != nil || log.Next == "" {
		t.Fatalf("Activities = %+v, %v", log, err)
	}
	var all []badInput
	add := func(name string, cursor string, change func(*incident.IncidentFilter)) {
		all = append(all, badInput{"cursor " + name, "cursor", list(func(f *incident.IncidentFilter) {
			f.Cursor, f.Limit = cursor, 1
			change(f)
		})})
	}
	same := func(*incident.IncidentFilter) {}
	flipped := []byte(page.Next)
	flipped[5] ^= 1
	add("garbage", "garbage", same)
	add("cut", page.Next[:len(page.Next)-1], same)
	add("longer", page.Next+"A", same)
	add("flipped", string(flipped), same)
	add("with a line break", page.Next+"\n", same)
	add("huge", strings.Repeat("A", 1<<20), same)
	add("of activities", log.Next, same)
	add("of another organization", page.Next, func(f *incident.IncidentFilter) { f.OrganizationID = "globex" })
	add("of another project", page.Next, func(f *incident.IncidentFilter) { f.Projects = []incident.ProjectID{"search"} })
	add("of less access", page.Next, func(f *incident.IncidentFilter) { f.Access = new(incident.ProjectAccess) })
	add("of another access", page.Next, func(f *incident.IncidentFilter) {
		f.Access = &incident.ProjectAccess{Projects: []incident.ProjectID{"search"}}
	})
	add("of another status", page.Next, func(f *incident.IncidentFilter) { f.Statuses = incident.ActiveStatuses() })
	add("of another rule", page.Next, func(f *incident.IncidentFilter) { f.AlertRuleID = "rule" })
	add("of another title", page.Next, func(f *incident.IncidentFilter) { f.Title = "down" })
	add("of another start", page.Next, func(f *incident.IncidentFilter) { f.Start = now })
	add("of another end", page.Next, func(f *incident.IncidentFilter) { f.End = now })
	for name, cursor := range map[string]string{"garbage": "garbage", "of a list": page.Next} {
		all = append(all, activityCursor(name, cursor, key, false),
			badInput{"parked cursor " + name, "cursor", parked(func(f *incident.ParkedFilter) { f.Cursor = cursor })})
	}
	return append(all,
		activityCursor("of another incident", log.Next, incident.Key{OrganizationID: "acme", Identifier: 2}, false),
		activityCursor("of another organization", log.Next, incident.Key{OrganizationID: "globex", Identifier: 1}, false),
		activityCursor("of the other direction", log.Next, key, true))
}

func activityCursor(name, cursor string, key incident.Key, descending bool) badInput {
	return badInput{"activity cursor " + name, "cursor", func(ctx context.Context, m incident.Manager) error {
		_, err := m.Activities(ctx, key, incident.ActivityFilter{Cursor: cursor, Descending: descending})
		return err
	}}
}

func TestManager_refusesBadInput(t *testing.T) {
	m, store := fixture(t)
	inputs := cursorInputs(t, m)
	before := snapshot(t, store)
	for _, more := range [][]badInput{idInputs(), textInputs(), dateInputs(), numberInputs(), operationInputs(), notificationInputs(), reminderInputs(t)} {
		inputs = append(inputs, more...)
	}
	for _, in := range inputs {
		err := in.call(t.Context(), m)
		var field *incident.FieldError
		if !errors.As(err, &field) || !errors.Is(err, incident.ErrInvalid) {
			t.Errorf("%s: %.200v, want a FieldError", in.name, err)
			continue
		}
		if field.Field != in.field {
			t.Errorf("%s: names %q, want %q: %.200v", in.name, field.Field, in.field, err)
		}
		if len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes: it has the whole value", in.name, len(err.Error()))
		}
		// A transaction must refuse the call too.
		txErr := m.InTx(t.Context(), func(tx incident.Manager) error { return in.call(t.Context(), tx) })
		if !errors.As(txErr, &field) {
			t.Errorf("%s in a transaction: %.200v", in.name, txErr)
		}
	}
	if after := snapshot(t, store); !reflect.DeepEqual(before, after) {
		t.Error("refused calls changed something")
	}
}

func TestManager_acceptsTheLimits(t *testing.T) {
	m, _ := fixture(t)
	calls := map[string]func(context.Context, incident.Manager) error{
		"title of 1,000 characters": create(func(n *incident.NewIncident) { n.Title = strings.Repeat("😀", incident.MaxTitleLength) }),
		"100 projects":              create(func(n *incident.NewIncident) { n.Projects = many[incident.ProjectID](100) }),
		"project of 255 bytes":      create(func(n *incident.NewIncident) { n.Projects = []incident.ProjectID{incident.ProjectID(long[1:])} }),
		"start a day ahead":         create(func(n *incident.NewIncident) { n.DateStarted = now.Add(incident.MaxClockLead) }),
		"1970":                      create(func(n *incident.NewIncident) { n.DateStarted = time.Unix(0, 0) }),
		"comment of 65,536 bytes":   comment(func(n *incident.NewComment) { n.Comment = strings.Repeat("x", incident.MaxCommentSize) }),
		"1,000 mentions":            comment(func(n *incident.NewComment) { n.Mentions = many[incident.UserID](incident.MaxMentions) }),
		"window in the year 9999":   list(func(f *incident.IncidentFilter) { f.End = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) }),
		"meta characters":           create(func(n *incident.NewIncident) { n.Title = `'; DROP TABLE incident; -- % _ \` }),
		"right to left":             create(func(n *incident.NewIncident) { n.Title = "\u202bשלום\u202c" }),
	}
	maps.Copy(calls, operationLimits)
	maps.Copy(calls, reminderLimits)
	for name, call := range calls {
		if err := call(t.Context(), m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
