package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"golang.org/x/sync/errgroup"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// maxMemory bounds the memory of all texts in a server process, in bytes.
const maxMemory = 48 << 20

// A connection prepares few statements, whatever the calls, and the server keeps a generic
// plan for each. The choice of a plan depends on the sizes that the tables have at the moment, so a
// statement is planned again for each call only if that is so in each of several databases.
func TestStore_keepsFewTexts(t *testing.T) {
	t.Parallel()
	const databases = 3
	var replanned string
	for range databases {
		if replanned = replannedTexts(t); replanned == "" || t.Failed() {
			return
		}
		t.Logf("statements were planned again for each call:\n%s", replanned)
	}
	t.Errorf("statements are planned again for each call in each of %d databases; those of the last are above", databases)
}

// replannedTexts makes random calls on new tables, and checks what each connection has prepared. It
// returns the statements that have no generic plan after more than 20 calls.
func replannedTexts(t *testing.T) (replanned string) {
	t.Helper()
	const conns = 3
	pool := mustOpen(t, newTables(t), conns)
	keepStatistics(t, pool)
	s := mustNew(t, pool, nil)
	var all []incident.Manager
	for _, o := range []incident.Options{
		{},
		{Notifier: incident.NotifyElsewhere},
		{Notifier: incident.NotifyElsewhere, Notifiers: map[string]incident.NamedNotifier{"mail": {
			Notifier: incident.NotifyElsewhere, Notify: incident.NotifyOptions{Types: []incident.ActivityType{typeCreated, typeStatus}},
		}}},
	} {
		m, err := incident.New(s, &o)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	mustCallAll(t, all, s, conns)
	mustBatch(t, s, 30, all...)
	mustReadTogether(t, s, 30*conns)
	checkActive(t, s, 0)
	t.Logf("the store has %d texts", len(s.Statements()))
	if n := len(s.Statements()); n > postgres.MaxTexts {
		t.Errorf("the store has %d texts, want at most %d", n, postgres.MaxTexts)
	}
	for i := range conns {
		conn, err := pool.Connx(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var found struct {
			Texts, Bytes int64
			Replanned    string
		}
		err = conn.GetContext(t.Context(), &found, `
SELECT
	(SELECT count(*) FROM pg_prepared_statements) AS texts,
	(SELECT coalesce(string_agg(format(E'%s times: %s\n', custom_plans, statement), ''), '')
		FROM pg_prepared_statements WHERE custom_plans > 20 AND generic_plans = 0) AS replanned,
	(SELECT coalesce(sum(total_bytes), 0)::bigint FROM pg_backend_memory_contexts WHERE name LIKE 'CachedPlan%') AS bytes`)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("connection %d has %d texts in %.1f MB", i+1, found.Texts, float64(found.Bytes)/(1<<20))
		if found.Texts > postgres.MaxTexts || found.Bytes > maxMemory {
			t.Errorf("a connection has %d texts in %d bytes, want at most %d in %d", found.Texts, found.Bytes, postgres.MaxTexts, maxMemory)
		}
		replanned += found.Replanned
	}
	return replanned
}

// mustCallAll makes random calls of the Managers, by several callers at once.
func mustCallAll(t *testing.T, all []incident.Manager, s *postgres.Store, callers int) {
	t.Helper()
	var group errgroup.Group
	for i := range callers {
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		group.Go(func() error {
			for n := range 900 {
				c := caller{Manager: all[n%len(all)], store: s, rng: rng, org: incident.OrganizationID(fmt.Sprint("org-", i))}
				if err := c.call(t.Context()); err != nil && !isExpected(err) {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// keepStatistics keeps the statistics of the tables as they are. The server prefers a generic plan once it
// costs no more than the plans before, on average. If autovacuum analyzed tables that have grown
// meanwhile, it would take many more calls.
func keepStatistics(t *testing.T, pool *sqlx.DB) {
	t.Helper()
	var all []string
	err := pool.SelectContext(t.Context(), &all, `SELECT format('ALTER TABLE %s SET (autovacuum_enabled = off)', oid::regclass)
		FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace`)
	if err != nil || len(all) == 0 {
		t.Fatalf("%d tables, %v", len(all), err)
	}
	for _, text := range all {
		pool.MustExecContext(t.Context(), text)
	}
}

// isExpected reports whether a random call may be refused.
func isExpected(err error) bool {
	return errors.Is(err, incident.ErrNotFound) || errors.Is(err, incident.ErrConflict) || errors.Is(err, incident.ErrInvalid) ||
		errors.Is(err, incident.ErrVersionConflict) || errors.Is(err, incident.ErrForbidden)
}

// caller makes random calls, with inputs of any size.
type caller struct {
	incident.Manager
	store *postgres.Store
	org   incident.OrganizationID
	rng   *rand.Rand
}

func (c *caller) oneIn(n int) bool { return c.rng.IntN(n) == 0 }

func (c *caller) key() incident.Key {
	return incident.Key{OrganizationID: c.org, Identifier: c.rng.Int64N(40) + 1}
}

func (c *caller) user() incident.UserID {
	return incident.UserID([]string{"", "ada", "grace", "bob"}[c.rng.IntN(4)])
}

func (c *caller) status() incident.Status {
	return append(incident.ActiveStatuses(), incident.StatusClosed)[c.rng.IntN(4)]
}

// date returns one of few dates, so that dates are often equal.
func (c *caller) date() time.Time {
	if c.oneIn(3) {
		return time.Time{}
	}
	return time.Date(2026, 3, 14, 2, c.rng.IntN(3), 0, 0, time.UTC)
}

func (c *caller) uuid() (id uuid.UUID) {
	if c.oneIn(3) {
		id[15] = byte(c.rng.IntN(20) + 1)
	}
	return id
}

func names[T ~string](c *caller, most int) (all []T) {
	for range c.rng.IntN(most + 1) {
		all = append(all, T(fmt.Sprint("name-", c.rng.IntN(2*most))))
	}
	return all
}

func (c *caller) slot() incident.Slot {
	return incident.Slot{
		OrganizationID: c.org, AlertRuleID: incident.AlertRuleID(fmt.Sprint("rule-", c.rng.IntN(5))),
		ProjectID: incident.ProjectID(fmt.Sprint("name-", c.rng.IntN(3))), QueryID: incident.QueryID([]string{"", "query"}[c.rng.IntN(2)]),
	}
}

func (c *caller) call(ctx context.Context) error {
	writes := []func(context.Context) error{
		c.create, c.create, c.fire, c.fire, c.updateStatus, c.comment, c.apply, c.list, c.list, c.list, c.activities, c.people, c.respond, c.remind, c.relay,
		func(ctx context.Context) error {
			return only(c.Resolve(ctx, incident.Resolution{Slot: c.slot(), TriggerID: incident.TriggerID(fmt.Sprint(c.rng.IntN(3))), Date: c.date()}))
		},
		func(ctx context.Context) error { return only(c.LinkProject(ctx, c.key(), c.slot().ProjectID)) },
		func(ctx context.Context) error { return only(c.UnlinkProject(ctx, c.key(), c.slot().ProjectID)) },
		func(ctx context.Context) error {
			return only(c.EditComment(ctx, c.key(), incident.CommentEdit{Sequence: 3, UserID: "ada", Comment: "x", Moderator: true}))
		},
		func(ctx context.Context) error {
			return only(c.DeleteComment(ctx, c.key(), incident.CommentEdit{Sequence: 4, UserID: "ada", Moderator: true}))
		},
	}
	if !c.oneIn(8) {
		return writes[c.rng.IntN(len(writes))](ctx)
	}
	return c.InTx(ctx, func(tx incident.Manager) error {
		within := *c
		within.Manager, within.store = tx, nil
		return within.call(ctx)
	})
}

func (c *caller) create(ctx context.Context) error {
	n := incident.NewIncident{
		OrganizationID: c.org, Title: "Checkout fails", Status: c.status(), UserID: c.user(), DetectionUUID: c.uuid(),
		Projects: names[incident.ProjectID](c, []int{0, 1, 3, 100}[c.rng.IntN(4)]), DateStarted: c.date(), DateDetected: c.date(),
	}
	if c.oneIn(2) {
		n.AlertRuleID, n.QueryID = c.slot().AlertRuleID, c.slot().QueryID
	}
	if c.oneIn(3) {
		n.Labels = c.labels()
	}
	return only(c.Create(ctx, n))
}

func (c *caller) fire(ctx context.Context) error {
	return only(c.Fire(ctx, incident.Firing{
		Slot: c.slot(), TriggerID: incident.TriggerID(fmt.Sprint(c.rng.IntN(3))), Title: "Checkout fails", Date: c.date(),
		Severity: []incident.Status{incident.StatusWarning, incident.StatusCritical}[c.rng.IntN(2)],
	}))
}

func (c *caller) updateStatus(ctx context.Context) error {
	u := incident.StatusUpdate{Status: c.status(), UserID: c.user(), Date: c.date(), NotificationUUID: c.uuid()}
	if c.oneIn(2) {
		u.Comment = "It is the cache"
	}
	return only(c.UpdateStatus(ctx, c.key(), u))
}

func (c *caller) labels() map[string]string {
	return labels("team", []string{"payments", "search"}[c.rng.IntN(2)])
}

// respond acknowledges, assigns, edits, marks, counts or reports.
func (c *caller) respond(ctx context.Context) error {
	switch key := c.key(); c.rng.IntN(5) {
	case 0:
		return only(c.Acknowledge(ctx, key, incident.Acknowledgement{UserID: c.user(), Withdraw: c.oneIn(3)}))
	case 1:
		return only(c.Assign(ctx, key, incident.Assignment{UserID: c.user(), Assignee: c.user()}))
	case 2:
		e := incident.Edit{UserID: c.user(), DateStarted: c.date()}
		if c.oneIn(2) {
			e.Labels = c.labels()
		}
		if c.oneIn(2) {
			e.Title = fmt.Sprint("Title ", c.rng.Int())
		}
		return only(c.Edit(ctx, key, e))
	case 3:
		return only(c.MarkDuplicate(ctx, key, incident.Duplicate{Of: c.key().Identifier, UserID: c.user()}))
	}
	f := c.filter()
	if c.oneIn(2) {
		return only(c.Report(ctx, reportBy(f)))
	}
	f.Limit = 0
	return only(c.Count(ctx, f))
}

func (c *caller) comment(ctx context.Context) error {
	return only(c.Comment(ctx, c.key(), incident.NewComment{
		UserID: "ada", Comment: "It is the cache", Date: c.date(), NotificationUUID: c.uuid(),
		Mentions: names[incident.UserID](c, []int{0, 2, 1000}[c.rng.IntN(3)]),
	}))
}

// apply writes changes that a Manager does not make: any number of activities of any kind.
func (c *caller) apply(ctx context.Context) error {
	if c.store == nil {
		return nil // in a transaction
	}
	state, err := c.store.Load(ctx, c.key())
	if err != nil {
		return err
	}
	change := incident.Change{Key: state.Incident.Key()}
	switch c.rng.IntN(4) {
	case 0:
		change.Notify = []incident.NotifyTarget{{}}
	case 1:
		change.Notify = []incident.NotifyTarget{{Types: []incident.ActivityType{typeComment}}, {Notifier: "mail"}}
	}
	change.EndReminders = c.oneIn(3)
	if c.oneIn(2) {
		inc := state.Incident
		inc.Version++
		inc.Title = fmt.Sprint("Title ", c.rng.Int())
		inc.DateStarted = inc.DateStarted.Add(-time.Duration(c.rng.IntN(2)) * time.Minute) // moves it in lists
		change.Incident, change.ExpectVersion = &inc, state.Incident.Version
		if c.oneIn(3) {
			held, err := c.store.LoadSlot(ctx, c.slot())
			if err != nil {
				return err
			}
			slot := c.slot()
			change.ExpectSlot = &incident.SlotVersion{Slot: slot, Version: held.Version}
			change.Claim = []incident.Slot{slot}
		}
		for i := range c.rng.IntN(3) {
			change.Triggers = append(change.Triggers, incident.Trigger{TriggerID: incident.TriggerID(fmt.Sprint(i)), Severity: incident.StatusWarning, DateAdded: inc.DateAdded, DateModified: inc.DateAdded})
		}
	}
	for range c.rng.IntN(7) {
		a := incident.Activity{
			Type: incident.ActivityType(c.rng.IntN(4) + 1), Value: incident.Status(c.rng.IntN(21)), UserID: c.user(), Comment: []string{"", "x"}[c.rng.IntN(2)],
			DateAdded: time.Now().UTC().Truncate(time.Microsecond), NotificationUUID: uuid.New(), Revision: c.rng.Int64N(2),
		}
		if c.oneIn(3) {
			a.DateEdited = new(a.DateAdded)
		}
		change.Activities = append(change.Activities, a)
	}
	for _, user := range names[incident.UserID](c, 3) {
		change.Subscriptions = append(change.Subscriptions, incident.Subscription{UserID: user, DateAdded: state.Incident.DateAdded})
	}
	return only(c.store.Apply(ctx, change))
}

func (c *caller) filter() incident.IncidentFilter {
	f := incident.IncidentFilter{
		OrganizationID: c.org, Projects: names[incident.ProjectID](c, []int{0, 1, 4, 100}[c.rng.IntN(4)]), Limit: c.rng.IntN(101),
		Title: []string{"", "fails"}[c.rng.IntN(2)], AlertRuleID: []incident.AlertRuleID{"", "", "rule-1"}[c.rng.IntN(3)],
	}
	for range c.rng.IntN(4) {
		f.Statuses = append(f.Statuses, c.status())
	}
	if c.oneIn(2) {
		f.Access = &incident.ProjectAccess{Projects: names[incident.ProjectID](c, []int{0, 1, 500}[c.rng.IntN(3)])}
	}
	if f.Start = c.date(); !f.Start.IsZero() && c.oneIn(2) {
		f.End = f.Start.Add(time.Hour)
	}
	if c.oneIn(3) {
		f.Labels = c.labels()
	}
	if c.oneIn(3) {
		f.Assignee, f.Acknowledged = c.user(), new(c.oneIn(2))
	}
	return f
}

func (c *caller) list(ctx context.Context) error {
	f := c.filter()
	page, err := c.List(ctx, f)
	if err == nil && page.Next != "" {
		f.Cursor = page.Next
		if page, err = c.List(ctx, f); err == nil && page.Previous != "" {
			f.Cursor = page.Previous
			_, err = c.List(ctx, f)
		}
	}
	return err
}

func (c *caller) activities(ctx context.Context) error {
	if _, err := c.Details(ctx, c.key(), c.user()); err != nil {
		return err
	}
	f := incident.ActivityFilter{Descending: c.oneIn(2), Limit: c.rng.IntN(101)}
	return only(c.Activities(ctx, c.key(), f))
}

func (c *caller) people(ctx context.Context) error {
	key := c.key()
	_, err := c.MarkSeen(ctx, key, "ada")
	if err == nil {
		_, err = c.Subscribe(ctx, key, "grace")
	}
	if err == nil && c.oneIn(2) {
		err = c.Unsubscribe(ctx, key, "grace")
	}
	if err == nil {
		_, err = c.SeenBy(ctx, key)
	}
	if err == nil {
		_, err = c.Subscribers(ctx, key)
	}
	if err == nil {
		_, _, err = c.Active(ctx, c.slot())
	}
	if err == nil {
		_, err = c.Triggers(ctx, key)
	}
	return err
}
