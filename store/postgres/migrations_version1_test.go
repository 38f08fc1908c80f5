package postgres_test

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"golang.org/x/sync/errgroup"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/internal/managertest"
	"github.com/incidentkit/incident/internal/pgtest"
	"github.com/incidentkit/incident/store/postgres"
)

// version1 has statements of the library of schema version 1, as it sent them: a firing that
// opens, a resolution that closes, and the read of a slot.
//
//go:embed testdata/version1/*.sql
var version1 embed.FS

// oldLibrary writes as a library of schema version 1.
type oldLibrary struct {
	pool              *sqlx.DB
	open, close, slot string
}

func mustOldLibrary(t *testing.T, pool *sqlx.DB) oldLibrary {
	t.Helper()
	read := func(name string) string { return mustRead(t, version1, "testdata/version1/"+name+".sql") }
	return oldLibrary{pool, read("open"), read("close"), read("slot")}
}

// read returns the holder of a slot, and its triggers. The identifier is 0 if the slot is free.
func (o oldLibrary) read(ctx context.Context, slot incident.Slot) (inc incident.Incident, triggers pq.StringArray, err error) {
	rows, err := o.pool.QueryxContext(ctx, o.slot, slot.OrganizationID, slot.AlertRuleID, slot.ProjectID, slot.QueryID)
	if err != nil {
		return inc, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		columns, err := rows.SliceScan()
		if err != nil {
			return inc, nil, err
		}
		if columns[2] == nil { // the identifier
			continue
		}
		inc.Identifier, inc.Version = columns[2].(int64), columns[15].(int64)
		inc.Status = incident.Status(columns[5].(int64))
		inc.Title, inc.DateStarted = text(columns[3]), columns[11].(time.Time)
		inc.DateDetected, inc.DateAdded = columns[12].(time.Time), columns[13].(time.Time)
		triggers = append(triggers, text(columns[17]))
	}
	return inc, triggers, rows.Err()
}

func text(column any) string {
	if bytes, ok := column.([]byte); ok {
		return string(bytes)
	}
	return column.(string)
}

// toggle opens an incident in a free slot, or closes the holder. It reports whether it wrote.
func (o oldLibrary) toggle(ctx context.Context, slot incident.Slot) (bool, error) {
	inc, triggers, err := o.read(ctx, slot)
	if err != nil {
		return false, err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	strings := func(s ...string) pq.StringArray { return s }
	wanted := []any{
		slot.OrganizationID, strings(string(slot.AlertRuleID)), strings(string(slot.ProjectID)), strings(string(slot.QueryID)),
		pq.BoolArray{inc.Identifier == 0},
	}
	values := func(triggers pq.StringArray, status int64) []any {
		statuses, severities, dates := pq.Int64Array{}, pq.Int64Array{}, pq.StringArray{}
		for range triggers {
			statuses, severities, dates = append(statuses, status), append(severities, 10), append(dates, now.Format(time.RFC3339Nano))
		}
		return []any{triggers, statuses, severities, dates, dates}
	}
	statement, args := o.open, append(wanted,
		rand.Int64(), now, incident.StatusWarning, slot.ProjectID, "", incident.StatusOpen, 0, 3, 2, 3, "Old", "old", slot.AlertRuleID, slot.QueryID,
		uuid.New(), uuid.New(), uuid.New(), 2)
	args = append(args, values(strings("old"), 0)...)
	if inc.Identifier != 0 {
		statement, args = o.close, append(wanted,
			1, inc.Version+1, rand.Int64(), 2, incident.StatusClosed, 3, inc.DateStarted, inc.DateDetected, inc.DateAdded, now, nil,
			inc.Title, incident.FoldTitle(inc.Title), slot.AlertRuleID, slot.QueryID, strings(string(slot.ProjectID)),
			inc.Identifier, inc.Version, inc.DateStarted, uuid.New(), inc.Identifier, rand.Int64(),
			2, incident.StatusClosed, inc.Status, now, uuid.New(), "", "", 0)
		args = append(args, values(triggers, 1)...)
	}
	rows, err := o.pool.QueryContext(ctx, statement, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	wrote := rows.Next()
	return wrote, rows.Err()
}

// The library of version 1 and this library write to the same incidents and slots at the same
// time, without a failure of either.
func TestStore_besideVersion1(t *testing.T) {
	t.Parallel()
	s, url := newStore(t)
	old := mustOldLibrary(t, mustOpen(t, url, 4))
	m, err := incident.New(s, &incident.Options{Notifier: incident.NotifyElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	slotOf := func(n int) incident.Slot { return with(firing, fmt.Sprint("rule-", n%3)).Slot }
	const turns = 60
	var writers errgroup.Group
	wrote := make([]int, 2)
	for i := range wrote {
		writers.Go(func() error {
			for n := 0; wrote[i] < turns; n++ {
				did, err := old.toggle(t.Context(), slotOf(n+i))
				if err != nil && !postgres.IsDisturbed(err) {
					return fmt.Errorf("version 1: %w", err)
				}
				if did && err == nil {
					wrote[i]++
				}
			}
			return nil
		})
		writers.Go(func() error {
			for n := range turns {
				if err := respond(t.Context(), m, slotOf(n+i), n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := writers.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := managertest.Audit(t.Context(), m, s, "acme"); err != nil {
		t.Error(err)
	}
	if _, err := pgtest.AuditActive(t.Context(), s.Pool(), s.Schema()); err != nil {
		t.Error(err)
	}
	checkLists(t, m, "acme")
	for n := range 3 {
		held, err := s.LoadSlot(t.Context(), slotOf(n))
		if err != nil || held.State == nil && held.Last == nil {
			t.Errorf("LoadSlot of slot %d = %+v, %v, want a holder or the last holder", n, held, err)
		}
	}
}

// respond makes each change of this library to the holder of a slot.
func respond(ctx context.Context, m incident.Manager, slot incident.Slot, n int) error {
	r, err := m.Fire(ctx, incident.Firing{Slot: slot, TriggerID: "new", Severity: incident.StatusCritical, Title: "New"})
	if err != nil {
		return err
	}
	user := []incident.UserID{"ada", "grace"}[n%2]
	_, err = m.Assign(ctx, r.Key(), incident.Assignment{UserID: "bob", Assignee: user})
	if err == nil {
		_, err = m.Acknowledge(ctx, r.Key(), incident.Acknowledgement{UserID: user})
	}
	if err == nil {
		_, err = m.Edit(ctx, r.Key(), incident.Edit{
			UserID: user, Labels: labels("team", fmt.Sprint("team-", n%2)), DateStarted: r.DateStarted.Add(-time.Duration(n%3) * time.Minute),
		})
	}
	if err == nil {
		_, err = m.Resolve(ctx, incident.Resolution{Slot: slot, TriggerID: "new"})
	}
	if errors.Is(err, incident.ErrInvalid) {
		return nil // closed before the new start
	}
	return err
}

// checkLists checks that the lists by label and by assignee have the incidents that a list
// without a filter has.
func checkLists(t *testing.T, m incident.Manager, org incident.OrganizationID) {
	t.Helper()
	list := func(f incident.IncidentFilter) map[int64]bool {
		f.OrganizationID, f.Limit = org, incident.MaxPageSize
		found := map[int64]bool{}
		for inc, err := range incident.All(t.Context(), m, f) {
			if err != nil {
				t.Fatal(err)
			}
			found[inc.Identifier] = true
		}
		return found
	}
	byLabel, byAssignee, n := map[string]int{}, map[incident.UserID]int{}, 0
	for inc, err := range incident.All(t.Context(), m, incident.IncidentFilter{OrganizationID: org, Limit: incident.MaxPageSize}) {
		if err != nil {
			t.Fatal(err)
		}
		if team := inc.Labels["team"]; team != "" {
			byLabel[team]++
			n++
		}
		if inc.Response != nil && inc.Response.Assignee != "" {
			byAssignee[inc.Response.Assignee]++
			n++
		}
	}
	if n == 0 {
		t.Error("no incident has a label or an assignee")
	}
	for team, want := range byLabel {
		if got := list(incident.IncidentFilter{Labels: labels("team", team)}); len(got) != want {
			t.Errorf("the list of team %s has %d incidents, want %d", team, len(got), want)
		}
	}
	for user, want := range byAssignee {
		if got := list(incident.IncidentFilter{Assignee: user}); len(got) != want {
			t.Errorf("the list of assignee %s has %d incidents, want %d", user, len(got), want)
		}
	}
}

// Incidents of version 1 are read, changed and listed after the migration, which rewrites no
// table. The step back
// keeps them for version 1, with a comment for each activity that version 1 does not know.
func TestMigrate_version1AndBack(t *testing.T) {
	t.Parallel()
	url := pgtest.NewDatabase(t)
	pool := mustOpen(t, url, 4)
	mustMigrateTo(t, pool, nil, 1)
	old := mustOldLibrary(t, pool)
	mustToggle := func(slot incident.Slot) {
		t.Helper()
		if wrote, err := old.toggle(t.Context(), slot); err != nil || !wrote {
			t.Fatalf("toggle = %v, %v", wrote, err)
		}
	}
	held, free := with(firing, "held").Slot, with(firing, "free").Slot
	mustToggle(held)
	mustToggle(free)
	mustToggle(free)
	files := func() (names string) {
		t.Helper()
		err := pool.Get(&names, `SELECT string_agg(relname || ' ' || pg_relation_filenode(oid), ', ' ORDER BY relname)
			FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT IN ('incident_label', 'incident_queue', 'incident_deleted', 'incident_task', 'incident_active')`)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	before := files()
	mustMigrate(t, pool, nil)
	if after := files(); after != before {
		t.Errorf("the migration rewrites tables: the files are %s, and were %s", after, before)
	}

	s := mustNew(t, pool, nil)
	m := mustManager(t, s)
	if state, err := s.LoadSlot(t.Context(), free); err != nil || state.State != nil || state.Last != nil || state.Version != 2 {
		t.Errorf("LoadSlot of the free slot = %+v, %v", state, err)
	}
	inc, ok, err := m.Active(t.Context(), held)
	if err != nil || !ok {
		t.Fatalf("Active = %v, %v", ok, err)
	}
	_, err = m.Assign(t.Context(), inc.Key(), incident.Assignment{Assignee: "ada"})
	if err == nil {
		_, err = m.Edit(t.Context(), inc.Key(), incident.Edit{Labels: labels("team", "team-1"), Comment: "Whose?"})
	}
	if err == nil {
		_, err = m.Resolve(t.Context(), incident.Resolution{Slot: held, TriggerID: "old"})
	}
	if err != nil {
		t.Fatal(err)
	}
	checkLists(t, m, "acme")
	if state, err := s.LoadSlot(t.Context(), held); err != nil || state.Last == nil || state.Last.Incident.Identifier != inc.Identifier {
		t.Errorf("LoadSlot of a slot that version 1 claimed = %+v, %v, want the last holder", state, err)
	}

	pool.MustExec(mustRead(t, postgres.Migrations(), "20261126000005_active_lists.down.sql"))
	pool.MustExec(mustRead(t, postgres.Migrations(), "20261126000004_retention.down.sql"))
	pool.MustExec(mustRead(t, postgres.Migrations(), "20261126000003_notifiers.down.sql"))
	pool.MustExec(mustRead(t, postgres.Migrations(), "20261125000002_operations.down.sql"))
	mustToggle(held)
	var comments []string
	if err := pool.Select(&comments, "SELECT comment FROM incident_activity WHERE type = 3 ORDER BY sequence"); err != nil {
		t.Fatal(err)
	}
	if len(comments) != 2 || comments[1] != "Activity of type 103\nlabels.team\nteam-1\nWhose?" {
		t.Errorf("after the step back the comments are %q", comments)
	}
	mustMigrate(t, pool, nil)
	if err := managertest.Audit(t.Context(), mustManager(t, mustNew(t, pool, nil)), s, "acme"); err != nil {
		t.Error(err)
	}
	checkActive(t, s, 0)
}
